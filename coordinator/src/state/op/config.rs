//! reconfig: refused to clients, and the way in which the server publishes its members.

use super::Call;
use crate::state::{Effects, State, permission};
use crate::wire::code::Code;
use crate::wire::jute::put_buffer;

const CONFIG: &str = "/zookeeper/config";

impl State {
    /// From the server itself (session 0) the whole body becomes the data of
    /// `/zookeeper/config`, whose version is −1 for ever, as in an ensemble of ZooKeeper's.
    pub(super) fn reconfig(
        &mut self,
        call: Call<'_>,
        body: &[u8],
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        if call.session != 0 {
            self.check_session(call.session, call.origin)?;
            return Err(Code::ReconfigDisabled);
        }
        let id = self.tree.find(CONFIG).ok_or(Code::NoNode)?;
        self.tree.set_data(id, Some(body), call.stamp.zxid, call.stamp.time_ms);
        let aversion = self.tree.fields(id).aversion;
        self.tree.set_versions(id, -1, aversion);
        let readers = permission::readers(&self.tree.acls, self.tree.acl(id));
        effects.data_changed(CONFIG, readers);
        if let Some(reply) = reply {
            put_buffer(reply, Some(body));
            self.tree.stat(id).encode(reply);
        }
        Ok(())
    }
}
