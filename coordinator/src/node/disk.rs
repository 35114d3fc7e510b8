//! A disk that does not answer: what a member does about it that cannot keep what it is told.
//!
//! It goes on to send heartbeats, so nobody else would notice. As leader it hands leadership over;
//! as any member of an ensemble it sends its clients to the others. A server alone can only say so.

use super::client::Phase;
use super::{Level, Node};

/// From one try to hand leadership over to the next.
const HAND_OVER_MS: u64 = 500;

/// How long the log's disk has been busy.
#[derive(Debug, Default)]
pub(super) struct DiskWatch {
    /// When the oldest write that is not on disk was handed over, or the one before it was there.
    since_ms: u64,
    /// It takes too long.
    pub hangs: bool,
    hand_over_ms: u64,
}

impl DiskWatch {
    /// Something is handed to a disk that had nothing to do, or one write of several is there.
    pub(super) fn begins(&mut self, now_ms: u64) {
        self.since_ms = now_ms;
    }
}

impl Node {
    /// A sync that takes longer than a third of the shortest session timeout keeps clients waiting
    /// until they have no time left to go elsewhere.
    fn disk_patience_ms(&self) -> u64 {
        let third = u64::from(self.config.session_timeout_min_ms) / 3;
        third.max(self.config.election_timeout_ms)
    }

    /// Looks whether the log's disk hangs.
    pub(super) fn review_disk(&mut self) {
        let now_ms = self.attentive.now_ms;
        let busy_ms = now_ms.saturating_sub(self.disk.since_ms);
        let hangs = !self.persisting.is_empty() && busy_ms >= self.disk_patience_ms();
        let before = std::mem::replace(&mut self.disk.hangs, hangs);
        if hangs && !before {
            let then = if self.alone() {
                "writes wait"
            } else {
                "this server gives up leadership and sends its clients to the others until it does"
            };
            self.log(
                Level::Error,
                &format!("the log's disk has not answered for {busy_ms} ms: {then}"),
            );
        }
        if !hangs {
            if before {
                self.log(Level::Warn, "the log's disk answers again");
            }
            return;
        }
        if self.alone() {
            return;
        }
        if self.is_leader() && now_ms >= self.disk.hand_over_ms {
            self.disk.hand_over_ms = now_ms + HAND_OVER_MS;
            self.transfer_leadership(None);
        }
        for conn in self.clients.ids() {
            let phase = self.clients.get(conn).map(|client| client.phase);
            if matches!(phase, Some(Phase::Open | Phase::Connecting)) {
                self.stats.connections_dropped += 1;
                self.close_client(conn);
            }
        }
    }

    /// Whether clients and elections should turn to others.
    pub(super) fn disk_fails_ensemble(&self) -> bool {
        self.disk.hangs && !self.alone()
    }
}
