"""kazoo's own test suite, as its package carries it, on Apache ZooKeeper and on the coordinator.

    kazoo_suite.py run ENGINE [--quick]   runs it; what fails is run once more, alone
    kazoo_suite.py table                  writes what the last runs gave into docs/conformance.md

Its harness starts `java … QuorumPeerMain CFG` for clusters of three, stops them and starts them
again; for the coordinator `shim/java` stands first in PATH.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

import ensemble as ensembles

OUT = ensembles.ROOT / "out" / "conformance"
PAGE = ensembles.ROOT / "docs" / "conformance.md"
TEST_SECONDS = 300
ZOOKEEPER = "3.8.0"
# Half a minute that touches every kind of operation.
QUICK = [
    "test_lock.py::KazooLockTests::test_lock",
    "test_lock.py::KazooLockTests::test_lock_fail_first_call",
    "test_client.py::TestClient",
    "test_client.py::TestClientTransactions",
    "test_client.py::TestAuthentication",
    "test_counter.py",
    "test_barrier.py",
    "test_queue.py",
    "test_cache.py",
]


def port_offset():
    """The first port of three servers, ten ports each, none of them taken."""
    while True:
        (offset,) = ensembles.free_ports(1)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(offset, offset + 30):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return offset


def suite(engine, arguments, results):
    environment = ensembles.harness_environment(engine)
    environment |= {"ZOOKEEPER_VERSION": ZOOKEEPER, "ZOOKEEPER_PORT_OFFSET": str(port_offset())}
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider",
         f"--timeout={TEST_SECONDS}", f"--junitxml={results}", "--rootdir", OUT, *arguments],
        env=environment, cwd=OUT, check=False,
    )  # fmt: skip


def outcomes(results):
    """Name without the package → passed, failed or skipped."""
    found = {}
    for case in xml.parse(results).iter("testcase"):
        # The class comes with the path from where pytest was started.
        name = f"{case.get('classname')}.{case.get('name')}"
        name = name.partition("kazoo.tests.")[2] or name
        outcome = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "failed"
            elif child.tag == "skipped":
                outcome = "skipped"
        # A broken set-up or tear-down is a second entry of the same name.
        if found.get(name) != "failed":
            found[name] = outcome
    return found


def node(name):
    module, *rest = name.split(".", 2)
    return "::".join([f"kazoo/tests/{module}.py", *rest])


def package_path(node_id):
    import kazoo

    return str(Path(kazoo.__file__).parent.parent / node_id)


def run(engine, quick):
    if lacking := ensembles.missing(engine):
        print(f"skipped: kazoo's test suite on {engine}: {lacking}", file=sys.stderr)
        return 0
    kind = "-quick" if quick else ""
    results = OUT / f"kazoo-{engine}{kind}.xml"
    if quick:
        suite(engine, [package_path(f"kazoo/tests/{test}") for test in QUICK], results)
    else:
        suite(engine, ["--pyargs", "kazoo.tests"], results)
    return judge(engine, kind)


def judge(engine, kind):
    """Runs again, alone, what failed; 1 if it fails there too."""
    found = outcomes(OUT / f"kazoo-{engine}{kind}.xml")
    failed = [name for name, outcome in found.items() if outcome == "failed"]
    again = OUT / f"kazoo-{engine}{kind}-again.xml"
    again.unlink(missing_ok=True)
    if failed:
        print(f"failed, run again: {', '.join(failed)}", file=sys.stderr)
        suite(engine, [package_path(node(name)) for name in failed], again)
        second = outcomes(again)
        failed = [name for name in failed if second.get(name) != "passed"]
    for name in failed:
        print(f"failed twice: {name}", file=sys.stderr)
    return 1 if failed else 0


def counts(engine):
    """Per file of the suite: passed, failed, skipped; and the names that failed or needed two."""
    found = outcomes(OUT / f"kazoo-{engine}.xml")
    again = OUT / f"kazoo-{engine}-again.xml"
    second = outcomes(again) if again.exists() else {}
    repeated = [name for name in found if found[name] == "failed" and second.get(name) == "passed"]
    for name in repeated:
        found[name] = "passed"
    files = {}
    for name, outcome in found.items():
        files.setdefault(name.split(".")[0], Counter())[outcome] += 1
    failed = sorted(name for name, outcome in found.items() if outcome == "failed")
    return files, failed, repeated


def row(name, *columns):
    cells = [f"{c['passed']} / {c['failed']} / {c['skipped']}" for c in columns]
    return f"| {name} | " + " | ".join(cells) + " |"


def table():
    import kazoo

    apache, apache_failed, apache_repeated = counts("apache")
    ours, ours_failed, ours_repeated = counts("coordinator")
    lines = [
        f"kazoo {kazoo.__version__}, `passed / failed / skipped`:",
        "",
        f"| file | Apache ZooKeeper {ZOOKEEPER} | coordinator |",
        "|---|---|---|",
    ]
    for name in sorted(set(apache) | set(ours)):
        lines.append(row(f"`{name}`", apache.get(name, Counter()), ours.get(name, Counter())))
    total = [sum(files.values(), Counter()) for files in (apache, ours)]
    lines += [row("**all**", *total), ""]
    if ours_failed:
        lines += ["Failed on the coordinator: " + ", ".join(f"`{name}`" for name in ours_failed), ""]
    if apache_failed:
        lines += ["Failed on Apache ZooKeeper: " + ", ".join(f"`{n}`" for n in apache_failed), ""]
    for engine, names in (("Apache ZooKeeper", apache_repeated), ("the coordinator", ours_repeated)):
        if names:
            listed = ", ".join(f"`{name}`" for name in sorted(names))
            lines += [f"Passed on {engine} only when run again alone (timing): {listed}", ""]
    begin, end = "<!-- kazoo: written by make conformance -->", "<!-- kazoo: end -->"
    page = PAGE.read_text()
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n\n" + "\n".join(lines) + f"\n{end}{after}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run", "judge", "table"])
    parser.add_argument("engine", nargs="?", choices=ensembles.ENGINES)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "table":
        return table()
    if arguments.command == "judge":
        return judge(arguments.engine, "")
    return run(arguments.engine, arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
