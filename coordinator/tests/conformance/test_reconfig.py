"""Changes of members by clients, on both engines: who votes, who leads, where clients connect."""

import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

import ensemble as ensembles
import raw
from waiting import until

OK, UNIMPLEMENTED, BAD_ARGUMENTS, MARSHALLING, NO_QUORUM = 0, -6, -8, -5, -13
NO_AUTH, BAD_VERSION, DISABLED = -102, -103, -123
RECONFIG, AUTH, EXISTS_CONFIG = 16, 100, raw.buffer(b"/zookeeper/config") + b"\0"
SUPER = {
    "reconfigEnabled": "true",
    # super:test
    "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
}


class Growing(ensembles.Ensemble):
    """Servers whose lines name their client ports; more of them than vote at first."""

    def __init__(self, engine, size, spare=0, extra=None, joins_as="participant"):
        super().__init__(engine, size + spare, {**SUPER, **(extra or {})})
        self.joins_as = joins_as
        self.voters = self.servers[:size]
        self.spare = self.servers[size:]
        for server in self.servers:
            server.write_configuration = lambda server=server: self.write(server)

    def write(self, server):
        path = server.directory / "zoo.cfg"
        if path.exists():
            return  # Apache ZooKeeper has rewritten it
        ensembles.Server.write_configuration(server)
        lines = [l for l in path.read_text().splitlines() if not l.startswith(("server.", "clientPort"))]
        members = self.voters + ([server] if server in self.spare else [])
        role = lambda m: self.joins_as if m in self.spare else "participant"
        path.write_text("\n".join(lines + [f"server.{m.id}={line(m, role(m))}" for m in members]) + "\n")

    def __enter__(self):
        for server in self.voters:
            server.start()
        self.wait()
        # The first leader writes the first list.
        connection = raw.open_session(self.voters[0].client_port)
        until(lambda: config(connection.call(raw.GET_DATA, EXISTS_CONFIG)[1])[1] > 0)
        return self


def line(server, role="participant", client_port=None):
    ports = f"{server.quorum_port}:{server.election_port}"
    return f"127.0.0.1:{ports}:{role};127.0.0.1:{client_port or server.client_port}"


def body(joining=None, leaving=None, new=None, version=-1):
    text = lambda t: raw.buffer(None if t is None else t.encode())
    return text(joining) + text(leaving) + text(new) + struct.pack(">q", version)


def admin(server):
    connection = raw.open_session(server.client_port)
    auth = struct.pack(">i", 0) + raw.buffer(b"digest") + raw.buffer(b"super:test")
    connection.request(AUTH, auth, xid=-4)
    assert connection.reply()[1] == OK
    return connection


def config(answer):
    (length,) = struct.unpack(">i", answer[:4])
    lines = answer[4 : 4 + length].decode().split("\n")
    if not lines[-1].startswith("version="):
        return [], 0
    return sorted(lines[:-1]), int(lines[-1].removeprefix("version="), 16)


def test_checks_and_their_order(engine):
    with Growing(engine, 3) as running:
        stranger = raw.open_session(running.servers[0].client_port)
        code = lambda connection, **request: connection.call(RECONFIG, body(**request))[0]
        assert code(stranger, leaving="3") == NO_AUTH
        assert code(stranger, joining="some thing") == BAD_ARGUMENTS
        assert code(stranger, leaving="x") == MARSHALLING
        assert code(stranger, leaving="2,3") == BAD_ARGUMENTS
        assert code(stranger, leaving="3", version=1 << 60) == BAD_VERSION
        assert code(stranger, joining="server.9=127.0.0.1:1:2") == BAD_ARGUMENTS, "no client port"
        assert code(stranger, joining="server.9=127.0.0.1:1:1;3") == BAD_ARGUMENTS
        assert code(stranger, joining="server.9=127.0.0.1:1:2:boss;3") == BAD_ARGUMENTS
        assert code(stranger, new="foo=bar") == BAD_ARGUMENTS
        dead = ",".join(f"server.{n}=127.0.0.1:{n}:{n + 1}:participant;{n + 2}" for n in (30, 40, 50, 60))
        assert code(stranger, joining=dead) == NO_QUORUM
        stat = stranger.call(raw.GET_DATA, EXISTS_CONFIG)[1]
        lines, version = config(stat)
        assert lines == sorted(f"server.{s.id}={line(s)}" for s in running.servers)
        assert struct.unpack(">i", stat[-36:-32])[0] == -1, "the znode's version"
        # Nothing at all is a new version.
        answer = admin(running.servers[1]).call(RECONFIG, body())
        assert answer[0] == OK and config(answer[1])[0] == lines and config(answer[1])[1] > version


