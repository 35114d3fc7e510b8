//! Busy polling: whether the server's thread polls again at once instead of sleeping in epoll.
//!
//! Waking a sleeping core takes longer than most requests. While the gaps between requests are
//! short, the thread polls and yields in a loop. Otherwise it sleeps (`docs/decisions/0013`).

use std::time::Duration;

use super::backoff::Backoff;

/// Poll for at most this long, and only while the mean gap is shorter.
const GAP_MAX: Duration = Duration::from_micros(60);

/// Longer gaps count as this one, so that a dozen short gaps end the effect of a pause.
const GAP_COUNTED: Duration = Duration::from_micros(240);

/// Two polls this far apart mean the thread was descheduled: other processes want this core, so
/// back off.
const LOOK_MAX: Duration = Duration::from_micros(150);

/// Gaps between two turns that had work.
pub(super) struct BusyPoll {
    /// Moving average of the last gaps.
    mean: Duration,
    since: Option<Duration>,
    /// The last poll in this gap, while the thread is polling.
    looked: Option<Duration>,
    backoff: Backoff,
    /// Do not poll in this gap.
    rests: bool,
    /// Never poll: by configuration, or since clients could not run meanwhile (one core, or a CPU
    /// quota below two).
    off: bool,
}

impl BusyPoll {
    pub(super) fn new(cores: usize) -> BusyPoll {
        BusyPoll {
            mean: GAP_COUNTED,
            since: None,
            looked: None,
            backoff: Backoff::default(),
            rests: false,
            off: cores < 2,
        }
    }

    /// The thread always sleeps (`coordinator.busyPoll=off`).
    pub(super) fn off() -> BusyPoll {
        BusyPoll::new(1)
    }

    /// Sleep in the next gap. The client that is answered now waited for the disk, and its core is
    /// asleep: if this thread sleeps too, the client wakes on this core, which is faster.
    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    /// There is no work at `now`: whether to poll again at once.
    pub(super) fn keep(&mut self, now: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.looked.is_some_and(|looked| now.saturating_sub(looked) > LOOK_MAX) {
            self.backoff.failed();
        }
        let awake = !self.off
            && !self.rests
            && !self.backoff.skip()
            && self.mean < GAP_MAX
            && now.saturating_sub(since) < GAP_MAX;
        self.looked = awake.then_some(now);
        awake
    }

    /// Work arrived by `now`.
    pub(super) fn end(&mut self, now: Duration) {
        let awake = self.looked.take().is_some();
        self.rests = false;
        if let Some(since) = self.since.take() {
            let gap = now.saturating_sub(since).min(GAP_COUNTED);
            self.mean = (self.mean * 7 + gap) / 8;
            self.backoff.turn(awake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    /// Passes `gaps` gaps of length `gap`; returns whether the thread polls in the next one.
    fn after(busy_poll: &mut BusyPoll, now: &mut Duration, gaps: usize, gap: Duration) -> bool {
        for _ in 0..gaps {
            busy_poll.keep(*now);
            *now += gap;
            busy_poll.end(*now);
        }
        busy_poll.keep(*now)
    }

    #[test]
    fn it_stays_awake_only_while_the_gaps_are_short() {
        let (mut busy_poll, mut now) = (BusyPoll::new(2), Duration::from_secs(1));
        assert!(!busy_poll.keep(now), "nobody has come yet");
        assert!(!after(&mut busy_poll, &mut now, 4, micros(20)), "a few may be chance");
        assert!(after(&mut busy_poll, &mut now, 28, micros(20)));
        assert!(after(&mut busy_poll, &mut now, 1, micros(300)), "one pause is no end");
        assert!(!after(&mut busy_poll, &mut now, 4, micros(300)));
        assert!(!after(&mut busy_poll, &mut now, 100, micros(61)), "too slow to wait for");
    }

    #[test]
    fn no_gap_is_waited_out_for_long() {
        let (mut busy_poll, mut now) = (BusyPoll::new(2), Duration::from_secs(1));
        assert!(after(&mut busy_poll, &mut now, 32, micros(20)));
        assert!(busy_poll.keep(now + micros(59)));
        assert!(!busy_poll.keep(now + micros(60)));
    }

    #[test]
    fn it_may_rest_for_one_gap() {
        let (mut busy_poll, mut now) = (BusyPoll::new(2), Duration::from_secs(1));
        assert!(after(&mut busy_poll, &mut now, 32, micros(20)));
        busy_poll.end(now);
        busy_poll.rest();
        assert!(!busy_poll.keep(now));
        busy_poll.end(now + micros(20));
        assert!(busy_poll.keep(now + micros(30)));
    }

    #[test]
    fn others_on_the_same_core_come_first() {
        let (mut busy_poll, mut now) = (BusyPoll::new(2), Duration::from_secs(1));
        assert!(after(&mut busy_poll, &mut now, 32, micros(20)));
        let mut awake = 0;
        for _ in 0..10_000 {
            if busy_poll.keep(now) {
                awake += 1;
                now += micros(3000);
                assert!(!busy_poll.keep(now), "somebody had the core meanwhile");
            }
            busy_poll.end(now);
            after(&mut busy_poll, &mut now, 1, micros(20));
        }
        assert!((5..50).contains(&awake), "{awake} times");
        after(&mut busy_poll, &mut now, 2048, micros(20));
        assert!(busy_poll.keep(now), "nobody wants it any more");
    }

    #[test]
    fn a_lone_core_is_left_to_the_clients() {
        let (mut busy_poll, mut now) = (BusyPoll::new(1), Duration::from_secs(1));
        assert!(!after(&mut busy_poll, &mut now, 32, micros(20)));
    }
}
