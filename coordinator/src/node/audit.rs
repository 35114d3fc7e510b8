//! The audit log's lines: who changed what from where, and what came of it, in the form of Apache
//! ZooKeeper's `AuditEvent`. Never data, and never the digest of a password.
//!
//! The server that serves a session tells of its changes; every server tells of the ephemerals that
//! go with a session. A line is a level, `I` or `E`, and the text; the host adds the time.

use std::fmt::Write as _;

use crate::state::{Identity, State, Txn};
use crate::wire::acl::{AclList, perms};
use crate::wire::code::Code;
use crate::wire::jute::Reader;
use crate::wire::multi::{Multi, MultiResult};
use crate::wire::opcode::OpCode;
use crate::wire::request::{Create, Request, create_mode};

/// Letters of one field, at most: a refused path can be as long as a frame.
const FIELD_MAX: usize = 16 << 10;

/// Lines since the last flush.
pub(super) struct Audit {
    /// Who runs this server: what it does by itself is done by this user.
    account: String,
    lines: String,
}

/// Who asked.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub session: i64,
    pub identity: Identity<'a>,
}

impl Audit {
    pub(super) fn new(account: String) -> Self {
        Audit { account, lines: String::new() }
    }

    /// One line, with the fields in the order of `ZKAuditProvider.createLogEvent`.
    fn put(
        &mut self,
        caller: Caller<'_>,
        what: &str,
        path: Option<&str>,
        rest: Rest<'_>,
        ok: bool,
    ) {
        let out = &mut self.lines;
        let _ = write!(out, "{}session={:#x}\t", if ok { 'I' } else { 'E' }, caller.session);
        put_users(out, caller.identity);
        let address = caller.identity.iter().find(|(scheme, _)| *scheme == "ip");
        put_field(out, "ip", address.map_or("", |(_, ip)| ip));
        let _ = write!(out, "operation={what}\t");
        if let Some(path) = path {
            put_field(out, "znode", path);
        }
        match rest {
            Rest::Nothing => {}
            Rest::Kind(kind) => put_field(out, "znode_type", kind),
            Rest::List(list) => put_list(out, list),
        }
        put_result(out, ok);
    }

    /// An ephemeral went with its session: the server's own doing.
    pub(super) fn put_ephemeral(&mut self, session: i64, path: &str) {
        let out = &mut self.lines;
        let _ = write!(out, "Isession={session:#x}\t");
        put_field(out, "user", &self.account);
        out.push_str("operation=ephemeralZNodeDeletionOnSessionCloseOrExpire\t");
        put_field(out, "znode", path);
        put_result(out, true);
    }
}

/// The ephemerals that will go with the session that a write closes.
pub(super) fn audited_ephemerals(audited: bool, state: &State, txn: &Txn<'_>) -> Vec<String> {
    if audited && txn.op == OpCode::CloseSession {
        state.ephemerals_that_end(txn.session, txn.body)
    } else {
        Vec::new()
    }
}