def test_disabled_and_standalone(engine):
    with ensembles.Ensemble(engine, 3) as running:
        connection = raw.open_session(running.servers[0].client_port)
        assert connection.call(RECONFIG, body(leaving="3"))[0] == DISABLED
    with ensembles.Ensemble(engine, 1, {"reconfigEnabled": "true"}) as running:
        connection = raw.open_session(running.servers[0].client_port)
        until(lambda: connection.call(RECONFIG, body(leaving="3"))[0] == UNIMPLEMENTED)


def test_a_leader_that_is_removed_hands_over(engine):
    with Growing(engine, 3) as running:
        leader = running.leader()
        stay = [server for server in running.servers if server is not leader]
        connection = admin(stay[0])
        assert connection.call(raw.GET_DATA, raw.buffer(b"/zookeeper/config") + b"\1")[0] == OK
        try:
            code, answer = connection.call(RECONFIG, body(leaving=str(leader.id)))
            assert code == OK
            assert config(answer)[0] == sorted(f"server.{s.id}={line(s)}" for s in stay)
        except raw.Closed:
            assert engine == "apache", "a change of leader is none of the client's business"
        until(lambda: running.leader() in stay)
        leader.stop(kill=True)
        until(lambda: sorted(str(s.mode()) for s in stay) == ["follower", "leader"])
        again = raw.open_session(stay[1].client_port)
        assert again.call(raw.CREATE, raw.create_body(b"/after"))[0] == OK
        assert f"server.{leader.id}=" not in again.call(raw.GET_DATA, EXISTS_CONFIG)[1].decode(errors="replace")


def test_a_joiner_votes_when_it_has_caught_up(engine):
    with Growing(engine, 3, 1) as running:
        (joiner,) = running.spare
        connection = admin(running.servers[0])
        assert connection.call(raw.CREATE, raw.create_body(b"/before"))[0] == OK
        joiner.start()
        if engine == "apache":
            until(joiner.mode)
        code, answer = connection.call(RECONFIG, body(joining=f"server.{joiner.id}={line(joiner)}"))
        assert code == OK and len(config(answer)[0]) == 4
        until(lambda: joiner.mode() == "follower")
        reader = raw.open_session(joiner.client_port)
        assert reader.call(raw.EXISTS, raw.buffer(b"/before") + b"\0")[0] == OK
        # Three of four make a quorum, the joiner among them.
        gone = next(s for s in running.voters if s.mode() == "follower" and s is not running.servers[0])
        time.sleep(1)
        gone.stop(kill=True)
        assert raw.open_session(joiner.client_port).call(raw.CREATE, raw.create_body(b"/with4"))[0] == OK
        # It outlives a restart of everybody, though no server's own list has it.
        for server in running.servers:
            server.stop()
        for server in running.servers:
            server.start()
        running.wait()
        text = raw.open_session(running.servers[0].client_port).call(raw.GET_DATA, EXISTS_CONFIG)[1]
        assert f"server.{joiner.id}={line(joiner)}".encode() in text


