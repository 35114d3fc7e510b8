//! create, create2, createContainer, createTTL: `PrepRequestProcessor.pRequest2TxnCreate`.

use super::Call;
use crate::state::permission::{self, Fit};
use crate::state::{Effects, State};
use crate::tree::node::{Kind, NAME_BYTES_MAX};
use crate::tree::{NewNode, acl, path};
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::jute::put_string;
use crate::wire::opcode::OpCode;
use crate::wire::request::{Create, create_mode};
use std::fmt::Write as _;

/// 40 bits of milliseconds: what ZooKeeper's `EphemeralType.TTL` can hold.
const TTL_MS_MAX: i64 = 0xff_ffff_ffff;

/// What flags and operation ask for together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    kind: Kind,
    sequential: bool,
}

impl Mode {
    /// `CreateMode.fromFlag` and `EphemeralType.validateTTL`. Whether znodes with a TTL are
    /// allowed at all was decided before the operation came into the log.
    pub(super) fn of(
        op: OpCode,
        request: &Create<'_>,
        session: i64,
        in_multi: bool,
    ) -> Result<Self, Code> {
        let flags = request.flags;
        let sequential = matches!(
            flags,
            create_mode::PERSISTENT_SEQUENTIAL
                | create_mode::EPHEMERAL_SEQUENTIAL
                | create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL
        );
        let kind = match flags {
            create_mode::EPHEMERAL | create_mode::EPHEMERAL_SEQUENTIAL => Kind::Ephemeral(session),
            create_mode::CONTAINER if in_multi => Kind::Container,
            // Outside a multi ZooKeeper goes by the operation and not by this flag.
            create_mode::PERSISTENT
            | create_mode::PERSISTENT_SEQUENTIAL
            | create_mode::CONTAINER => Kind::Persistent,
            create_mode::PERSISTENT_WITH_TTL | create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL => {
                Kind::Ttl(request.ttl_ms)
            }
            _ => return Err(Code::BadArguments),
        };
        let kind = match (op, kind) {
            (OpCode::CreateTtl, Kind::Ttl(ms)) if (1..=TTL_MS_MAX).contains(&ms) => kind,
            (OpCode::CreateTtl, _) | (_, Kind::Ttl(_)) => return Err(Code::BadArguments),
            (OpCode::CreateContainer, _) => Kind::Container,
            // The server has no session that an ephemeral could live in.
            (_, Kind::Ephemeral(0)) => return Err(Code::SessionExpired),
            _ => kind,
        };
        Ok(Self { kind, sequential })
    }
}

impl State {
    pub(super) fn create(
        &mut self,
        call: Call<'_>,
        request: &Create<'_>,
        mode: Mode,
        op: OpCode,
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        let (parent_path, _) = path::split(request.path).ok_or(Code::BadArguments)?;
        if request.path.contains('\0') {
            return Err(Code::BadArguments);
        }
        let level = self.cluster.level;
        let fit = permission::fix(request.acl, call.identity, level, &mut self.scratch.acl)?;
        let parent = self.tree.find(parent_path).ok_or(Code::NoNode)?;
        self.permit(call, parent, perms::CREATE)?;
        let mut full = std::mem::take(&mut self.scratch.path);
        full.clear();
        full.push_str(request.path);
        if mode.sequential {
            let _ = write!(full, "{:010}", self.tree.fields(parent).cversion);
        }
        let done = self.create_at(call, request, mode, &full, parent, fit);
        if let Ok(id) = done {
            self.quotas.created(&mut self.tree, &full, request.data.map_or(0, <[u8]>::len));
            let acls = &self.tree.acls;
            let readers = permission::readers(acls, self.tree.acl(id));
            effects.created(&full, readers, permission::readers(acls, self.tree.acl(parent)));
            if let Some(reply) = reply {
                put_string(reply, &full);
                if op != OpCode::Create {
                    self.tree.stat(id).encode(reply);
                }
            }
        }
        self.scratch.path = full;
        done.map(|_| ())
    }

    fn create_at(
        &mut self,
        call: Call<'_>,
        request: &Create<'_>,
        mode: Mode,
        full: &str,
        parent: u32,
        fit: Fit,
    ) -> Result<u32, Code> {
        let name = full.rsplit('/').next().unwrap_or_default();
        if !path::is_valid(full) || name.len() > NAME_BYTES_MAX {
            return Err(Code::BadArguments);
        }
        if name.is_empty() || self.tree.child(parent, name).is_some() {
            return Err(Code::NodeExists);
        }
        if matches!(self.tree.kind(parent), Kind::Ephemeral(_)) {
            return Err(Code::NoChildrenForEphemerals);
        }
        let bytes = request.data.map_or(0, <[u8]>::len) as i64;
        self.quotas.check(&self.tree, full, bytes, 1)?;
        let acl = match fit {
            Fit::Open => acl::OPEN,
            Fit::Written => self.tree.acls.intern(&self.scratch.acl),
        };
        Ok(self.tree.insert(&NewNode {
            parent,
            name,
            data: request.data,
            acl,
            kind: mode.kind,
            zxid: call.stamp.zxid,
            time_ms: call.stamp.time_ms,
        }))
    }
}
