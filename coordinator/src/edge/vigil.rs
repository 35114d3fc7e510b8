//! Whether the server's thread stays awake for what comes next, instead of sleeping until it is there.
//!
//! A core that sleeps is woken by an interrupt, and that takes longer than most requests. Where
//! requests come so quickly that the thread would hardly sleep, it looks for the next one again and
//! again, and other processes may run between two looks. Where they come slowly it sleeps.

use std::time::{Duration, Instant};

use super::skips::Skips;

/// So long the thread stays awake, and so short the gaps have to be for that.
const GAP_MAX: Duration = Duration::from_micros(60);

/// Longer gaps count as this one: a dozen short ones after a pause, and the thread stays awake again.
const GAP_COUNTED: Duration = Duration::from_micros(240);

/// Two looks so far apart mean that others want this core. It does not sleep then, and who has slept
/// gets it sooner than who always wants it.
const LOOK_MAX: Duration = Duration::from_micros(150);

/// The gaps between the moments with something to do.
pub(super) struct Vigil {
    /// Of the last few.
    mean: Duration,
    since: Option<Instant>,
    /// The last look of this gap, if the thread is still awake.
    looked: Option<Instant>,
    skips: Skips,
    /// Not in this gap.
    rests: bool,
    /// On a lone core, or with a quota of less than two, nothing comes as long as this thread looks.
    one_core: bool,
}

impl Vigil {
    pub(super) fn new(cores: usize) -> Vigil {
        Vigil {
            mean: GAP_COUNTED,
            since: None,
            looked: None,
            skips: Skips::default(),
            rests: false,
            one_core: cores < 2,
        }
    }

    /// The client who is answered now has waited for the disk, and its core has gone to sleep meanwhile.
    /// Where this thread sleeps as well, the client is woken here; where it does not, there.
    pub(super) fn rest(&mut self) {
        self.rests = true;
    }

    /// Nothing is to be done at `now`: whether to look again at once.
    pub(super) fn keep(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if self.looked.is_some_and(|looked| now.duration_since(looked) > LOOK_MAX) {
            self.skips.failed();
        }
        let awake = !self.one_core
            && !self.rests
            && !self.skips.skip()
            && self.mean < GAP_MAX
            && now.duration_since(since) < GAP_MAX;
        self.looked = awake.then_some(now);
        awake
    }

    /// Something has come by `now`.
    pub(super) fn end(&mut self, now: Instant) {
        let awake = self.looked.take().is_some();
        self.rests = false;
        if let Some(since) = self.since.take() {
            let gap = now.duration_since(since).min(GAP_COUNTED);
            self.mean = (self.mean * 7 + gap) / 8;
            self.skips.turn(awake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    /// So many gaps of `gap`; whether the thread stays awake at the begin of the next one.
    fn after(vigil: &mut Vigil, now: &mut Instant, gaps: usize, gap: Duration) -> bool {
        for _ in 0..gaps {
            vigil.keep(*now);
            *now += gap;
            vigil.end(*now);
        }
        vigil.keep(*now)
    }

    #[test]
    fn it_stays_awake_only_while_the_gaps_are_short() {
        let (mut vigil, mut now) = (Vigil::new(2), Instant::now());
        assert!(!vigil.keep(now), "nobody has come yet");
        assert!(!after(&mut vigil, &mut now, 4, micros(20)), "a few may be chance");
        assert!(after(&mut vigil, &mut now, 28, micros(20)));
        assert!(after(&mut vigil, &mut now, 1, micros(300)), "one pause is no end");
        assert!(!after(&mut vigil, &mut now, 4, micros(300)));
        assert!(!after(&mut vigil, &mut now, 100, micros(61)), "too slow to wait for");
    }

    #[test]
    fn no_gap_is_waited_out_for_long() {
        let (mut vigil, mut now) = (Vigil::new(2), Instant::now());
        assert!(after(&mut vigil, &mut now, 32, micros(20)));
        assert!(vigil.keep(now + micros(59)));
        assert!(!vigil.keep(now + micros(60)));
    }

    #[test]
    fn it_may_rest_for_one_gap() {
        let (mut vigil, mut now) = (Vigil::new(2), Instant::now());
        assert!(after(&mut vigil, &mut now, 32, micros(20)));
        vigil.end(now);
        vigil.rest();
        assert!(!vigil.keep(now));
        vigil.end(now + micros(20));
        assert!(vigil.keep(now + micros(30)));
    }

    #[test]
    fn others_on_the_same_core_come_first() {
        let (mut vigil, mut now) = (Vigil::new(2), Instant::now());
        assert!(after(&mut vigil, &mut now, 32, micros(20)));
        let mut awake = 0;
        for _ in 0..10_000 {
            if vigil.keep(now) {
                awake += 1;
                now += micros(3000);
                assert!(!vigil.keep(now), "somebody had the core meanwhile");
            }
            vigil.end(now);
            after(&mut vigil, &mut now, 1, micros(20));
        }
        assert!((5..50).contains(&awake), "{awake} times");
        after(&mut vigil, &mut now, 2048, micros(20));
        assert!(vigil.keep(now), "nobody wants it any more");
    }

    #[test]
    fn a_lone_core_is_left_to_the_clients() {
        let (mut vigil, mut now) = (Vigil::new(1), Instant::now());
        assert!(!after(&mut vigil, &mut now, 32, micros(20)));
    }
}
