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

    /// Goes on with a look at the containers and TTL znodes, some at a time: at most `looked_max` of
    /// them, until `found_max` are to be deleted now. Each found is the body of a deleteContainer.
    /// Containers that never had a child go after `never_used_ms`, if given. `None` in `at`: all
    /// have been looked at.
    pub fn reapable(
        &self,
        at: &mut Option<ReapCursor>,
        now_ms: i64,
        never_used_ms: Option<i64>,
        looked_max: usize,
        found_max: usize,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let mut looked = 0;
        while let Some(cursor) = at
            && looked < looked_max
            && found.len() < found_max
        {
            let next = if cursor.ttls {
                self.tree.ttl_from(cursor.from)
            } else {
                self.tree.container_from(cursor.from)
            };
            looked += 1;
            let Some(id) = next else {
                *at = (!cursor.ttls).then_some(ReapCursor { ttls: true, from: 0 });
                continue;
            };
            cursor.from = id + 1;
            if self.is_reapable(id, now_ms, never_used_ms) {
                let path = self.tree.path(id);
                found.push(match never_used_ms {
                    Some(ms) => format!("{path}\0{ms}"),
                    None => path,
                });
            }
        }
        found
    }
}

/// Where a look at the containers, and then at the TTL znodes, goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReapCursor {
    ttls: bool,
    from: NodeId,
}
