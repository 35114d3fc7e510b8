//! How far the comparison of states has come: here, and among the members as their leader hears it.
//!
//! A round is named by the index of the entry that began it.

use std::collections::BTreeMap;

/// Members that do not answer hold the next round up for so many intervals.
const PATIENCE: u64 = 10;
/// From one try to hand leadership over to the next.
const HAND_OVER_MS: u64 = 500;

/// The digest of a state at the entry that began a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    pub round: u64,
    pub digest: u64,
}

/// This member's state is not the majority's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub round: u64,
    pub own: u64,
    pub theirs: u64,
}

/// What a leader makes of its members' digests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// A majority of the voters has this one.
    Majority(Digest),
    /// Voters differ, and none of these sides is a majority. Found once a round.
    Doubt { round: u64, sides: Vec<Vec<u8>> },
}

/// What is known of the states of this member and of the others.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// The last round.
    round: u64,
    /// When the next one may begin.
    next_ms: u64,
    /// The round whose digest is in the making here.
    making: Option<u64>,
    next_step_ms: u64,
    /// The last one made here, and the last that a majority agreed on.
    own: Option<Digest>,
    verdict: Option<Digest>,
    /// The last round in which the two were held against each other.
    judged: u64,
    /// As leader: what members have said last.
    said: BTreeMap<u8, Digest>,
    /// As leader: the round whose verdict was proposed, and the one that has none.
    ruled: u64,
    doubted: u64,
    leaderless_since_ms: Option<u64>,
    hand_over_ms: u64,
    differs: bool,
    undecided: bool,
    agreed: u64,
}

impl Comparison {
    /// This member's state is not the majority's.
    pub(super) fn differs(&self) -> bool {
        self.differs
    }

    /// As leader: members differ, and nobody can know who is right.
    pub(super) fn undecided(&self) -> bool {
        self.undecided
    }

    /// Rounds in which this member's state was the majority's.
    pub(super) fn agreed(&self) -> u64 {
        self.agreed
    }

    /// The state was replaced by the leader's. `true`: the one before differed.
    pub(super) fn forget(&mut self) -> bool {
        let Comparison { next_ms, agreed, differs, .. } = *self;
        *self = Comparison { next_ms, agreed, ..Comparison::default() };
        differs
    }

    // ---- this member's digest ----

    /// A round begins. `true`: its digest is to be made here. A member that is slow ends the round
    /// that it is at: else it would never end one.
    pub(super) fn round_begins(&mut self, round: u64, next_ms: u64) -> bool {
        self.round = round;
        self.next_ms = next_ms;
        let free = self.making.is_none();
        if free {
            self.making = Some(round);
        }
        free
    }

    /// Whether the digest in the making goes on now; once in `tick_ms`.
    pub(super) fn take_step(&mut self, now_ms: u64, tick_ms: u64) -> bool {
        let due = self.making.is_some() && now_ms >= self.next_step_ms;
        if due {
            self.next_step_ms = now_ms + tick_ms;
        }
        due
    }

    /// The digest in the making is complete.
    pub(super) fn made(&mut self, digest: u64) {
        if let Some(round) = self.making.take() {
            self.own = Some(Digest { round, digest });
        }
    }

    /// The last digest made here.
    pub(super) fn own(&self) -> Option<Digest> {
        self.own
    }

    /// The same, while no verdict of its round or of a later one is known.
    pub(super) fn own_without_verdict(&self) -> Option<Digest> {
        let decided = self.verdict.map_or(0, |verdict| verdict.round);
        self.own.filter(|own| own.round > decided)
    }

    /// What a majority had.
    pub(super) fn decided(&mut self, verdict: Digest) {
        self.verdict = Some(verdict);
    }

    /// Holds this member's digest against the majority's, once a round. Tells the first difference.
    pub(super) fn judge(&mut self) -> Option<Difference> {
        let (own, verdict) = (self.own?, self.verdict?);
        let round = own.round;
        if round != verdict.round || self.judged == round {
            return None;
        }
        self.judged = round;
        if own == verdict {
            self.agreed += 1;
            return None;
        }
        let news = !std::mem::replace(&mut self.differs, true);
        news.then_some(Difference { round, own: own.digest, theirs: verdict.digest })
    }

