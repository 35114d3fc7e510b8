//! setACL: moves aversion and nothing else, and no watch fires.

use super::{Call, check_version};
use crate::state::State;
use crate::state::permission::{self, Fit};
use crate::tree::{acl, path};
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::request::SetAcl;

impl State {
    pub(super) fn set_acl(
        &mut self,
        call: Call<'_>,
        request: &SetAcl<'_>,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        if !path::is_valid(request.path) {
            return Err(Code::BadArguments);
        }
        let level = self.cluster.level;
        let fit = permission::fix(request.acl, call.identity, level, &mut self.scratch.acl)?;
        let id = self.tree.find(request.path).ok_or(Code::NoNode)?;
        self.permit(call, id, perms::ADMIN)?;
        check_version(request.version, self.tree.fields(id).aversion)?;
        let list = match fit {
            Fit::Open => acl::OPEN,
            Fit::Written => self.tree.acls.intern(&self.scratch.acl),
        };
        self.tree.set_acl(id, list);
        if let Some(reply) = reply {
            self.tree.stat(id).encode(reply);
        }
        Ok(())
    }
}
