"""A few seeds of `differential.py`; more of them by `make conformance`."""

import os

import pytest

import differential
import ensemble


@pytest.fixture(scope="module")
def both():
    if lacking := ensemble.missing("apache"):
        pytest.skip(lacking)
    apache, ours = differential.ensembles()
    with apache, ours:
        yield apache, ours


@pytest.mark.parametrize("seed", range(int(os.environ.get("DIFFERENTIAL_SEEDS", "3"))))
def test_the_same_operations_get_the_same_replies(both, seed):
    difference = differential.compare(seed, 500, *both)
    assert difference is None, difference
