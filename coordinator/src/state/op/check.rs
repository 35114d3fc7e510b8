//! check: a version as a condition, mostly inside a multi.

use super::{Call, check_version};
use crate::state::State;
use crate::tree::path;
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::request::PathVersion;

impl State {
    pub(super) fn check(&self, call: Call<'_>, request: &PathVersion<'_>) -> Result<(), Code> {
        if !path::is_valid(request.path) {
            return Err(Code::BadArguments);
        }
        let id = self.tree.find(request.path).ok_or(Code::NoNode)?;
        self.permit(call, id, perms::READ)?;
        check_version(request.version, self.tree.fields(id).version)
    }
}
