"""Fixtures: one ensemble a session of tests, chosen by `--engine`."""

import pytest

import ensemble as ensembles


def pytest_addoption(parser):
    parser.addoption("--engine", default="coordinator", choices=ensembles.ENGINES)


@pytest.fixture(scope="session")
def engine(request):
    chosen = request.config.getoption("--engine")
    if lacking := ensembles.missing(chosen):
        pytest.skip(lacking)
    return chosen


@pytest.fixture(scope="session")
def ensemble(engine):
    """Three servers on loopback."""
    with ensembles.Ensemble(engine) as running:
        yield running
        dead = [server.id for server in running.servers if not server.is_alive()]
        assert not dead, f"servers that ended under test: {dead}"


@pytest.fixture
def client(ensemble):
    from kazoo.client import KazooClient

    made = []

    def connect(hosts=None, **options):
        options.setdefault("timeout", 10)
        connected = KazooClient(hosts or ensemble.hosts, **options)
        made.append(connected)
        connected.start(30)
        return connected

    yield connect
    for connected in made:
        connected.stop()
        connected.close()
