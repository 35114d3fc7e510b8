"""Four-letter words and the admin server: the same shapes on both engines."""

import json
import re
import urllib.request

import pytest

import ensemble as ensembles
import raw
from waiting import until

WORDS = "conf cons dirs dump envi isro mntr ruok srvr stat wchs wchc wchp srst crst".split()
# Lines of ZooKeeper's that have no counterpart: the Java virtual machine, and queues between its
# threads; names are compared without the `zk_avg_` and the like before them.
JAVA = re.compile(
    r"java\.|os\.memory|"
    r"jvm_|_(queue|queued|size|issued|drained|removed|cleared|hits|misses|dropped|deficit)$|"
    r"commit|processor|dead_watchers|throttle|netty|socket_closing|inflight|per_namespace|"
    r"ensemble_auth|learner|stale|prep_|proposal_(process|ack|latency)|om_|tls|watch_count|"
    r"startup_|follower_sync|observer_sync|reads_|request_|requests_|response_packet|session_queue|"
    r"sessionless|watch_bytes|insecure|handshake|unsuccessful|zk_server_running|throttled|"
    r"quit_leading|election_time|unavailable|batch|ack_latency|local_write|server_write|sync_process|"
    r"dead_watch|final_proc|count_|session_prep|pending_session|node_\w+_watch|watcher"
)


@pytest.fixture(scope="module")
def answers():
    """Word → answer, on a standalone server of each engine that has seen the same things."""
    if lacking := ensembles.missing("apache"):
        pytest.skip(lacking)
    found = {}
    for engine in ensembles.ENGINES:
        with ensembles.Ensemble(engine, 1) as running:
            server = running.servers[0]
            connection = raw.open_session(server.client_port)
            assert connection.call(raw.CREATE, raw.create_body(b"/a", b"x"))[0] == 0
            assert connection.call(raw.CREATE, raw.create_body(b"/e", b"x", flags=1))[0] == 0
            assert connection.call(raw.GET_DATA, raw.buffer(b"/a") + b"\1")[0] == 0
            assert connection.call(raw.GET_CHILDREN, raw.buffer(b"/a") + b"\1")[0] == 0
            wait_until_listed(server)
            found[engine] = {
                word: ensembles.four_letter_word(server.client_port, word) for word in WORDS
            }
            if engine == "coordinator":
                found["http"] = {
                    name: get(server.admin_port, f"/commands/{name}")
                    for name in ("stats", "monitor", "configuration", "raft", "dump")
                }
                found["metrics"] = get(server.admin_port, "/metrics")
    return found


def wait_until_listed(server):
    """The session stands in `cons`, and connections that are gone do not any more."""

    def listed():
        lines = [l for l in ensembles.four_letter_word(server.client_port, "cons").splitlines() if l]
        return len(lines) <= 2 and any("sid=" in line for line in lines)

    until(listed)


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def shape(text):
    """The text without what differs between two servers that do the same."""
    text = re.sub(r"version: .*|version=.*", "version", text)
    text = re.sub(r"0x[0-9a-f]+", "ID", text)
    text = re.sub(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", "DATE", text)
    text = re.sub(r"-?\d+(\.\d+)?", "N", text)
    # Sessions and connections fall into more or fewer sets by the moment.
    text = re.sub(r"(N expire at DATE:\n)+", "N expire at DATE:\n", text)
    return re.sub(r"=/\S+", "=PATH", text)


@pytest.mark.parametrize("word", ["ruok", "isro", "srvr", "stat", "cons", "conf", "dirs", "dump", "wchs", "wchc",
                                  "wchp", "srst", "crst"])  # fmt: skip
def test_words_have_the_same_shape(answers, word):
    ours, theirs = (shape(answers[engine][word]) for engine in ("coordinator", "apache"))
    if word == "cons":
        # Java's sets give connections in any order.
        ours, theirs = (sorted(text.splitlines()) for text in (ours, theirs))
    assert ours == theirs


def test_counts_are_the_same(answers):
    for line in ("Node count: ", "Connections: ", "Mode: "):
        ours, theirs = (
            next(l for l in answers[engine]["srvr"].splitlines() if l.startswith(line))
            for engine in ("coordinator", "apache")
        )
        assert ours == theirs
    figures = [monitor(answers[engine]["mntr"]) for engine in ("coordinator", "apache")]
    for name in ("zk_znode_count", "zk_watch_count", "zk_ephemerals_count",
                 "zk_approximate_data_size", "zk_global_sessions", "zk_server_state"):  # fmt: skip
        assert figures[0][name] == figures[1][name], name


def monitor(text):
    return dict(line.split("\t") for line in text.splitlines())


def test_monitor_has_the_figures(answers):
    ours, theirs = (monitor(answers[engine]["mntr"]) for engine in ("coordinator", "apache"))
    missing = [name for name in theirs if name not in ours and not JAVA.search(name)]
    assert not missing, missing
    for name, value in ours.items():
        if name not in ("zk_version", "zk_server_state", "zk_peer_state"):
            float(value)


def test_admin_server_and_metrics(answers):
    for name, text in answers["http"].items():
        body = json.loads(text)
        assert body["command"] == name and body["error"] is None
    assert json.loads(answers["http"]["stats"])["node_count"] == 7
    metrics = answers["metrics"]
    for name in ("znode_count 7.0", "watch_count 2.0", "coordinator_serving 1.0"):
        assert f"\n{name}\n" in metrics, name
