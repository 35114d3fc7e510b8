"""Bad input and ill-behaved peers over real sockets: none may crash, stall others, or leak.

Each test runs beside a client that goes on reading and writing on the same server: its session
must live, and it must get on while the test is at work. No test asserts how fast anything is.
"""

import resource
import socket
import struct
import threading
import time
import uuid
from contextlib import suppress

import pytest

import raw
from ensemble import four_letter_word
from waiting import until

JUTE_MAX_BUFFER = 0xFFFFF


@pytest.fixture
def server(ensemble):
    return ensemble.servers[0]


@pytest.fixture
def root(client, server):
    path = f"/faults-{uuid.uuid4().hex[:8]}"
    first = client(server.address)
    first.create(path)
    yield path
    first.delete(path, recursive=True)


@pytest.fixture(autouse=True)
def bystander(ensemble, server):
    """Writes and reads all the time; a session of its own must not expire meanwhile."""
    connection = raw.open_session(server.client_port)
    path = f"/bystander-{uuid.uuid4().hex[:8]}".encode()
    assert connection.call(raw.CREATE, raw.create_body(path, flags=1))[0] == 0
    over, rounds, failures = threading.Event(), [0], []

    def work():
        number = 0
        while not over.is_set():
            number += 1
            try:
                data = str(number).encode()
                body = raw.buffer(path) + raw.buffer(data) + struct.pack(">i", -1)
                assert connection.call(raw.SET_DATA, body)[0] == 0
                code, answer = connection.call(raw.GET_DATA, raw.buffer(path) + b"\0")
                assert code == 0 and answer.startswith(raw.buffer(data))
            except BaseException as error:
                failures.append(error)
                return
            rounds[0] = number
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    before = rounds[0]
    # A round that began after the test's last word comes to its end.
    until(lambda: failures or rounds[0] >= before + 2)
    over.set()
    thread.join(60)
    connection.close()
    assert not failures, f"the bystander was disturbed: {failures}"
    dead = [server.id for server in ensemble.servers if not server.is_alive()]
    assert not dead, f"servers that ended: {dead}"


@pytest.mark.parametrize("length", [-1, -(2**31), JUTE_MAX_BUFFER + 1, 2**31 - 1])
@pytest.mark.parametrize("first", [True, False])
def test_lengths_out_of_bounds_close_the_connection(server, length, first):
    connection = raw.Connection(server.client_port)
    if not first:
        connection.handshake()
    connection.send(struct.pack(">i", length) + b"x" * 64)
    assert connection.is_closed()


def test_http_on_the_client_port_is_named_in_the_log(ensemble, server):
    connection = raw.Connection(server.client_port)
    connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.is_closed()
    if ensemble.engine == "coordinator":
        until(lambda: "GET " in server.log() or "HTTP" in server.log())


def test_tls_hello_on_the_client_port(server):
    connection = raw.Connection(server.client_port)
    connection.send(bytes.fromhex("1603010200010001fc0303") + b"\0" * 64)
    assert connection.is_closed()


def test_unreadable_handshakes(server):
    for payload in (b"", b"\0", b"\0" * 20, b"\xff" * 44):
        connection = raw.Connection(server.client_port)
        connection.send_frame(payload)
        with suppress(raw.Closed, TimeoutError):
            connection.socket.settimeout(5)
            # An expired session is a legal answer to nonsense that decodes.
            assert struct.unpack(">i", connection.receive()[4:8])[0] == 0
        connection.close()


def test_bad_utf8_and_bad_paths(ensemble, server, root):
    connection = raw.open_session(server.client_port)
    base = root.encode()
    paths = [b"", b"x", b"//", base + b"/", base + b"//a", base + b"/.", base + b"/../a",
             base + b"/\0", base + b"/\x01", base + b"/\xef\xbf\xbe"]  # fmt: skip
    for path in paths:
        code, _ = connection.call(raw.CREATE, raw.create_body(path))
        assert code in (-8, -101), f"{path}: {code}"
    if ensemble.engine == "coordinator":
        # Java turns what is not UTF-8 into U+FFFD; here it cannot be decoded.
        code, _ = connection.call(raw.CREATE, raw.create_body(base + b"/\xff\xfe"))
        assert code in (-5, -8), code
    assert connection.call(raw.EXISTS, raw.buffer(base) + b"\0")[0] == 0
    connection.close()


def test_records_cut_short(ensemble, server):
    connection = raw.open_session(server.client_port)
    code, _ = connection.call(raw.CREATE, raw.create_body(b"/x")[:-6])
    assert code == -5
    code, _ = connection.call(raw.GET_DATA, struct.pack(">i", 1000) + b"/")
    assert code == -5
    # A vector that claims more items than there are bytes.
    body = raw.buffer(b"/x") + raw.buffer(b"") + struct.pack(">i", 2**30)
    assert connection.call(raw.CREATE, body)[0] == -5
    assert connection.call(raw.EXISTS, raw.buffer(b"/") + b"\0")[0] == 0
    connection.close()


