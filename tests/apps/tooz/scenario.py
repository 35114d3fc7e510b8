"""tooz: its own tests of coordination, then groups and locks while a leader and a majority are killed."""

import logging
import os
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml

from waiting import seconds_until, until

SERVERS = 3


def missing():
    try:
        import tooz  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed"
    return None


def url(ensemble):
    first, *others = [server.address for server in ensemble.servers]
    return f"kazoo://{first}?timeout=10" + "".join(f"&hosts={other}" for other in others)


def own_tests(ensemble, folder, report):
    """As the package carries them."""
    results = folder / "tooz.xml"
    import tooz.tests

    suite = os.path.dirname(tooz.tests.__file__)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=120", f"--junitxml={results}",
         f"{suite}/test_coordination.py", f"{suite}/test_partitioner.py"],
        env={**os.environ, "TOOZ_TEST_URL": url(ensemble)}, cwd=folder, check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    root = xml.parse(results).getroot()
    suite = root if root.tag == "testsuite" else root[0]
    count = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    report("its own tests", f"{count['tests'] - failed - count['skipped']} passed, {failed} failed, {count['skipped']} skipped")
    names = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None or case.find("error") is not None]
    assert not failed, names


class Workers:
    """Two members that take a lock in turns, and would notice to be inside together."""

    def __init__(self, ensemble):
        from tooz import coordination

        self.inside, self.overlaps, self.turns, self.stop = 0, 0, 0, False
        self.guard = threading.Lock()
        self.longest, self.last = 0.0, time.monotonic()
        self.members = [coordination.get_coordinator(url(ensemble), b"worker-%d" % n) for n in range(2)]
        for member in self.members:
            member.start()
        self.threads = [threading.Thread(target=self.work, args=(member,)) for member in self.members]

    def work(self, member):
        while not self.stop:
            try:
                lock = member.get_lock(b"turns")
                if not lock.acquire(blocking=True, timeout=5):
                    continue
                with self.guard:
                    self.inside += 1
                    self.overlaps += self.inside > 1
                    self.turns += 1
                    now = time.monotonic()
                    self.longest, self.last = max(self.longest, now - self.last), now
                time.sleep(0.002)
                with self.guard:
                    self.inside -= 1
                lock.release()
            except Exception:  # whoever is cut off tries again
                time.sleep(0.05)

    def gap(self):
        """The longest time without a turn since this was last asked."""
        with self.guard:
            longest = max(self.longest, time.monotonic() - self.last)
            self.longest, self.last = 0.0, time.monotonic()
            return round(longest, 2)


def run(ensemble, folder, report, quick=False):
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    if not quick:
        own_tests(ensemble, folder, report)
    workers = Workers(ensemble)
    member = workers.members[0]
    member.create_group(b"group").get()
    for each in workers.members:
        each.join_group(b"group").get()
    for thread in workers.threads:
        thread.start()
    try:
        until(lambda: workers.turns > 20)
        workers.gap()
        leader = ensemble.leader()
        leader.stop(kill=True)
        before = workers.turns
        until(lambda: workers.turns > before + 20)
        report("leader killed: longest time without a turn of the lock, s", workers.gap())
        leader.start()
        until(leader.mode)
        for server in ensemble.servers[:2]:
            server.stop(kill=True)
        time.sleep(4)
        workers.gap()
        for server in ensemble.servers[:2]:
            server.start()
        before = workers.turns
        report("a majority down for 4 s: back to work after, s", seconds_until(lambda: workers.turns > before + 5))
        until(lambda: set(member.get_members(b"group").get()) == {b"worker-0", b"worker-1"})
        report("turns of the lock", workers.turns)
        report("two inside at once", workers.overlaps)
        assert workers.overlaps == 0
    finally:
        workers.stop = True
        for thread in workers.threads:
            thread.join(30)
        for each in workers.members:
            each.stop()
