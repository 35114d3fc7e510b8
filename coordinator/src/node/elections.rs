//! When this server ticks raft, and when it stands for election.
//!
//! Servers that lose their leader stand one after the other: the second one need not try when the
//! first has won. Chance parts only those that have stood at the same time.

use super::NodeConfig;
use crate::random::Seeded;

/// From one server's turn to stand for election to the next one's.
const CAMPAIGN_STEP_MS: u64 = 40;

/// Who has lost stands again within this, twice as long after each further loss. Longer than two
/// rounds of messages and two syncs on a busy machine.
const AGAIN_MS: u64 = 200;

/// Raft's clock, the next candidacy, and who led when it was last looked at.
pub(super) struct Elections {
    tick_ms: u64,
    heartbeat_ms: u64,
    election_timeout_ms: u64,
    next_tick_ms: u64,
    /// When to stand for election without waiting for the timeout.
    campaign_ms: Option<u64>,
    /// Elections in which this server has stood in vain since there was a leader.
    lost: u32,
    /// (leader, term) as last seen.
    seen: (u64, u64),
    /// When the next try for a new term may be.
    next_term_ms: u64,
}

impl Elections {
    pub(super) fn new(config: &NodeConfig, now_ms: u64) -> Self {
        Elections {
            tick_ms: config.tick_ms,
            heartbeat_ms: config.heartbeat_ms,
            election_timeout_ms: config.election_timeout_ms,
            next_tick_ms: now_ms,
            campaign_ms: None,
            lost: 0,
            seen: (0, 0),
            next_term_ms: 0,
        }
    }

    /// Whether raft's clock ticks once more by now. A server that was stopped for a while does not
    /// make up for it all at once: its peers have not been silent, it has been deaf.
    pub(super) fn take_tick(&mut self, now_ms: u64) -> bool {
        if self.next_tick_ms > now_ms {
            return false;
        }
        if now_ms - self.next_tick_ms > self.election_timeout_ms / 2 {
            self.next_tick_ms = now_ms;
        }
        self.next_tick_ms += self.tick_ms;
        true
    }

    /// Stands soon, behind so many others.
    pub(super) fn campaign_soon(&mut self, now_ms: u64, others_before: usize) {
        self.stand_by(now_ms + others_before as u64 * CAMPAIGN_STEP_MS);
    }

    /// Stands then, or earlier where that was planned.
    fn stand_by(&mut self, at: u64) {
        self.campaign_ms = Some(self.campaign_ms.map_or(at, |earlier| earlier.min(at)));
    }

    /// This server has stood and cannot win any more: it stands again soon, at a time left to chance.
    pub(super) fn lost(&mut self, now_ms: u64, random: &mut Seeded) {
        if self.campaign_ms.is_none() {
            let most = (AGAIN_MS << self.lost.min(8)).min(4 * self.election_timeout_ms);
            self.lost += 1;
            self.campaign_ms = Some(now_ms + self.tick_ms + random.below(most));
        }
    }

    /// This server stands now, for whatever reason: what was planned is done.
    pub(super) fn stands(&mut self) {
        self.campaign_ms = None;
    }

    /// This server would vote for another one: it stays at home until that has had the time for
    /// another round of messages and two syncs. In ticks.
    pub(super) fn give_way(&mut self, now_ms: u64) -> usize {
        let grace_ms = self.election_timeout_ms / 2;
        if let Some(at) = &mut self.campaign_ms {
            *at = (*at).max(now_ms + grace_ms);
        }
        (grace_ms / self.tick_ms) as usize
    }

    /// Another one stands that cannot win, and this server could.
    pub(super) fn stand_instead(&mut self, now_ms: u64) {
        self.stand_by(now_ms + self.tick_ms);
    }

    /// Whether it is this server's turn to stand.
    pub(super) fn take_campaign(&mut self, now_ms: u64) -> bool {
        self.campaign_ms.take_if(|at| *at <= now_ms).is_some()
    }

    /// `true`: somebody else leads, or nobody, or in another term.
    pub(super) fn leader_changed(&mut self, leader: u64, term: u64) -> bool {
        let changed = std::mem::replace(&mut self.seen, (leader, term)) != (leader, term);
        if changed && leader != 0 {
            self.campaign_ms = None;
            self.lost = 0;
        }
        changed
    }

    /// The election timeout in ticks, of a follower with so many voters before it: a heartbeat after
    /// `base`, since all have missed it by then, and its turn.
    pub(super) fn follower_timeout(
        &self,
        base: usize,
        voters_before: usize,
        random: &mut Seeded,
    ) -> usize {
        let turn = voters_before as u64 * 2 * CAMPAIGN_STEP_MS / self.tick_ms;
        let late = self.heartbeat_ms / self.tick_ms + turn + random.below(3);
        (base + late as usize).min(base * 2 - 1)
    }

    /// The same of one that has stood and was not elected.
    pub(super) fn candidate_timeout(base: usize, random: &mut Seeded) -> usize {
        base + random.below(base as u64) as usize
    }

