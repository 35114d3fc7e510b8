//! What a member does when its disk does not answer, so that it cannot keep what it is told.
//!
//! As leader it hands leadership over; as any member of an ensemble it sends its clients to the
//! others. A server alone can only say so.

use super::durability::DiskChange;
use super::{Level, Node};

impl Node {
    /// A sync that takes longer than a third of the shortest session timeout keeps clients waiting
    /// until they have no time left to go elsewhere.
    fn disk_patience_ms(&self) -> u64 {
        let third = u64::from(self.config.session_timeout_min_ms) / 3;
        third.max(self.config.election_timeout_ms)
    }

    /// Looks whether the log's disk hangs.
    pub(super) fn review_disk(&mut self) {
        let now_ms = self.clocks.attentive_ms();
        let patience_ms = self.disk_patience_ms();
        match self.durability.review_disk(now_ms, patience_ms) {
            Some(DiskChange::Hangs(busy_ms)) => {
                let then = if self.membership.alone() {
                    "writes wait"
                } else {
                    "this server gives up leadership and sends its clients to the others until it does"
                };
                self.log(
                    Level::Error,
                    &format!("the log's disk has not answered for {busy_ms} ms: {then}"),
                );
            }
            Some(DiskChange::Answers) => self.log(Level::Warn, "the log's disk answers again"),
            None => {}
        }
        if !self.disk_fails_ensemble() {
            return;
        }
        if self.is_leader() && self.durability.hand_over_due(now_ms) {
            self.transfer_leadership(None);
        }
        self.send_clients_away();
    }

    /// Whether clients and elections should turn to others, since there are others.
    pub(super) fn disk_fails_ensemble(&self) -> bool {
        self.durability.disk_hangs() && !self.membership.alone()
    }
}
