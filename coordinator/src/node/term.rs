//! A new term before the numbers of the one at hand are used up.
//!
//! A zxid is the term and a counter of 32 bits. At full speed a leader that stays has used it up within
//! hours. Zxids would run on into the numbers of the term to come (`apply`), and nothing would break;
//! but the upper half is what operators and clients take for the epoch, so the leader hands over, or
//! begins a term of its own, while a quarter of the numbers is left.

use super::{Level, Node};

/// Numbers used when a new term begins.
const USED_MAX: i64 = 0xc000_0000;

impl Node {
    /// As leader, looks how many numbers are left.
    pub(super) fn review_counter(&mut self) {
        let last = self.state.last_zxid();
        let term = self.raft.raft.term;
        let used_up = last & 0xffff_ffff >= USED_MAX && (last >> 32).cast_unsigned() >= term;
        let now_ms = self.clocks.now_ms();
        let busy =
            self.raft.raft.lead_transferee.is_some() || !self.elections.may_begin_term(now_ms);
        if !used_up || busy || !self.leading() {
            return;
        }
        // Raft (0.7 `become_leader`) asserts that the log of who is elected is on disk: a lone server
        // is elected at once, so it waits for a moment without writes under way.
        let alone = self.membership.sole_voter();
        let log = &self.raft.raft.raft_log;
        if alone && log.last_index() != log.persisted {
            return;
        }
        self.elections.begins_term(now_ms);
        self.log(
            Level::Info,
            &format!("a new term begins: zxid {last:#x} leaves few numbers in this one"),
        );
        if self.transfer_leadership(None).is_none() && alone {
            self.raft.raft.become_follower(term, 0);
            self.after_raft();
            self.campaign();
        }
    }
}
