"""kazoo's session through a move: survivor.py SERVERS

Holds an ephemeral, a lock and a watch, and writes one znode after the other, until stdin ends. Then it reads
everything back and says what it has seen; fails if anything acknowledged is gone, a zxid went back, or the
session, the lock or the watch did not live through it."""

import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NodeExistsError, OperationTimeoutError, SessionExpiredError
from kazoo.retry import KazooRetry

ROOT = "/kazoo"
wrong, states = [], []
zk = KazooClient(
    hosts=sys.argv[1],
    timeout=18,
    randomize_hosts=True,
    connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5),
)
zk.add_listener(lambda state: states.append(str(state)))
zk.start(timeout=30)
session = zk.client_id[0]


def stubborn(call):
    """Until there is an answer; whether it was asked before."""
    asked = False
    while True:
        try:
            return call(), asked
        except (ConnectionLoss, OperationTimeoutError):
            asked = True
            time.sleep(0.01)
        except NodeExistsError:
            if not asked:
                raise
            return None, asked


stubborn(lambda: zk.create(ROOT))
stubborn(lambda: zk.create(f"{ROOT}/held", ephemeral=True))
stubborn(lambda: zk.create(f"{ROOT}/watched"))
fired = threading.Event()
zk.get(f"{ROOT}/watched", watch=lambda event: fired.set())
lock = zk.Lock(f"{ROOT}/lock", "survivor")
lock.acquire(timeout=30)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)

acknowledged, newest, longest = [], 0, 0.0
while not ended.is_set():
    path = f"{ROOT}/{len(acknowledged)}"
    begun = time.monotonic()
    try:
        stubborn(lambda: zk.create(path, b"x"))
        stat, _ = stubborn(lambda: zk.exists(path))
    except SessionExpiredError as error:
        wrong.append(f"{path}: {error!r}")
        break
    longest = max(longest, time.monotonic() - begun)
    acknowledged.append(path)
    if stat is None or stat.czxid <= newest:
        wrong.append(f"{path}: {stat}, behind {newest:#x}")
        break
    newest = stat.czxid

stubborn(lambda: zk.sync(ROOT))
there = set(stubborn(lambda: zk.get_children(ROOT))[0])
lost = [path for path in acknowledged if path.rsplit("/", 1)[1] not in there]
held, _ = stubborn(lambda: zk.exists(f"{ROOT}/held"))
if zk.client_id[0] != session or held is None or held.owner_session_id != session or "LOST" in states:
    wrong.append(f"session {session:#x} is {zk.client_id[0]:#x}, its ephemeral {held}, states {states}")
if stubborn(lambda: zk.get_children(f"{ROOT}/lock"))[0] != [lock.node]:
    wrong.append("the lock is not held")
stubborn(lambda: zk.set(f"{ROOT}/watched", b"changed"))
if not fired.wait(30):
    wrong.append("the watch was not told")
print(
    f"kazoo: {len(acknowledged)} acknowledged, {len(lost)} lost, longest wait {longest * 1000:.0f} ms, "
    f"{states.count('SUSPENDED')} times disconnected; {wrong}",
    flush=True,
)
zk.stop()
sys.exit(bool(wrong or lost or not acknowledged))
