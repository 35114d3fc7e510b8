"""kazoo's recipes between clients of different servers."""

import threading
import time
import uuid

import pytest
from waiting import until

pytest.importorskip("kazoo", reason="kazoo is missing (pip)")

from kazoo.client import KazooState  # noqa: E402
from kazoo.exceptions import (  # noqa: E402
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.security import make_digest_acl  # noqa: E402


@pytest.fixture
def root(client):
    path = f"/recipes-{uuid.uuid4().hex[:8]}"
    first = client()
    first.create(path)
    yield path
    first.sync(path)  # another server may not have applied yet what a test has deleted through its own
    first.delete(path, recursive=True)


@pytest.fixture
def each(ensemble, client):
    """A client of every server."""
    return [client(server.address) for server in ensemble.servers]


def test_lock_is_held_by_one_and_passed_on_in_order(each, root):
    order, held = [], threading.Lock()

    def work(number, connected):
        lock = connected.Lock(f"{root}/lock", f"client-{number}")
        with lock:
            assert held.acquire(blocking=False), "two hold the lock"
            order.append(number)
            time.sleep(0.05)
            held.release()

    threads = [
        threading.Thread(target=work, args=(number, connected))
        for number, connected in enumerate(each * 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(order) == list(range(9))


def test_read_write_locks_and_semaphore(each, root):
    a, b, c = each
    read_a, read_b = a.ReadLock(f"{root}/rw", "a"), b.ReadLock(f"{root}/rw", "b")
    write = c.WriteLock(f"{root}/rw", "c")
    assert read_a.acquire(timeout=20) and read_b.acquire(timeout=20)
    assert not write.acquire(blocking=False)
    read_a.release(), read_b.release()
    assert write.acquire(timeout=20)
    write.release()
    semaphores = [one.Semaphore(f"{root}/sem", max_leases=2) for one in each]
    assert semaphores[0].acquire(timeout=20) and semaphores[1].acquire(timeout=20)
    assert not semaphores[2].acquire(blocking=False)
    semaphores[0].release()
    assert semaphores[2].acquire(timeout=20)


def test_election_moves_on_when_the_leader_leaves(each, root):
    leaders, leave = [], threading.Event()

    def lead(name):
        leaders.append(name)
        leave.wait(30)

    threads = []
    for number, connected in enumerate(each):
        election = connected.Election(f"{root}/election", f"client-{number}")
        threads.append(threading.Thread(target=election.run, args=(lead, number)))
        threads[-1].start()
    until(lambda: leaders)
    assert len(leaders) == 1
    leave.set()
    for thread in threads:
        thread.join(30)
    assert sorted(leaders) == [0, 1, 2]


def test_queues(each, root):
    a, b, c = each
    queue = a.Queue(f"{root}/queue")
    for number in range(10):
        queue.put(str(number).encode(), priority=100 - number)
    other = b.Queue(f"{root}/queue")
    b.sync(root)
    assert [other.get() for _ in range(10)] == [str(n).encode() for n in range(9, -1, -1)]
    locking = a.LockingQueue(f"{root}/locking")
    locking.put_all([b"one", b"two"])
    mine, yours = b.LockingQueue(f"{root}/locking"), c.LockingQueue(f"{root}/locking")
    assert mine.get(20) == b"one" and yours.get(20) == b"two"
    assert mine.consume() and yours.consume()


def test_counter_is_exact(each, root):
    def add(connected):
        counter = connected.Counter(f"{root}/counter")
        for _ in range(20):
            counter += 1

    threads = [threading.Thread(target=add, args=(connected,)) for connected in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    each[0].sync(root)
    assert each[0].Counter(f"{root}/counter").value == 60


def test_barriers(each, root):
    a, b, _ = each
    barrier = a.Barrier(f"{root}/barrier")
    barrier.create()
    b.sync(root)
    waiting = b.Barrier(f"{root}/barrier")
    assert not waiting.wait(0.2)
    barrier.remove()
    assert waiting.wait(20)
    passed = []

    def cross(connected):
        double = connected.DoubleBarrier(f"{root}/double", 3)
        double.enter()
        passed.append(connected)
        double.leave()

    threads = [threading.Thread(target=cross, args=(connected,)) for connected in each]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.3)
    assert not passed
    threads[2].start()
    for thread in threads:
        thread.join(30)
    assert len(passed) == 3


def test_transactions(each, root):
    a = each[0]
    good = a.transaction()
    good.create(f"{root}/t", b"1")
    good.set_data(f"{root}/t", b"2", version=0)
    good.check(f"{root}/t", version=1)
    good.create(f"{root}/t/seq-", sequence=True)
    good.delete(f"{root}/t/seq-0000000000")
    created, stat, checked, sequential, deleted = good.commit()
    assert created == f"{root}/t" and stat.version == 1 and checked is True
    assert sequential == f"{root}/t/seq-0000000000" and deleted is True
    bad = a.transaction()
    bad.create(f"{root}/u")
    bad.create(f"{root}/t")
    bad.delete(f"{root}/t")
    results = bad.commit()
    assert [type(result) for result in results] == [
        RolledBackError,
        NodeExistsError,
        RuntimeInconsistency,
    ]
    assert a.exists(f"{root}/u") is None
    stale = a.transaction()
    stale.check(f"{root}/t", version=7)
    stale.delete(f"{root}/t")
    assert isinstance(stale.commit()[0], BadVersionError)
    assert a.exists(f"{root}/t")


def test_watchers_and_caches(each, root):
    a, b, _ = each
    data, children = [], []
    a.create(f"{root}/w", b"0")
    b.sync(root)

    @b.DataWatch(f"{root}/w")
    def on_data(value, stat):
        data.append(value)

    @b.ChildrenWatch(root)
    def on_children(names):
        children.append(sorted(names))

    from kazoo.recipe.cache import TreeCache

    events = []
    cache = TreeCache(b, root)
    cache.listen(lambda event: events.append(event))
    cache.start()
    for number in range(1, 4):
        a.set(f"{root}/w", str(number).encode())
    a.create(f"{root}/x")
    a.delete(f"{root}/w")
    until(lambda: data and data[-1] is None)
    until(lambda: children and children[-1] == ["x"])
    until(lambda: cache.get_data(f"{root}/x") and cache.get_data(f"{root}/w") is None)
    cache.close()


def test_party_and_lease(each, root):
    a, b, _ = each
    party_a, party_b = a.Party(f"{root}/party", "a"), b.Party(f"{root}/party", "b")
    party_a.join(), party_b.join()
    a.sync(root)
    assert sorted(party_a) == ["a", "b"]
    party_a.leave()
    b.sync(root)
    assert list(party_b) == ["b"]
    from datetime import timedelta

    minute = timedelta(minutes=1)
    assert a.NonBlockingLease(f"{root}/lease", minute, identifier="a")
    assert not b.NonBlockingLease(f"{root}/lease", minute, identifier="b")
    assert a.NonBlockingLease(f"{root}/lease", minute, identifier="a"), "renewed by its holder"


def test_ephemerals_go_with_their_session(ensemble, client, each, root):
    a = each[0]
    short = client(ensemble.servers[1].address)
    short.create(f"{root}/e1", ephemeral=True)
    short.create(f"{root}/e2-", ephemeral=True, sequence=True)
    a.sync(root)
    assert len(a.get_children(root)) == 2
    short.stop()
    a.sync(root)
    assert a.get_children(root) == []


def test_acls(ensemble, client, each, root):
    a, stranger = each[0], each[1]
    a.add_auth("digest", "user:secret")
    a.create(f"{root}/acl", b"x", acl=[make_digest_acl("user", "secret", all=True)])
    stranger.sync(root)
    from kazoo.exceptions import NoAuthError

    with pytest.raises(NoAuthError):
        stranger.get(f"{root}/acl")
    friend = client(ensemble.servers[2].address, auth_data=[("digest", "user:secret")])
    friend.sync(root)
    assert friend.get(f"{root}/acl")[0] == b"x"
    friend.delete(f"{root}/acl")


def test_session_moves_to_another_server(ensemble, client, root):
    """The client is given the next server's address while its session lives."""
    moving = client(",".join(server.address for server in ensemble.servers), randomize_hosts=False)
    moving.create(f"{root}/mine", ephemeral=True)
    session = moving.client_id
    states = []
    moving.add_listener(states.append)
    moving._connection._socket.shutdown(2)
    until(lambda: KazooState.SUSPENDED in states and states[-1] == KazooState.CONNECTED)
    assert moving.client_id == session
    assert moving.exists(f"{root}/mine").owner_session_id == session[0]


def test_missing_nodes(each, root):
    with pytest.raises(NoNodeError):
        each[0].get(f"{root}/none")
    assert each[0].exists(f"{root}/none") is None
