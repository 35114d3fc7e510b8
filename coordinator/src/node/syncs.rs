//! Who waits for a `sync`, and how far the leader's word has come.
//!
//! Each round trip to the leader serves all syncs that came before it: they share a ticket.

use std::collections::VecDeque;

use super::client::ConnId;

/// An unanswered request (raft drops them silently) is repeated after this.
const REPEAT_MS: u64 = 300;

/// Tickets of syncs, from arrival to answer.
#[derive(Debug)]
pub(super) struct Syncs {
    /// Ticket of the syncs that come now.
    next: u64,
    /// Syncs hold ticket `next`, and nobody has asked for them.
    fresh: bool,
    /// Newest ticket asked for.
    asked: u64,
    asked_ms: u64,
    /// Tickets up to this may be answered.
    done: u64,
    /// (index to be applied, ticket), in order of arrival.
    confirmed: Vec<(u64, u64)>,
    /// Who waits with which ticket, in order of arrival: each sync is looked at once.
    waiting: VecDeque<(u64, ConnId)>,
}

impl Default for Syncs {
    fn default() -> Self {
        Syncs {
            next: 1,
            fresh: false,
            asked: 0,
            asked_ms: 0,
            done: 0,
            confirmed: Vec::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl Syncs {
    /// A sync has come; returns its ticket.
    pub(super) fn wait(&mut self, conn: ConnId) -> u64 {
        self.waiting.push_back((self.next, conn));
        self.fresh = true;
        self.next
    }

    /// The ticket to ask the leader for now, if one is due: of syncs that have come, or once more of
    /// those that were asked for.
    pub(super) fn ask(&mut self, now_ms: u64) -> Option<u64> {
        if self.fresh {
            self.fresh = false;
            self.asked = self.next;
            self.next += 1;
        } else if self.asked == self.done || now_ms < self.asked_ms + REPEAT_MS {
            return None;
        }
        self.asked_ms = now_ms;
        Some(self.asked)
    }

    /// The leader's word: whoever holds this ticket waits for this index.
    pub(super) fn confirm(&mut self, ticket: u64, index: u64) {
        self.confirmed.push((index, ticket));
    }

    /// Everything up to this index is applied.
    pub(super) fn applied(&mut self, applied: u64) {
        let done = &mut self.done;
        self.confirmed.retain(|&(index, ticket)| {
            if index <= applied {
                *done = (*done).max(ticket);
            }
            index > applied
        });
    }

    /// Whether syncs with this ticket may be answered.
    pub(super) fn is_done(&self, ticket: u64) -> bool {
        ticket <= self.done
    }

    /// The next connection whose sync may be answered; each is named once.
    pub(super) fn take_done(&mut self) -> Option<ConnId> {
        let (_, conn) = self.waiting.pop_front_if(|&mut (ticket, _)| ticket <= self.done)?;
        Some(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(number: u64) -> ConnId {
        ConnId::from_u64(number)
    }

    #[test]
    fn syncs_of_one_round_trip_share_a_ticket_and_later_ones_do_not() {
        let mut syncs = Syncs::default();
        assert_eq!(syncs.ask(0), None, "nobody waits");
        let first = syncs.wait(conn(1));
        assert_eq!(syncs.wait(conn(2)), first);
        assert_eq!(syncs.ask(0), Some(first));
        let second = syncs.wait(conn(3));
        assert!(second > first, "what is committed since then is not covered by the first");
        syncs.confirm(first, 10);
        syncs.applied(9);
        assert!(!syncs.is_done(first) && syncs.take_done().is_none());
        syncs.applied(10);
        assert!(syncs.is_done(first) && !syncs.is_done(second));
        let done: Vec<_> = std::iter::from_fn(|| syncs.take_done()).collect();
        assert_eq!(done, [conn(1), conn(2)]);
    }

    #[test]
    fn what_gets_no_answer_is_asked_again_until_it_does() {
        let mut syncs = Syncs::default();
        let ticket = syncs.wait(conn(1));
        assert_eq!(syncs.ask(1000), Some(ticket));
        assert_eq!(syncs.ask(1000 + REPEAT_MS - 1), None);
        assert_eq!(syncs.ask(1000 + REPEAT_MS), Some(ticket));
        assert_eq!(syncs.ask(1001 + REPEAT_MS), None);
        syncs.confirm(ticket, 1);
        syncs.applied(1);
        assert_eq!(syncs.ask(9000), None, "it is answered");
    }

    #[test]
    fn a_later_word_answers_earlier_syncs_too() {
        let mut syncs = Syncs::default();
        let first = syncs.wait(conn(1));
        syncs.ask(0);
        let second = syncs.wait(conn(2));
        syncs.ask(0);
        syncs.confirm(second, 5);
        syncs.applied(5);
        assert!(syncs.is_done(first) && syncs.is_done(second));
    }
}
