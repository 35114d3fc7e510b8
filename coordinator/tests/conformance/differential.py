"""The same random operations to Apache ZooKeeper and to the coordinator: the same replies.

    differential.py [--seed S] [--runs N] [--operations N]

Several sessions work on a small tree, one operation at a time; after each, every session is
brought up to date by a sync, so that watch events have their place. Compared are error codes,
bodies and events, but for ids, times and zxids: of those, which operation they stem from. Each run has its seed; a
difference is printed with the operations that led to it.
"""

import argparse
import bisect
import random
import struct
import sys
import time

import raw
from ensemble import Ensemble

SESSIONS = 3
EVENT = -1
FAR_AHEAD = 1 << 40

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL = 1, 2, 3, 4, 5, 6, 7
GET_CHILDREN, SYNC, GET_CHILDREN2, CHECK, MULTI, CREATE2 = 8, 9, 12, 13, 14, 15
RECONFIG, CHECK_WATCHES, REMOVE_WATCHES, CREATE_CONTAINER, CREATE_TTL, MULTI_READ = 16, 17, 18, 19, 21, 22
AUTH, SET_WATCHES, GET_EPHEMERALS, ALL_CHILDREN = 100, 101, 103, 104
SET_WATCHES2, ADD_WATCH, WHO_AM_I = 105, 106, 107

NAMES = {value: name for name, value in list(globals().items()) if name.isupper() and value in range(1, 108)}


def ustring(text):
    return raw.buffer(text.encode())


