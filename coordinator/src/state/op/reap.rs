//! deleteContainer: the leader's reaper found a container or TTL znode whose time is over.
//!
//! Between finding and applying anything may have happened, so it is checked again here.

use super::Call;
use crate::state::{Effects, State};
use crate::tree::node::{Kind, NodeId};
use crate::tree::path;
use crate::wire::code::Code;

impl State {
    pub(super) fn reap(
        &mut self,
        call: Call<'_>,
        path: &str,
        effects: &mut Effects,
    ) -> Result<(), Code> {
        if path::is_special(path) {
            return Err(Code::BadArguments);
        }
        let id = self.tree.find(path).ok_or(Code::NoNode)?;
        if self.tree.child_count(id) > 0 {
            return Err(Code::NotEmpty);
        }
        if !self.is_reapable(id, call.stamp.time_ms) {
            return Err(Code::BadVersion);
        }
        self.remove(call, id, path, effects);
        Ok(())
    }

    fn is_reapable(&self, id: NodeId, now_ms: i64) -> bool {
        let fields = self.tree.fields(id);
        let due = match self.tree.kind(id) {
            // One that never had a child may be about to get its first.
            Kind::Container => fields.cversion > 0,
            Kind::Ttl(ttl_ms) => now_ms.saturating_sub(fields.mtime_ms) > ttl_ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        due && self.tree.child_count(id) == 0
    }

    /// Containers and TTL znodes to delete now, at most `limit`.
    pub fn reapable(&self, now_ms: i64, limit: usize) -> Vec<String> {
        let candidates = self.tree.containers().chain(self.tree.ttls().map(|(id, _)| id));
        candidates
            .filter(|id| self.is_reapable(*id, now_ms))
            .take(limit)
            .map(|id| self.tree.path(id))
            .collect()
    }
}
