//! Entries that this leader writes: filled with segments, closed at a size, proposed in order.
//!
//! Each begins with the leader's time. That never goes back in the log, unless the log is far ahead:
//! one wrong clock must not fix all times that follow.

use std::collections::VecDeque;

use super::clock;
use super::entry::{self, Segment};

/// An entry is closed at this size; the next one begins. Small enough for an allocator to have it at
/// hand: beyond 128 KiB each one would be fresh pages of the kernel's.
const ENTRY_BYTES: usize = 64 << 10;

/// What stands at the head of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The ensemble's feature level.
    pub level: u16,
    /// This server's clock.
    pub wall_ms: i64,
}

/// The entry under construction, and those that wait to be proposed.
pub(super) struct Proposals {
    open: Vec<u8>,
    closed: VecDeque<Vec<u8>>,
    /// The time of the newest entry known here.
    last_stamp_ms: i64,
    /// As leader, refuse what goes over hard quotas.
    enforce_quota: bool,
}

impl Proposals {
    pub(super) fn new(last_stamp_ms: i64, enforce_quota: bool) -> Self {
        Proposals { open: Vec::new(), closed: VecDeque::new(), last_stamp_ms, enforce_quota }
    }

    /// Adds a segment. Returns how many ms the log's times go back, where they do.
    pub(super) fn add(&mut self, segment: &Segment<'_>, head: Head) -> Option<i64> {
        let back_ms = if self.open.is_empty() { self.begin(head) } else { None };
        segment.encode(&mut self.open);
        if self.open.len() >= ENTRY_BYTES {
            self.close();
        }
        back_ms
    }

    fn begin(&mut self, head: Head) -> Option<i64> {
        let before = self.last_stamp_ms;
        self.last_stamp_ms = clock::next_stamp(before, head.wall_ms);
        self.open = entry::begin(head.level, self.last_stamp_ms);
        if self.enforce_quota && head.level >= 1 {
            Segment::EnforceQuotas.encode(&mut self.open);
        }
        (self.last_stamp_ms < before).then(|| before - self.last_stamp_ms)
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// The next entry to be proposed, the one under construction last.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        if self.closed.is_empty() {
            self.close();
        }
        self.closed.pop_front()
    }

    /// The leader has changed: what was not proposed is handed over again by whom it came from.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.closed.clear();
    }

    /// The newest entry known here has this time.
    pub(super) fn continue_from(&mut self, stamp_ms: i64) {
        self.last_stamp_ms = stamp_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::feature::LEVEL;

    const LEVEL_0: Head = Head { level: 0, wall_ms: 1000 };

    fn segments(data: &[u8]) -> (i64, Vec<Segment<'_>>) {
        let (time_ms, segments) = entry::parse(data, LEVEL).expect("an entry of ours");
        (time_ms, segments.map(|segment| segment.expect("a segment of ours")).collect())
    }

    #[test]
    fn segments_share_an_entry_until_it_is_long_and_leave_in_order() {
        let mut proposals = Proposals::new(0, false);
        let long = vec![7; ENTRY_BYTES];
        let all = [
            Segment::Level { level: 1 },
            Segment::LeaderOps { ops: &long },
            Segment::Level { level: 2 },
        ];
        for segment in &all {
            assert_eq!(proposals.add(segment, LEVEL_0), None);
        }
        let first = proposals.next().expect("the long one is closed");
        assert_eq!(segments(&first), (1000, all[..2].to_vec()));
        let second = proposals.next().expect("the open one is closed when it is asked for");
        assert_eq!(segments(&second), (1000, all[2..].to_vec()));
        assert_eq!(proposals.next(), None);
    }

    #[test]
    fn times_go_back_only_from_far_ahead_and_that_is_reported() {
        let mut proposals = Proposals::new(5000, false);
        let segment = Segment::Level { level: 1 };
        assert_eq!(proposals.add(&segment, LEVEL_0), None);
        assert_eq!(segments(&proposals.next().unwrap()).0, 5000, "the log's time, not the clock's");
        let two_days = 2 * 24 * 3_600_000;
        proposals.continue_from(1000 + two_days);
        assert_eq!(proposals.add(&segment, LEVEL_0), Some(two_days));
        assert_eq!(proposals.add(&segment, LEVEL_0), None, "the same entry");
        assert_eq!(segments(&proposals.next().unwrap()).0, 1000);
    }

    #[test]
    fn quotas_are_enforced_from_level_1_on_and_by_whoever_is_configured_so() {
        for (enforce, level, marked) in [(true, 1, true), (true, 0, false), (false, 1, false)] {
            let mut proposals = Proposals::new(0, enforce);
            proposals.add(&Segment::Level { level: 1 }, Head { level, wall_ms: 1 });
            let data = proposals.next().unwrap();
            assert_eq!(segments(&data).1[0] == Segment::EnforceQuotas, marked);
        }
    }

    #[test]
    fn nothing_of_a_lost_leadership_is_proposed() {
        let mut proposals = Proposals::new(0, false);
        let long = vec![7; ENTRY_BYTES];
        proposals.add(&Segment::LeaderOps { ops: &long }, LEVEL_0);
        proposals.add(&Segment::Level { level: 1 }, LEVEL_0);
        proposals.clear();
        assert_eq!(proposals.next(), None);
    }
}