/// What some operations tell beside the path.
#[derive(Clone, Copy)]
enum Rest<'a> {
    Nothing,
    Kind(&'a str),
    List(AclList<'a>),
}

impl Audit {
    /// Lines since the last call, where there are any.
    pub(super) fn take_lines(&mut self) -> Option<String> {
        (!self.lines.is_empty()).then(|| std::mem::take(&mut self.lines))
    }

    /// As `AuditHelper.addAuditLog`: what cannot be decoded is no operation on anything.
    pub(super) fn request(
        &mut self,
        caller: Caller<'_>,
        op: OpCode,
        body: &[u8],
        code: Code,
        reply: &[u8],
    ) {
        let ok = code == Code::Ok;
        let Ok(request) = Request::decode(op, body) else { return };
        match request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::CreateTtl(create) => {
                // The answer has the number that a sequential name got.
                let made = Reader::new(reply).string().ok().filter(|_| ok);
                self.create(caller, &create, made, ok);
            }
            Request::Delete(delete) => {
                self.put(caller, "delete", Some(delete.path), Rest::Nothing, ok);
            }
            Request::SetData(set) => {
                self.put(caller, "setData", Some(set.path), Rest::Nothing, ok);
            }
            Request::SetAcl(set) => {
                self.put(caller, "setAcl", Some(set.path), Rest::List(set.acl), ok);
            }
            Request::Reconfig(_) => {
                let path = ok.then_some("/zookeeper/config");
                self.put(caller, "reconfig", path, Rest::Nothing, ok);
            }
            Request::Multi(multi) => self.multi(caller, &multi, ok, reply),
            _ => {}
        }
    }

    fn create(&mut self, caller: Caller<'_>, create: &Create<'_>, made: Option<&str>, ok: bool) {
        let rest = kind(create.flags).map_or(Rest::Nothing, Rest::Kind);
        self.put(caller, "create", Some(made.unwrap_or(create.path)), rest, ok);
    }

    /// One line for each part that changed something, or one for all of them.
    fn multi(&mut self, caller: Caller<'_>, multi: &Multi<'_>, ok: bool, reply: &[u8]) {
        let results = MultiResult::decode_all(&mut Reader::new(reply)).unwrap_or_default();
        let failed = results.iter().any(|result| matches!(result, MultiResult::Error(_)));
        if !ok || failed {
            return self.put(caller, "multiOperation", None, Rest::Nothing, false);
        }
        for (part, result) in multi.iter().zip(&results) {
            match part.request {
                Request::Create(create)
                | Request::Create2(create)
                | Request::CreateContainer(create)
                | Request::CreateTtl(create) => {
                    let made = match result {
                        MultiResult::Create(path) | MultiResult::Create2(path, _) => Some(&**path),
                        _ => None,
                    };
                    self.create(caller, &create, made, true);
                }
                Request::Delete(delete) => {
                    self.put(caller, "delete", Some(delete.path), Rest::Nothing, true);
                }
                Request::SetData(set) => {
                    self.put(caller, "setData", Some(set.path), Rest::Nothing, true);
                }
                _ => {}
            }
        }
    }
}

/// `CreateMode`'s name in lower case.
fn kind(flags: i32) -> Option<&'static str> {
    Some(match flags {
        create_mode::PERSISTENT => "persistent",
        create_mode::EPHEMERAL => "ephemeral",
        create_mode::PERSISTENT_SEQUENTIAL => "persistent_sequential",
        create_mode::EPHEMERAL_SEQUENTIAL => "ephemeral_sequential",
        create_mode::CONTAINER => "container",
        create_mode::PERSISTENT_WITH_TTL => "persistent_with_ttl",
        create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL => "persistent_sequential_with_ttl",
        _ => return None,
    })
}

fn put_result(out: &mut String, ok: bool) {
    out.push_str(if ok { "result=success\n" } else { "result=failure\n" });
}

fn put_field(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push('=');
    put_value(out, value, FIELD_MAX);
    out.push('\t');
}

/// `AuthUtil.getUsers`: the names, without what proves them.
fn put_users(out: &mut String, identity: Identity<'_>) {
    let mut first = true;
    for (scheme, id) in identity.iter() {
        let name = match scheme {
            "super" => continue,
            "digest" => id.split(':').next().unwrap_or_default(),
            _ => id,
        };
        if name.trim().is_empty() {
            continue;
        }
        out.push_str(if first { "user=" } else { "," });
        put_value(out, name, FIELD_MAX);
        first = false;
    }
    if !first {
        out.push('\t');
    }
}