def test_unknown_operations_are_answered_and_closed(server):
    for op in (9999, -10, 20):
        connection = raw.open_session(server.client_port)
        connection.request(raw.EXISTS, raw.buffer(b"/") + b"\0")
        connection.request(op, b"\0" * 8)
        assert connection.reply()[1] == 0, "what came before is answered first"
        assert connection.reply()[1] == -6
        assert connection.is_closed()


def test_empty_multi(server):
    connection = raw.open_session(server.client_port)
    code, body = connection.call(raw.MULTI, raw.MULTI_END)
    assert code == 0 and body == raw.MULTI_END
    connection.close()


def test_multi_with_foreign_operations(server, root):
    """A read or an unknown type in a write multi: refused as a whole, without effect."""
    connection = raw.open_session(server.client_port)
    header = struct.pack(">i?i", raw.CREATE, False, -1)
    path = f"{root}/m".encode()
    for op, record in ((raw.GET_DATA, raw.buffer(b"/") + b"\0"), (9999, b"")):
        body = header + raw.create_body(path) + struct.pack(">i?i", op, False, -1) + record
        code, _ = connection.call(raw.MULTI, body + raw.MULTI_END)
        assert code != 0
        assert connection.call(raw.EXISTS, raw.buffer(path) + b"\0")[0] == -101
    connection.close()


def test_deep_paths(client, server, root):
    """Five hundred levels are made, found and removed; twenty thousand are no trouble to refuse."""
    connection = raw.open_session(server.client_port)
    path = root.encode()
    for _ in range(500):
        path += b"/d"
        assert connection.call(raw.CREATE, raw.create_body(path))[0] == 0
    assert connection.call(raw.EXISTS, raw.buffer(path) + b"\0")[0] == 0
    deeper = path + b"/d" * 20_000
    assert connection.call(raw.CREATE, raw.create_body(deeper))[0] == -101
    connection.close()


def test_data_of_a_whole_frame(server, root):
    """The largest request that `jute.maxbuffer` allows goes in, comes out, and survives."""
    connection = raw.open_session(server.client_port)
    path = f"{root}/big".encode()
    overhead = 8 + len(raw.create_body(path))
    data = b"x" * (JUTE_MAX_BUFFER - overhead)
    assert connection.call(raw.CREATE, raw.create_body(path, data))[0] == 0
    code, answer = connection.call(raw.GET_DATA, raw.buffer(path) + b"\0")
    assert code == 0 and answer.startswith(raw.buffer(data))
    # The server closes when it has read the length, perhaps before all bytes are sent.
    with pytest.raises((raw.Closed, ConnectionError)):
        connection.request(raw.CREATE, raw.create_body(path + b"2", data))
        connection.reply()


def test_a_hundred_thousand_children(server, root):
    connection = raw.open_session(server.client_port, timeout_ms=40000)
    parent = f"{root}/many".encode()
    assert connection.call(raw.CREATE, raw.create_body(parent))[0] == 0
    count, batch = 100_000, 500
    for start in range(0, count, batch):
        for number in range(start, start + batch):
            connection.request(raw.CREATE, raw.create_body(parent + b"/c%06d" % number))
        for _ in range(batch):
            assert connection.reply()[1] == 0
    code, answer = connection.call(raw.GET_CHILDREN, raw.buffer(parent) + b"\0")
    assert code == 0 and struct.unpack(">i", answer[:4]) == (count,)
    for start in range(0, count, batch):
        for number in range(start, start + batch):
            path = parent + b"/c%06d" % number
            connection.request(raw.DELETE, raw.buffer(path) + struct.pack(">i", -1))
        for _ in range(batch):
            assert connection.reply()[1] == 0
    connection.close()


def test_a_wrong_password_does_not_touch_the_owner(ensemble, server):
    owner = raw.Connection(server.client_port)
    session, password, _ = owner.handshake()
    wrong = bytes([password[0] ^ 1]) + password[1:]
    for port in (server.client_port, ensemble.servers[1].client_port):
        for attempt in (wrong, b"\0" * 16, b"", b"x" * 1000):
            thief = raw.Connection(port)
            stolen, _, timeout = thief.handshake(session=session, password=attempt)
            assert (stolen, timeout) == (0, 0), "told as expired"
            assert thief.is_closed()
    if ensemble.engine == "coordinator":
        assert owner.call(raw.EXISTS, raw.buffer(b"/") + b"\0")[0] == 0
    for unknown in (-1, 1, 2**63 - 1, -(2**63), session + 1):
        guess = raw.Connection(server.client_port)
        found, _, timeout = guess.handshake(session=unknown, password=password)
        assert (found, timeout) == (0, 0)
    owner.close()


