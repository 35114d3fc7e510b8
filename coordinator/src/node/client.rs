//! The connections of this server: what each has sent, what it waits for, what goes back to it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::state::IdentityBuf;
use crate::wire::code::Code;
use crate::wire::frame;
use crate::wire::opcode::OpCode;
use crate::wire::reply::ReplyHeader;

/// The edge's number of a connection.
pub type ConnId = u32;

/// A connection with so many unanswered requests is not read from until some are answered
/// (`globalOutstandingLimit` bounds the whole server in `ZooKeeper`; per connection it cannot be
/// used up by a neighbour).
pub(super) const WAITING_MAX: usize = 1000;

/// A connection whose reader lags by this much is not read from.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 4 << 20;

/// A connection whose reader lags by this much (watch events come unasked) is closed.
pub(super) const OUTPUT_MAX_BYTES: usize = 256 << 20;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing received yet: a four-letter word or a connect request comes.
    Fresh,
    /// The session is being created or moved here, through the log.
    Connecting,
    /// Serving its session.
    Open,
    /// What stands in the output is still sent, then the connection ends.
    Closing,
}

/// A request whose answer must wait for its turn.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The write in flight that creates the session or moves it here.
    Connect { read_only: Option<bool> },
    /// A write in flight.
    Write { xid: i32, op: OpCode },
    /// A read behind an earlier write of the same connection.
    Read { xid: i32, op: OpCode, body: Box<[u8]> },
    /// Answered once everything is applied that was committed when it came.
    Sync { xid: i32, ticket: u64, path: Box<[u8]> },
    /// An answer that is known but not its turn yet.
    Answer { xid: i32, code: Code, close: bool },
}

/// One connection.
pub(super) struct Client {
    /// Tells this connection from an earlier one with the same number.
    pub serial: u64,
    pub address: SocketAddr,
    pub phase: Phase,
    /// Received and not yet taken: an incomplete frame, or all that came while paused.
    pub input: Vec<u8>,
    /// To be sent.
    pub output: Vec<u8>,
    pub identity: IdentityBuf,
    pub waiting: VecDeque<Waiting>,
    pub session: i64,
    pub timeout_ms: u32,
    /// In the list of connections with something to send or to close.
    dirty: bool,
    /// Heard from since the last report to the leader.
    pub touched: bool,
    pub stats: ClientStats,
}

/// What `cons` shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClientStats {
    pub since_ms: u64,
    pub received: u64,
    pub sent: u64,
    pub last_op: i32,
    pub last_xid: i32,
    pub last_zxid: i64,
    pub last_reply_ms: u64,
    pub latency_last_ms: u64,
    pub latency_min_ms: Option<u64>,
    pub latency_max_ms: u64,
    pub latency_sum_ms: u64,
    pub latency_count: u64,
}

impl ClientStats {
    pub(super) fn answered(&mut self, latency_ms: u64) {
        self.latency_last_ms = latency_ms;
        self.latency_min_ms = Some(self.latency_min_ms.map_or(latency_ms, |m| m.min(latency_ms)));
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
        self.latency_sum_ms += latency_ms;
        self.latency_count += 1;
    }
}

impl Client {
    /// Whether more bytes of it should be read now.
    pub(super) fn paused(&self) -> bool {
        self.waiting.len() >= WAITING_MAX || self.output.len() >= OUTPUT_PAUSE_BYTES
    }

    /// Appends a reply without a body.
    pub(super) fn put_header(&mut self, xid: i32, zxid: i64, code: Code) {
        let start = frame::begin(&mut self.output);
        ReplyHeader::new(xid, zxid, code).encode(&mut self.output);
        frame::end(&mut self.output, start);
        self.stats.sent += 1;
    }

    /// Appends a reply with a body.
    pub(super) fn put_reply(&mut self, xid: i32, zxid: i64, body: &[u8]) {
        let start = frame::begin(&mut self.output);
        ReplyHeader::new(xid, zxid, Code::Ok).encode(&mut self.output);
        self.output.extend_from_slice(body);
        frame::end(&mut self.output, start);
        self.stats.sent += 1;
    }
}

/// All connections, by the edge's numbers.
#[derive(Default)]
pub(super) struct Clients {
    slots: Vec<Option<Box<Client>>>,
    dirty: Vec<ConnId>,
    next_serial: u64,
    pub count: usize,
}

impl Clients {
    pub(super) fn open(&mut self, conn: ConnId, address: SocketAddr, now_ms: u64) {
        let at = conn as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.next_serial += 1;
        let client = Client {
            serial: self.next_serial,
            address,
            phase: Phase::Fresh,
            input: Vec::new(),
            output: Vec::new(),
            identity: IdentityBuf::new(address.ip().to_canonical()),
            waiting: VecDeque::new(),
            session: 0,
            timeout_ms: 0,
            dirty: false,
            touched: false,
            stats: ClientStats { since_ms: now_ms, ..ClientStats::default() },
        };
        let before = self.slots[at].replace(Box::new(client));
        assert!(before.is_none(), "connection {conn} is open already");
        self.count += 1;
    }

    pub(super) fn close(&mut self, conn: ConnId) -> Option<Box<Client>> {
        let client = self.slots.get_mut(conn as usize)?.take()?;
        self.count -= 1;
        Some(client)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Client> {
        self.slots.get(conn as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.slots.get_mut(conn as usize)?.as_deref_mut()
    }

    /// The edge must look at this connection: there is something to send or to close.
    pub(super) fn mark(&mut self, conn: ConnId) {
        if let Some(client) = self.slots.get_mut(conn as usize).and_then(Option::as_deref_mut)
            && !client.dirty
        {
            client.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// Connections marked since the last call.
    pub(super) fn take_dirty(&mut self) -> Vec<ConnId> {
        let dirty = std::mem::take(&mut self.dirty);
        for &conn in &dirty {
            if let Some(client) = self.get_mut(conn) {
                client.dirty = false;
            }
        }
        dirty
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Client)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((at as ConnId, slot.as_deref()?)))
    }

    /// Numbers of all connections; for walks that change them.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.iter().map(|(conn, _)| conn).collect()
    }
}
