//! The leader's look for empty containers and outlived TTL nodes.
//!
//! It looks at some in each tick, and deletes no more in a minute than the configuration says.

use super::NodeConfig;
use crate::state::{ReapCursor, State};

/// Containers and TTL nodes looked at in one tick.
const LOOKED_MAX: usize = 2000;
const MINUTE_MS: u64 = 60_000;

/// What is looked for, how far the look has come, and what may be deleted now.
pub(super) struct Reaper {
    interval_ms: u64,
    per_minute: u64,
    /// Containers that never had a child go after this.
    never_used_ms: Option<i64>,
    /// When the next look begins.
    next_ms: u64,
    at: Option<ReapCursor>,
    allowance: Allowance,
}

impl Reaper {
    /// The first look begins after an interval, as `ContainerManager`'s timer does: what was imported
    /// is not reaped at the first tick.
    pub(super) fn new(config: &NodeConfig, now_ms: u64) -> Self {
        Reaper {
            interval_ms: config.reap_interval_ms,
            per_minute: config.reap_per_minute.into(),
            never_used_ms: config.never_used_ms,
            next_ms: now_ms + config.reap_interval_ms,
            at: None,
            allowance: Allowance::default(),
        }
    }

    /// Goes on with the look; returns the bodies of the deletions that are due.
    pub(super) fn step(&mut self, state: &State, now_ms: u64, wall_ms: i64) -> Vec<String> {
        let found_max = self.allowance.grow(now_ms, self.per_minute);
        if self.at.is_none() && now_ms >= self.next_ms {
            self.next_ms = now_ms + self.interval_ms;
            self.at = Some(ReapCursor::default());
        }
        // Servers of level 0 would read the time as a part of the path.
        let known = state.cluster().level >= 1;
        let never_used_ms = self.never_used_ms.filter(|_| known);
        let bodies = state.reapable(&mut self.at, wall_ms, never_used_ms, LOOKED_MAX, found_max);
        self.allowance.spend(bodies.len());
        bodies
    }
}

/// Deletions that are allowed now, in units of which one takes a minute's milliseconds.
#[derive(Default)]
struct Allowance {
    units: u64,
    at_ms: u64,
}

impl Allowance {
    /// Time has passed; returns how many deletions are allowed. What could be deleted in a second may
    /// be deleted at once.
    fn grow(&mut self, now_ms: u64, per_minute: u64) -> usize {
        let elapsed_ms = now_ms - std::mem::replace(&mut self.at_ms, now_ms);
        let units_max = (1000 * per_minute).max(MINUTE_MS);
        self.units = (self.units + elapsed_ms.min(1000) * per_minute).min(units_max);
        (self.units / MINUTE_MS) as usize
    }

    fn spend(&mut self, deletions: usize) {
        self.units -= deletions as u64 * MINUTE_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_deleted_in_a_minute_than_allowed_and_a_second_of_it_at_once() {
        let per_minute = 600;
        let mut allowance = Allowance::default();
        assert_eq!(allowance.grow(50_000, per_minute), 10, "a long pause is a second's worth");
        allowance.spend(10);
        let mut deleted = 0;
        for now_ms in (50_020..=110_000).step_by(20) {
            let allowed = allowance.grow(now_ms, per_minute);
            allowance.spend(allowed);
            deleted += allowed;
        }
        assert_eq!(deleted, 600);
    }

    #[test]
    fn a_slow_rate_is_kept_over_many_ticks() {
        let mut allowance = Allowance::default();
        let deleted = (0..=180_000).step_by(20).map(|now_ms| {
            let allowed = allowance.grow(now_ms, 1);
            allowance.spend(allowed);
            allowed
        });
        assert_eq!(deleted.sum::<usize>(), 3);
    }
}
