//! `sync`: answered when everything is applied here that was committed when it came.
//!
//! By raft's read-index: the leader confirms with a majority that it leads and names its commit
//! index. Stronger than `ZooKeeper`'s, whose leader asks nobody.

use super::Node;
use super::client::{ConnId, Waiting};
use crate::wire::code::Code;
use crate::wire::jute::Reader;

impl Node {
    pub(super) fn sync(&mut self, conn: ConnId, xid: i32, body: &[u8]) {
        let mut reader = Reader::new(body);
        if reader.string().is_err() {
            return self.answer_in_turn(conn, xid, Code::MarshallingError, false);
        }
        let path = &body[..body.len() - reader.remaining()];
        let Some(client) = self.clients.get_mut(conn) else { return };
        let ticket = self.syncs.wait(conn);
        client.push(Waiting::Sync { xid, ticket, path: path.into() });
    }

    /// Asks the leader once for all syncs that have come.
    pub(super) fn ask_read_index(&mut self) {
        if self.leader() == 0 {
            return;
        }
        let Some(ticket) = self.syncs.ask(self.clocks.now_ms()) else { return };
        // Unlike any other in the ensemble and of any other run: raft counts answers by it.
        let mut context = vec![self.config.id];
        context.extend_from_slice(&self.outbox.boot().to_be_bytes());
        context.extend_from_slice(&ticket.to_be_bytes());
        self.raft.read_index(context);
    }

    pub(super) fn read_index_confirmed(&mut self, index: u64, context: &[u8]) {
        let Some((&[id], rest)) = context.split_first_chunk() else { return };
        let Some((boot, ticket)) = rest.split_first_chunk() else { return };
        if id == self.config.id
            && u64::from_be_bytes(*boot) == self.outbox.boot()
            && let Ok(ticket) = ticket.try_into().map(u64::from_be_bytes)
        {
            self.syncs.confirm(ticket, index);
        }
    }

    /// Answers the syncs whose index is applied.
    pub(super) fn finish_syncs(&mut self) {
        self.syncs.applied(self.applied_index);
        while let Some(conn) = self.syncs.take_done() {
            self.advance_client(conn);
        }
    }
}
