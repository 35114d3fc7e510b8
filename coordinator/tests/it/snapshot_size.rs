//! A snapshot comes in small parts whatever clients have made, and is read back the same.

use coordinator::state::{Effects, IdentityBuf, Restore, Stamp, State, Txn};
use coordinator::wire::acl::{Acl, AclList, put_acls};
use coordinator::wire::code::Code;
use coordinator::wire::jute::Reader;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, Request, create_mode};

/// More than a reader of snapshots holds at once (64 MiB).
const LISTS: usize = 70;
const LIST_BYTES: usize = 1_000_000;
const SESSIONS: i64 = 50_000;
/// A step ends behind the record that fills it.
const STEP_BYTES_MAX: usize = LIST_BYTES + (192 << 10);

struct Writer {
    state: State,
    zxid: i64,
}

impl Writer {
    fn apply(&mut self, session: i64, op: OpCode, body: &[u8]) {
        self.zxid += 1;
        let identity = IdentityBuf::superuser();
        let txn = Txn { session, identity: identity.as_identity(), op, body };
        let stamp = Stamp { zxid: self.zxid, time_ms: 1 };
        let code = self.state.apply(stamp, 1, &txn, &mut Effects::new(false), None);
        assert_eq!(code, Code::Ok);
    }

    fn create(&mut self, path: &str, acl: &str) {
        let mut bytes = Vec::new();
        put_acls(&mut bytes, [Acl { perms: 31, scheme: "digest", id: acl }].into_iter());
        let acl = AclList::decode(&mut Reader::new(&bytes)).unwrap();
        let flags = create_mode::PERSISTENT;
        let mut body = Vec::new();
        Request::Create(Create { path, data: None, acl, flags, ttl_ms: 0 }).encode(&mut body);
        self.apply(0, OpCode::Create, &body);
    }
}

#[test]
fn lists_and_sessions_never_make_a_large_part() {
    for level in [0, 1] {
        let mut writer = Writer { state: State::new(), zxid: 0 };
        writer.state.cluster_mut().level = level;
        for session in 1..=SESSIONS {
            writer.apply(session, OpCode::CreateSession, &9000i32.to_be_bytes());
        }
        let list = |n: usize| format!("u{n}:{}", "x".repeat(LIST_BYTES));
        for n in 0..LISTS {
            writer.create(&format!("/a{n}"), &list(n));
        }
        let digest = writer.state.digest();
        writer.state.snapshot_begin();
        let (mut restore, mut done) = (Restore::new(), false);
        let mut step = 0;
        while !done {
            let mut out = Vec::new();
            done = writer.state.snapshot_step(100, &mut out);
            assert!(out.len() <= STEP_BYTES_MAX, "{} bytes in step {step}", out.len());
            restore.chunk(&out).unwrap();
            // What is applied meanwhile changes nothing of the moment that is written down, also
            // where it takes the last carrier of a list away, and its number for another one.
            if step < LISTS / 2 {
                let mut body = Vec::new();
                let path = format!("/a{}", LISTS - 1 - step);
                let delete = coordinator::wire::request::PathVersion { path: &path, version: -1 };
                Request::Delete(delete).encode(&mut body);
                writer.apply(0, OpCode::Delete, &body);
                writer.create(&format!("/b{step}"), &format!("other{step}:x"));
            }
            step += 1;
        }
        assert_eq!(restore.finish().unwrap().digest(), digest, "level {level}");
    }
}
