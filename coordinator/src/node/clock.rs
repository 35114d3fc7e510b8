//! The clocks a node lives by, as plain functions of what the system's clocks say.
//!
//! [`SessionClock`] stands still while the server does: what was not read cannot be late.
//! [`WallClock`] does not follow a single reading that is far ahead.

/// Between two looks at its sockets a server counts no more than so many ticks. A longer time was a
/// stall (a long sync, a suspended machine, too little processor): pings that came meanwhile lie
/// unread, and deadlines wait as long.
const TICKS_COUNTED: u64 = 5;

/// A wall clock that is ahead by more than this of what has passed since its last reading is doubted.
const JUMP_MS: i64 = 24 * 3_600_000;

/// A doubted clock that says so for this long is believed: somebody has set it.
const CONFIRM_MS: u64 = 60_000;

/// The log's time goes back when it is ahead of the clock by more than this.
const BACK_MS: i64 = 24 * 3_600_000;

/// All clocks of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    now_ms: u64,
    started_ms: u64,
    wall: WallClock,
    attentive: SessionClock,
}

impl Clocks {
    pub(super) fn new(now_ms: u64, wall_ms: i64, tick_ms: u64) -> Self {
        Clocks {
            now_ms,
            started_ms: now_ms,
            wall: WallClock::new(now_ms, wall_ms),
            attentive: SessionClock::new(now_ms, tick_ms),
        }
    }

    /// The server looks at its sockets. Returns what is to be logged of the wall clock.
    pub(super) fn advance(&mut self, now_ms: u64, wall_ms: i64) -> Option<Doubt> {
        self.now_ms = self.now_ms.max(now_ms);
        self.attentive.advance(self.now_ms);
        self.wall.read(self.now_ms, wall_ms)
    }

    /// Monotonic; leases and elections go by it.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Stands still while the server does; sessions, handshakes, links and the disk are late by it.
    pub(super) fn attentive_ms(&self) -> u64 {
        self.attentive.now_ms
    }

    /// The time of day, for people and for znodes' times alone.
    pub(super) fn wall_ms(&self) -> i64 {
        self.wall.now_ms
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        self.now_ms - self.started_ms
    }
}

/// The time for which a server was attentive. Sessions, handshakes and links are late by this clock.
#[derive(Debug, Clone, Copy)]
struct SessionClock {
    now_ms: u64,
    looked_at: u64,
    counted: u64,
}

impl SessionClock {
    fn new(now_ms: u64, tick_ms: u64) -> Self {
        SessionClock { now_ms, looked_at: now_ms, counted: tick_ms * TICKS_COUNTED }
    }

    /// The server looks at its sockets; `now_ms` is monotonic.
    fn advance(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.looked_at);
        self.looked_at = self.looked_at.max(now_ms);
        self.now_ms += passed.min(self.counted);
    }
}

/// The time of day, as far as it is believed.
#[derive(Debug, Clone, Copy)]
struct WallClock {
    now_ms: i64,
    read_at: u64,
    doubted_since: Option<u64>,
}

/// What a reading of the wall clock gives to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The clock is ahead by so many ms, and is not followed.
    Begins(i64),
    /// It has been ahead for long, and is followed from now on.
    Ends(i64),
}

impl WallClock {
    fn new(now_ms: u64, wall_ms: i64) -> Self {
        WallClock { now_ms: wall_ms, read_at: now_ms, doubted_since: None }
    }

    /// Takes a reading in: `wall_ms` at the monotonic `now_ms`.
    fn read(&mut self, now_ms: u64, wall_ms: i64) -> Option<Doubt> {
        let passed = now_ms.saturating_sub(self.read_at) as i64;
        let expected = self.now_ms.saturating_add(passed);
        let ahead = wall_ms.saturating_sub(expected);
        self.read_at = self.read_at.max(now_ms);
        if ahead <= JUMP_MS {
            self.now_ms = wall_ms;
            self.doubted_since = None;
            return None;
        }
        match self.doubted_since {
            Some(since) if now_ms >= since + CONFIRM_MS => {
                self.now_ms = wall_ms;
                self.doubted_since = None;
                Some(Doubt::Ends(ahead))
            }
            Some(_) => {
                self.now_ms = expected;
                None
            }
            None => {
                self.now_ms = expected;
                self.doubted_since = Some(now_ms);
                Some(Doubt::Begins(ahead))
            }
        }
    }
}

/// The time of the next entry behind one of `last_ms`. It never goes back, unless the last one was
/// far ahead: one wrong clock must not fix all times that follow.
pub(super) fn next_stamp(last_ms: i64, wall_ms: i64) -> i64 {
    if last_ms.saturating_sub(wall_ms) > BACK_MS { wall_ms } else { last_ms.max(wall_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_counts_as_little_as_a_long_turn() {
        let mut clock = SessionClock::new(1000, 20);
        for now in (1020..=2000).step_by(20) {
            clock.advance(now);
        }
        assert_eq!(clock.now_ms, 2000, "it runs with the other while the server is attentive");
        clock.advance(8000);
        assert_eq!(clock.now_ms, 2100, "six seconds of standing still");
        clock.advance(7000);
        assert_eq!(clock.now_ms, 2100, "it never goes back");
        clock.advance(8050);
        assert_eq!(clock.now_ms, 2150);
    }

    #[test]
    fn a_reading_far_ahead_is_followed_only_when_it_lasts() {
        let year = 365 * 24 * 3_600_000;
        let mut clock = WallClock::new(0, 1_000_000);
        assert_eq!(clock.read(100, 1_000_150), None);
        assert_eq!(clock.now_ms, 1_000_150);
        assert_eq!(clock.read(200, 1_000_250 + year), Some(Doubt::Begins(year)));
        assert_eq!(clock.now_ms, 1_000_250, "it goes on as if nothing had been said");
        assert_eq!(clock.read(300, 1_000_350), None);
        assert_eq!(clock.now_ms, 1_000_350);
        // A clock that was set for good.
        assert_eq!(clock.read(400, 1_000_450 + year), Some(Doubt::Begins(year)));
        assert_eq!(clock.read(60_399, 1_060_449 + year), None);
        assert_eq!(clock.now_ms, 1_060_449);
        assert_eq!(clock.read(60_400, 1_060_450 + year), Some(Doubt::Ends(year)));
        assert_eq!(clock.now_ms, 1_060_450 + year);
        // Back it goes at once.
        assert_eq!(clock.read(60_500, 1_060_550), None);
        assert_eq!(clock.now_ms, 1_060_550);
    }

    #[test]
    fn times_in_the_log_go_back_only_from_far_ahead() {
        assert_eq!(next_stamp(100, 90), 100);
        assert_eq!(next_stamp(100, 110), 110);
        assert_eq!(next_stamp(BACK_MS, 0), BACK_MS);
        assert_eq!(next_stamp(BACK_MS + 1, 0), 0);
        assert_eq!(next_stamp(i64::MAX, 0), 0);
    }
}