/// `ZKUtil.aclToString`, with `x` for digests of passwords, as `getAcl` shows them to others.
fn put_list(out: &mut String, list: AclList<'_>) {
    out.push_str("acl=");
    let start = out.len();
    for acl in list.iter() {
        let room = FIELD_MAX.saturating_sub(out.len() - start);
        put_value(out, acl.scheme, room);
        out.push(':');
        match acl.id.split_once(':').filter(|_| acl.scheme == "digest") {
            Some((name, _)) => {
                put_value(out, name, room);
                out.push_str(":x");
            }
            None => put_value(out, acl.id, room),
        }
        out.push(':');
        for (bit, letter) in [
            (perms::CREATE, 'c'),
            (perms::DELETE, 'd'),
            (perms::READ, 'r'),
            (perms::WRITE, 'w'),
            (perms::ADMIN, 'a'),
        ] {
            if acl.perms & bit != 0 {
                out.push(letter);
            }
        }
        if room == 0 {
            break;
        }
    }
    out.push('\t');
}

/// Nobody writes lines or fields of his own: what is not printable is escaped, what is long is cut.
fn put_value(out: &mut String, value: &str, letters_max: usize) {
    let shown = value.char_indices().nth(letters_max).map_or(value, |(at, _)| &value[..at]);
    if shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        out.push_str(shown);
    } else {
        for letter in shown.chars() {
            match letter {
                '\u{2028}' | '\u{2029}' => out.extend(letter.escape_unicode()),
                _ if letter.is_control() => out.extend(letter.escape_default()),
                _ => out.push(letter),
            }
        }
    }
    if shown.len() < value.len() {
        out.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IdentityBuf;
    use crate::wire::acl::{Acl, put_acls};
    use crate::wire::request::SetAcl;

    fn caller(identity: &IdentityBuf) -> Caller<'_> {
        Caller { session: 0x1f, identity: identity.as_identity() }
    }

    fn body(request: &Request<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        request.encode(&mut body);
        body
    }

    #[test]
    fn digests_of_passwords_stay_out() {
        let mut identity = IdentityBuf::new([10, 0, 0, 1].into());
        identity.add("super", "");
        identity.add("digest", "ann:c2VjcmV0");
        let mut bytes = Vec::new();
        let of_ann = Acl { perms: perms::ALL, scheme: "digest", id: "ann:c2VjcmV0" };
        put_acls(&mut bytes, [of_ann, Acl::OPEN].into_iter());
        let acl = AclList::decode(&mut Reader::new(&bytes)).unwrap();
        let set = body(&Request::SetAcl(SetAcl { path: "/a", acl, version: -1 }));
        let mut audit = Audit::new("zk".to_owned());
        audit.request(caller(&identity), OpCode::SetAcl, &set, Code::Ok, &[]);
        assert_eq!(
            audit.lines,
            "Isession=0x1f\tuser=10.0.0.1,ann\tip=10.0.0.1\toperation=setAcl\tznode=/a\t\
             acl=digest:ann:x:cdrwaworld:anyone:cdrwa\tresult=success\n"
        );
    }

    #[test]
    fn nobody_adds_a_line_or_a_field() {
        let identity = IdentityBuf::new([10, 0, 0, 1].into());
        let path = "/a\nIsession=0x1\tuser=root\u{85}\u{2028}é";
        let create = Create { path, data: None, acl: AclList::OPEN, flags: 0, ttl_ms: 0 };
        let mut audit = Audit::new("zk".to_owned());
        let sent = body(&Request::Create(create));
        audit.request(caller(&identity), OpCode::Create, &sent, Code::BadArguments, &[]);
        assert_eq!(audit.lines.lines().count(), 1);
        assert!(audit.lines.contains(
            "\tznode=/a\\nIsession=0x1\\tuser=root\\u{85}\\u{2028}é\tznode_type=persistent\t"
        ));
        let long = "x".repeat(FIELD_MAX + 1);
        let create = Create { path: &long, data: None, acl: AclList::OPEN, flags: 99, ttl_ms: 0 };
        audit.lines.clear();
        let sent = body(&Request::Create(create));
        audit.request(caller(&identity), OpCode::Create, &sent, Code::BadArguments, &[]);
        assert!(audit.lines.len() < FIELD_MAX + 200 && audit.lines.contains("x…\tresult=failure"));
    }
}