    // ---- as leader ----

    /// What a member's state was; its own too.
    pub(super) fn told(&mut self, member: u8, said: Digest) {
        self.said.insert(member, said);
    }

    /// What follows for the last round from what the voters have said so far.
    pub(super) fn rule(&mut self, voters: &[u64]) -> Option<Ruling> {
        let round = self.round;
        if self.ruled == round {
            return None;
        }
        let mut members_of: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (&id, said) in &self.said {
            if said.round == round && voters.contains(&u64::from(id)) {
                members_of.entry(said.digest).or_default().push(id);
            }
        }
        let majority = members_of.iter().find(|(_, members)| members.len() * 2 > voters.len());
        if let Some((&digest, _)) = majority {
            self.ruled = round;
            self.undecided = false;
            return Some(Ruling::Majority(Digest { round, digest }));
        }
        let doubt = members_of.len() > 1 && std::mem::replace(&mut self.doubted, round) != round;
        self.undecided |= doubt;
        doubt.then(|| Ruling::Doubt { round, sides: members_of.into_values().collect() })
    }

    /// Whether another round may begin: all of these members have answered in the last one, or have
    /// had their time.
    pub(super) fn may_begin(
        &self,
        now_ms: u64,
        every_ms: u64,
        mut linked: impl Iterator<Item = u8>,
    ) -> bool {
        if now_ms < self.next_ms || self.making.is_some() {
            return false;
        }
        let answered = |id| self.said.get(&id).is_some_and(|said| said.round == self.round);
        let late = now_ms >= self.next_ms + PATIENCE * every_ms;
        // What was decided under a leader before is not said again.
        let decided = self.verdict.is_some_and(|verdict| verdict.round == self.round);
        let over = decided && self.ruled != self.round;
        self.round == 0 || late || over || linked.all(answered)
    }

    /// The beginning of a round is proposed.
    pub(super) fn round_proposed(&mut self, next_ms: u64) {
        self.next_ms = next_ms;
    }

    // ---- who leads ----

    /// Whether somebody leads, as far as this member knows.
    pub(super) fn heed_leader(&mut self, now_ms: u64, somebody_leads: bool) {
        if somebody_leads {
            self.leaderless_since_ms = None;
        } else {
            self.leaderless_since_ms.get_or_insert(now_ms);
        }
    }

    /// Whether it is time for a try to hand leadership over; counts as one.
    pub(super) fn hand_over_due(&mut self, now_ms: u64) -> bool {
        let due = now_ms >= self.hand_over_ms;
        if due {
            self.hand_over_ms = now_ms + HAND_OVER_MS;
        }
        due
    }

