//! `sync`: answered when everything is applied here that was committed when it came.
//!
//! By raft's read-index: the leader confirms with a majority that it leads and names its commit
//! index. Stronger than `ZooKeeper`'s, whose leader asks nobody.

use std::collections::VecDeque;

use super::Node;
use super::client::{ConnId, Waiting};
use crate::wire::code::Code;
use crate::wire::jute::Reader;

/// An unanswered request (raft drops them silently) is repeated after this.
const REPEAT_MS: u64 = 300;

/// Tickets: each round trip to the leader serves all syncs that came before it.
#[derive(Debug)]
pub(super) struct Sync {
    /// Ticket of the syncs that come now.
    next: u64,
    /// Syncs hold ticket `next`, and nobody has asked for them.
    fresh: bool,
    /// Newest ticket asked for.
    asked: u64,
    asked_ms: u64,
    /// Tickets up to this may be answered.
    pub done: u64,
    /// (index to be applied, ticket), in order of arrival.
    confirmed: Vec<(u64, u64)>,
    /// Who waits with which ticket, in order of arrival: each sync is looked at once.
    waiting: VecDeque<(u64, ConnId)>,
}

impl Default for Sync {
    fn default() -> Self {
        Sync {
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

impl Node {
    pub(super) fn sync(&mut self, conn: ConnId, xid: i32, body: &[u8]) {
        let mut reader = Reader::new(body);
        if reader.string().is_err() {
            return self.answer_in_turn(conn, xid, Code::MarshallingError, false);
        }
        let path = &body[..body.len() - reader.remaining()];
        let ticket = self.sync.next;
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.push(Waiting::Sync { xid, ticket, path: path.into() });
        self.sync.waiting.push_back((ticket, conn));
        self.sync.fresh = true;
    }

    /// Asks the leader once for all syncs that have come.
    pub(super) fn ask_read_index(&mut self) {
        let sync = &mut self.sync;
        if self.raft.raft.leader_id == 0 {
            return;
        }
        if sync.fresh {
            sync.fresh = false;
            sync.asked = sync.next;
            sync.next += 1;
        } else if sync.asked == sync.done || self.clocks.now_ms() < sync.asked_ms + REPEAT_MS {
            return;
        }
        sync.asked_ms = self.clocks.now_ms();
        // Unlike any other in the ensemble and of any other run: raft counts answers by it.
        let mut context = vec![self.config.id];
        context.extend_from_slice(&self.outbox.boot().to_be_bytes());
        context.extend_from_slice(&self.sync.asked.to_be_bytes());
        self.raft.read_index(context);
    }

    pub(super) fn read_index_confirmed(&mut self, index: u64, context: &[u8]) {
        let Some((&[id], rest)) = context.split_first_chunk() else { return };
        let Some((boot, ticket)) = rest.split_first_chunk() else { return };
        if id == self.config.id
            && u64::from_be_bytes(*boot) == self.outbox.boot()
            && let Ok(ticket) = ticket.try_into().map(u64::from_be_bytes)
        {
            self.sync.confirmed.push((index, ticket));
        }
    }

    /// Answers the syncs whose index is applied.
    pub(super) fn finish_syncs(&mut self) {
        let before = self.sync.done;
        let applied = self.applied_index;
        let sync = &mut self.sync;
        sync.confirmed.retain(|&(index, ticket)| {
            if index <= applied {
                sync.done = sync.done.max(ticket);
            }
            index > applied
        });
        if sync.done == before {
            return;
        }
        let done = self.sync.done;
        while let Some((_, conn)) =
            self.sync.waiting.pop_front_if(|&mut (ticket, _)| ticket <= done)
        {
            self.advance_client(conn);
        }
    }
}
