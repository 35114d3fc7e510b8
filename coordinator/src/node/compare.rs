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

use std::collections::BTreeMap;

use super::entry::Segment;
use super::feature::COMPARES;
use super::{Level, Node, peer};

/// Sessions or znodes looked at in one tick: half a percent of the thread's time.
const LOOK_AT: usize = 500;
/// Members that do not answer hold the next round up for so many intervals.
const PATIENCE: u64 = 10;
/// From one try to hand leadership over to the next.
const HAND_OVER_MS: u64 = 500;

/// What is known of the states of this member and of the others.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Index of the entry that began the last round.
    round: u64,
    /// When the next one may begin.
    next_ms: u64,
    /// The round whose digest is in the making here.
    making: Option<u64>,
    next_step_ms: u64,
    /// Round and digest: the last one made here, and the last that a majority agreed on.
    own: Option<(u64, u64)>,
    verdict: Option<(u64, u64)>,
    /// The last round in which the two were held against each other.
    judged: u64,
    /// As leader: what members have said, and of which round.
    said: BTreeMap<u8, (u64, u64)>,
    /// As leader: the round whose verdict was proposed, and the one that has none.
    ruled: u64,
    doubted: u64,
    leaderless_since_ms: Option<u64>,
    hand_over_ms: u64,
    /// This member's state is not the majority's.
    pub differs: bool,
    /// As leader: members differ, and nobody can know who is right.
    pub undecided: bool,
    /// Rounds in which this member's state was the majority's.
    pub agreed: u64,
}

impl Node {
    /// Whether this member's state was found to differ from the majority's.
    pub fn differs(&self) -> bool {
        self.comparison.differs
    }

    /// Rounds in which this member's state was found to be the majority's.
    pub fn rounds_agreed(&self) -> u64 {
        self.comparison.agreed
    }

    /// A round begins with the entry at hand.
    pub(super) fn begin_comparison(&mut self, index: u64) {
        let comparison = &mut self.comparison;
        comparison.round = index;
        comparison.next_ms = self.clocks.now_ms() + self.config.compare_every_ms;
        // A member that is slow ends the round that it is at: else it would never end one.
        if comparison.making.is_none() {
            comparison.making = Some(index);
            self.state.digest_begin();
        }
    }

    /// The majority's digest of a round.
    pub(super) fn compared(&mut self, index: u64, digest: u64) {
        self.comparison.verdict = Some((index, digest));
        self.judge();
    }

    /// The state was replaced by the leader's.
    pub(super) fn forget_comparison(&mut self) {
        let Comparison { next_ms, agreed, differs, .. } = self.comparison;
        self.comparison = Comparison { next_ms, agreed, ..Comparison::default() };
        if differs {
            self.log(Level::Info, "this server's state is the leader's now: it serves again");
        }
    }

    /// Goes on with the digest that is in the making.
    pub(super) fn step_comparison(&mut self) {
        let comparison = &mut self.comparison;
        let Some(round) = comparison.making else { return };
        if self.clocks.now_ms() < comparison.next_step_ms {
            return;
        }
        comparison.next_step_ms = self.clocks.now_ms() + self.config.tick_ms;
        let Some(digest) = self.state.digest_step(LOOK_AT) else { return };
        comparison.making = None;
        comparison.own = Some((round, digest));
        self.tell_digest();
        self.judge();
    }

    /// Until there is a verdict the leader is told again: it may be another one, or was not linked.
    fn tell_digest(&mut self) {
        let Some((round, digest)) = self.comparison.own else { return };
        if self.is_leader() {
            self.comparison.said.insert(self.config.id, (round, digest));
        } else if self.leader() != 0 {
            let mut message = Vec::new();
            peer::digest(round, digest, &mut message);
            self.peers.send(self.leader(), &message);
        }
    }

    /// A member says what its state was.
    pub(super) fn digest_told(&mut self, from: u8, round: u64, digest: u64) {
        if self.is_leader() {
            self.comparison.said.insert(from, (round, digest));
        }
    }

