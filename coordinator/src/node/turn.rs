//! Each connection's share of a turn, and of what may be in flight.

use super::client::ConnId;
use super::{Node, TurnCost};

impl Node {
    /// What the turn at hand has cost so far.
    pub fn turn_cost(&self) -> TurnCost {
        self.budget.cost()
    }

    pub(super) fn charge(&mut self, conn: ConnId, units: u32) {
        if let Some(client) = self.clients.get_mut(conn) {
            self.budget.charge(client, units);
        }
    }

    /// Whether the connection has something left of its slice; if not, it goes on later.
    pub(super) fn may_go_on(&mut self, conn: ConnId) -> bool {
        let client = self.clients.get_mut(conn);
        client.is_some_and(|client| self.budget.may_go_on(conn, client))
    }

    /// Counts what a connection has in flight, after it may have changed.
    pub(super) fn count_in_flight(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(conn) {
            self.budget.count(client);
        }
    }

    /// Goes on with the connections that had used their slices, once in a turn.
    pub(super) fn resume_queued(&mut self) {
        for _ in 0..self.budget.resume(&mut self.clients) {
            let Some(conn) = self.budget.take_queued() else { return };
            let Some(client) = self.clients.get_mut(conn) else { continue };
            client.queued = false;
            self.advance_client(conn);
            self.take_input(conn);
            // There may be more to read.
            self.clients.mark(conn);
        }
    }
}
