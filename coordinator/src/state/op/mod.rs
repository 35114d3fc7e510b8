//! One write each, with its checks in the order of ZooKeeper's `PrepRequestProcessor`.

mod check;
mod config;
mod create;
mod delete;
mod multi;
pub(super) mod reap;
pub(super) mod session;
mod set_acl;
mod set_data;

use super::{Effects, Identity, PasswordRule, Stamp, State, Txn};
use crate::tree::node::{NodeId, ROOT};
use crate::tree::path;
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;
use crate::wire::request::Request;

/// What an operation is done with: when, for whom.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    stamp: Stamp,
    session: i64,
    /// Server that serves the session.
    origin: u8,
    identity: Identity<'a>,
}

impl State {
    /// Applies one operation and consumes its zxid, whatever comes out. `origin` is the server
    /// that serves the session. The reply's body is appended to `reply` when the result is
    /// [`Code::Ok`]; a multi that failed is one of these, with a result per operation.
    pub fn apply(
        &mut self,
        stamp: Stamp,
        origin: u8,
        txn: &Txn<'_>,
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Code {
        self.last_zxid = stamp.zxid;
        self.last_time_ms = self.last_time_ms.max(stamp.time_ms);
        let call = Call { stamp, session: txn.session, origin, identity: txn.identity };
        match self.execute(call, txn.op, txn.body, effects, reply) {
            Ok(()) => Code::Ok,
            Err(code) => code,
        }
    }

    fn execute(
        &mut self,
        call: Call<'_>,
        op: OpCode,
        body: &[u8],
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        // ZooKeeper decodes these before it looks at the session, the others after.
        let decoded_first = matches!(
            op,
            OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Multi
        );
        let about_sessions =
            matches!(op, OpCode::CreateSession | OpCode::AttachSession | OpCode::CloseSession);
        if !op.is_write() {
            return Err(Code::Unimplemented);
        }
        if op == OpCode::Reconfig {
            return self.reconfig(call, body, effects, reply);
        }
        if !decoded_first && !about_sessions {
            self.check_session(call.session, call.origin)?;
        }
        match Request::decode(op, body).map_err(|_| Code::MarshallingError)? {
            Request::Create(request)
            | Request::Create2(request)
            | Request::CreateContainer(request)
            | Request::CreateTtl(request) => {
                let kind = create::Mode::of(op, &request, call.session, false)?;
                self.check_session(call.session, call.origin)?;
                self.create(call, &request, kind, op, effects, reply)
            }
            Request::Delete(request) => self.delete(call, &request, effects),
            Request::DeleteContainer(path) => self.reap(call, path, effects),
            Request::SetData(request) => self.set_data(call, &request, effects, reply),
            Request::SetAcl(request) => self.set_acl(call, &request, reply),
            Request::Check(request) => self.check(call, &request),
            Request::Multi(multi) => {
                self.check_session(call.session, call.origin)?;
                self.multi(call, &multi, effects, reply);
                Ok(())
            }
            Request::CreateSession { timeout_ms } => {
                self.create_session(call, timeout_ms, PasswordRule::of_body(body));
                Ok(())
            }
            Request::AttachSession { timeout_ms } => {
                self.attach_session(call, timeout_ms, PasswordRule::of_body(body))
            }
            Request::CloseSession => self.close_session(call, body, effects),
            _ => Err(Code::Unimplemented),
        }
    }

    fn permit(&self, call: Call<'_>, id: NodeId, perms: i32) -> Result<(), Code> {
        super::permission::check(&self.tree.acls, self.tree.acl(id), perms, call.identity)
    }

    /// Removes a znode that may go, and tells.
    fn remove(&mut self, call: Call<'_>, id: NodeId, path: &str, effects: &mut Effects) {
        let bytes = self.tree.data_len(id);
        // Its list may go with it.
        if effects.wanted {
            let parent = self.tree.find(path::parent(path)).unwrap_or(ROOT);
            let [readers, of_parent] = [id, parent]
                .map(|id| super::permission::readers(&self.tree.acls, self.tree.acl(id)));
            effects.deleted(path, readers, of_parent);
        }
        self.tree.remove(id, call.stamp.zxid);
        self.quotas.deleted(&mut self.tree, path, bytes);
    }
}

/// −1 is any version.
fn check_version(wanted: i32, is: i32) -> Result<(), Code> {
    if wanted == -1 || wanted == is { Ok(()) } else { Err(Code::BadVersion) }
}
