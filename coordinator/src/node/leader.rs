//! What the leader writes on its own account: the ends of silent sessions, deletions of containers
//! and TTL nodes, and who the members are.

use super::entry::Segment;
use super::{Level, Node};
use crate::state::{IdentityBuf, Txn};
use crate::wire::opcode::OpCode;

/// The leader's own operations go into the log in segments of about this size.
const SEGMENT_BYTES: usize = 32 << 10;
/// Where clients read who the members are.
const CONFIG_PATH: &str = "/zookeeper/config";

impl Node {
    /// A new leader gives every session its full timeout.
    pub(super) fn track_all_sessions(&mut self) {
        let expiry = &mut self.sessions.expiry;
        expiry.clear();
        for (id, session) in self.state.sessions() {
            expiry.track(id, session.timeout_ms as u64, self.clocks.attentive_ms());
        }
    }

    /// Closes the sessions that nobody has heard from.
    pub(super) fn expire_sessions(&mut self) {
        if !self.sessions.expiry.is_due(self.clocks.attentive_ms()) {
            return;
        }
        // What this server has heard since it last counted.
        self.report();
        let expired = self.sessions.expiry.take_expired(self.clocks.attentive_ms());
        if expired.is_empty() {
            return;
        }
        // Other servers may have applied the end before this one has it on disk.
        for &session in &expired {
            self.close_session_here(session);
        }
        self.stats.sessions_expired += expired.len() as u64;
        for session in &expired {
            self.log(Level::Info, &format!("session {session:#x} has expired"));
        }
        let ends = expired.into_iter().map(|session| (session, OpCode::CloseSession, ""));
        self.propose_own(ends);
    }

    /// Deletes empty containers and outlived TTL nodes.
    pub(super) fn reap(&mut self) {
        let (now_ms, wall_ms) = (self.clocks.now_ms(), self.clocks.wall_ms());
        let bodies = self.reaper.step(&self.state, now_ms, wall_ms);
        let deletions = bodies.iter().map(|body| (0, OpCode::DeleteContainer, body.as_str()));
        self.propose_own(deletions);
    }

    /// Lets `/zookeeper/config` say who the members are, where it says otherwise.
    pub(super) fn publish_members(&mut self) {
        // Only what this leader has applied tells it what is published.
        if !self.leading() || self.raft.raft.lead_transferee.is_some() {
            return;
        }
        let Some(members) = self.config.published_members.clone() else { return };
        let cluster = self.state.cluster();
        // Where the ensemble has a list of its own, no server's configuration is one.
        let own = members.ends_with("version=");
        if cluster.membership.is_some()
            || own && cluster.level < 1
            || self.membership.list_proposed()
        {
            return;
        }
        let tree = self.state.tree();
        let published = tree.find(CONFIG_PATH).and_then(|id| tree.data(id));
        if published == Some(members.as_bytes()) {
            return;
        }
        self.membership.propose_list();
        self.propose_own([(0, OpCode::Reconfig, members.as_str())]);
    }

    /// Proposes operations of the leader's own: session, operation and body of each.
    pub(super) fn propose_own<Body: AsRef<[u8]>>(
        &mut self,
        operations: impl IntoIterator<Item = (i64, OpCode, Body)>,
    ) {
        let identity = IdentityBuf::superuser();
        let mut ops = Vec::new();
        for (session, op, body) in operations {
            let (identity, body) = (identity.as_identity(), body.as_ref());
            Txn { session, identity, op, body }.encode(&mut ops);
            if ops.len() >= SEGMENT_BYTES {
                self.propose_segment(&Segment::LeaderOps { ops: &ops });
                ops.clear();
            }
        }
        if !ops.is_empty() {
            self.propose_segment(&Segment::LeaderOps { ops: &ops });
        }
    }
}
