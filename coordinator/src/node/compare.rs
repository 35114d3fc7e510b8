//! Replicas compare their states: one that differs from the majority's serves nobody any more.
//!
//! The leader begins a round by an entry. Each member makes the digest of its state at that entry, in
//! steps between other work, and tells the leader. When a majority of the voters has the same one
//! the leader says so by another entry, and every member holds its own against it: the leader too,
//! which may be the one that is wrong. Where members differ and neither side is a majority nobody can
//! know who is right: the leader says so, and all go on.
//!
//! A member that differs keeps log and vote, since neither hangs on the state. It serves no client,
//! makes no snapshot, hands leadership over, and stands for election only where nobody else does.

use super::comparison::{Difference, Digest, Ruling};
use super::entry::Segment;
use super::feature::COMPARES;
use super::{Level, Node, peer};

/// Sessions or znodes looked at in one tick: half a percent of the thread's time.
const LOOK_AT: usize = 500;

impl Node {
    /// Whether this member's state was found to differ from the majority's.
    pub fn differs(&self) -> bool {
        self.comparison.differs()
    }

    /// Rounds in which this member's state was found to be the majority's.
    pub fn rounds_agreed(&self) -> u64 {
        self.comparison.agreed()
    }

    /// When a round that begins now is followed by the next one.
    fn next_round_ms(&self) -> u64 {
        self.clocks.now_ms() + self.config.compare_every_ms
    }

    /// A round begins with the entry at hand.
    pub(super) fn begin_comparison(&mut self, index: u64) {
        let next_ms = self.next_round_ms();
        if self.comparison.round_begins(index, next_ms) {
            self.state.digest_begin();
        }
    }

    /// The majority's digest of a round.
    pub(super) fn compared(&mut self, round: u64, digest: u64) {
        self.comparison.decided(Digest { round, digest });
        self.judge();
    }

    /// The state was replaced by the leader's.
    pub(super) fn forget_comparison(&mut self) {
        if self.comparison.forget() {
            self.log(Level::Info, "this server's state is the leader's now: it serves again");
        }
    }

    /// Goes on with the digest that is in the making.
    pub(super) fn step_comparison(&mut self) {
        if !self.comparison.take_step(self.clocks.now_ms(), self.config.tick_ms) {
            return;
        }
        let Some(digest) = self.state.digest_step(LOOK_AT) else { return };
        self.comparison.made(digest);
        if let Some(own) = self.comparison.own() {
            self.tell_digest(own);
        }
        self.judge();
    }

    fn tell_digest(&mut self, own: Digest) {
        if self.is_leader() {
            self.comparison.told(self.config.id, own);
        } else if self.leader() != 0 {
            let mut message = Vec::new();
            peer::digest(own.round, own.digest, &mut message);
            self.peers.send(self.leader(), &message);
        }
    }

    /// A member says what its state was.
    pub(super) fn digest_told(&mut self, from: u8, round: u64, digest: u64) {
        if self.is_leader() {
            self.comparison.told(from, Digest { round, digest });
        }
    }

    fn judge(&mut self) {
        let Some(Difference { round, own, theirs }) = self.comparison.judge() else { return };
        self.snapshots.abort(&mut self.state);
        self.log(
            Level::Error,
            &format!(
                "this server's state differs from the majority's (entry {round}: digest \
                 {own:016x}, theirs {theirs:016x}): it serves nobody any more. Its memory or its \
                 disk may be damaged: look at both. Then stop it, move its data directory away, and \
                 start it: it takes everything from the others"
            ),
        );
        self.stay_out();
    }

    /// At times: what is due besides the steps.
    pub(super) fn review_comparison(&mut self) {
        self.comparison.heed_leader(self.clocks.now_ms(), self.leader() != 0);
        if self.differs() {
            self.stay_out();
        }
        // The leader is told again: it may be another one, or was not linked.
        if let Some(own) = self.comparison.own_without_verdict() {
            self.tell_digest(own);
        }
        if self.leading() && self.raft.raft.lead_transferee.is_none() {
            self.rule();
            self.begin_round();
        }
    }

    /// As leader: whether a majority of the voters has the same state.
    fn rule(&mut self) {
        match self.comparison.rule(self.membership.voters()) {
            Some(Ruling::Majority(Digest { round, digest })) => {
                self.propose_segment(&Segment::Verdict { index: round, digest });
            }
            Some(Ruling::Doubt { round, sides }) => {
                let sides: Vec<_> = sides.iter().map(|ids| format!("{ids:?}")).collect();
                self.log(
                    Level::Error,
                    &format!(
                        "the states of servers {} differ (entry {round}), and no side is a \
                         majority of the voters: nobody can know who is right, and all go on. \
                         Bring the other members back, or compare with a backup",
                        sides.join(" and ")
                    ),
                );
            }
            None => {}
        }
    }

    fn begin_round(&mut self) {
        if self.state.cluster().level < COMPARES || self.membership.alone() {
            return;
        }
        let members = self.membership.members().map(|id| id as u8);
        let linked = members.filter(|&id| self.peers.is_up(id));
        let (now_ms, every_ms) = (self.clocks.now_ms(), self.config.compare_every_ms);
        if self.comparison.may_begin(now_ms, every_ms, linked) {
            let next_ms = self.next_round_ms();
            self.comparison.round_proposed(next_ms);
            self.propose_segment(&Segment::Compare);
        }
    }

    /// Ends what hangs on a state that is not the majority's.
    fn stay_out(&mut self) {
        if self.is_leader() && self.comparison.hand_over_due(self.clocks.now_ms()) {
            self.transfer_leadership(None);
        }
        self.send_clients_away();
    }

    /// Whether others should lead since this state differs.
    pub(super) fn yields_leadership(&self) -> bool {
        let patience_ms = 3 * self.config.election_timeout_ms;
        self.comparison.yields_leadership(self.clocks.now_ms(), patience_ms)
    }
}