def vector(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def acl(perms, scheme, identity):
    return struct.pack(">i", perms) + ustring(scheme) + ustring(identity)


ACLS = [
    vector([acl(31, "world", "anyone")]),
    vector([acl(31, "world", "anyone")]),
    vector([acl(31, "world", "anyone")]),
    vector([acl(1, "world", "anyone")]),
    vector([acl(31, "auth", "")]),
    vector([acl(31, "digest", "u1:6zTw5mBFh3hCFYdGoRBfJbQnQ+E=")]),
    vector([acl(31, "ip", "127.0.0.1"), acl(1, "world", "anyone")]),
    vector([acl(31, "ip", "10.0.0.0/8"), acl(1, "world", "anyone")]),
    vector([acl(31, "world", "anyone"), acl(31, "world", "anyone")]),
    vector([]),
    vector([acl(31, "world", "somebody")]),
    vector([acl(31, "nosuch", "x")]),
    vector([acl(0, "world", "anyone")]),
    struct.pack(">i", -1),
]


class Generator:
    """Makes the operations of a run, from its seed alone."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def path(self):
        r = self.random
        if r.random() < 0.04:
            return r.choice(["", "/", "x", "//", "/d/", "/d/./a", "/d//a", "/d/\0", "/d/\x01", "/zookeeper",
                             "/zookeeper/quota", "/none/a", "/d/\ufff0", "/zookeeper/config"])  # fmt: skip
        depth = r.choice([1, 1, 2, 2, 2, 3])
        return "/d" + "".join("/" + r.choice("abc") for _ in range(depth))

    def guarded_path(self):
        """Where ACLs may refuse: nobody watches there, for ZooKeeper as Debian mends it keeps events
        from those who may not read the node (CVE-2024-23944)."""
        return "/d/p/" + self.random.choice("abc")

    def any_path(self):
        return self.guarded_path() if self.random.random() < 0.15 else self.path()

    def data(self):
        r = self.random
        return r.choice([None, b"", b"x", r.randbytes(r.randrange(40))])

    def version(self):
        return self.random.choice([-1, -1, -1, 0, 0, 1, 2, 5])

    def create(self):
        r = self.random
        op = r.choice([CREATE, CREATE, CREATE2])
        flags = r.choice([0, 0, 0, 0, 1, 2, 3, 3])
        tail = b""
        choice = r.random()
        if choice < 0.06:
            op, flags = CREATE_CONTAINER, 4
        elif choice < 0.12:
            op, flags = CREATE_TTL, r.choice([5, 6])
            tail = struct.pack(">q", r.choice([60_000, 60_000, 0, -1, 1 << 40]))
        elif choice < 0.14:
            flags = r.choice([7, -1, 100])
        path, access = self.path(), ACLS[0]
        if r.random() < 0.3:
            path, access = self.guarded_path(), r.choice(ACLS)
        body = ustring(path) + raw.buffer(self.data()) + access
        return op, body + struct.pack(">i", flags) + tail

    def delete(self):
        return DELETE, ustring(self.any_path()) + struct.pack(">i", self.version())

    def set_data(self):
        body = ustring(self.any_path()) + raw.buffer(self.data())
        return SET_DATA, body + struct.pack(">i", self.version())

    def check(self):
        return CHECK, ustring(self.any_path()) + struct.pack(">i", self.version())

    def set_acl(self):
        body = ustring(self.guarded_path()) + self.random.choice(ACLS)
        return SET_ACL, body + struct.pack(">i", self.version())

    def read(self):
        op = self.random.choice([EXISTS, GET_DATA, GET_CHILDREN, GET_CHILDREN2])
        if self.random.random() < 0.15:
            return op, ustring(self.guarded_path()) + b"\0"
        watch = bytes([self.random.random() < 0.5])
        return op, ustring(self.path()) + watch

    def multi(self):
        r = self.random
        kinds = [self.create, self.create, self.delete, self.set_data, self.check]
        body = b""
        for _ in range(r.randrange(0, 5)):
            op, record = r.choice(kinds)()
            body += struct.pack(">i?i", op, False, -1) + record
        return MULTI, body + raw.MULTI_END

    def multi_read(self):
        body = b""
        for _ in range(self.random.randrange(1, 4)):
            op = self.random.choice([GET_DATA, GET_CHILDREN])
            body += struct.pack(">i?i", op, False, -1) + ustring(self.any_path()) + b"\0"
        return MULTI_READ, body + raw.MULTI_END

    def other(self):
        r = self.random
        op = r.choice([GET_ACL, GET_EPHEMERALS, ALL_CHILDREN, CHECK_WATCHES, REMOVE_WATCHES, ADD_WATCH, RECONFIG,
                       WHO_AM_I, AUTH, SET_WATCHES, SET_WATCHES2])  # fmt: skip
        path = ustring(self.any_path())
        if op == ALL_CHILDREN and path == ustring(""):
            # No path; ZooKeeper finds one more than there are.
            path = ustring("/")
        if op in (GET_ACL, GET_EPHEMERALS, ALL_CHILDREN):
            return op, path
        if op in (CHECK_WATCHES, REMOVE_WATCHES):
            return op, self.own_path() + struct.pack(">i", 3)
        if op == ADD_WATCH:
            return op, self.own_path() + struct.pack(">i", r.choice([0, 1]))
        if op == RECONFIG:
            return op, ustring("") + ustring("1") + ustring("") + struct.pack(">q", -1)
        if op == AUTH:
            data = r.choice([b"u1:p1", b"u2:p2"])
            return op, struct.pack(">i", 0) + ustring("digest") + raw.buffer(data)
        if op in (SET_WATCHES, SET_WATCHES2):
            lists = [vector([ustring(self.path()) for _ in range(r.randrange(3))]) for _ in range(3)]
            body = struct.pack(">q", r.choice([0, FAR_AHEAD << 8])) + b"".join(lists)
            return op, body + (vector([]) + vector([]) if op == SET_WATCHES2 else b"")
        return op, b""

    def own_path(self):
        """A node that only this session watches, and only by one kind of watch: 3.8 lets one kind
        overwrite another, finds the watches of others when it looks for one's own, and takes a
        persistent watch for two of the other kinds."""
        return ustring("/d/" + "xyz"[self.session])

    def operation(self):
        """Session, operation, body; operation None ends the session and begins another."""
        r = self.random
        session = self.session = r.randrange(SESSIONS)
        kinds = [self.create] * 7 + [self.delete] * 4 + [self.set_data] * 4 + [self.set_acl]
        kinds += [self.read] * 7 + [self.multi] * 4 + [self.multi_read] + [self.other] * 4
        if r.random() < 0.01:
            return session, None, b""
        return session, *r.choice(kinds)()


class Side:
    """One engine under test: its connections, and what must be normalised in its replies."""

    def __init__(self, ensemble):
        self.last_zxid = 0
        self.ports = [server.client_port for server in ensemble.servers]
        self.connections = [None] * SESSIONS
        self.ids = {}
        # The greatest zxid seen by the end of each operation, in order.
        self.zxids = []
        for number in range(SESSIONS):
            self.open(number)
        self.perform(0, CREATE, raw.create_body(b"/d"))
        for name in "pxyz":
            self.perform(0, CREATE, raw.create_body(b"/d/" + name.encode()))
        self.zxids = [self.last_zxid]

    def open(self, number):
        connection = raw.Connection(self.ports[number % len(self.ports)])
        session, _, _ = connection.handshake(timeout_ms=40000)
        self.ids[session] = f"session {len(self.ids)}"
        self.connections[number] = connection

    def close(self):
        for number in range(SESSIONS):
            self.exchange(number, raw.CLOSE_SESSION, b"")
            self.connections[number].close()

    def origin(self, zxid):
        """The operation that a zxid stems from."""
        return bisect.bisect_left([*self.zxids, self.last_zxid], zxid)

    def exchange(self, number, op, body):
        """The reply, and the events that came before it."""
        connection = self.connections[number]
        sent = connection.request(op, body)
        events = []
        while True:
            frame = connection.receive()
            xid, zxid, code = struct.unpack(">iqi", frame[:16])
            if xid == EVENT:
                events.append(Decoder(self, frame[16:]).event())
                continue
            assert xid == sent, f"xid {xid} answers {sent}"
            self.last_zxid = zxid
            return code, frame[16:], events

    def perform(self, number, op, body):
        """All that can be seen of one operation, in a form that does not depend on the engine."""
        if op is None:
            code, answer, events = self.exchange(number, raw.CLOSE_SESSION, b"")
            self.connections[number].close()
            self.open(number)
            # Ephemerals of a session go in no set order.
            seen = [("closed", code, answer, sorted(events))]
        else:
            try:
                code, answer, events = self.exchange(number, op, body)
            except raw.Closed:
                self.open(number)
                seen = ["connection closed"]
            else:
                seen = [code, Decoder(self, answer).body(op) if code == 0 else None, events]
        for other in range(SESSIONS):
            code, _, events = self.exchange(other, SYNC, ustring("/"))
            assert code == 0, f"sync gave {code}"
            seen.append(sorted(events))
        self.zxids.append(self.last_zxid)
        return seen


class Decoder:
    """Replies to comparable values."""

    def __init__(self, side, data):
        self.side, self.data, self.at = side, data, 0

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def buffer(self):
        length = self.take(">i")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at]

    def strings(self, ordered=False):
        found = [self.buffer() for _ in range(self.take(">i"))]
        return found if ordered else sorted(found)

    def stat(self):
        side = self.side
        czxid, mzxid, _, _, version, cversion, aversion, owner, length, children, pzxid = self.take(">qqqqiiiqiiq")
        zxids = [side.origin(value) for value in (czxid, mzxid, pzxid)]
        return zxids, version, cversion, aversion, side.ids.get(owner, owner), length, children

    def event(self):
        kind, state = self.take(">ii")
        return kind, state, self.buffer()

    def acls(self):
        # The ids that `auth` stands for come in no set order.
        return sorted((self.take(">i"), self.buffer(), self.buffer()) for _ in range(self.take(">i")))

    def results(self):
        results = []
        while True:
            op, done, code = self.take(">i?i")
            if done:
                return results
            if op == -1:
                results.append((op, code, self.take(">i")))
            elif op in (CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL):
                # 3.8 answers create2 in a multi as create, without the Stat.
                results.append((CREATE, code, self.buffer()))
                if op != CREATE:
                    self.stat()
            else:
                results.append((op, code, self.record(op)))

    def record(self, op):
        if op in (CREATE, SYNC):
            return self.buffer()
        if op in (CREATE2, CREATE_CONTAINER, CREATE_TTL):
            return self.buffer(), self.stat()
        if op in (EXISTS, SET_DATA, SET_ACL):
            return self.stat()
        if op == GET_DATA:
            data = self.buffer()
            # In a multi-read the Stat follows as well.
            return data, self.stat()
        if op == GET_ACL:
            return self.acls(), self.stat()
        if op in (GET_CHILDREN, GET_EPHEMERALS):
            return self.strings()
        if op == GET_CHILDREN2:
            return self.strings(), self.stat()
        if op in (ALL_CHILDREN, ADD_WATCH):
            return self.take(">i")
        if op == WHO_AM_I:
            return sorted((self.buffer(), self.buffer()) for _ in range(self.take(">i")))
        if op in (MULTI, MULTI_READ):
            return self.results()
        return None

    def body(self, op):
        value = self.record(op)
        return value, self.data[self.at :]


def describe(session, op, body):
    return f"session {session}: {'close and begin anew' if op is None else NAMES[op]} {body!r}"


def compare(seed, operations, left, right, trail=30):
    """Runs one seed on both; None, or the difference with what led to it."""
    generator = Generator(seed)
    left, right = Side(left), Side(right)
    history = []
    for number in range(operations):
        session, op, body = generator.operation()
        history.append(describe(session, op, body))
        found = left.perform(session, op, body), right.perform(session, op, body)
        if found[0] != found[1]:
            trail = "\n".join(history[-trail:])
            return f"seed {seed}, operation {number}:\n{trail}\nApache ZooKeeper: {found[0]}\ncoordinator:      {found[1]}"
    cleanup(left)
    cleanup(right)
    left.close()
    right.close()
    return None


def cleanup(side):
    """Deletes the tree, whoever may do it; a fresh one is needed by the next seed."""
    connection = side.connections[0]
    connection.call(AUTH, struct.pack(">i", 0) + ustring("digest") + raw.buffer(b"super:test"))
    remove(connection, "/d")
    for name in children(connection, "/zookeeper"):
        if name not in ("config", "quota"):
            remove(connection, f"/zookeeper/{name}")


def children(connection, path):
    code, body = connection.call(GET_CHILDREN, ustring(path) + b"\0")
    assert code in (0, -101), code
    found, at = [], 4
    for _ in range(struct.unpack_from(">i", body)[0] if code == 0 else 0):
        (length,) = struct.unpack_from(">i", body, at)
        found.append(body[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return found


def remove(connection, path):
    for name in children(connection, path):
        remove(connection, f"{path}/{name}")
    code, _ = connection.call(DELETE, ustring(path) + struct.pack(">i", -1))
    assert code in (0, -101), f"delete {path}: {code}"


def ensembles(size=1):
    """Both engines, able to clean up after themselves as super."""
    extra = {"DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU="}
    extra["admin.enableServer"] = "false"
    # Containers go when a reaper comes by, which no two servers do at the same moment.
    extra["znode.container.checkIntervalMs"] = 1_000_000_000
    return Ensemble("apache", size, extra), Ensemble("coordinator", size, extra)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--trail", type=int, default=30, help="operations shown with a difference")
    parser.add_argument("--servers", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seeds {arguments.seed} to {arguments.seed + arguments.runs - 1}")
    apache, ours = ensembles(arguments.servers)
    with apache, ours:
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            if difference := compare(seed, arguments.operations, apache, ours, arguments.trail):
                print(difference)
                print(f"again: differential.py --seed {seed} --runs 1 --operations {arguments.operations}")
                return 1
            print(f"seed {seed}: {arguments.operations} operations, no difference", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