def test_a_member_that_lost_its_data_comes_back(engine):
    if engine == "apache":
        pytest.skip("it would vote at once")
    with Growing(engine, 3) as running:
        connection = admin(running.leader())
        assert connection.call(RECONFIG, body())[0] == OK
        lost = running.followers()[0]
        lost.stop(kill=True)
        shutil.rmtree(lost.data / "coordinator")
        lost.start()
        until(lambda: lost.mode() == "follower")
        # Its vote is needed again.
        other = next(s for s in running.followers() if s is not lost)
        time.sleep(2)
        other.stop(kill=True)
        write = lambda: raw.open_session(lost.client_port).call(raw.CREATE, raw.create_body(b"/again"))
        assert write()[0] == OK


def test_roles_and_client_ports_change(engine):
    with Growing(engine, 3) as running:
        changed = running.followers()[0]
        other = running.leader()
        (port,) = ensembles.free_ports(1)
        old = raw.open_session(changed.client_port)
        connection = admin(other)
        code, answer = connection.call(
            RECONFIG, body(joining=f"server.{changed.id}={line(changed, 'observer', port)}")
        )
        assert code == OK
        assert f"server.{changed.id}={line(changed, 'observer', port)}" in config(answer)[0]
        before, changed.client_port = changed.client_port, port
        until(lambda: changed.mode() == "observer")
        assert raw.open_session(port).call(raw.CREATE, raw.create_body(b"/new-port"))[0] == OK
        with pytest.raises(OSError):
            raw.Connection(before, 2)
        if engine == "coordinator":
            assert old.call(raw.EXISTS, raw.buffer(b"/new-port") + b"\0")[0] == OK, "old ones stay"


def test_an_ensemble_of_one_grows(engine):
    """Observers first: they follow and catch up; then all of them vote."""
    if engine == "apache":
        pytest.skip("there no observer can be given a vote: joiners follow before any list has them")
    with Growing(engine, 1, 2, {"standaloneEnabled": "false"}, joins_as="observer") as running:
        (first,) = running.voters
        assert first.mode() == "leader"
        connection = admin(first)
        assert connection.call(raw.CREATE, raw.create_body(b"/before"))[0] == OK
        asked = lambda role: ",".join(f"server.{s.id}={line(s, role)}" for s in running.spare)
        assert connection.call(RECONFIG, body(joining=asked("participant")))[0] == NO_QUORUM
        for joiner in running.spare:
            joiner.start()
        assert connection.call(RECONFIG, body(joining=asked("observer")))[0] == OK
        for joiner in running.spare:
            until(lambda joiner=joiner: joiner.mode() == "observer")
        # Those who have caught up may vote.
        until(lambda: connection.call(RECONFIG, body(joining=asked("participant")))[0] == OK)
        until(lambda: [s.mode() for s in running.spare] == ["follower", "follower"])
        time.sleep(1)
        first.stop(kill=True)
        until(lambda: sorted(str(s.mode()) for s in running.spare) == ["follower", "leader"])
        reader = raw.open_session(running.spare[0].client_port)
        assert reader.call(raw.EXISTS, raw.buffer(b"/before") + b"\0")[0] == OK
        assert reader.call(raw.CREATE, raw.create_body(b"/after"))[0] == OK
        first.start()
        until(lambda: first.mode() == "follower")


