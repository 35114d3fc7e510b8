//! The life of a session, through the log like any other write.

use super::Call;
use crate::state::cluster::PARTED_ENDS;
use crate::state::{Effects, PasswordRule, Session, State};
use crate::tree::node::{Kind, NodeId};
use crate::wire::code::Code;
use crate::wire::jute::{Reader, Strings, put_strings};

/// So many ephemerals go in one operation, some milliseconds' work; more in parts.
const PART_ZNODES: usize = 1000;
/// Bytes of paths in a part.
const PART_BYTES: usize = 64 << 10;

impl State {
    pub(super) fn create_session(
        &mut self,
        call: Call<'_>,
        timeout_ms: i32,
        password: PasswordRule,
    ) {
        let session = Session { timeout_ms, origin: call.origin, password };
        self.sessions.insert(call.session, session);
    }

    /// The client came back through another server, or with another timeout.
    /// `proof` is the rule by which its password was right: one that anybody can compute is none
    /// for a session of another rule.
    pub(super) fn attach_session(
        &mut self,
        call: Call<'_>,
        timeout_ms: i32,
        proof: PasswordRule,
    ) -> Result<(), Code> {
        let session = *self.sessions.get(call.session).ok_or(Code::SessionExpired)?;
        if proof == PasswordRule::Zookeeper && session.password != proof {
            return Err(Code::SessionExpired);
        }
        let session = Session { timeout_ms, origin: call.origin, ..session };
        self.sessions.insert(call.session, session);
        Ok(())
    }

    /// Closed by its client or expired. Its ephemerals go with it, in the order of their paths;
    /// where they are many, in parts that the leader names. Who serves it is not checked: expiry does
    /// not, and a close is a session's last word.
    pub(super) fn close_session(
        &mut self,
        call: Call<'_>,
        body: &[u8],
        effects: &mut Effects,
    ) -> Result<(), Code> {
        if self.sessions.remove(call.session).is_none() {
            return self.end_part(call, body, effects);
        }
        effects.closed.push(call.session);
        if self.ends_in_parts(call.session) {
            return Ok(());
        }
        for path in self.ephemerals_of(call.session) {
            if let Some(id) = self.tree.find(&path) {
                self.remove(call, id, &path, effects);
            }
        }
        Ok(())
    }

    fn ends_in_parts(&self, session: i64) -> bool {
        let count = self.tree.ephemerals_of(session).take(PART_ZNODES + 1).count();
        self.cluster.level >= PARTED_ENDS && count > PART_ZNODES
    }

    /// Which ephemerals a close of this session, with this body, removes.
    pub fn ephemerals_that_end(&self, session: i64, body: &[u8]) -> Vec<String> {
        if self.session(session).is_none() {
            let named = Strings::decode(&mut Reader::new(body)).unwrap_or(Strings::EMPTY);
            let own = named.iter().filter(|path| self.owned(session, path).is_some());
            return own.map(str::to_owned).collect();
        }
        if self.ends_in_parts(session) { Vec::new() } else { self.ephemerals_of(session) }
    }

    /// The znode at a path, where it is an ephemeral of this session.
    fn owned(&self, session: i64, path: &str) -> Option<NodeId> {
        self.tree.find(path).filter(|id| self.tree.kind(*id) == Kind::Ephemeral(session))
    }

    /// Ephemerals of a session that has ended before.
    fn end_part(&mut self, call: Call<'_>, body: &[u8], effects: &mut Effects) -> Result<(), Code> {
        let paths = match Strings::decode(&mut Reader::new(body)) {
            Ok(paths) if self.cluster.level >= PARTED_ENDS => paths,
            _ => return Err(Code::SessionExpired),
        };
        let mut result = Err(Code::SessionExpired);
        for path in paths.iter() {
            if let Some(id) = self.owned(call.session, path) {
                self.remove(call, id, path, effects);
                result = Ok(());
            }
        }
        result
    }