    /// Whether a try for a new term may be made now.
    pub(super) fn may_begin_term(&self, now_ms: u64) -> bool {
        now_ms >= self.next_term_ms
    }

    /// A try for a new term is made.
    pub(super) fn begins_term(&mut self, now_ms: u64) {
        self.next_term_ms = now_ms + self.election_timeout_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: usize = 50;

    fn elections() -> Elections {
        Elections {
            tick_ms: 20,
            heartbeat_ms: 100,
            election_timeout_ms: 1000,
            next_tick_ms: 5000,
            campaign_ms: None,
            lost: 0,
            seen: (0, 0),
            next_term_ms: 0,
        }
    }

    #[test]
    fn raft_ticks_in_step_but_not_for_a_long_pause() {
        let mut elections = elections();
        let ticks = |elections: &mut Elections, now_ms| {
            std::iter::from_fn(|| elections.take_tick(now_ms).then_some(())).count()
        };
        assert_eq!(ticks(&mut elections, 5000), 1);
        assert_eq!(ticks(&mut elections, 5019), 0);
        assert_eq!(ticks(&mut elections, 5060), 3);
        assert_eq!(ticks(&mut elections, 5560), 25, "half a timeout is made up for");
        assert_eq!(ticks(&mut elections, 9000), 1, "a longer pause is not");
    }

    #[test]
    fn candidates_come_one_after_the_other_and_stay_at_home_when_one_has_won() {
        let mut elections = elections();
        elections.campaign_soon(5000, 2);
        elections.campaign_soon(5010, 0);
        assert!(!elections.take_campaign(5009));
        assert!(elections.take_campaign(5010) && !elections.take_campaign(9000));
        elections.campaign_soon(5000, 1);
        elections.campaign_soon(5000, 2);
        assert!(elections.leader_changed(0, 7));
        assert!(elections.take_campaign(5040), "nobody leads yet, and an earlier turn counts");
        elections.campaign_soon(5040, 0);
        assert!(elections.leader_changed(2, 7) && !elections.leader_changed(2, 7));
        assert!(!elections.take_campaign(9000));
        assert!(elections.leader_changed(2, 8));
    }

    #[test]
    fn who_has_lost_stands_again_soon_and_later_each_time() {
        let mut random = Seeded::new(1);
        for losses in 0..12 {
            let mut longest = 0;
            for _ in 0..300 {
                let mut elections = Elections { lost: losses, ..elections() };
                elections.lost(5000, &mut random);
                let at = elections.campaign_ms.unwrap();
                elections.lost(9000, &mut random);
                assert_eq!(elections.campaign_ms, Some(at), "once for all refusals");
                assert!(at >= 5020);
                longest = longest.max(at - 5020);
            }
            let most = (200 << losses.min(8)).min(4000);
            assert!(longest < most && longest > most * 9 / 10, "{losses} losses: {longest}");
        }
        let mut elections = Elections { lost: 3, ..elections() };
        assert!(elections.leader_changed(2, 7));
        assert_eq!(elections.lost, 0);
    }

    #[test]
    fn who_would_vote_gives_way_and_who_knows_more_stands() {
        let mut elections = elections();
        assert_eq!(elections.give_way(5000), 25);
        assert!(!elections.take_campaign(9000), "it does not stand for that");
        elections.campaign_soon(5000, 1);
        elections.give_way(5000);
        assert!(!elections.take_campaign(5499) && elections.take_campaign(5500));
        elections.campaign_soon(5000, 0);
        elections.stands();
        assert!(!elections.take_campaign(9000), "it has stood");
        elections.campaign_soon(5000, 5);
        elections.stand_instead(5000);
        assert!(!elections.take_campaign(5019) && elections.take_campaign(5020));
    }

    #[test]
    fn followers_wait_for_their_turn_and_never_as_long_as_raft_would() {
        let elections = elections();
        let mut random = Seeded::new(1);
        let mut timeout = |before| elections.follower_timeout(BASE, before, &mut random);
        for _ in 0..100 {
            assert!((BASE + 5..BASE + 8).contains(&timeout(0)));
            assert!((BASE + 9..BASE + 12).contains(&timeout(1)), "no overlap with the first");
            assert_eq!(timeout(100), BASE * 2 - 1);
        }
        let mut random = Seeded::new(1);
        let drawn = (0..1000).map(|_| Elections::candidate_timeout(BASE, &mut random));
        let (low, high) = drawn.fold((usize::MAX, 0), |(l, h), t| (l.min(t), h.max(t)));
        assert_eq!((low, high), (BASE, BASE * 2 - 1));
    }

    #[test]
    fn a_new_term_is_tried_once_a_timeout() {
        let mut elections = elections();
        assert!(elections.may_begin_term(5000));
        elections.begins_term(5000);
        assert!(!elections.may_begin_term(5999) && elections.may_begin_term(6000));
    }
}
