//! This server's word from the leader: what it reports, what the leader confirms, and how long the
//! leader has been silent.
//!
//! A session heard from here is named in every report until the leader has confirmed one that names
//! it, and in none afterwards: a session that has died is not kept alive by late reports.

use std::collections::VecDeque;

/// Reports on their way at once; more would mean that nobody confirms them.
const REPORTS_MAX: usize = 64;

/// A report that was sent to the leader.
pub(super) struct Report {
    pub number: u64,
    at_ms: u64,
    /// Sessions heard from since the report before.
    pub sessions: Vec<i64>,
}

/// How long connections may be served after the last word from a leader.
pub(super) struct Leases {
    /// When the leader last confirmed a report, counted from when that was sent.
    contact_ms: u64,
    /// Of the last report.
    number: u64,
    /// Reports that the leader has not confirmed, oldest first.
    sent: VecDeque<Report>,
    /// Sessions that the next report must name.
    unreported: Vec<i64>,
}

impl Leases {
    pub(super) fn new(contact_ms: u64) -> Self {
        Leases { contact_ms, number: 0, sent: VecDeque::new(), unreported: Vec::new() }
    }

    /// How long a connection with this timeout may be served after the last word from a leader.
    ///
    /// The leader expires a session after its whole timeout; a third of it leaves the client time
    /// to learn that it is cut off before anybody else can see its ephemerals gone.
    pub(super) fn lease_ms(timeout_ms: u32) -> u64 {
        u64::from(timeout_ms) / 3
    }

    pub(super) fn silence_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.contact_ms)
    }

    /// A leader needs no word from anybody.
    pub(super) fn renew(&mut self, now_ms: u64) {
        self.contact_ms = now_ms;
    }

    /// These sessions were heard from.
    pub(super) fn heard(&mut self, sessions: impl IntoIterator<Item = i64>) {
        self.unreported.extend(sessions);
        self.unreported.sort_unstable();
        self.unreported.dedup();
    }

    /// The sessions that were heard from since the last report, for a leader, which reports to nobody.
    pub(super) fn take_unreported(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.unreported)
    }

    /// Makes the next report.
    pub(super) fn report(&mut self, now_ms: u64) -> &Report {
        self.number += 1;
        let sessions = std::mem::take(&mut self.unreported);
        if self.sent.len() >= REPORTS_MAX
            && let Some(oldest) = self.sent.pop_front()
        {
            self.unreported.extend(oldest.sessions);
        }
        let report = Report { number: self.number, at_ms: now_ms, sessions };
        self.sent.push_back_mut(report)
    }

    /// What one leader, or one connection to it, has not confirmed, the next one must hear.
    pub(super) fn reports_lost(&mut self) {
        let lost = self.sent.drain(..);
        self.unreported.extend(lost.flat_map(|report| report.sessions));
    }

    /// The leader has counted a report. Those before it that it has not confirmed it did not count:
    /// their sessions are named again, the others never.
    pub(super) fn confirmed(&mut self, number: u64) {
        while let Some(report) = self.sent.pop_front_if(|report| report.number <= number) {
            if report.number == number {
                // From when it was sent: the way back may have taken long.
                self.contact_ms = self.contact_ms.max(report.at_ms);
            } else {
                self.unreported.extend(report.sessions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(leases: &mut Leases, now_ms: u64) -> (u64, Vec<i64>) {
        let report = leases.report(now_ms);
        (report.number, report.sessions.clone())
    }

    #[test]
    fn a_session_is_reported_until_a_report_that_names_it_is_confirmed() {
        let mut leases = Leases::new(0);
        leases.heard([2, 1, 2]);
        assert_eq!(report(&mut leases, 10), (1, vec![1, 2]));
        leases.heard([3]);
        assert_eq!(report(&mut leases, 20), (2, vec![3]));
        assert_eq!(report(&mut leases, 30), (3, vec![]));
        leases.confirmed(2);
        leases.heard([]);
        assert_eq!(report(&mut leases, 40), (4, vec![1, 2]), "report 1 was not counted");
        leases.confirmed(4);
        assert_eq!(report(&mut leases, 50), (5, vec![]), "dead sessions are named no more");
    }

    #[test]
    fn a_lease_runs_from_when_the_confirmed_report_was_sent() {
        let mut leases = Leases::new(0);
        report(&mut leases, 100);
        report(&mut leases, 200);
        leases.confirmed(9);
        assert_eq!(leases.silence_ms(1000), 1000, "nobody has sent report 9");
        report(&mut leases, 300);
        report(&mut leases, 400);
        leases.confirmed(3);
        assert_eq!(leases.silence_ms(1000), 700);
        leases.confirmed(3);
        assert_eq!(leases.silence_ms(1000), 700);
        leases.renew(1000);
        leases.confirmed(4);
        assert_eq!(leases.silence_ms(1000), 0, "a late word takes nothing away");
    }

    #[test]
    fn the_next_leader_hears_what_the_last_one_has_not_confirmed() {
        let mut leases = Leases::new(0);
        leases.heard([1]);
        report(&mut leases, 10);
        leases.heard([2]);
        leases.reports_lost();
        leases.confirmed(1);
        assert_eq!(leases.silence_ms(10), 10, "of a leader that is not followed any more");
        leases.heard([]);
        assert_eq!(report(&mut leases, 20), (2, vec![1, 2]));
    }

    #[test]
    fn reports_that_nobody_confirms_are_bounded_and_no_session_is_forgotten() {
        let mut leases = Leases::new(0);
        leases.heard([7]);
        for at_ms in 0..=REPORTS_MAX as u64 {
            report(&mut leases, at_ms);
        }
        assert_eq!(leases.sent.len(), REPORTS_MAX);
        leases.heard([]);
        assert_eq!(report(&mut leases, 99).1, [7]);
    }

    #[test]
    fn a_third_of_the_timeout_is_left_to_nobody() {
        assert_eq!(Leases::lease_ms(30_000), 10_000);
    }
}
