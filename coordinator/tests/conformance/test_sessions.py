"""Clients in other languages, one scripted session each."""

from pathlib import Path

import pytest

import toolchains


@pytest.mark.parametrize("profile", ["client-3.6.3", "client-3.9"])
def test_java(ensemble, profile):
    toolchains.run(*toolchains.java_session(profile, "ClientSession"), ensemble.hosts)


def test_curator(ensemble):
    toolchains.run(*toolchains.java_session("curator", "CuratorSession"), ensemble.hosts)


def test_go_zk(ensemble):
    toolchains.need("go")
    binary = toolchains.OUT / "go" / "session"
    toolchains.build("go", "build", "-o", binary, ".", cwd=toolchains.HERE / "go")
    toolchains.run(binary, ensemble.hosts, ensemble.engine)


def test_c(ensemble):
    toolchains.need("cc")
    header = "/usr/include/zookeeper/zookeeper.h"
    if not Path(header).exists():
        pytest.skip(f"{header} is missing (Debian's package libzookeeper-mt-dev)")
    binary = toolchains.OUT / "c" / "session"
    binary.parent.mkdir(parents=True, exist_ok=True)
    source = toolchains.HERE / "c" / "session.c"
    flags = ["-Wall", "-Wextra", "-DTHREADED"]
    toolchains.build("cc", *flags, "-o", binary, source, "-lzookeeper_mt", "-lpthread")
    toolchains.run(binary, ensemble.hosts)
