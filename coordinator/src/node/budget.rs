//! What one client may cost before it is others' turn, and what all of them may have in flight.
//!
//! Cost is counted, never measured, so that one seed of the simulator gives one run: a unit is about
//! a microsecond of the server's thread. A connection that has used its slice goes on in the next
//! turn, behind those that waited longer; what it has sent meanwhile stays in its socket. The figures
//! stand in `docs/limits.md`.

use std::collections::VecDeque;

use super::Node;
use super::client::{Client, ConnId};
use crate::wire::opcode::OpCode;

/// What one connection may cost in one turn: a few milliseconds.
const SLICE_UNITS: u32 = 2_000;
/// When a turn has cost this much, those who come yet get a small slice: enough for a ping and a few
/// requests, so that nobody waits for many busy neighbours.
const TURN_UNITS: u32 = 8_000;
const SLICE_UNITS_LEAST: u32 = 50;

/// Paths of a setWatches looked at for one unit.
pub(super) const PATHS_A_UNIT: u32 = 2;

/// The turn at hand, and who goes on in the next one.
#[derive(Default)]
pub(super) struct Budget {
    turn: u64,
    spent: u32,
    /// Those of the turn before have gone on.
    resumed: bool,
    queue: VecDeque<ConnId>,
    /// Connections that wait until less is in flight.
    held_back: Vec<ConnId>,
    /// Requests taken and not answered, over all connections.
    pub requests: usize,
    /// Their bytes, and those of answers that are not sent.
    pub bytes: usize,
}

/// Units that a request costs, with so many bytes of body and of answer.
pub(super) fn units(op: OpCode, body: usize, answer: usize) -> u32 {
    // Each operation of a multi is one of its own, a child of a znode two memory accesses.
    let body_bytes = match op {
        OpCode::Multi | OpCode::MultiRead => 16,
        _ => 128,
    };
    let answer_bytes = match op {
        OpCode::GetChildren | OpCode::GetChildren2 | OpCode::GetEphemerals => 100,
        _ => 1024,
    };
    (1 + body / body_bytes + answer / answer_bytes).try_into().unwrap_or(u32::MAX)
}

impl Budget {
    fn has_left(&self, client: &Client) -> bool {
        let spent = if client.turn == self.turn { client.spent } else { 0 };
        let slice = if self.spent < TURN_UNITS { SLICE_UNITS } else { SLICE_UNITS_LEAST };
        spent < slice
    }

    pub(super) fn queue(&mut self, conn: ConnId, client: &mut Client) {
        if !client.queued {
            client.queued = true;
            self.queue.push_back(conn);
        }
    }
}

impl Node {
    /// Time has moved on: everybody has a new slice.
    pub(super) fn begin_turn(&mut self) {
        self.budget.turn += 1;
        self.budget.spent = 0;
        self.budget.resumed = false;
    }

    /// Connections wait for their next slice.
    pub(super) fn has_queued(&self) -> bool {
        !self.budget.queue.is_empty()
    }

    pub(super) fn charge(&mut self, conn: ConnId, units: u32) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.turn != self.budget.turn {
            (client.turn, client.spent) = (self.budget.turn, 0);
        }
        client.spent = client.spent.saturating_add(units);
        self.budget.spent = self.budget.spent.saturating_add(units);
    }

    /// Whether the connection has something left of its slice; if not, it goes on later.
    pub(super) fn may_go_on(&mut self, conn: ConnId) -> bool {
        let Some(client) = self.clients.get_mut(conn) else { return false };
        if self.budget.has_left(client) {
            return true;
        }
        self.budget.queue(conn, client);
        false
    }

    /// Whether one more request of the connection may be taken now.
    pub(super) fn may_take(&mut self, conn: ConnId) -> bool {
        let over = self.in_flight_is_over();
        let Some(client) = self.clients.get_mut(conn) else { return false };
        if client.paused() || client.restoring {
            return false;
        }
        // As in `ZooKeeperServer.shouldThrottle`: each may have one request on its way.
        if over && !(client.waiting.is_empty() && client.output.is_empty()) {
            if !client.held_back {
                client.held_back = true;
                self.budget.held_back.push(conn);
            }
            return false;
        }
        self.may_go_on(conn)
    }

    /// `globalOutstandingLimit` and `largeRequestMaxBytes`.
    fn in_flight_is_over(&self) -> bool {
        self.budget.requests > self.config.requests_in_flight_max
            || self.budget.bytes > self.config.bytes_in_flight_max
    }

    /// Counts what a connection has in flight, after it may have changed.
    pub(super) fn count_in_flight(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let now = (client.waiting.len(), client.waiting_bytes + client.output.len());
        let (requests, bytes) = std::mem::replace(&mut client.counted, now);
        self.budget.requests = self.budget.requests + now.0 - requests;
        self.budget.bytes = self.budget.bytes + now.1 - bytes;
    }

    /// The connection is gone, with all it had in flight.
    pub(super) fn count_closed(&mut self, client: &Client) {
        self.budget.requests -= client.counted.0;
        self.budget.bytes -= client.counted.1;
    }

    /// Goes on with the connections that had used their slices, once in a turn.
    pub(super) fn resume_queued(&mut self) {
        if std::mem::replace(&mut self.budget.resumed, true) {
            return;
        }
        if !self.budget.held_back.is_empty() && !self.in_flight_is_over() {
            for conn in std::mem::take(&mut self.budget.held_back) {
                if let Some(client) = self.clients.get_mut(conn) {
                    client.held_back = false;
                    self.budget.queue(conn, client);
                }
            }
        }
        for _ in 0..self.budget.queue.len() {
            if self.budget.spent >= TURN_UNITS {
                return;
            }
            let Some(conn) = self.budget.queue.pop_front() else { return };
            let Some(client) = self.clients.get_mut(conn) else { continue };
            client.queued = false;
            self.advance_client(conn);
            self.take_input(conn);
            // There may be more to read.
            self.clients.mark(conn);
        }
    }
}
