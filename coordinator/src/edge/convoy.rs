//! Whether a write waits a moment for others, so that they share one sync.
//!
//! Clients that wait for each answer before they ask again come in step: answered together, they
//! ask again together. A sync that begins with the first of them keeps the others waiting for the
//! whole of it and for their own. So as many are waited for as were answered last time, never
//! longer than a sync takes, and less and less often where they do not come.

use std::time::{Duration, Instant};

use super::skips::Skips;

/// The writes of one server that syncs its own log.
#[derive(Default)]
pub(super) struct Convoy {
    /// Writes that were answered together last time.
    expected: usize,
    /// Requests of all kinds received until then.
    received: u64,
    since: Option<Instant>,
    /// Syncs without a wait, after one that was in vain.
    skips: Skips,
}

impl Convoy {
    /// Whether more writes are worth waiting for than the `waiting` ones, which a sync of `sync`
    /// would take in, after `received` requests in all.
    pub(super) fn hold(
        &mut self,
        waiting: usize,
        received: u64,
        now: Instant,
        sync: Duration,
    ) -> bool {
        let enough = waiting == 0 || waiting >= self.expected;
        if enough || self.skips.skip() || self.others_wait(waiting, received) {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) < sync {
            return true;
        }
        self.skips.failed();
        false
    }

    /// Nobody else has anything to say before these `waiting` writes are answered.
    pub(super) fn all_here(&self, waiting: usize, received: u64) -> bool {
        waiting >= self.expected && !self.others_wait(waiting, received)
    }

    /// Whether anything but these writes was asked since the last sync: its answer should not wait.
    fn others_wait(&self, waiting: usize, received: u64) -> bool {
        received.wrapping_sub(self.received) > waiting as u64
    }

    /// `answered` writes are on disk.
    pub(super) fn synced(&mut self, answered: usize, received: u64) {
        self.skips.turn(answered >= self.expected);
        self.expected = answered;
        self.received = received;
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::skips::SKIPS_MAX;
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    fn after(begin: Instant, micros: u64) -> Instant {
        begin + Duration::from_micros(micros)
    }

    #[test]
    fn as_many_are_waited_for_as_were_answered_together() {
        let mut convoy = Convoy::default();
        let now = Instant::now();
        assert!(!convoy.hold(1, 1, now, SYNC), "nobody is known yet");
        convoy.synced(3, 3);
        assert!(!convoy.hold(0, 3, now, SYNC), "nothing is to be written");
        assert!(convoy.hold(1, 4, now, SYNC));
        assert!(!convoy.all_here(1, 4));
        assert!(!convoy.hold(1, 5, now, SYNC), "somebody reads, and would wait as well");
        assert!(!convoy.hold(3, 6, now, SYNC));
        assert!(convoy.all_here(3, 6));
        assert!(!convoy.all_here(3, 7), "somebody reads, and would wait for the sync");
    }

    #[test]
    fn the_wait_is_never_longer_than_a_sync_and_rarer_each_time_it_fails() {
        let mut convoy = Convoy::default();
        let begin = Instant::now();
        convoy.synced(2, 2);
        let mut held = 0;
        for round in 0..10_000 {
            let received = 3 + 2 * round;
            let arrived = after(begin, round * 1000);
            if convoy.hold(1, received, arrived, SYNC) {
                held += 1;
                assert!(convoy.hold(1, received, after(arrived, 99), SYNC));
                assert!(!convoy.hold(1, received, after(arrived, 100), SYNC));
            }
            // The other one is always just too late.
            convoy.synced(2, received + 1);
        }
        assert!((5..25).contains(&held), "{held} waits in vain");
        // Both in time again: from then on they are waited for each time.
        for _ in 0..=SKIPS_MAX {
            assert!(!convoy.hold(2, 2, begin, SYNC));
            convoy.synced(2, 0);
        }
        assert!(convoy.hold(1, 1, begin, SYNC));
    }
}
