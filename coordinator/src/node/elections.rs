//! When this server ticks raft, and when it stands for election.
//!
//! Servers that lose their leader stand one after the other: the second one need not try when the
//! first has won. Chance parts only those that have stood at the same time.

use super::NodeConfig;
use crate::random::Seeded;

/// From one server's turn to stand for election to the next one's.
const CAMPAIGN_STEP_MS: u64 = 40;

/// Raft's clock, the next candidacy, and who led when it was last looked at.
pub(super) struct Elections {
    tick_ms: u64,
    heartbeat_ms: u64,
    election_timeout_ms: u64,
    next_tick_ms: u64,
    /// When to stand for election without waiting for the timeout.
    campaign_ms: Option<u64>,
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
        let at = now_ms + others_before as u64 * CAMPAIGN_STEP_MS;
        self.campaign_ms = Some(self.campaign_ms.map_or(at, |earlier| earlier.min(at)));
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
