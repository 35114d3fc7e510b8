//! What one client may cost before it is others' turn, and what all of them may have in flight.
//!
//! Cost is counted, never measured, so that one seed of the simulator gives one run: a unit is about
//! a microsecond of the server's thread. A connection that has used its slice goes on in the next
//! turn, behind those that waited longer; what it has sent meanwhile stays in its socket. A turn takes in
//! one write that is larger than a slice, and then applies nothing; the next one applies, and takes in
//! none. The figures stand in `docs/limits.md`.

use std::collections::VecDeque;

use super::client::{Client, Clients, ConnId};
use super::replicate::COMMITTED_BYTES;
use crate::wire::opcode::OpCode;

/// What one connection may cost in one turn: a few milliseconds.
const SLICE_UNITS: u32 = 2_000;
/// When a turn has cost this much, those who come yet get a small slice: enough for a ping and a few
/// requests, so that nobody waits for many busy neighbours.
const TURN_UNITS: u32 = 8_000;
const SLICE_UNITS_LEAST: u32 = 50;

/// What is applied in one turn: behind it the sockets are looked at. One entry more may be begun.
const APPLY_UNITS: u32 = 4_000;
/// What raft hands over at once may cost: two for each write of some fifty bytes.
const PIECE_UNITS: u32 = 2 * (COMMITTED_BYTES / 48) as u32;

/// Paths of a setWatches looked at for one unit.
pub(super) const PATHS_A_UNIT: u32 = 2;

/// What a turn has cost, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnCost {
    pub requests: u32,
    pub applied: u32,
    /// The largest part of both that one request or write had: it is not divided.
    pub largest: u32,
}

impl TurnCost {
    /// What no turn exceeds beside so many connections: the slice that ends the turn for others, the
    /// small slices of those who come yet, one piece of committed entries, and what is not divided.
    pub fn is_bounded(&self, connections: u32) -> bool {
        let undivided = self.largest.saturating_mul(2);
        let requests = TURN_UNITS + SLICE_UNITS + (connections + 1) * SLICE_UNITS_LEAST;
        self.requests <= requests.saturating_add(undivided)
            && self.applied <= (APPLY_UNITS + PIECE_UNITS).saturating_add(undivided)
    }
}

/// The turn at hand, who goes on in the next one, and what all connections have in flight.
#[derive(Default)]
pub(super) struct Budget {
    /// `globalOutstandingLimit`: requests of all clients that are not answered.
    requests_max: usize,
    /// `largeRequestMaxBytes`: their bytes and those of answers that are not sent.
    bytes_max: usize,
    turn: u64,
    spent: u32,
    /// By what was applied, whoever asked for it.
    applied: u32,
    /// The largest part of both that one request or write had.
    largest: u32,
    /// A request of this turn was large; one of the turn before was.
    large: bool,
    large_before: bool,
    /// Those of the turn before have gone on.
    resumed: bool,
    queue: VecDeque<ConnId>,
    /// Connections that wait until less is in flight.
    held_back: Vec<ConnId>,
    requests: usize,
    bytes: usize,
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

/// More than a connection may cost in a turn, at one go.
pub(super) fn is_large(units: u32) -> bool {
    units > SLICE_UNITS
}

impl Budget {
    pub(super) fn new(requests_max: usize, bytes_max: usize) -> Self {
        Budget { requests_max, bytes_max, ..Budget::default() }
    }

    /// Bytes of requests without an answer and of answers not sent yet.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.bytes
    }

    // ---- slices ----

    /// Time has moved on: everybody has a new slice.
    pub(super) fn begin_turn(&mut self) {
        self.turn += 1;
        self.spent = 0;
        self.applied = 0;
        self.largest = 0;
        self.large_before = std::mem::take(&mut self.large);
        self.resumed = false;
    }

    /// The connection has cost this much.
    pub(super) fn charge(&mut self, client: &mut Client, units: u32) {
        if client.turn != self.turn {
            (client.turn, client.spent) = (self.turn, 0);
        }
        client.spent = client.spent.saturating_add(units);
        self.spent = self.spent.saturating_add(units);
        self.largest = self.largest.max(units);
        self.large |= is_large(units);
    }

    /// Whether committed entries may be applied in this turn: not behind a large request, unless there
    /// was one in the turn before as well.
    pub(super) fn may_apply(&self) -> bool {
        self.applied < APPLY_UNITS && (!self.large || self.large_before)
    }

