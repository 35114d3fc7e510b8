//! Reads: answered from the tree into the caller's buffer, without allocating.

use super::admission::MULTI_OPS_MAX;
use super::identity::Identity;
use super::watch::WatchKind;
use super::{State, permission};
use crate::tree::node::NodeId;
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::jute::{put_buffer, put_int, put_string};
use crate::wire::multi::{Multi, put_end, put_result_error, put_result_header};
use crate::wire::opcode::OpCode;
use crate::wire::request::{Read, Request};

/// The longest reply. One that would be longer is an error: building it would keep everybody waiting,
/// and no client with the usual `jute.maxbuffer` would take it.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// Ephemerals of one session that can be listed.
const EPHEMERALS_MAX: usize = 50_000;

/// A watch the read asks for; registered before anything else is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchRequest<'b> {
    pub path: &'b str,
    pub kind: WatchKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadResult<'b> {
    pub code: Code,
    /// exists asks for one on a missing znode too.
    pub watch: Option<WatchRequest<'b>>,
}

impl State {
    /// The body is appended to `reply` only if the code is [`Code::Ok`].
    pub fn read<'b>(
        &self,
        session: i64,
        identity: Identity<'_>,
        op: OpCode,
        body: &'b [u8],
        reply: &mut Vec<u8>,
    ) -> ReadResult<'b> {
        let mut watch = None;
        let code = match Request::decode(op, body) {
            Err(_) => Err(Code::MarshallingError),
            Ok(request) => {
                let done = self.answer(session, identity, &request, reply);
                watch = watch_wanted(&request, done);
                done
            }
        };
        ReadResult { code: code.err().unwrap_or(Code::Ok), watch }
    }

    /// About how many bytes the answer to a read would have now.
    pub fn answer_bytes(&self, op: OpCode, body: &[u8]) -> usize {
        Request::decode(op, body).map_or(0, |request| self.length(&request))
    }

    fn length(&self, request: &Request<'_>) -> usize {
        /// Of a child's name, with its length.
        const CHILD_BYTES: usize = 20;
        match request {
            Request::GetData(read) => {
                self.tree.find(read.path).map_or(0, |id| self.tree.data_len(id))
            }
            Request::GetChildren(read) | Request::GetChildren2(read) => {
                let children = self.tree.find(read.path).map_or(0, |id| self.tree.child_count(id));
                (children * CHILD_BYTES).min(REPLY_BYTES_MAX)
            }
            Request::MultiRead(multi) => {
                let parts = multi.iter().take(MULTI_OPS_MAX);
                parts.map(|part| self.length(&part.request)).sum::<usize>().min(REPLY_BYTES_MAX)
            }
            _ => 0,
        }
    }

    fn answer(
        &self,
        session: i64,
        identity: Identity<'_>,
        request: &Request<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), Code> {
        match request {
            Request::Exists(read) => self.exists(read.path, reply),
            Request::GetData(read) => self.get_data(identity, read.path, reply),
            Request::GetChildren(read) => self.get_children(identity, read.path, reply).map(|_| ()),
            Request::GetChildren2(read) => {
                let id = self.get_children(identity, read.path, reply)?;
                self.tree.stat(id).encode(reply);
                Ok(())
            }
            Request::GetAcl(path) => self.get_acl(identity, path, reply),
            Request::GetEphemerals(prefix) => self.get_ephemerals(session, prefix, reply),
            Request::GetAllChildrenNumber(path) => {
                let id = self.readable(identity, path)?;
                put_int(reply, self.tree.descendants(id) as i32);
                Ok(())
            }
            Request::MultiRead(multi) if multi.len() > MULTI_OPS_MAX => Err(Code::BadArguments),
            Request::MultiRead(multi) => {
                self.multi_read(identity, multi, reply);
                Ok(())
            }
            Request::WhoAmI => {
                who_am_i(identity, reply);
                Ok(())
            }
            _ => Err(Code::Unimplemented),
        }
    }

    /// No permission is needed, as in ZooKeeper.
    fn exists(&self, path: &str, reply: &mut Vec<u8>) -> Result<(), Code> {
        if path.contains('\0') {
            return Err(Code::BadArguments);
        }
        let id = self.tree.find(path).ok_or(Code::NoNode)?;
        self.tree.stat(id).encode(reply);
        Ok(())
    }

    fn get_data(
        &self,
        identity: Identity<'_>,
        path: &str,
        reply: &mut Vec<u8>,
    ) -> Result<(), Code> {
        let id = self.readable(identity, path)?;
        put_buffer(reply, self.tree.data(id));
        self.tree.stat(id).encode(reply);
        Ok(())
    }

    fn get_children(
        &self,
        identity: Identity<'_>,
        path: &str,
        reply: &mut Vec<u8>,
    ) -> Result<NodeId, Code> {
        let id = self.readable(identity, path)?;
        let end = reply.len() + REPLY_BYTES_MAX;
        put_int(reply, self.tree.child_count(id) as i32);
        for child in self.tree.children(id) {
            put_buffer(reply, Some(self.tree.name(child)));
            // What is too long stays in the buffer, for the caller to see and to take back.
            if reply.len() > end {
                return Err(Code::SystemError);
            }
        }
        Ok(id)
    }

    fn get_acl(&self, identity: Identity<'_>, path: &str, reply: &mut Vec<u8>) -> Result<(), Code> {
        let id = self.tree.find(path).ok_or(Code::NoNode)?;
        let (acls, acl) = (&self.tree.acls, self.tree.acl(id));
        permission::check(acls, acl, perms::READ | perms::ADMIN, identity)?;
        if permission::check(acls, acl, perms::ADMIN, identity).is_ok() {
            reply.extend_from_slice(acls.bytes(acl));
        } else {
            let mut buffer = String::new();
            put_int(reply, acls.list(acl).count() as i32);
            for entry in acls.list(acl) {
                permission::masked(entry, &mut buffer).encode(reply);
            }
        }
        self.tree.stat(id).encode(reply);
        Ok(())
    }

    fn get_ephemerals(&self, session: i64, prefix: &str, reply: &mut Vec<u8>) -> Result<(), Code> {
        if self.tree.ephemerals_of(session).take(EPHEMERALS_MAX + 1).count() > EPHEMERALS_MAX {
            return Err(Code::SystemError);
        }
        let mut paths = self.ephemerals_of(session);
        paths.retain(|path| path.starts_with(prefix));
        put_int(reply, paths.len() as i32);
        for path in &paths {
            put_string(reply, path);
        }
        Ok(())
    }

    /// Each on its own: one that fails does not stop the others. Once the reply is as long as a reply
    /// may be, all that come fail.
    fn multi_read(&self, identity: Identity<'_>, multi: &Multi<'_>, reply: &mut Vec<u8>) {
        let end = reply.len() + REPLY_BYTES_MAX;
        let mut full = false;
        for part in multi.iter() {
            let start = reply.len();
            put_result_header(reply, part.op);
            let done = match part.request {
                _ if full => Err(Code::SystemError),
                Request::GetData(read) => self.get_data(identity, read.path, reply),
                Request::GetChildren(read) => {
                    self.get_children(identity, read.path, reply).map(|_| ())
                }
                _ => Err(Code::MarshallingError),
            };
            full |= reply.len() > end;
            if let Err(code) = done {
                reply.truncate(start);
                put_result_error(reply, code);
            }
        }
        put_end(reply);
    }

    fn readable(&self, identity: Identity<'_>, path: &str) -> Result<NodeId, Code> {
        let id = self.tree.find(path).ok_or(Code::NoNode)?;
        permission::check(&self.tree.acls, self.tree.acl(id), perms::READ, identity)?;
        Ok(id)
    }
}

fn watch_wanted<'b>(request: &Request<'b>, done: Result<(), Code>) -> Option<WatchRequest<'b>> {
    let (read, kind): (&Read<'b>, _) = match request {
        Request::Exists(read) => (read, WatchKind::Data),
        Request::GetData(read) if done.is_ok() => (read, WatchKind::Data),
        Request::GetChildren(read) | Request::GetChildren2(read) if done.is_ok() => {
            (read, WatchKind::Child)
        }
        _ => return None,
    };
    let answered = matches!(done, Ok(()) | Err(Code::NoNode));
    (read.watch && answered).then_some(WatchRequest { path: read.path, kind })
}

/// (scheme, user): the user of a digest is what stands before the colon.
fn who_am_i(identity: Identity<'_>, reply: &mut Vec<u8>) {
    put_int(reply, identity.iter().count() as i32);
    for (scheme, id) in identity.iter() {
        let user = match scheme {
            "digest" => id.split(':').next().unwrap_or_default(),
            "super" => "",
            _ => id,
        };
        put_string(reply, scheme);
        put_string(reply, user);
    }
}
