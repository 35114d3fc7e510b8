//! deleteContainer: the leader's reaper found a container or TTL znode whose time is over.
//!
//! Between finding and applying anything may have happened, so it is checked again here. What the
//! leader's configuration says of containers that never had a child stands in the log with the
//! path: members may be configured otherwise.

use super::Call;
use crate::state::{Effects, State};
use crate::tree::node::{Kind, NodeId};
use crate::tree::path;
use crate::wire::code::Code;

impl State {
    pub(super) fn reap(
        &mut self,
        call: Call<'_>,
        body: &str,
        effects: &mut Effects,
    ) -> Result<(), Code> {
        let (path, never_used_ms) = match body.split_once('\0') {
            Some((path, ms)) => (path, ms.parse().ok()),
            None => (body, None),
        };
        if path::is_special(path) {
            return Err(Code::BadArguments);
        }
        let id = self.tree.find(path).ok_or(Code::NoNode)?;
        if self.tree.child_count(id) > 0 {
            return Err(Code::NotEmpty);
        }
        if !self.is_reapable(id, call.stamp.time_ms, never_used_ms) {
            return Err(Code::BadVersion);
        }
        self.remove(call, id, path, effects);
        Ok(())
    }

    fn is_reapable(&self, id: NodeId, now_ms: i64, never_used_ms: Option<i64>) -> bool {
        let fields = self.tree.fields(id);
        let age_ms = now_ms.saturating_sub(fields.mtime_ms);
        let due = match self.tree.kind(id) {
            // One that never had a child may be about to get its first.
            Kind::Container => fields.cversion > 0 || never_used_ms.is_some_and(|ms| age_ms > ms),
            Kind::Ttl(ttl_ms) => age_ms > ttl_ms,
            Kind::Persistent | Kind::Ephemeral(_) => false,
        };
        due && self.tree.child_count(id) == 0
    }

    /// Containers and TTL znodes to delete now, at most `limit`, each as the body of a
    /// deleteContainer. Containers that never had a child go after `never_used_ms`, if given.
    pub fn reapable(&self, now_ms: i64, never_used_ms: Option<i64>, limit: usize) -> Vec<String> {
        let body = |path: String| match never_used_ms {
            Some(ms) => format!("{path}\0{ms}"),
            None => path,
        };
        let candidates = self.tree.containers().chain(self.tree.ttls().map(|(id, _)| id));
        candidates
            .filter(|id| self.is_reapable(*id, now_ms, never_used_ms))
            .take(limit)
            .map(|id| body(self.tree.path(id)))
            .collect()
    }
}