    /// Whether a large write may be taken in: one in a turn, those that wait first, and none behind a
    /// turn that had to leave what is committed to this one.
    fn may_take_large(&self) -> bool {
        !self.large && !self.large_before && (self.resumed || self.queue.is_empty())
    }

    /// A write was applied.
    pub(super) fn applied(&mut self, units: u32) {
        self.applied = self.applied.saturating_add(units);
        self.largest = self.largest.max(units);
    }

    /// What the turn at hand has cost so far.
    pub(super) fn cost(&self) -> TurnCost {
        TurnCost { requests: self.spent, applied: self.applied, largest: self.largest }
    }

    fn has_left(&self, client: &Client) -> bool {
        let spent = if client.turn == self.turn { client.spent } else { 0 };
        let slice = if self.spent < TURN_UNITS { SLICE_UNITS } else { SLICE_UNITS_LEAST };
        spent < slice
    }

    /// Whether the connection has something left of its slice; if not, it goes on later.
    pub(super) fn may_go_on(&mut self, conn: ConnId, client: &mut Client) -> bool {
        let left = self.has_left(client);
        if !left {
            self.queue(conn, client);
        }
        left
    }

    /// The connection goes on in the next turn.
    pub(super) fn queue(&mut self, conn: ConnId, client: &mut Client) {
        if !client.queued {
            client.queued = true;
            self.queue.push_back(conn);
        }
    }

    /// Connections wait for their next slice.
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Those that had used their slices may go on now; returns how many, once in a turn.
    pub(super) fn resume(&mut self, clients: &mut Clients) -> usize {
        if std::mem::replace(&mut self.resumed, true) {
            return 0;
        }
        if !self.is_over() {
            for conn in std::mem::take(&mut self.held_back) {
                if let Some(client) = clients.get_mut(conn) {
                    client.held_back = false;
                    self.queue(conn, client);
                }
            }
        }
        self.queue.len()
    }

    /// The next one to go on; `None`: nobody, or the turn has cost enough.
    pub(super) fn take_queued(&mut self) -> Option<ConnId> {
        if self.spent >= TURN_UNITS { None } else { self.queue.pop_front() }
    }

    // ---- what is in flight ----

    fn is_over(&self) -> bool {
        self.requests > self.requests_max || self.bytes > self.bytes_max
    }

    /// Whether one more request of the connection may be taken now, one that is large or not.
    pub(super) fn may_take(&mut self, conn: ConnId, client: &mut Client, large: bool) -> bool {
        if client.paused() || client.restoring {
            return false;
        }
        // As in `ZooKeeperServer.shouldThrottle`: each may have one request on its way.
        if self.is_over() && !(client.waiting.is_empty() && client.output.is_empty()) {
            if !client.held_back {
                client.held_back = true;
                self.held_back.push(conn);
            }
            return false;
        }
        if large && !self.may_take_large() {
            self.queue(conn, client);
            return false;
        }
        self.may_go_on(conn, client)
    }

    /// Counts what a connection has in flight, after it may have changed.
    pub(super) fn count(&mut self, client: &mut Client) {
        let now = (client.waiting.len(), client.waiting_bytes + client.output.len());
        let (requests, bytes) = std::mem::replace(&mut client.counted, now);
        self.requests = self.requests + now.0 - requests;
        self.bytes = self.bytes + now.1 - bytes;
    }

    /// The connection is gone, with all it had in flight.
    pub(super) fn closed(&mut self, client: &Client) {
        self.requests -= client.counted.0;
        self.bytes -= client.counted.1;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::node::client::Waiting;
    use crate::wire::code::Code;

    fn open(clients: &mut Clients) -> ConnId {
        clients.open(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), 0, 0)
    }

    #[test]
    fn who_has_used_a_slice_goes_on_in_the_next_turn_behind_those_before() {
        let mut clients = Clients::default();
        let mut budget = Budget::new(10, 10);
        let (first, second) = (open(&mut clients), open(&mut clients));
        budget.begin_turn();
        for conn in [first, second] {
            let client = clients.get_mut(conn).unwrap();
            assert!(budget.may_go_on(conn, client));
            budget.charge(client, SLICE_UNITS);
            assert!(!budget.may_go_on(conn, client) && !budget.may_go_on(conn, client));
        }
        assert!(budget.has_queued());
        budget.begin_turn();
        assert_eq!(budget.resume(&mut clients), 2);
        assert_eq!(budget.resume(&mut clients), 0, "once in a turn");
        assert_eq!(budget.take_queued(), Some(first));
        let client = clients.get_mut(first).unwrap();
        assert!(budget.may_go_on(first, client), "a new turn is a new slice");
        budget.charge(client, TURN_UNITS);
        assert_eq!(budget.take_queued(), None, "the turn has cost enough");
        let client = clients.get_mut(second).unwrap();
        assert!(budget.may_go_on(second, client), "a small slice is left to everybody");
        budget.charge(client, SLICE_UNITS_LEAST);
        assert!(!budget.may_go_on(second, client));
    }