    fn judge(&mut self) {
        let comparison = &mut self.comparison;
        let (Some((round, own)), Some((decided, digest))) = (comparison.own, comparison.verdict)
        else {
            return;
        };
        if round != decided || comparison.judged == round {
            return;
        }
        comparison.judged = round;
        if own == digest {
            comparison.agreed += 1;
            return;
        }
        if std::mem::replace(&mut comparison.differs, true) {
            return;
        }
        self.snapshots.abort(&mut self.state);
        self.log(
            Level::Error,
            &format!(
                "this server's state differs from the majority's (entry {round}: digest \
                 {own:016x}, theirs {digest:016x}): it serves nobody any more. Its memory or its \
                 disk may be damaged: look at both. Then stop it, move its data directory away, and \
                 start it: it takes everything from the others"
            ),
        );
        self.stay_out();
    }

    /// At times: what is due besides the steps.
    pub(super) fn review_comparison(&mut self) {
        let now_ms = self.clocks.now_ms();
        if self.leader() == 0 {
            self.comparison.leaderless_since_ms.get_or_insert(now_ms);
        } else {
            self.comparison.leaderless_since_ms = None;
        }
        if self.comparison.differs {
            self.stay_out();
        }
        let decided = self.comparison.verdict.map_or(0, |(round, _)| round);
        if self.comparison.own.is_some_and(|(round, _)| round > decided) {
            self.tell_digest();
        }
        if self.leading() && self.raft.raft.lead_transferee.is_none() {
            self.rule();
            self.begin_round();
        }
    }

    /// As leader: whether a majority of the voters has the same state.
    fn rule(&mut self) {
        let comparison = &mut self.comparison;
        let round = comparison.round;
        if comparison.ruled == round {
            return;
        }
        let voters = self.membership.voters();
        let mut members_of: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (&id, &(of, digest)) in &comparison.said {
            if of == round && voters.contains(&u64::from(id)) {
                members_of.entry(digest).or_default().push(id);
            }
        }
        let majority = members_of.iter().find(|(_, members)| members.len() * 2 > voters.len());
        if let Some((&digest, _)) = majority {
            comparison.ruled = round;
            comparison.undecided = false;
            return self.propose_segment(&Segment::Verdict { index: round, digest });
        }
        if members_of.len() > 1 && std::mem::replace(&mut comparison.doubted, round) != round {
            comparison.undecided = true;
            let sides: Vec<_> = members_of.values().map(|ids| format!("{ids:?}")).collect();
            self.log(
                Level::Error,
                &format!(
                    "the states of servers {} differ (entry {round}), and no side is a majority of \
                     the voters: nobody can know who is right, and all go on. Bring the other \
                     members back, or compare with a backup",
                    sides.join(" and ")
                ),
            );
        }
    }

    fn begin_round(&mut self) {
        let comparison = &self.comparison;
        let cluster = self.state.cluster();
        let due = self.clocks.now_ms() >= comparison.next_ms && comparison.making.is_none();
        if !due || cluster.level < COMPARES || self.membership.alone() {
            return;
        }
        let members = self.membership.members().map(|id| id as u8);
        let mut linked = members.filter(|&id| self.peers.is_up(id));
        let answered = |id| comparison.said.get(&id).is_some_and(|(of, _)| *of == comparison.round);
        let every_ms = self.config.compare_every_ms;
        let late = self.clocks.now_ms() >= comparison.next_ms + PATIENCE * every_ms;
        // What was decided under a leader before is not said again.
        let decided = comparison.verdict.is_some_and(|(round, _)| round == comparison.round);
        let over = decided && comparison.ruled != comparison.round;
        let begins = comparison.round == 0 || late || over || linked.all(answered);
        drop(linked);
        if begins {
            self.comparison.next_ms = self.clocks.now_ms() + every_ms;
            self.propose_segment(&Segment::Compare);
        }
    }

    /// Ends what hangs on a state that is not the majority's.
    fn stay_out(&mut self) {
        if self.is_leader() && self.clocks.now_ms() >= self.comparison.hand_over_ms {
            self.comparison.hand_over_ms = self.clocks.now_ms() + HAND_OVER_MS;
            self.transfer_leadership(None);
        }
        self.send_clients_away();
    }

    /// Whether others should lead since this state differs. Where nobody does this one helps: its log may be the longest, and
    /// who has taken it over leads next.
    pub(super) fn yields_leadership(&self) -> bool {
        let patience_ms = 3 * self.config.election_timeout_ms;
        let since_ms = self.comparison.leaderless_since_ms;
        self.comparison.differs
            && since_ms.is_none_or(|since_ms| self.clocks.now_ms() < since_ms + patience_ms)
    }
}
