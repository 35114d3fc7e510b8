"""go-zk: its own tests, as its module carries them; they start and kill their servers themselves."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import ensemble as ensembles
import jars

SERVERS = 0
HERE = Path(__file__).resolve().parent
MODULE = ensembles.ROOT / "coordinator" / "tests" / "conformance" / "go"
OUT = ensembles.ROOT / "out" / "apps" / "go-zk"
PACKAGE = "github.com/go-zookeeper/zk"
SECONDS = 300
# Its parser of `srvr` knows the date of this release's line; Debian's 3.8.0 has another.
APACHE = "3.6.3"
# 10,000 children with names of 2,000 bytes: an answer of 20 MB, and docs/limits.md has 8 MiB.
LEFT_OUT = {"coordinator": "TestIntegration_Children", "apache": None}


def missing():
    if shutil.which("go") is None:
        return "go is missing"
    done = subprocess.run(["go", "mod", "download", PACKAGE], cwd=MODULE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"{PACKAGE} cannot be fetched"
    try:
        jars.fetch(HERE / "pom.xml", OUT / "jars")
    except jars.Missing as lacking:
        return str(lacking)
    return None


def run(ensemble, folder, report, quick=False):
    source = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", PACKAGE], cwd=MODULE, check=True, capture_output=True, text=True
    ).stdout.strip()
    program = folder / "tests"
    subprocess.run(["go", "test", "-c", "-o", program, PACKAGE], cwd=MODULE, check=True)
    environment = {**ensembles.harness_environment(ensemble.engine), "ZOOKEEPER_BIN_PATH": str(HERE), "ZK_VERSION": APACHE}
    if ensemble.engine == "apache":
        environment["ZOOKEEPER_CLASSPATH"] = f"{OUT / 'jars'}/*"
    left_out = LEFT_OUT[ensemble.engine]
    without = [f"-test.skip=^{left_out}$"] if left_out else []
    with open(folder / "log", "wb") as log:
        subprocess.run(
            ["go", "tool", "test2json", program, "-test.v=true", f"-test.timeout={SECONDS}s", *without],
            env=environment, cwd=source, stdout=log, stderr=subprocess.STDOUT, check=False, timeout=SECONDS + 60,
        )  # fmt: skip
    outcomes = {}
    for line in (folder / "log").read_text(errors="replace").splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if event.get("Action") in ("pass", "fail", "skip") and "Test" in event:
                outcomes[event["Test"]] = event["Action"]
    count = list(outcomes.values()).count
    report("its own tests", f"{count('pass')} passed, {count('fail')} failed, {count('skip')} skipped")
    report("left out", left_out or "none")
    report("failed", ", ".join(name for name, outcome in outcomes.items() if outcome == "fail") or "none")
    assert count("pass"), (folder / "log").read_text(errors="replace")[-3000:]
    assert not count("fail"), folder
