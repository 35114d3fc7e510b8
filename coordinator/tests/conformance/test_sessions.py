"""Clients in other languages, one scripted session each."""

import pytest

import toolchains


@pytest.mark.parametrize("profile", ["client-3.6.3", "client-3.9"])
def test_java(ensemble, profile):
    toolchains.run(*toolchains.java_session(profile, "ClientSession"), ensemble.hosts)


def test_curator(ensemble):
    toolchains.run(*toolchains.java_session("curator", "CuratorSession"), ensemble.hosts)
