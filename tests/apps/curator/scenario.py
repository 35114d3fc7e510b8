"""Curator: its own tests, class by class, which start and kill their servers themselves.

On the coordinator a class of ours stands before the one that starts Apache ZooKeeper within the tests' process.
"""

import os
import signal
import subprocess
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import ensemble as ensembles
import jars

SERVERS = 0
HERE = Path(__file__).resolve().parent
OUT = ensembles.ROOT / "out" / "apps" / "curator"
# Of one class. Most of the time they wait, so several run side by side.
SECONDS = 180
AT_ONCE = 3


def missing():
    try:
        jars.fetch(HERE / "pom.xml", OUT / "jars")
        jars.need("javac")
    except jars.Missing as lacking:
        return str(lacking)
    return None


def run(ensemble, folder, report, quick=False):
    classpath = f"{OUT / 'jars'}/*"
    if ensemble.engine == "coordinator":
        classes = jars.compile([HERE / "ZooKeeperServerEmbeddedAdapter.java"], OUT / "jars", OUT / "classes")
        classpath = f"{classes}:{classpath}"
    names = [line for line in (HERE / "classes.txt").read_text().splitlines() if not line.startswith("#")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(names, pool.map(lambda name: outcomes(ensemble.engine, classpath, name, folder), names)))
    again = [name for name, cases in found.items() if "failed" in cases.values()]
    for name in again:
        found[name] = outcomes(ensemble.engine, classpath, name, folder / "again")
    every = [(f"{name.rsplit('.', 1)[1]}.{case}", outcome) for name, cases in found.items() for case, outcome in cases.items()]
    count = [outcome for _, outcome in every].count
    failed = [name for name, outcome in every if outcome == "failed"]
    report("classes", len(names))
    report("its own tests", f"{count('passed')} passed, {len(failed)} failed, {count('skipped')} skipped")
    report("failed, and run again alone", ", ".join(name.rsplit(".", 1)[1] for name in again) or "none")
    report("failed twice", ", ".join(failed) or "none")
    assert count("passed")
    assert not failed, folder


def outcomes(engine, classpath, name, folder):
    """By method: passed, failed or skipped. What does not end in time has failed as a whole."""
    folder.mkdir(exist_ok=True)
    reports = folder / name
    environment = {**os.environ, "SERVERS_LOG": str(folder / f"{name}.servers")}
    if engine == "coordinator":
        environment["COORDINATOR"] = str(ensembles.coordinator_binary())
    with open(folder / f"{name}.log", "wb") as log:
        tests = subprocess.Popen(
            ["java", "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classpath,
             "org.junit.platform.console.ConsoleLauncher", "--disable-banner", "--details=none",
             "--include-engine=junit-jupiter", f"--select-class={name}", f"--reports-dir={reports}"],
            env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            tests.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return {f"not within {SECONDS} s": "failed"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(tests.pid, signal.SIGKILL)  # servers that the tests have left
            tests.wait()
    found = {}
    for file in reports.glob("*.xml"):
        for case in xml.parse(file).iter("testcase"):
            bad = case.find("failure") is not None or case.find("error") is not None
            outcome = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
            found[case.get("name").removesuffix("()")] = outcome
    return found or {"nothing ran": "failed"}