    #[test]
    fn a_turn_takes_in_one_large_write_and_the_next_one_applies() {
        let mut clients = Clients::default();
        let mut budget = Budget::new(10, usize::MAX);
        let all = [open(&mut clients), open(&mut clients), open(&mut clients)];
        let large = SLICE_UNITS * 3;
        let take = |budget: &mut Budget, clients: &mut Clients, conn| {
            let client = clients.get_mut(conn).unwrap();
            let taken = budget.may_take(conn, client, true);
            if taken {
                budget.charge(client, large);
            }
            taken
        };
        budget.begin_turn();
        assert!(take(&mut budget, &mut clients, all[0]) && !budget.may_apply());
        assert!(!take(&mut budget, &mut clients, all[1]) && budget.has_queued());
        let bystander = clients.get_mut(all[2]).unwrap();
        assert!(budget.may_take(all[2], bystander, false), "small ones are taken all the while");
        let mut taken = Vec::new();
        for turn in 1..20 {
            budget.begin_turn();
            // What has come meanwhile, then those that wait.
            if turn == 1 {
                assert!(budget.may_apply(), "what was put off is applied first");
                assert!(!take(&mut budget, &mut clients, all[2]));
            }
            for _ in 0..budget.resume(&mut clients) {
                let Some(conn) = budget.take_queued() else { break };
                clients.get_mut(conn).unwrap().queued = false;
                if take(&mut budget, &mut clients, conn) {
                    taken.push((turn, conn));
                    assert!(!budget.may_apply());
                }
            }
        }
        assert_eq!(taken, [(2, all[1]), (4, all[2])], "in the order in which they came");
    }

    #[test]
    fn over_the_limit_each_has_one_request_and_goes_on_when_less_is_in_flight() {
        let mut clients = Clients::default();
        let mut budget = Budget::new(1, 1000);
        let (busy, bystander) = (open(&mut clients), open(&mut clients));
        budget.begin_turn();
        let client = clients.get_mut(busy).unwrap();
        for xid in 0..2 {
            assert!(budget.may_take(busy, client, false));
            client.push(Waiting::Answer { xid, code: Code::Ok, close: false });
            budget.count(client);
        }
        assert!(!budget.may_take(busy, client, false), "two are in flight, and one is allowed");
        let client = clients.get_mut(bystander).unwrap();
        assert!(budget.may_take(bystander, client, false), "each may have one");
        budget.begin_turn();
        assert_eq!(budget.resume(&mut clients), 0, "nothing is answered yet");
        let client = clients.get_mut(busy).unwrap();
        client.pop();
        budget.count(client);
        budget.begin_turn();
        assert_eq!(budget.resume(&mut clients), 1);
        assert_eq!(budget.take_queued(), Some(busy));
    }

    #[test]
    fn a_connection_takes_what_it_had_in_flight_with_it() {
        let mut clients = Clients::default();
        let mut budget = Budget::new(10, 10);
        let conn = open(&mut clients);
        let client = clients.get_mut(conn).unwrap();
        client.output.extend_from_slice(b"an answer");
        budget.count(client);
        client.output.clear();
        client.output.extend_from_slice(b"another");
        budget.count(client);
        assert_eq!(budget.bytes_in_flight(), 7);
        budget.closed(&clients.close(conn).unwrap());
        assert_eq!(budget.bytes_in_flight(), 0);
    }

    #[test]
    fn bytes_and_children_cost_by_what_they_take() {
        assert_eq!(units(OpCode::GetData, 0, 0), 1);
        assert_eq!(units(OpCode::GetData, 0, 10 * 1024), 11);
        assert_eq!(units(OpCode::GetChildren, 0, 10 * 1000), 101);
        assert!(units(OpCode::Multi, 1600, 0) > units(OpCode::Create, 1600, 0));
    }
}
