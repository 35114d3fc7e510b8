//! Group commit on a lone server: whether a write waits briefly so that several share one sync.
//!
//! Clients with one outstanding request fall into step: they are answered together and ask again
//! together. A sync that starts with the first write makes the others wait for two syncs. So the
//! server waits for as many writes as it answered last time, for at most the length of one sync,
//! and backs off when they do not come (`docs/decisions/0012`).

use std::time::Duration;

use super::backoff::Backoff;

/// The writes of one server that syncs its own log.
#[derive(Default)]
pub(super) struct GroupCommit {
    /// Writes answered together last time.
    expected: usize,
    /// Requests of all kinds received up to that sync.
    received: u64,
    since: Option<Duration>,
    /// Syncs to pass without waiting, after a wait that gained nothing.
    backoff: Backoff,
}

impl GroupCommit {
    /// Whether to wait for more writes than the `waiting` ones before a sync that takes about
    /// `sync`. `received` counts all requests since the start.
    pub(super) fn hold(
        &mut self,
        waiting: usize,
        received: u64,
        now: Duration,
        sync: Duration,
    ) -> bool {
        let enough = waiting == 0 || waiting >= self.expected;
        if enough || self.backoff.skip() || self.others_wait(waiting, received) {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < sync {
            return true;
        }
        self.backoff.failed();
        false
    }

    /// Whether every client that usually writes has written, and no other request waits.
    pub(super) fn all_here(&self, waiting: usize, received: u64) -> bool {
        waiting >= self.expected && !self.others_wait(waiting, received)
    }

    /// Whether other requests arrived since the last sync: their answers should not wait.
    fn others_wait(&self, waiting: usize, received: u64) -> bool {
        received.wrapping_sub(self.received) > waiting as u64
    }

    /// `answered` writes are on disk.
    pub(super) fn synced(&mut self, answered: usize, received: u64) {
        self.backoff.turn(answered >= self.expected);
        self.expected = answered;
        self.received = received;
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::backoff::BACKOFF_MAX;
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    fn after(begin: Duration, micros: u64) -> Duration {
        begin + Duration::from_micros(micros)
    }

    #[test]
    fn as_many_are_waited_for_as_were_answered_together() {
        let mut group_commit = GroupCommit::default();
        let now = Duration::from_secs(1);
        assert!(!group_commit.hold(1, 1, now, SYNC), "nobody is known yet");
        group_commit.synced(3, 3);
        assert!(!group_commit.hold(0, 3, now, SYNC), "nothing is to be written");
        assert!(group_commit.hold(1, 4, now, SYNC));
        assert!(!group_commit.all_here(1, 4));
        assert!(!group_commit.hold(1, 5, now, SYNC), "somebody reads, and would wait as well");
        assert!(!group_commit.hold(3, 6, now, SYNC));
        assert!(group_commit.all_here(3, 6));
        assert!(!group_commit.all_here(3, 7), "somebody reads, and would wait for the sync");
    }

    #[test]
    fn the_wait_is_never_longer_than_a_sync_and_rarer_each_time_it_fails() {
        let mut group_commit = GroupCommit::default();
        let begin = Duration::from_secs(1);
        group_commit.synced(2, 2);
        let mut held = 0;
        for round in 0..10_000 {
            let received = 3 + 2 * round;
            let arrived = after(begin, round * 1000);
            if group_commit.hold(1, received, arrived, SYNC) {
                held += 1;
                assert!(group_commit.hold(1, received, after(arrived, 99), SYNC));
                assert!(!group_commit.hold(1, received, after(arrived, 100), SYNC));
            }
            // The other one is always just too late.
            group_commit.synced(2, received + 1);
        }
        assert!((5..25).contains(&held), "{held} waits in vain");
        // Both in time again: from then on they are waited for each time.
        for _ in 0..=BACKOFF_MAX {
            assert!(!group_commit.hold(2, 2, begin, SYNC));
            group_commit.synced(2, 0);
        }
        assert!(group_commit.hold(1, 1, begin, SYNC));
    }
}
