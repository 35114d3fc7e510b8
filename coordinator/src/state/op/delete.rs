//! delete.

use super::{Call, check_version};
use crate::state::{Effects, State};
use crate::tree::path;
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::request::PathVersion;

impl State {
    pub(super) fn delete(
        &mut self,
        call: Call<'_>,
        request: &PathVersion<'_>,
        effects: &mut Effects,
    ) -> Result<(), Code> {
        let (parent_path, name) = path::split(request.path).ok_or(Code::BadArguments)?;
        if request.path.contains('\0') || path::is_special(request.path) {
            return Err(Code::BadArguments);
        }
        let parent = self.tree.find(parent_path).ok_or(Code::NoNode)?;
        self.permit(call, parent, perms::DELETE)?;
        // "//a" names no znode, though its parent is found.
        let id = if parent_path == "/" { None } else { self.tree.child(parent, name) };
        let id = id.ok_or(Code::NoNode)?;
        check_version(request.version, self.tree.fields(id).version)?;
        if self.tree.child_count(id) > 0 {
            return Err(Code::NotEmpty);
        }
        self.remove(call, id, request.path, effects);
        Ok(())
    }
}
