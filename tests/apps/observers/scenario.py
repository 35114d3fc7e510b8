"""Three voters, then four observers besides, one of them 200 ms away: what reads and writes cost whom."""

import importlib.util
import os
import shutil
import statistics
import struct
import threading
import time
from pathlib import Path

import ensemble as ensembles
import raw
from waiting import seconds_until, until

SERVERS = 0
VOTERS, ALL, FAR = 3, 7, 7
ONE_WAY_SECONDS = 0.1
KEYS, BYTES = 2000, 1000
WRITES, READS, BATCH, ALONE = 30000, 100000, 100, 300
OK = 0


def relays():
    spec = importlib.util.spec_from_file_location("relay", Path(__file__).with_name("relay.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Relay


def missing():
    return None


class Spread(ensembles.Ensemble):
    """Observers join the voters when they are started; between the far one and all others lie relays."""

    def __init__(self, engine):
        super().__init__(engine, ALL)
        relay = relays()
        self.relays = {
            server.id: tuple(relay(port, ONE_WAY_SECONDS) for port in (server.quorum_port, server.election_port))
            for server in self.servers
        }

    def line(self, of, seen_by):
        ports = of.quorum_port, of.election_port
        if of is not seen_by and FAR in (of.id, seen_by.id):
            ports = tuple(one.port for one in self.relays[of.id])
        role = "participant" if of.id <= VOTERS else "observer"
        return f"server.{of.id}=127.0.0.1:{ports[0]}:{ports[1]}:{role}"

    def configure(self, server, members):
        """The list of the servers that are members by now."""
        server.write_configuration()
        path = server.directory / "zoo.cfg"
        keep = [line for line in path.read_text().splitlines() if not line.startswith("server.")]
        keep += [self.line(of, server) for of in members]
        if server.id > VOTERS:
            keep.append("peerType=observer")
        path.write_text("\n".join(keep) + "\n")

    def begin(self, servers, members):
        for server in servers:
            self.configure(server, members)
            server.write_configuration = lambda: None
            server.start()
        for server in servers:
            until(server.mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        super().__exit__()
        for pair in self.relays.values():
            for one in pair:
                one.close()


def cpu_seconds(*servers):
    total = 0
    for server in servers:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def pipelined(connection, op, bodies):
    """All of them, some in flight at a time; seconds."""
    began = time.monotonic()
    for at in range(0, len(bodies), BATCH):
        part = bodies[at : at + BATCH]
        for body in part:
            connection.request(op, body)
        for _ in part:
            _, code, _ = connection.reply()
            assert code == OK, code
    return time.monotonic() - began


def alone_ms(connection, prefix):
    """Median of creates, each after the answer to the one before."""
    taken = []
    for number in range(ALONE):
        began = time.monotonic()
        code, _ = connection.call(raw.CREATE, raw.create_body(b"%s%d" % (prefix, number), b"x" * 100))
        assert code == OK, code
        taken.append((time.monotonic() - began) * 1000)
    return round(statistics.median(taken), 2)


def lag_ms(writer, reader, prefix):
    """From the acknowledgement at a voter to the first read that shows it, median of 20."""
    taken = []
    for number in range(20):
        path = b"%s%d" % (prefix, number)
        assert writer.call(raw.CREATE, raw.create_body(path))[0] == OK
        began = time.monotonic()
        until(lambda: reader.call(raw.EXISTS, raw.buffer(path) + b"\0")[0] == OK, pause=0.0005)
        taken.append((time.monotonic() - began) * 1000)
    return round(statistics.median(taken), 1)


def run(ensemble, folder, report, quick=False):
    with Spread(ensemble.engine) as spread:
        measured(spread, report)


def measured(spread, report):
    voters, observers = spread.servers[:VOTERS], spread.servers[VOTERS:]
    far = spread.servers[FAR - 1]
    figures = {}

    def writes(stage):
        leader = spread.leader()
        asked = next(server for server in voters if server is not leader)
        connection = raw.open_session(asked.client_port, timeout_ms=30000)
        figures[stage, "alone"] = alone_ms(connection, b"/%s-" % stage.encode())
        before = cpu_seconds(leader)
        data = raw.buffer(b"y" * 100) + struct.pack(">i", -1)
        seconds = pipelined(connection, raw.SET_DATA, [raw.buffer(b"/k%d" % (n % KEYS)) + data for n in range(WRITES)])
        figures[stage, "leader"] = (cpu_seconds(leader) - before) * 1e6 / WRITES
        figures[stage, "rate"] = WRITES / seconds
        connection.close()

    spread.begin(voters, spread.servers)
    filling = raw.open_session(voters[0].client_port, timeout_ms=30000)
    pipelined(filling, raw.CREATE, [raw.create_body(b"/k%d" % n, b"x" * BYTES) for n in range(KEYS)])
    writes("three")
    spread.begin(observers, spread.servers)
    until(lambda: [server.mode() for server in observers] == ["observer"] * len(observers))
    writes("seven")
    for name, what, digits in (("alone", "a write alone, median ms", 2), ("rate", "pipelined writes a second", 0), ("leader", "leader's CPU a write, µs", 0)):
        three, seven = figures["three", name], figures["seven", name]
        report(f"{what}: three voters; with four observers; ratio", f"{three:.{digits}f}; {seven:.{digits}f}; {seven / three:.2f}")

    leader = spread.leader()
    connections = [raw.open_session(server.client_port, timeout_ms=30000) for server in observers]
    bodies = [raw.buffer(b"/k%d" % (n % KEYS)) + b"\0" for n in range(READS // len(observers))]
    before, idle, began = cpu_seconds(*observers), cpu_seconds(leader), time.monotonic()
    threads = [threading.Thread(target=pipelined, args=(one, raw.GET_DATA, bodies)) for one in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    spent, leaders = cpu_seconds(*observers) - before, cpu_seconds(leader) - idle
    report("reads at four observers: their CPU a read, µs; the leader's CPU meanwhile, % of a core",
           f"{spent * 1e6 / READS:.0f}; {100 * leaders / took:.1f}")  # fmt: skip

    report("shown at a near observer after, median ms", lag_ms(filling, connections[0], b"/lag-near"))
    report("shown at the far one after, median ms (100 is the way there)", lag_ms(filling, connections[-1], b"/lag-far"))

    far.stop(kill=True)
    for folder in far.data.iterdir():
        if folder.name != "myid":
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    longest, stop = [0.0], threading.Event()

    def keep_writing():
        number = 0
        while not stop.is_set():
            began = time.monotonic()
            assert filling.call(raw.CREATE, raw.create_body(b"/meanwhile%d" % number))[0] == OK
            longest[0] = max(longest[0], time.monotonic() - began)
            number += 1

    writer = threading.Thread(target=keep_writing)
    writer.start()
    far.start()
    report("the far one without its data serves again after, s", seconds_until(lambda: far.mode() == "observer"))
    stop.set()
    writer.join()
    report("… longest write meanwhile, ms", round(longest[0] * 1000))

    assert filling.call(raw.CREATE, raw.create_body(b"/last"))[0] == OK
    for server in observers:
        reader = raw.open_session(server.client_port, timeout_ms=30000)
        until(lambda reader=reader: reader.call(raw.EXISTS, raw.buffer(b"/last") + b"\0")[0] == OK)
        missing_keys = sum(reader.call(raw.EXISTS, raw.buffer(b"/k%d" % n) + b"\0")[0] != OK for n in range(KEYS))
        assert missing_keys == 0, f"server {server.id} lacks {missing_keys}"
    report(f"missing at an observer in the end, of {KEYS}", 0)
