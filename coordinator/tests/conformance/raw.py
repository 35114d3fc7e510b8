"""The protocol by hand, for what no client library would send."""

import socket
import struct

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_CHILDREN = 1, 2, 3, 4, 5, 8
PING, MULTI, CLOSE_SESSION = 11, 14, -11
OPEN_ACL = struct.pack(">ii", 1, 31) + b"\0\0\0\x05world\0\0\0\x06anyone"
MULTI_END = struct.pack(">i?i", -1, True, -1)


def buffer(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def create_body(path, data=b"", flags=0):
    return buffer(path) + buffer(data) + OPEN_ACL + struct.pack(">i", flags)


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffered = b""
        self.xid = 0

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_frame(self, payload):
        self.send(struct.pack(">i", len(payload)) + payload)

    def receive(self):
        while True:
            if len(self.buffered) >= 4:
                (length,) = struct.unpack(">i", self.buffered[:4])
                if len(self.buffered) >= 4 + length:
                    frame = self.buffered[4 : 4 + length]
                    self.buffered = self.buffered[4 + length :]
                    return frame
            try:
                chunk = self.socket.recv(1 << 20)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise Closed
            self.buffered += chunk

    def is_closed(self):
        """Waits for the server to close; anything else that comes is an error."""
        try:
            self.receive()
        except Closed:
            return True
        return False

    def handshake(self, timeout_ms=10000, session=0, password=b"\0" * 16):
        """Session id, password and negotiated timeout; a timeout of 0 means expired."""
        body = struct.pack(">iqiq", 0, 0, timeout_ms, session) + buffer(password) + b"\0"
        self.send_frame(body)
        reply = self.receive()
        _, timeout, session = struct.unpack(">iiq", reply[:16])
        return session, reply[20:36], timeout

    def request(self, op, body=b"", xid=None):
        """Sends one request; gives its xid."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send_frame(struct.pack(">ii", xid, op) + body)
        return xid

    def reply(self):
        """Xid, error code and body of the next reply."""
        frame = self.receive()
        xid, _, code = struct.unpack(">iqi", frame[:16])
        return xid, code, frame[16:]

    def call(self, op, body=b""):
        """Code and body of the reply to one request; notifications are passed over."""
        sent = self.request(op, body)
        while True:
            xid, code, answer = self.reply()
            if xid != -1:
                assert xid == sent, f"xid {xid} answers {sent}"
                return code, answer


def open_session(port, **options):
    connection = Connection(port)
    session, _, timeout = connection.handshake(**options)
    assert session != 0 and timeout > 0
    return connection
