//! reconfig: clients ask for other members, and the server itself says who they are.

use super::Call;
use crate::state::members::{self, Membership};
use crate::state::{Effects, State, permission};
use crate::wire::acl::perms;
use crate::wire::code::Code;
use crate::wire::jute::put_buffer;
use crate::wire::opcode::OpCode;
use crate::wire::request::Request;

const CONFIG: &str = "/zookeeper/config";
/// What the leader's list ends with where the version is to be the zxid at hand.
const FROM_HERE: &str = "version=";

impl State {
    /// From the server itself (session 0): an empty body makes present what is pending, a text
    /// that ends with `version=` begins the ensemble's own list, any other becomes the data of
    /// `/zookeeper/config`, whose version is −1 for ever, as in an ensemble of ZooKeeper's.
    pub(super) fn reconfig(
        &mut self,
        call: Call<'_>,
        body: &[u8],
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        if call.session != 0 {
            return self.ask_for_members(call, body);
        }
        if body.is_empty() {
            let membership = self.cluster.membership.as_mut().ok_or(Code::NoNode)?;
            membership.present = membership.pending.take().ok_or(Code::NoNode)?;
            membership.version = call.stamp.zxid;
            let text = membership.text();
            return self.publish(call, text.as_bytes(), effects, reply);
        }
        if !body.ends_with(FROM_HERE.as_bytes()) {
            return self.publish(call, body, effects, reply);
        }
        if self.cluster.membership.is_some() {
            return Err(Code::BadVersion);
        }
        let present = std::str::from_utf8(body).ok().and_then(members::read);
        let present = present.ok_or(Code::BadArguments)?;
        let membership = Membership { present, version: call.stamp.zxid, pending: None };
        let text = membership.text();
        self.cluster.membership = Some(membership);
        self.publish(call, text.as_bytes(), effects, reply)
    }

    /// A client's request: it becomes pending, and is answered when it is present.
    fn ask_for_members(&mut self, call: Call<'_>, body: &[u8]) -> Result<(), Code> {
        let Ok(Request::Reconfig(request)) = Request::decode(OpCode::Reconfig, body) else {
            return Err(Code::MarshallingError);
        };
        if !self.terms.enabled {
            return Err(Code::ReconfigDisabled);
        }
        self.check_session(call.session, call.origin)?;
        if self.terms.alone {
            return Err(Code::Unimplemented);
        }
        // The first leader has not written the first list yet.
        let membership = self.cluster.membership.as_ref().ok_or(Code::ReconfigInProgress)?;
        let next = members::asked(membership, &request, &self.terms)?;
        let id = self.tree.find(CONFIG).ok_or(Code::NoNode)?;
        self.permit(call, id, perms::WRITE)?;
        let next = members::fit(&next)?;
        let membership = self.cluster.membership.as_mut().ok_or(Code::ReconfigDisabled)?;
        membership.pending = Some(next);
        Ok(())
    }

    fn publish(
        &mut self,
        call: Call<'_>,
        text: &[u8],
        effects: &mut Effects,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<(), Code> {
        let id = self.tree.find(CONFIG).ok_or(Code::NoNode)?;
        self.tree.set_data(id, Some(text), call.stamp.zxid, call.stamp.time_ms);
        let aversion = self.tree.fields(id).aversion;
        self.tree.set_versions(id, -1, aversion);
        let readers = permission::readers(&self.tree.acls, self.tree.acl(id));
        effects.data_changed(CONFIG, readers);
        if let Some(reply) = reply {
            put_buffer(reply, Some(text));
            self.tree.stat(id).encode(reply);
        }
        Ok(())
    }
}