def test_ten_thousand_connections(ensemble, server):
    """They open and handshake in batches beside a working one, and all go away at once."""
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"only {hard} file descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    connections = []
    try:
        body = struct.pack(">iqiq", 0, 0, 40000, 0) + raw.buffer(b"\0" * 16) + b"\0"
        # In batches: a connection that says nothing for 10 s is closed, and a busy machine is slow.
        for _ in range(0, wanted, 100):
            batch = [raw.Connection(server.client_port) for _ in range(100)]
            connections += batch
            for connection in batch:
                connection.send_frame(body)
        sessions = {struct.unpack(">iiq", connection.receive()[:16])[2] for connection in connections}
        assert len(sessions) == wanted and 0 not in sessions
        for connection in connections:
            connection.request(raw.PING, xid=-2)
        for connection in connections:
            assert connection.reply()[:2] == (-2, 0)
        for connection in connections:
            connection.request(raw.CLOSE_SESSION)
        for connection in connections:
            assert connection.reply()[1] == 0
    finally:
        for connection in connections:
            connection.close()
    until(lambda: connections_of(server) < 100)


def connections_of(server):
    for line in four_letter_word(server.client_port, "srvr").splitlines():
        if line.startswith("Connections: "):
            return int(line.split()[1])
    return None


def test_a_million_watches(server, root):
    """Ten connections watch a hundred thousand paths each; one fires, then all are gone."""
    connections = [raw.open_session(server.client_port, timeout_ms=40000) for _ in range(10)]
    each, batch = 100_000, 1000
    for number, connection in enumerate(connections):
        for start in range(0, each, batch):
            frames = bytearray()
            for index in range(start, start + batch):
                path = f"{root}/w{number}-{index:06}".encode()
                body = struct.pack(">ii", index + 1, raw.EXISTS) + raw.buffer(path) + b"\1"
                frames += struct.pack(">i", len(body)) + body
            connection.send(frames)
            for _ in range(batch):
                assert connection.reply()[1] == -101
            connection.xid = start + batch
    assert watches_of(server) >= 10 * each
    made = f"{root}/w3-000042".encode()
    assert connections[0].call(raw.CREATE, raw.create_body(made))[0] == 0
    xid, _, event = connections[3].reply()
    assert xid == -1 and event == struct.pack(">ii", 1, 3) + raw.buffer(made)
    for connection in connections:
        connection.close()
    until(lambda: watches_of(server) < 100)


def watches_of(server):
    answer = four_letter_word(server.client_port, "wchs")
    return int(answer.split("Total watches:")[1])


def test_a_slow_reader_is_cut_off_and_nobody_else_waits(ensemble, server, root):
    """It asks for much more than it reads: its buffer is bounded, then it is closed."""
    connection = raw.open_session(server.client_port, timeout_ms=40000)
    path = f"{root}/slow".encode()
    data = b"x" * 900_000
    assert connection.call(raw.CREATE, raw.create_body(path, data))[0] == 0
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before = resident_bytes(server)
    connection.socket.settimeout(20)
    # Four thousand replies of 0.9 MB: 3.6 GB if nobody put a bound on them.
    most = before
    with suppress(OSError):
        for number in range(4000):
            connection.request(raw.GET_DATA, raw.buffer(path) + b"\0")
            if number % 50 == 0:
                most = max(most, resident_bytes(server))
    if ensemble.engine == "coordinator":
        grown = max(most, resident_bytes(server)) - before
        assert grown < 256 << 20, f"{grown >> 20} MiB are kept for a client that does not read"
    connection.close()


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def test_half_open_connections_expire(ensemble, server, root, client):
    """A client that vanishes without a word: its session ends after its timeout, not before."""
    watching = client(server.address)
    connection = raw.Connection(server.client_port)
    session, _, timeout_ms = connection.handshake(timeout_ms=4000)
    assert timeout_ms == 4000
    path = f"{root}/vanishing"
    # Taken before its last word, so a busy machine only makes it longer.
    start = time.monotonic()
    assert connection.call(raw.CREATE, raw.create_body(path.encode(), flags=1))[0] == 0
    until(lambda: watching.exists(path) is None)
    elapsed = time.monotonic() - start
    # The server's clock goes in steps of 20 ms.
    assert elapsed > 3.9, f"gone after {elapsed} s, before its time"
    assert connection.is_closed()
    again = raw.Connection(server.client_port)
    assert again.handshake(session=session)[0] == 0


def test_a_client_that_stops_writing_in_the_middle_of_a_frame(server):
    connections = []
    for _ in range(200):
        connection = raw.Connection(server.client_port)
        connection.send(struct.pack(">i", 1000) + b"x" * 10)
        connections.append(connection)
    for connection in connections:
        connection.close()


def test_closed_write_side_still_gets_its_answers(server):
    connection = raw.open_session(server.client_port)
    for _ in range(100):
        connection.request(raw.EXISTS, raw.buffer(b"/") + b"\0")
    connection.request(raw.CLOSE_SESSION)
    for _ in range(101):
        assert connection.reply()[1] == 0
    assert connection.is_closed()


def test_random_bytes(server):
    """Seeded, so that a failure can be had again."""
    import random

    generator = random.Random(10)
    for _ in range(300):
        connection = raw.Connection(server.client_port)
        with suppress(raw.Closed, OSError):
            if generator.random() < 0.7:
                connection.handshake()
            for _ in range(generator.randrange(1, 8)):
                op = generator.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 21, 22,
                                       100, 101, 102, 103, 104, 105, 106, 107])  # fmt: skip
                connection.request(op, generator.randbytes(generator.randrange(0, 60)))
        connection.close()
