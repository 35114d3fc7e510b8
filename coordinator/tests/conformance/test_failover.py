"""Clients while servers die, stop and come back: what ZooKeeper's own clients see of it."""

import threading

import pytest

import ensemble as ensembles
from waiting import until

pytest.importorskip("kazoo", reason="kazoo is missing (pip)")

from kazoo.client import KazooClient, KazooState  # noqa: E402


@pytest.fixture
def three(engine):
    if engine != "coordinator":
        pytest.skip("Apache ZooKeeper disconnects its clients when a leader goes")
    with ensembles.Ensemble(engine) as running:
        yield running


class Witness:
    """A client of one server that remembers what states it went through."""

    def __init__(self, hosts):
        self.states = []
        self.client = KazooClient(hosts, timeout=10)
        self.client.start(30)
        self.client.add_listener(self.states.append)


def write_until(witness, path, over, written):
    while not over.is_set():
        value = str(len(written)).encode()
        witness.client.create(f"{path}/n-", value, sequence=True)
        written.append(value)


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_a_leader_goes_and_the_others_clients_do_not_notice(three, kill):
    leader = three.leader()
    followers = three.followers()
    assert len(followers) == 2
    witnesses = [Witness(server.address) for server in followers]
    first = witnesses[0].client
    first.create("/w")
    first.create("/mine", ephemeral=True)
    over, written, threads = threading.Event(), [[], []], []
    for number, witness in enumerate(witnesses):
        first.create(f"/w/{number}")
        witness.client.sync("/")
        arguments = (witness, f"/w/{number}", over, written[number])
        threads.append(threading.Thread(target=write_until, args=arguments))
        threads[-1].start()
    until(lambda: all(len(one) > 20 for one in written))
    code = leader.stop(kill=kill)
    if not kill:
        assert code == 0, "an orderly stop ends with 0"
    before = [len(one) for one in written]
    until(lambda: all(len(one) > n + 20 for one, n in zip(written, before)))
    over.set()
    for thread in threads:
        thread.join(30)
    for number, witness in enumerate(witnesses):
        assert witness.states == [], f"client {number} was disturbed: {witness.states}"
        children = sorted(witness.client.get_children(f"/w/{number}"))
        values = [witness.client.get(f"/w/{number}/{child}")[0] for child in children]
        assert values == written[number], "each write once, in order"
        assert children == [f"n-{n:010}" for n in range(len(children))], "no number twice"
    assert first.exists("/mine").owner_session_id == first.client_id[0]

    leader.start()
    three.wait()
    back = Witness(leader.address)
    back.client.sync("/")
    assert len(back.client.get_children("/w/0")) == len(written[0])
    for witness in [*witnesses, back]:
        witness.client.stop()
        witness.client.close()


def test_a_session_outlives_its_server(three):
    """The client of the server that dies goes on with its session elsewhere."""
    victim = three.followers()[0]
    others = [server.address for server in three.servers if server is not victim]
    witness = Witness(victim.address)
    witness.client.create("/mine", ephemeral=True)
    session = witness.client.client_id
    witness.client.set_hosts(",".join(others))
    victim.stop(kill=True)
    until(lambda: witness.states[-1:] == [KazooState.CONNECTED])
    assert KazooState.LOST not in witness.states
    assert witness.client.client_id == session
    assert witness.client.exists("/mine").owner_session_id == session[0]
    witness.client.stop()
    witness.client.close()


def test_without_quorum_nobody_is_served_and_words_are_answered(three):
    follower, last = three.followers()
    for server in three.servers:
        if server is not last:
            server.stop(kill=True)
    refused = "This ZooKeeper instance is not currently serving requests\n"
    until(lambda: ensembles.four_letter_word(last.client_port, "srvr") == refused)
    assert ensembles.four_letter_word(last.client_port, "ruok") == "imok"
    assert ensembles.four_letter_word(last.client_port, "isro") == "null"
    client = KazooClient(last.address, timeout=4)
    with pytest.raises(Exception, match="time-out"):
        client.start(3)
    client.stop()
    client.close()
    follower.start()
    until(lambda: last.mode() in ("leader", "follower"))


def test_everything_survives_a_power_cut_of_all(three):
    witness = Witness(three.hosts)
    for number in range(500):
        witness.client.create(f"/n{number}", str(number).encode())
    session = witness.client.client_id
    witness.client.create("/mine", ephemeral=True)
    for server in three.servers:
        server.stop(kill=True)
    for server in three.servers:
        server.start()
    three.wait()
    until(lambda: witness.client.connected)
    assert witness.client.client_id == session, "the session goes on"
    assert witness.client.exists("/mine").owner_session_id == session[0]
    for number in range(500):
        assert witness.client.get(f"/n{number}")[0] == str(number).encode()
    witness.client.stop()
    witness.client.close()