    /// The body of an operation that removes some of what a session that has ended has left; `None`
    /// when nothing is left. Which ones is the leader's choice: all servers find them by their paths.
    pub fn part_of_end(&self, session: i64) -> Option<Vec<u8>> {
        let (mut paths, mut bytes) = (Vec::new(), 0);
        for id in self.tree.ephemerals_of(session).take(PART_ZNODES) {
            let path = self.tree.path(id);
            bytes += path.len();
            paths.push(path);
            if bytes >= PART_BYTES {
                break;
            }
        }
        if paths.is_empty() {
            return None;
        }
        let mut body = Vec::new();
        put_strings(&mut body, paths.iter().map(String::as_str));
        Some(body)
    }

    /// Sessions that have ended and have left ephemerals, in ascending order.
    pub fn ended_sessions_with_ephemerals(&self) -> Vec<i64> {
        let owners = self.tree.owning_sessions();
        let mut ended: Vec<i64> = owners.filter(|id| self.session(*id).is_none()).collect();
        ended.sort_unstable();
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{IdentityBuf, Stamp, Txn};
    use crate::wire::acl::AclList;
    use crate::wire::opcode::OpCode;
    use crate::wire::request::{Create, Request, create_mode};

    fn apply(state: &mut State, session: i64, op: OpCode, body: &[u8]) -> Code {
        let identity = IdentityBuf::superuser();
        let txn = Txn { session, identity: identity.as_identity(), op, body };
        let stamp = Stamp { zxid: state.last_zxid() + 1, time_ms: 0 };
        state.apply(stamp, 1, &txn, &mut Effects::new(false), None)
    }

    fn create(state: &mut State, session: i64, path: &str, flags: i32) {
        let mut body = Vec::new();
        Request::Create(Create { path, data: None, acl: AclList::OPEN, flags, ttl_ms: 0 })
            .encode(&mut body);
        assert_eq!(apply(state, session, OpCode::Create, &body), Code::Ok, "{path}");
    }

    #[test]
    fn a_part_takes_and_names_what_the_ended_session_owns_and_nothing_else() {
        let mut state = State::new();
        state.cluster_mut().level = PARTED_ENDS;
        for session in [1, 2] {
            assert_eq!(apply(&mut state, session, OpCode::CreateSession, &[0; 4]), Code::Ok);
        }
        create(&mut state, 2, "/kept", create_mode::PERSISTENT);
        create(&mut state, 2, "/another", create_mode::EPHEMERAL);
        for at in 0..=PART_ZNODES {
            create(&mut state, 1, &format!("/e{at}"), create_mode::EPHEMERAL);
        }
        assert_eq!(state.ephemerals_that_end(1, &[]), [""; 0], "its end alone takes none");
        assert_eq!(apply(&mut state, 1, OpCode::CloseSession, &[]), Code::Ok);
        let mut part = Vec::new();
        put_strings(&mut part, ["/kept", "/another", "/e7", "/gone"].into_iter());
        assert_eq!(state.ephemerals_that_end(1, &part), ["/e7"]);
        assert_eq!(apply(&mut state, 1, OpCode::CloseSession, &part), Code::Ok);
        assert!(state.tree().find("/kept").is_some() && state.tree().find("/another").is_some());
        assert_eq!(state.tree().find("/e7"), None);
        assert_eq!(state.ephemerals_that_end(1, &part), [""; 0]);
        assert_eq!(apply(&mut state, 1, OpCode::CloseSession, &part), Code::SessionExpired);
        let rest = state.part_of_end(1).expect("a thousand are left");
        assert_eq!(state.ephemerals_that_end(1, &rest).len(), PART_ZNODES);
        assert_eq!(apply(&mut state, 1, OpCode::CloseSession, &rest), Code::Ok);
        assert_eq!(state.part_of_end(1), None);
        assert_eq!(state.ended_sessions_with_ephemerals(), [0i64; 0]);
    }
}
