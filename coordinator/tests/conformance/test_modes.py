"""Hard quotas, local sessions and the read-only mode: the same answers on both engines."""

import struct

import pytest

import ensemble as ensembles
import raw
from waiting import until

OK, BAD_VERSION, NOT_READ_ONLY, EPHEMERAL_ON_LOCAL, QUOTA = 0, -103, -119, -120, -125
EPHEMERAL = 1
SYNC, CREATE2, GET_EPHEMERALS = 9, 15, 103


def set_body(path, data, version=-1):
    return raw.buffer(path) + raw.buffer(data) + struct.pack(">i", version)


def delete_body(path, version=-1):
    return raw.buffer(path) + struct.pack(">i", version)


def test_hard_quotas(engine):
    limits = b"count=1,bytes=5=;byteHardLimit=10;countHardLimit=3"
    with ensembles.Ensemble(engine, 1, {"enforceQuota": "true"}) as running:
        connection = raw.open_session(running.servers[0].client_port)
        code = lambda op, body: connection.call(op, body)[0]
        create = lambda path, data=b"": code(raw.CREATE, raw.create_body(path, data))
        assert create(b"/h", b"abc") == OK
        assert create(b"/zookeeper/quota/h") == OK
        assert create(b"/zookeeper/quota/h/zookeeper_limits", limits) == OK
        assert create(b"/zookeeper/quota/h/zookeeper_stats", b"count=0,bytes=0") == OK
        assert create(b"/h/a", b"12345") == OK, "soft limits refuse nothing"
        # A new ensemble agrees first that all its members know of quotas.
        def refused():
            if create(b"/h/b", b"123") == QUOTA:
                return True
            assert code(raw.DELETE, delete_body(b"/h/b")) == OK
            return False

        until(refused)
        assert create(b"/h/b", b"12") == OK
        assert create(b"/h/c") == QUOTA
        assert create(b"/h/c", b"1") == QUOTA
        assert create(b"/other", b"x" * 100) == OK
        assert code(raw.SET_DATA, set_body(b"/h/b", b"123")) == QUOTA
        assert code(raw.SET_DATA, set_body(b"/h/b", b"123", 7)) == QUOTA, "before the version"
        assert code(raw.SET_DATA, set_body(b"/h/b", None, 7)) == BAD_VERSION
        assert code(raw.SET_DATA, set_body(b"/h/b", b"1")) == OK
        assert code(raw.DELETE, delete_body(b"/h/a")) == OK
        assert create(b"/h/c") == OK
        assert create(b"/h/d") == QUOTA
        stats = connection.call(raw.GET_DATA, raw.buffer(b"/zookeeper/quota/h/zookeeper_stats") + b"\0")[1]
        assert b"count=3,bytes=4" in stats
        words = ensembles.four_letter_word(running.servers[0].client_port, "mntr")
        figures = {line for line in words.splitlines() if "per_namespace" in line and "_h_" in line}
        assert figures >= {
            "zk_h_quota_count_limit_per_namespace\t3",
            "zk_h_quota_bytes_limit_per_namespace\t10",
            "zk_h_quota_count_usage_per_namespace\t3",
            "zk_h_quota_bytes_usage_per_namespace\t4",
            "zk_h_quota_exceeded_error_per_namespace\t6",
        }, figures


@pytest.mark.parametrize("upgrade", ["false", "true"])
def test_local_sessions(engine, upgrade):
    extra = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": upgrade}
    with ensembles.Ensemble(engine, 3, extra) as running:
        first, second = running.followers()
        mine = raw.Connection(first.client_port)
        session, password, _ = mine.handshake()
        assert session != 0
        call = lambda op, body: mine.call(op, body)[0]
        assert call(raw.CREATE, raw.create_body(b"/persistent", b"x")) == OK
        assert "%x" % session not in ensembles.four_letter_word(running.leader().client_port, "dump")

        # It comes back to its server, and to no other.
        mine.close()
        mine = raw.Connection(first.client_port)
        assert mine.handshake(session=session, password=password)[0] == session
        other = raw.Connection(second.client_port)
        assert other.handshake(session=session, password=password)[2] == 0, "expired there"

        expected = OK if upgrade == "true" else EPHEMERAL_ON_LOCAL
        assert call(raw.CREATE, raw.create_body(b"/ephemeral", b"x", EPHEMERAL)) == expected
        if upgrade == "false":
            assert call(raw.CLOSE_SESSION, b"") == OK
            return
        assert call(raw.CREATE, raw.create_body(b"/ephemeral2", b"x", EPHEMERAL)) == OK
        # A leader may apply what a quorum has after the others.
        until(lambda: "%x" % session in ensembles.four_letter_word(running.leader().client_port, "dump"))
        moved = raw.Connection(second.client_port)
        assert moved.handshake(session=session, password=password)[0] == session
        assert moved.call(raw.CLOSE_SESSION, b"")[0] == OK
        again = raw.open_session(first.client_port)
        assert again.call(SYNC, raw.buffer(b"/"))[0] == OK
        assert again.call(raw.EXISTS, raw.buffer(b"/ephemeral") + b"\0")[0] == -101


def handshake(port, read_only, session=0, password=b"\0" * 16):
    """The connection, and the answer; None when it is closed instead."""
    connection = raw.Connection(port, 10)
    body = struct.pack(">iqiq", 0, 0, 10000, session) + raw.buffer(password)
    connection.send_frame(body + struct.pack(">?", read_only))
    try:
        return connection, connection.receive()
    except raw.Closed:
        return connection, None


def test_read_only_mode(engine):
    extra = {"readonlymode.enabled": "true", "localSessionsEnabled": "true"}
    with ensembles.Ensemble(engine, 3, extra) as running:
        last = running.followers()[0]
        port = last.client_port
        writer = raw.open_session(port)
        assert writer.call(raw.CREATE, raw.create_body(b"/kept", b"x"))[0] == OK
        assert ensembles.four_letter_word(port, "isro") == "rw"
        others = [server for server in running.servers if server is not last]
        for server in others:
            server.stop(kill=True)
        until(lambda: ensembles.four_letter_word(port, "isro") == "ro")
        assert "Mode: read-only" in ensembles.four_letter_word(port, "srvr")
        assert handshake(port, False)[1] is None
        reader, answer = handshake(port, True)
        assert len(answer) == 37 and answer[-1] == 1
        assert struct.unpack(">q", answer[8:16])[0] != 0
        assert reader.call(raw.GET_DATA, raw.buffer(b"/kept") + b"\1")[0] == OK
        assert reader.call(raw.CREATE, raw.create_body(b"/new"))[0] == NOT_READ_ONLY
        assert reader.call(raw.CREATE, raw.create_body(b"/new", flags=EPHEMERAL))[0] == NOT_READ_ONLY
        assert reader.call(raw.DELETE, delete_body(b"/kept"))[0] == NOT_READ_ONLY
        assert reader.call(SYNC, raw.buffer(b"/kept"))[0] == NOT_READ_ONLY
        assert reader.call(raw.MULTI, raw.MULTI_END)[0] == NOT_READ_ONLY
        # A quorum: they are sent away, and everybody is served again.
        others[0].start()
        reader.socket.settimeout(30)
        assert reader.is_closed()
        running.wait()
        assert ensembles.four_letter_word(port, "isro") == "rw"
        again = raw.open_session(port)
        assert again.call(raw.CREATE, raw.create_body(b"/new"))[0] == OK
