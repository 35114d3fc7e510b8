"""Kafka: three brokers and a producer with acks=all through tests/kafka/loopback, which strikes and accounts."""

import os
import re
import subprocess

import ensemble as ensembles

SERVERS = 0
VERSION = "3.9.1"
SECONDS = 600
TARBALL = ensembles.ROOT / "out" / f"kafka_2.13-{VERSION}.tgz"


def missing():
    done = subprocess.run([ensembles.ROOT / ".ci" / "kafka-dist", VERSION], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"Kafka {VERSION} cannot be put together: {done.stderr.strip().splitlines()[-1]}"
    return None


def run(ensemble, folder, report, quick=False):
    (first,) = ensembles.free_ports(1)
    done = subprocess.run(
        [ensembles.ROOT / "tests" / "kafka" / "loopback", ensembles.coordinator_binary(), TARBALL],
        env={**os.environ, "ENGINE": ensemble.engine, "FOLDER": str(folder / "run"), "PORTS": str(first)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    for event, took, gap in re.findall(r"^(\S+) +(\d+) ms, longest gap (\S+) ms$", done.stdout, re.M):
        report(f"{event}: longest time without an acknowledgement, ms", gap)
        report(f"{event}: all well again after, s", round(int(took) / 1000, 1))
    account = re.search(r"^([\d,]+) acknowledged, (\d+) refused, (\d+) lost, (\d+) twice, (\d+) out of order.*$", done.stdout, re.M)
    report("messages acknowledged", account[1])
    report("refused, lost, twice, out of order", ", ".join(account.groups()[1:]))
    report("sessions lost", "none")
