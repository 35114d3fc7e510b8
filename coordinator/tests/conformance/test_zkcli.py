"""Debian's zkCli.sh: a session as a person would type it, and its one-shot form."""

import re
import subprocess
import uuid
from pathlib import Path

import pytest

CLI = Path("/usr/share/zookeeper/bin/zkCli.sh")


@pytest.fixture(scope="module")
def cli(ensemble):
    if not CLI.exists():
        pytest.skip(f"{CLI} is missing (Debian's package zookeeper)")

    def run(*lines, arguments=()):
        done = subprocess.run(
            [str(CLI), "-server", ensemble.hosts, *arguments],
            input="".join(line + "\n" for line in lines),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    return run


def test_session(cli):
    root = f"/cli-{uuid.uuid4().hex[:8]}"
    code, out = cli(
        f"create {root} one",
        f"get -s {root}",
        f"set -v 0 {root} two",
        f"set -v 0 {root} three",
        f"create -s {root}/q- x",
        f"create -s {root}/q- x",
        f"create -e {root}/gone x",
        f"create -c {root}/container",
        f"create -t 60000 {root}/ttl x",
        f"ls -s {root}",
        f"ls -R {root}",
        f"stat {root}/gone",
        f"getAcl {root}",
        "addauth digest user:secret",
        f"setAcl {root}/ttl auth::cdrwa",
        f"getAcl {root}/ttl",
        f"setquota -n 10 {root}",
        f"listquota {root}",
        f"delquota -n {root}",
        f"sync {root}",
        f"getAllChildrenNumber {root}",
        f"getEphemerals {root}",
        "whoami",
        "config",
        f"delete {root}",
        f"deleteall {root}",
        f"ls {root}",
        "quit",
    )
    print(out)
    assert f"Created {root}\n" in out
    assert re.search(r"^one$", out, re.M)
    assert "dataVersion = 0" in out and "dataLength = 3" in out
    assert "version No is not valid" in out
    assert f"Created {root}/q-0000000000" in out and f"Created {root}/q-0000000001" in out
    assert f"Created {root}/container" in out and f"Created {root}/ttl" in out
    assert "[container, gone, q-0000000000, q-0000000001, ttl]" in out
    assert f"{root}/q-0000000001" in out
    assert re.search(r"ephemeralOwner = 0x[1-9a-f]", out)
    assert "'world,'anyone\n: cdrwa" in out
    assert re.search(r"'digest,'user:\S+\n: cdrwa", out)
    assert "count=10" in out
    assert "Sync is OK" in out
    assert re.search(r"^5$", out, re.M), "five descendants"
    assert f"[{root}/gone]" in out
    assert "digest: user" in out.lower() or re.search(r"digest\s*:\s*user", out), "whoami"
    assert "server.1=" in out
    assert f"Node not empty: {root}" in out
    assert f"Node does not exist: {root}" in out


def test_watch(cli):
    root = f"/watch-{uuid.uuid4().hex[:8]}"
    _, out = cli(
        f"create {root} one",
        f"create {root}/all x",
        f"get -w {root}",
        f"ls -w {root}",
        f"addWatch {root}/all",
        f"set {root} two",
        f"create {root}/child x",
        f"create {root}/all/child x",
        f"removewatches {root}/all",
        f"deleteall {root}",
        "quit",
    )
    print(out)
    assert "WatchedEvent state:SyncConnected type:NodeDataChanged" in out
    assert "WatchedEvent state:SyncConnected type:NodeChildrenChanged" in out
    assert f"type:NodeCreated path:{root}/all/child" in out
    assert f"type:PersistentWatchRemoved path:{root}/all" in out


def test_one_shot_and_exit_code(cli):
    code, out = cli(arguments=("ls", "/"))
    assert code == 0 and "[zookeeper]" in out or "zookeeper" in out, out
    code, out = cli(arguments=("ls", "/does/not/exist"))
    assert code != 0 and "Node does not exist" in out, out
