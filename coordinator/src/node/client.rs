//! The connections of this server: what each has sent, what it waits for, what goes back to it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use super::authentication::Login;
use crate::state::IdentityBuf;
use crate::wire::code::Code;
use crate::wire::frame;
use crate::wire::jute::put_buffer;
use crate::wire::opcode::OpCode;
use crate::wire::reply::ReplyHeader;
use crate::wire::request::WatchCursor;

/// Names a connection, and never another one: a place in a table, and how often that was given out.
/// Whatever comes too late for a connection finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    /// The place in a table of connections; another one may have it later.
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// The whole name in one number.
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// Of the number that [`ConnId::as_u64`] gave.
    pub fn from_u64(number: u64) -> Self {
        ConnId { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

/// A connection with so many unanswered requests is not read from until some are answered.
pub(super) const WAITING_MAX: usize = 1000;

/// A connection whose unanswered requests and what they will answer come to this is not read from.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// A connection whose reader lags by this much is not read from.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 4 << 20;

/// A connection whose reader lags by this much (watch events come unasked) is closed.
pub(super) const OUTPUT_MAX_BYTES: usize = 64 << 20;

/// A connection without a handshake ends after this (`zookeeper.nio.sessionlessCnxnTimeout`).
const HANDSHAKE_MS: u64 = 10_000;

/// One that has waited so long for its handshake gives up its place where a limit is reached.
const HANDSHAKE_PLACE_MS: u64 = 1000;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing received yet: a four-letter word or a connect request comes.
    Fresh,
    /// A four-letter word came, and is not answered yet.
    Asking,
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
    /// The write in flight that makes its local session one of the ensemble.
    Upgrade,
    /// A write in flight.
    Write { xid: i32, op: OpCode, bytes: u32 },
    /// A read behind an earlier write of the same connection, and about how long its answer is.
    Read { xid: i32, op: OpCode, body: Box<[u8]>, answer: u32 },
    /// A setWatches, done a few paths at a time.
    Restore { xid: i32, body: Box<[u8]>, at: WatchCursor },
    /// Answered once everything is applied that was committed when it came.
    Sync { xid: i32, ticket: u64, path: Box<[u8]> },
    /// An answer that is known but not its turn yet.
    Answer { xid: i32, code: Code, close: bool },
    /// The same with SASL's token.
    Token { xid: i32, code: Code, token: Option<Box<[u8]>>, close: bool },
}

impl Waiting {
    /// What it holds, and will hold.
    fn bytes(&self) -> usize {
        match self {
            Waiting::Connect { .. } | Waiting::Upgrade | Waiting::Answer { .. } => 0,
            Waiting::Write { bytes, .. } => *bytes as usize,
            Waiting::Read { body, answer, .. } => body.len() + *answer as usize,
            Waiting::Restore { body, .. } => body.len(),
            Waiting::Sync { path, .. } => path.len(),
            Waiting::Token { token, .. } => token.as_ref().map_or(0, |token| token.len()),
        }
    }
}

/// One connection.
pub(super) struct Client {
    pub address: SocketAddr,
    pub phase: Phase,
    /// Received and not yet taken: an incomplete frame, or all that came while paused.
    pub input: Vec<u8>,
    /// To be sent.
    pub output: Vec<u8>,
    pub identity: IdentityBuf,
    /// How far SASL's exchange has come; most connections have none.
    pub login: Option<Box<Login>>,
    /// In the order of the requests; changed by [`Client::push`] and [`Client::pop`].
    pub waiting: VecDeque<Waiting>,
    /// What all of them hold.
    pub waiting_bytes: usize,
    /// A setWatches is in the line: nothing behind it is taken before it is done.
    pub restoring: bool,
    /// A whole frame may stand in `input` whose turn has not come.
    pub held: bool,
    /// In the queue for the next turn.
    pub queued: bool,
    /// Waits until less is in flight on all connections.
    pub held_back: bool,
    /// The last turn that it was served in, and what it has cost there.
    pub turn: u64,
    pub spent: u32,
    /// What was counted as in flight: requests, bytes.
    pub counted: (usize, usize),
    pub session: i64,
    pub timeout_ms: u32,
    /// Only this server knows its session.
    pub local: bool,
    /// It connected while there was no quorum, to read.
    pub read_only: bool,
    /// It waits for a change of members, and is not read from until that is done.
    pub reconfiguring: bool,
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
        self.reconfiguring
            || self.waiting.len() >= WAITING_MAX
            || self.waiting_bytes >= WAITING_BYTES_MAX
            || self.output.len() >= OUTPUT_PAUSE_BYTES
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= waiting.bytes();
        Some(waiting)
    }

    /// It is not done yet.
    pub(super) fn push_front(&mut self, waiting: Waiting) {
        self.waiting_bytes += waiting.bytes();
        self.waiting.push_front(waiting);
    }

    /// Nothing of what it has asked is answered any more.
    pub(super) fn forget_requests(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.input = Vec::new();
        (self.held, self.restoring) = (false, false);
    }

    /// Nothing that it has asked for is still to come or to be sent.
    pub(super) fn idle(&self) -> bool {
        let done = self.waiting.is_empty() && self.output.is_empty() && !self.held;
        done && self.phase != Phase::Asking
    }

    /// Appends a reply without a body.
    pub(super) fn put_header(&mut self, xid: i32, zxid: i64, code: Code) {
        let start = frame::begin(&mut self.output);
        ReplyHeader::new(xid, zxid, code).encode(&mut self.output);
        frame::end(&mut self.output, start);
        self.stats.sent += 1;
    }

    /// Appends SASL's answer, which shows no state (`ZooKeeperServer.processSasl`).
    pub(super) fn put_token(&mut self, xid: i32, code: Code, token: Option<&[u8]>) {
        let start = frame::begin(&mut self.output);
        ReplyHeader::new(xid, 0, code).encode(&mut self.output);
        put_buffer(&mut self.output, token);
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

/// A place for a connection.
#[derive(Default)]
struct Slot {
    /// How often it was given out.
    generation: u32,
    client: Option<Box<Client>>,
}

/// All connections.
#[derive(Default)]
pub(super) struct Clients {
    slots: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<ConnId>,
    /// Sessions heard from since the last report, and over which connection.
    touched: Vec<(ConnId, i64)>,
    /// How many come from one address.
    by_address: HashMap<IpAddr, u32, FixedState>,
    /// When connections were opened that had no handshake when last looked at, oldest first.
    fresh: VecDeque<(u64, ConnId)>,
    pub count: usize,
}

impl Clients {
    pub(super) fn open(&mut self, address: SocketAddr, now_ms: u64, attentive_ms: u64) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        // The upper half of a number that has room for other kinds (`edge`).
        place.generation = place.generation.wrapping_add(1) & (u32::MAX >> 1);
        let conn = ConnId { slot, generation: place.generation };
        let ip = address.ip().to_canonical();
        let client = Client {
            address,
            phase: Phase::Fresh,
            input: Vec::new(),
            output: Vec::new(),
            identity: IdentityBuf::new(ip),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            restoring: false,
            held: false,
            queued: false,
            held_back: false,
            turn: 0,
            spent: 0,
            counted: (0, 0),
            session: 0,
            timeout_ms: 0,
            local: false,
            read_only: false,
            login: None,
            reconfiguring: false,
            dirty: false,
            touched: false,
            stats: ClientStats { since_ms: now_ms, ..ClientStats::default() },
        };
        place.client = Some(Box::new(client));
        self.count += 1;
        *self.by_address.entry(ip).or_default() += 1;
        self.fresh.push_back((attentive_ms, conn));
        conn
    }

    pub(super) fn close(&mut self, conn: ConnId) -> Option<Box<Client>> {
        self.get(conn)?;
        let client = self.slots[conn.slot as usize].client.take()?;
        self.free.push(conn.slot);
        self.count -= 1;
        let ip = client.address.ip().to_canonical();
        if let Some(count) = self.by_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&ip);
            }
        }
        Some(client)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Client> {
        let slot = self.slots.get(conn.slot as usize)?;
        slot.client.as_deref().filter(|_| slot.generation == conn.generation)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        let slot = self.slots.get_mut(conn.slot as usize)?;
        slot.client.as_deref_mut().filter(|_| slot.generation == conn.generation)
    }

    /// The connection at a place now, for tables that forget a connection when it closes.
    pub(super) fn at_slot(&mut self, slot: u32) -> Option<(ConnId, &mut Client)> {
        let place = self.slots.get_mut(slot as usize)?;
        let conn = ConnId { slot, generation: place.generation };
        Some((conn, place.client.as_deref_mut()?))
    }

    /// How many connections come from this address.
    pub(super) fn count_of(&self, ip: IpAddr) -> u32 {
        self.by_address.get(&ip.to_canonical()).copied().unwrap_or_default()
    }

    /// Connections whose time for a handshake is over.
    pub(super) fn take_without_handshake(&mut self, now_ms: u64) -> Vec<ConnId> {
        let mut late = Vec::new();
        while let Some(&(since_ms, conn)) = self.fresh.front()
            && now_ms >= since_ms + HANDSHAKE_MS
        {
            self.fresh.pop_front();
            if self.get(conn).is_some_and(|client| client.phase == Phase::Fresh) {
                late.push(conn);
            }
        }
        late
    }

    /// The one that has waited longest for its handshake, and long enough to make room for another.
    pub(super) fn oldest_without_handshake(
        &self,
        ip: Option<IpAddr>,
        now_ms: u64,
    ) -> Option<ConnId> {
        let ip = ip.map(|ip| ip.to_canonical());
        let old = self.fresh.iter().take_while(|(at, _)| now_ms >= at + HANDSHAKE_PLACE_MS);
        let waits = |conn: ConnId| {
            self.get(conn).is_some_and(|client| {
                client.phase == Phase::Fresh
                    && ip.is_none_or(|ip| client.address.ip().to_canonical() == ip)
            })
        };
        old.map(|&(_, conn)| conn).find(|&conn| waits(conn))
    }

    /// The edge must look at this connection: there is something to send or to close.
    pub(super) fn mark(&mut self, conn: ConnId) {
        if let Some(client) = self.get_mut(conn)
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

    /// The connection's session was heard from.
    pub(super) fn touch(&mut self, conn: ConnId) {
        if let Some(client) = self.get_mut(conn)
            && !client.touched
        {
            client.touched = true;
            let session = client.session;
            self.touched.push((conn, session));
        }
    }

    /// Sessions heard from since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<i64> {
        let touched = std::mem::take(&mut self.touched);
        for &(conn, _) in &touched {
            if let Some(client) = self.get_mut(conn) {
                client.touched = false;
            }
        }
        touched.into_iter().map(|(_, session)| session).collect()
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnId, &Client)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let conn = ConnId { slot: at as u32, generation: slot.generation };
            Some((conn, slot.client.as_deref()?))
        })
    }

    /// Numbers of all connections; for walks that change them.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.iter().map(|(conn, _)| conn).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 1))
    }

    #[test]
    fn a_closed_connection_is_never_taken_for_the_next_one() {
        let mut clients = Clients::default();
        let first = clients.open(address(1), 0, 0);
        assert!(clients.close(first).is_some());
        let second = clients.open(address(1), 0, 0);
        assert_eq!(second.slot(), first.slot());
        assert!(clients.get(first).is_none() && clients.get_mut(first).is_none());
        clients.mark(first);
        assert!(!clients.has_dirty());
        assert!(clients.close(first).is_none() && clients.get(second).is_some());
        assert_eq!(ConnId::from_u64(second.as_u64()), second);
    }

    #[test]
    fn who_waits_for_no_handshake_ends_and_gives_up_its_place_before() {
        let mut clients = Clients::default();
        let silent = clients.open(address(1), 0, 0);
        let served = clients.open(address(1), 0, 0);
        let other = clients.open(address(2), 500, 500);
        clients.get_mut(served).unwrap().phase = Phase::Open;
        assert_eq!(clients.count_of(address(1).ip()), 2);
        assert_eq!(clients.oldest_without_handshake(None, 999), None);
        let from = |last| Some(address(last).ip());
        assert_eq!(clients.oldest_without_handshake(from(2), 1000), None);
        assert_eq!(clients.oldest_without_handshake(from(2), 1500), Some(other));
        assert_eq!(clients.oldest_without_handshake(from(1), 1500), Some(silent));
        assert_eq!(clients.take_without_handshake(9999), []);
        assert_eq!(clients.take_without_handshake(10_000), [silent]);
        assert_eq!(clients.take_without_handshake(10_500), [other]);
        assert!(clients.close(silent).is_some() && clients.close(served).is_some());
        assert_eq!(clients.count_of(address(1).ip()), 0);
    }
}