    /// Whether others should lead. Where nobody does for so long this one helps: its log may be the
    /// longest, and who has taken it over leads next.
    pub(super) fn yields_leadership(&self, now_ms: u64, patience_ms: u64) -> bool {
        let since_ms = self.leaderless_since_ms;
        self.differs && since_ms.is_none_or(|since_ms| now_ms < since_ms + patience_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(round: u64, digest: u64) -> Digest {
        Digest { round, digest }
    }

    /// A leader in round 5, told these digests of it by the members 1, 2 and so on.
    fn leader(said: &[u64]) -> Comparison {
        let mut comparison = Comparison::default();
        assert!(comparison.round_begins(5, 1000));
        for (member, &digest) in (1..).zip(said) {
            comparison.told(member, at(5, digest));
        }
        comparison
    }

    #[test]
    fn a_digest_is_judged_in_its_own_round_and_once() {
        let mut comparison = Comparison::default();
        assert!(comparison.round_begins(5, 0));
        comparison.decided(at(5, 7));
        assert_eq!(comparison.judge(), None, "its digest is not made yet");
        assert!(!comparison.round_begins(9, 0), "it ends the round that it is at");
        comparison.made(7);
        assert_eq!(comparison.judge(), None);
        assert_eq!((comparison.judge(), comparison.agreed()), (None, 1));
        comparison.decided(at(9, 8));
        assert_eq!(comparison.judge(), None, "of another round");
        assert!(comparison.round_begins(12, 0));
        comparison.made(1);
        assert_eq!(comparison.own_without_verdict(), Some(at(12, 1)));
        comparison.decided(at(12, 2));
        assert_eq!(comparison.own_without_verdict(), None);
        assert_eq!(comparison.judge(), Some(Difference { round: 12, own: 1, theirs: 2 }));
        assert!(comparison.differs() && comparison.agreed() == 1);
        assert!(comparison.round_begins(20, 0));
        comparison.made(1);
        comparison.decided(at(20, 2));
        assert_eq!(comparison.judge(), None, "it was told");
        assert!(comparison.forget() && !comparison.differs() && !comparison.forget());
        assert_eq!(comparison.agreed(), 1);
    }

    #[test]
    fn a_majority_of_the_voters_rules_and_is_found_once() {
        let mut comparison = leader(&[7]);
        assert_eq!(comparison.rule(&[1, 2, 3]), None, "one of three");
        comparison.told(2, at(4, 7));
        comparison.told(9, at(5, 7));
        assert_eq!(comparison.rule(&[1, 2, 3]), None, "another round, and one without a vote");
        comparison.told(2, at(5, 7));
        assert_eq!(comparison.rule(&[1, 2, 3]), Some(Ruling::Majority(at(5, 7))));
        assert_eq!(comparison.rule(&[1, 2, 3]), None);
    }

    #[test]
    fn sides_without_a_majority_are_a_doubt_until_one_has_it() {
        let mut comparison = leader(&[7, 8]);
        let sides = vec![vec![1], vec![2]];
        assert_eq!(comparison.rule(&[1, 2, 3]), Some(Ruling::Doubt { round: 5, sides }));
        assert!(comparison.undecided());
        assert_eq!(comparison.rule(&[1, 2, 3]), None, "it was told");
        comparison.told(3, at(5, 8));
        assert_eq!(comparison.rule(&[1, 2, 3]), Some(Ruling::Majority(at(5, 8))));
        assert!(!comparison.undecided());
    }

    #[test]
    fn the_next_round_waits_for_its_time_and_for_the_members_but_not_for_ever() {
        let mut comparison = leader(&[7, 7]);
        let begins = |comparison: &Comparison, now_ms, linked: &[u8]| {
            comparison.may_begin(now_ms, 100, linked.iter().copied())
        };
        assert!(!begins(&comparison, 9999, &[1, 2]), "its own digest is in the making");
        comparison.made(7);
        assert!(!begins(&comparison, 999, &[1, 2]) && begins(&comparison, 1000, &[1, 2]));
        assert!(!begins(&comparison, 1000, &[1, 2, 3]), "3 has not answered");
        assert!(!begins(&comparison, 1999, &[1, 2, 3]) && begins(&comparison, 2000, &[1, 2, 3]));
        comparison.decided(at(5, 7));
        assert!(begins(&comparison, 1000, &[1, 2, 3]), "decided under a leader before");
        comparison.round_proposed(1100);
        assert!(!begins(&comparison, 1099, &[1, 2]));
        assert!(begins(&Comparison::default(), 0, &[1, 2]), "the first one");
    }

    #[test]
    fn the_digest_goes_on_once_a_tick() {
        let mut comparison = Comparison::default();
        assert!(!comparison.take_step(1000, 20), "nothing is in the making");
        comparison.round_begins(5, 0);
        assert!(comparison.take_step(1000, 20) && !comparison.take_step(1019, 20));
        assert!(comparison.take_step(1020, 20));
    }

    #[test]
    fn who_differs_leads_only_where_nobody_else_does() {
        let mut comparison = Comparison::default();
        assert!(!comparison.yields_leadership(0, 100));
        comparison.differs = true;
        assert!(comparison.yields_leadership(9999, 100));
        comparison.heed_leader(1000, false);
        comparison.heed_leader(1050, false);
        assert!(comparison.yields_leadership(1099, 100));
        assert!(!comparison.yields_leadership(1100, 100));
        comparison.heed_leader(1100, true);
        assert!(comparison.yields_leadership(9999, 100));
        assert!(comparison.hand_over_due(1000) && !comparison.hand_over_due(1499));
        assert!(comparison.hand_over_due(1500));
    }
}
