//! The writes of this server's sessions that have not been applied yet, in order.
//!
//! They carry consecutive numbers. Whoever leads gets them in order, and a new leader gets all
//! again that are still here; the replicated cluster metadata sees to it that none is applied twice. So a
//! client never learns that a leader has died.

use std::collections::VecDeque;

use super::client::ConnId;
use crate::state::Txn;
use crate::wire::opcode::OpCode;

/// A batch closes at this size: one message, one segment of an entry. Small for
/// the same reason as an entry.
const BATCH_BYTES: usize = 32 << 10;

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    pub conn: ConnId,
    pub since_ms: u64,
}

/// Consecutive writes that travel together.
pub(super) struct Batch {
    pub first_sequence: u64,
    pub count: u32,
    pub ops: Vec<u8>,
    /// One of the writes asks for other members.
    pub reconfig: bool,
}

/// The stream of one run of this server.
pub(super) struct Outbox {
    boot: u64,
    next_sequence: u64,
    waiters: VecDeque<Waiter>,
    batches: VecDeque<Batch>,
    /// So many batches at the front were handed to the present leader.
    sent: usize,
}

impl Outbox {
    pub(super) fn new(boot: u64) -> Self {
        Outbox {
            boot,
            next_sequence: 1,
            waiters: VecDeque::new(),
            batches: VecDeque::new(),
            sent: 0,
        }
    }

    /// Writes that are not applied yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    /// Takes a write in; returns its sequence number.
    pub(super) fn push(&mut self, txn: &Txn<'_>, waiter: Waiter) -> u64 {
        let open = self.batches.len() > self.sent
            && self.batches.back().is_some_and(|b| b.ops.len() < BATCH_BYTES);
        if !open {
            let first_sequence = self.next_sequence;
            self.batches.push_back(Batch {
                first_sequence,
                count: 0,
                ops: Vec::new(),
                reconfig: false,
            });
        }
        let batch = self.batches.back_mut().expect("one is open");
        txn.encode(&mut batch.ops);
        batch.count += 1;
        batch.reconfig |= txn.op == OpCode::Reconfig;
        self.waiters.push_back(waiter);
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    /// The batches that the present leader has not been given; they count as given from now on.
    pub(super) fn take_unsent(&mut self) -> impl Iterator<Item = &Batch> {
        let from = self.sent;
        self.sent = self.batches.len();
        self.batches.range(from..)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.batches.len() > self.sent
    }

    /// Another leader, or another connection to it: it gets everything, in order.
    pub(super) fn resend(&mut self) {
        self.sent = 0;
    }

    /// Write `sequence` was applied: who waits for it?
    pub(super) fn applied(&mut self, sequence: u64) -> Option<Waiter> {
        let oldest = self.next_sequence - self.waiters.len() as u64;
        // The state counts each stream in order. Numbers that do not fit are none of this run's
        // writes, whatever the entry says.
        if sequence != oldest || sequence >= self.next_sequence {
            return None;
        }
        let waiter = self.waiters.pop_front();
        self.forget_through(sequence);
        waiter
    }

    /// The state has jumped over everything up to `sequence` (a received snapshot).
    pub(super) fn skip_through(&mut self, sequence: u64) {
        let oldest = self.next_sequence - self.waiters.len() as u64;
        for _ in oldest..sequence.saturating_add(1).min(self.next_sequence) {
            self.waiters.pop_front();
        }
        self.forget_through(sequence);
    }

    fn forget_through(&mut self, sequence: u64) {
        while let Some(front) = self.batches.front() {
            if front.first_sequence + u64::from(front.count) > sequence.saturating_add(1) {
                return;
            }
            self.batches.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IdentityBuf;

    fn push(outbox: &mut Outbox) -> u64 {
        let identity = IdentityBuf::new([127, 0, 0, 1].into());
        let txn =
            Txn { session: 1, identity: identity.as_identity(), op: OpCode::Delete, body: b"" };
        outbox.push(&txn, Waiter { conn: ConnId::from_u64(0), since_ms: 0 })
    }

    fn unsent(outbox: &mut Outbox) -> Vec<(u64, u32)> {
        outbox.take_unsent().map(|b| (b.first_sequence, b.count)).collect()
    }

    #[test]
    fn a_new_leader_gets_what_is_not_applied_in_order() {
        let mut outbox = Outbox::new(1);
        assert_eq!(push(&mut outbox), 1);
        assert_eq!(push(&mut outbox), 2);
        assert_eq!(unsent(&mut outbox), [(1, 2)]);
        assert_eq!(push(&mut outbox), 3);
        assert_eq!(unsent(&mut outbox), [(3, 1)]);
        assert!(outbox.applied(1).is_some());
        outbox.resend();
        assert_eq!(unsent(&mut outbox), [(1, 2), (3, 1)], "a batch half applied is sent whole");
        assert!(outbox.applied(2).is_some());
        assert!(outbox.applied(3).is_some());
        assert!(outbox.waiters.is_empty() && !outbox.has_unsent());
    }

    #[test]
    fn a_jump_of_the_state_takes_the_waiters_with_it() {
        let mut outbox = Outbox::new(1);
        for _ in 0..3 {
            push(&mut outbox);
        }
        outbox.skip_through(2);
        assert_eq!(outbox.waiters.len(), 1);
        assert!(outbox.applied(3).is_some());
    }
}
