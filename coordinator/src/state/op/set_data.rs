//! setData.

use super::{Call, check_version};
use crate::state::{Effects, State, permission};
use crate::tree::path;
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::request::SetData;

impl State {
    pub(super) fn set_data(
        &mut self,
        call: Call<'_>,
        request: &SetData<'_>,
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        if !path::is_valid(request.path) {
            return Err(Code::BadArguments);
        }
        let id = self.tree.find(request.path).ok_or(Code::NoNode)?;
        self.permit(call, id, perms::WRITE)?;
        let before = self.tree.data_len(id);
        // Before the version, as in `PrepRequestProcessor`.
        let more = request.data.map_or(0, <[u8]>::len) as i64 - before as i64;
        self.quotas.check(&self.tree, request.path, more, 0)?;
        check_version(request.version, self.tree.fields(id).version)?;
        self.tree.set_data(id, request.data, call.stamp.zxid, call.stamp.time_ms);
        let after = self.tree.data_len(id);
        self.quotas.resized(&mut self.tree, request.path, before, after);
        let readers = permission::readers(&self.tree.acls, self.tree.acl(id));
        effects.data_changed(request.path, readers);
        if let Some(reply) = reply {
            self.tree.stat(id).encode(reply);
        }
        Ok(())
    }
}