def test_files_that_apache_wrote_are_taken_over(engine):
    """ZooKeeper moves its members to a file of their own: import, and serve from the same zoo.cfg."""
    if engine == "apache":
        pytest.skip("it goes from there to here by itself")
    if lacking := ensembles.missing("apache"):
        pytest.skip(lacking)
    with Growing("apache", 3) as running:
        connection = admin(running.servers[0])
        assert connection.call(raw.CREATE, raw.create_body(b"/kept"))[0] == OK
        assert connection.call(RECONFIG, body())[0] == OK
        for server in running.servers:
            server.stop()
        running.engine = "coordinator"
        for server in running.servers:
            text = (server.directory / "zoo.cfg").read_text()
            assert "dynamicConfigFile=" in text and "server.1" not in text
            command = [str(ensembles.coordinator_binary()), "import", str(server.directory / "zoo.cfg")]
            command += ["--ensemble-id", "taken-over"]
            for other in running.servers:
                command += ["--from", str(other.data)]
            subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
        for server in running.servers:
            server.start()
        running.wait()
        reader = raw.open_session(running.servers[0].client_port)
        assert reader.call(raw.EXISTS, raw.buffer(b"/kept") + b"\0")[0] == OK
        lines, version = config(until(lambda: reader.call(raw.GET_DATA, EXISTS_CONFIG)[1]))
        assert lines == sorted(f"server.{s.id}={line(s)}" for s in running.servers)
        # They stand in the data directory from now on, and can be changed.
        changer = admin(running.servers[1])
        until(lambda: changer.call(RECONFIG, body(leaving="3"))[0] == OK)


ZKCLI = Path("/usr/share/zookeeper/bin/zkCli.sh")
# What zkCli.sh says around the answers, and what Java logs.
NOISE = ("SLF4J", "Connecting to", "Welcome to", "JLine", "WATCHER::", "WatchedEvent", "log4j:", "Exiting JVM")
STAT = re.compile(r"^(cZxid|ctime|mZxid|mtime|pZxid|dataLength) = .*$")


def said(command, script, **environment):
    """What a shell answers to the lines of a script, with what differs by run taken out."""
    done = subprocess.run(
        command, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **environment
    )
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith(NOISE)]
    lines = [re.sub(r"version=[0-9a-f]+", "version=V", STAT.sub(r"\1", line)) for line in lines]
    # Java names the file twice.
    lines = [re.sub(r"^(Error processing ).*( \(?No such file.*)$", r"\1FILE", line) for line in lines]
    # ZooKeeper's lists come in the order of a hash map.
    return [re.sub(r"^[0-9a-f]+ (127.*)$", lambda m: " ".join(sorted(m[1].split(","))), line) for line in lines]


def blocks(lines):
    """Runs of `server.` lines in order."""
    made, servers = [], []
    for line in lines:
        if not line.startswith("server."):
            made += sorted(servers)
            servers = []
            made.append(line)
        else:
            servers.append(line)
    return made + sorted(servers)


def test_both_shells_change_members(engine, tmp_path):
    """`reconfig` and `config` in zkCli.sh and in `coordinator shell`: the same text."""
    if not ZKCLI.exists():
        pytest.skip(f"{ZKCLI} is missing (Debian's package zookeeper)")
    with Growing(engine, 3) as running:
        third = running.followers()[0]
        stay = next(s for s in running.servers if s is not third)
        lines = {s.id: f"server.{s.id}={line(s)}" for s in running.servers}
        listed = tmp_path / "members"
        listed.write_text("# ours\n\n" + "\n".join(lines.values()) + "\n")
        script = f"""\
config
config -c
config -s
reconfig
reconfig -v zz -remove 1
reconfig -add server.9=127.0.0.1:1:2
reconfig -remove {third.id}
addauth digest super:test
reconfig -v 7fffffff00000000 -remove {third.id}
reconfig -add {lines[third.id]} -members {lines[third.id]}
reconfig -file a -members b
reconfig -file {tmp_path}/none
reconfig -remove {third.id}
reconfig -remove 1,2,3
reconfig -s -add {lines[third.id]}
reconfig -members {",".join(lines.values())}
reconfig -file {listed}
config -c
quit
"""
        shell = [str(ensembles.coordinator_binary()), "shell", "--server", stay.address]
        flags = {**os.environ, "CLIENT_JVMFLAGS": "-Dlog4j.configuration=none -XX:TieredStopAtLevel=1"}
        theirs = blocks(said([str(ZKCLI), "-server", stay.address], script, env=flags))
        ours = blocks(said(shell, script))
        print("\n".join(theirs))
        assert sum("Committed new configuration:" in l for l in theirs) == 4
        assert ours == theirs
