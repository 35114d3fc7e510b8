//! From a connection's bytes to its answers, in order.
//!
//! A connection's requests are answered in the order in which they came (clients match them by
//! that). Reads are executed at once unless an earlier write of the same connection is still on
//! its way; then they wait for it, so that a session always reads its own writes.

use std::net::{IpAddr, SocketAddr};

use super::budget;
use super::client::{Client, ConnId, OUTPUT_MAX_BYTES, OUTPUT_PAUSE_BYTES, Phase, Waiting};
use super::outbox::Waiter;
use super::{Level, Node};
use crate::state::Txn;
use crate::state::watch::{WatchKind, Watches};
use crate::wire::code::Code;
use crate::wire::frame::{self, Next};
use crate::wire::jute::Reader;
use crate::wire::opcode::OpCode;
use crate::wire::reply::{self, ReplyHeader};
use crate::wire::request::{Request, RequestHeader, WatchCursor, xid};

/// Paths of a setWatches between two looks at the slice.
const RESTORED_AT_ONCE: u32 = 256;

impl Node {
    /// A client has connected. `None`: refuse it (too many of its address).
    pub fn client_opened(&mut self, address: SocketAddr) -> Option<ConnId> {
        let ip = address.ip();
        let limit = self.config.max_client_connections;
        if limit > 0 && self.clients.count_of(ip) >= limit && !self.make_place(Some(ip)) {
            self.log(
                Level::Warn,
                &format!("too many connections from {ip} (maxClientCnxns {limit})"),
            );
            self.stats.connections_rejected += 1;
            return None;
        }
        self.stats.connections_accepted += 1;
        let conn = self.clients.open(address, self.clocks.now_ms(), self.clocks.attentive_ms());
        if self.config.skip_acl
            && let Some(client) = self.clients.get_mut(conn)
        {
            client.identity.add("super", "");
        }
        Some(conn)
    }

    /// A client was not let in: there are as many as there may be.
    pub fn client_refused(&mut self, limit: usize) {
        self.stats.connections_rejected += 1;
        // Said again when it has become more, not once a connection.
        if self.stats.connections_rejected.is_power_of_two() {
            self.log(
                Level::Warn,
                &format!(
                    "{limit} clients are connected, as many as `maxCnxns` or the limit of open \
                     files allow: {} were refused so far",
                    self.stats.connections_rejected
                ),
            );
        }
    }

    /// Ends a connection that has waited long for its handshake, for another one to have its place.
    /// `false`: there is none, of this address or of any.
    pub fn make_place(&mut self, ip: Option<IpAddr>) -> bool {
        let Some(conn) = self.clients.oldest_without_handshake(ip, self.clocks.attentive_ms())
        else {
            return false;
        };
        self.stats.connections_dropped += 1;
        self.close_client(conn);
        true
    }

    /// Ends the connections that never had a handshake.
    pub(super) fn close_without_handshake(&mut self) {
        for conn in self.clients.take_without_handshake(self.clocks.attentive_ms()) {
            self.stats.connections_dropped += 1;
            self.close_client(conn);
        }
    }

    /// The connection is gone; its session is not.
    pub fn client_closed(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.close(conn) {
            self.budget.closed(&client);
            self.watches.drop_connection(conn.slot());
            self.sessions.unbind(client.session, conn);
        }
    }

    /// Bytes of a client. They are taken whole; [`Node::client_paused`] says when to stop reading.
    pub fn client_data(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if matches!(client.phase, Phase::Closing | Phase::Asking) {
            return;
        }
        self.stats.bytes_received += bytes.len() as u64;
        if client.input.is_empty() {
            let taken = self.take_frames(conn, bytes);
            if let Some(client) = self.clients.get_mut(conn) {
                client.input.extend_from_slice(&bytes[taken..]);
            }
        } else {
            client.input.extend_from_slice(bytes);
            self.take_input(conn);
        }
    }

    /// Takes what a connection has sent before.
    pub(super) fn take_input(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut client.input);
        let taken = self.take_frames(conn, &input);
        if let Some(client) = self.clients.get_mut(conn) {
            input.drain(..taken);
            if input.is_empty() && input.capacity() > 64 << 10 {
                input = Vec::new();
            }
            client.input = input;
        }
    }

    /// Handles complete frames at the front, as many as the connection's slice allows; returns how
    /// many bytes they took.
    fn take_frames(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let taken = self.take_some_frames(conn, bytes);
        self.count_in_flight(conn);
        taken
    }

    fn take_some_frames(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let Some(client) = self.clients.get_mut(conn) else { return bytes.len() };
            if client.phase == Phase::Closing {
                return bytes.len();
            }
            let fresh = client.phase == Phase::Fresh;
            let next = frame::next(&bytes[taken..], fresh, self.config.frame_bytes_max);
            client.held = !matches!(next, Next::NeedMore(_));
            let large = matches!(next, Next::Frame(payload) if !fresh && is_large(payload));
            if client.held && !self.budget.may_take(conn, client, large) {
                return taken;
            }
            match next {
                Next::NeedMore(_) => return taken,
                Next::Frame(payload) => {
                    taken += 4 + payload.len();
                    client.stats.received += 1;
                    self.stats.received += 1;
                    if fresh {
                        self.connect(conn, payload);
                    } else {
                        self.request(conn, payload);
                    }
                }
                Next::Word(word) => {
                    self.word(conn, word);
                    return bytes.len();
                }
                Next::BadLength(prefix) => {
                    self.stats.frames_refused += 1;
                    let text = prefix.escape_ascii().to_string();
                    let address = client.address;
                    self.log(
                        Level::Warn,
                        &format!(
                            "closing {address}: its frame starts with `{text}` (as a length {}), \
                             which is no request; HTTP or TLS sent to the client port?",
                            i32::from_be_bytes(prefix)
                        ),
                    );
                    self.close_client(conn);
                    return bytes.len();
                }
            }
        }
    }

    /// One request of a connection that has, or is getting, a session.
    fn request(&mut self, conn: ConnId, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            return self.close_client(conn);
        };
        let body = reader.rest();
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.stats.last_op = header.op;
        // Pings and the like leave the last real request standing (`ServerCnxn`).
        if header.xid >= 0 {
            client.stats.last_xid = header.xid;
        }
        let local = client.local;
        // The session was heard from.
        if local {
            self.sessions.local.touch(client.session, self.clocks.attentive_ms());
        } else if !client.touched {
            self.clients.touch(conn);
        }
        let Some(op) = OpCode::from_client(header.op) else {
            return self.answer_in_turn(conn, header.xid, Code::Unimplemented, true);
        };
        if !matches!(op, OpCode::Auth | OpCode::Sasl) && !self.may_ask(conn) {
            let code = Code::SessionClosedRequireSaslAuth;
            return self.answer_in_turn(conn, header.xid, code, true);
        }
        if local && self.answered_for_local(conn, header.xid, op, body) {
            return;
        }
        match op {
            // Behind what was asked before it: a client whose writes hang notices, and moves on.
            OpCode::Ping => self.answer_in_turn(conn, xid::PING, Code::Ok, false),
            OpCode::Auth => self.authenticate(conn, header.xid, body),
            OpCode::Sasl => self.sasl(conn, header.xid, body),
            OpCode::Reconfig => self.reconfig(conn, header.xid, body),
            OpCode::Sync => {
                self.charge(conn, 1);
                self.sync(conn, header.xid, body);
            }
            OpCode::SetWatches | OpCode::SetWatches2 => {
                let at = WatchCursor::new(op == OpCode::SetWatches2);
                let Some(client) = self.clients.get_mut(conn) else { return };
                let first = client.waiting.is_empty();
                client.restoring = true;
                client.push(Waiting::Restore { xid: header.xid, body: body.into(), at });
                if first {
                    self.advance_client(conn);
                }
            }
            op if op.is_write() => self.write(conn, header.xid, op, body),
            op => self.read_in_turn(conn, header.xid, op, body),
        }
    }

    /// A write: checked for shape, then on its way through the log.
    fn write(&mut self, conn: ConnId, xid: i32, op: OpCode, body: &[u8]) {
        let allowed = match Request::decode(op, body) {
            Err(_) => Err(Code::MarshallingError),
            Ok(request) => self.allowed(conn, &request),
        };
        if let Err(code) = allowed {
            self.charge(conn, budget::units(op, body.len(), 0));
            self.audit_refused(conn, op, body, code);
            return self.answer_in_turn(conn, xid, code, false);
        }
        self.charge(conn, budget::units(op, body.len(), 0));
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.push(Waiting::Write { xid, op, bytes: body.len() as u32 });
        self.submit(conn, op, body);
    }

    /// Whether a write may go into the log: within the bounds, and what is switched on.
    fn allowed(&self, conn: ConnId, request: &Request<'_>) -> Result<(), Code> {
        let Some(client) = self.clients.get(conn) else { return Ok(()) };
        self.state.admits(client.identity.as_identity(), request)?;
        let with_ttl = match request {
            Request::CreateTtl(_) => true,
            Request::Multi(multi) if !multi.is_plain() => {
                multi.iter().any(|part| part.op == OpCode::CreateTtl)
            }
            _ => false,
        };
        if with_ttl && !self.config.extended_types { Err(Code::Unimplemented) } else { Ok(()) }
    }

    /// Puts a write of this connection's session into the stream to the leader.
    pub(super) fn submit(&mut self, conn: ConnId, op: OpCode, body: &[u8]) {
        let Some(client) = self.clients.get(conn) else { return };
        // A local session means nothing to other servers.
        let session = if client.local { 0 } else { client.session };
        let txn = Txn { session, identity: client.identity.as_identity(), op, body };
        let waiter = Waiter { conn, since_ms: self.clocks.now_ms() };
        self.outbox.push(&txn, waiter);
    }

    /// Executes a read now, or after the earlier writes of its connection.
    fn read_in_turn(&mut self, conn: ConnId, xid: i32, op: OpCode, body: &[u8]) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.waiting.is_empty() {
            self.read(conn, xid, op, body);
        } else {
            // What it will answer counts already: however many reads wait behind a write, their
            // answers do not come all at once.
            let answer = self.state.answer_bytes(op, body).try_into().unwrap_or(u32::MAX);
            client.push(Waiting::Read { xid, op, body: body.into(), answer });
            self.charge(conn, 1);
        }
    }

    /// Executes a read and appends its reply, straight from the tree.
    fn read(&mut self, conn: ConnId, xid: i32, op: OpCode, body: &[u8]) {
        let zxid = self.state.last_zxid();
        let Some(client) = self.clients.get_mut(conn) else { return };
        let start = frame::begin(&mut client.output);
        let header_at = client.output.len();
        ReplyHeader::new(xid, zxid, Code::Ok).encode(&mut client.output);
        let body_at = client.output.len();
        let code = match op {
            OpCode::AddWatch | OpCode::CheckWatches | OpCode::RemoveWatches => {
                let code = watch_request(&mut self.watches, conn.slot(), op, body);
                if code == Code::Ok && op == OpCode::AddWatch {
                    reply::put_error_response(&mut client.output, Code::Ok);
                }
                code
            }
            _ => {
                let identity = client.identity.as_identity();
                let result =
                    self.state.read(client.session, identity, op, body, &mut client.output);
                match result.watch {
                    Some(watch) if !self.watches.register(conn.slot(), watch.path, watch.kind) => {
                        Code::SystemError
                    }
                    _ => result.code,
                }
            }
        };
        let units = budget::units(op, body.len(), client.output.len() - body_at);
        if code != Code::Ok {
            client.output.truncate(body_at);
            let header = ReplyHeader::new(xid, zxid, code).to_bytes();
            client.output[header_at..body_at].copy_from_slice(&header);
        }
        frame::end(&mut client.output, start);
        client.stats.sent += 1;
        client.stats.answered(0);
        client.stats.last_zxid = zxid;
        client.stats.last_reply_ms = self.clocks.now_ms();
        self.budget.charge(client, units);
        self.clients.mark(conn);
        self.stats.sent += 1;
        self.stats.read_latency_us.record(0);
        self.stats.latency_us.record(0);
    }

    /// Goes on with the setWatches at the head of the line. Events of what was missed go out before
    /// its answer.
    fn restore_watches(&mut self, conn: ConnId) {
        let zxid = self.state.last_zxid();
        let Some(client) = self.clients.get_mut(conn) else { return };
        let Some(Waiting::Restore { xid, body, mut at }) = client.pop() else { return };
        let mut paths = 0;
        let code = loop {
            match at.next(&body) {
                Ok(Some((seen, list, path))) => {
                    let output = &mut client.output;
                    let told = |kind, path: &str| reply::put_notification(output, kind, path);
                    let (slot, state) = (conn.slot(), &self.state);
                    if !self.watches.restore(slot, state, seen, list, path, told) {
                        break Code::SystemError;
                    }
                }
                Ok(None) => break Code::Ok,
                Err(_) => break Code::MarshallingError,
            }
            paths += 1;
            if paths == RESTORED_AT_ONCE || client.output.len() >= OUTPUT_PAUSE_BYTES {
                client.push_front(Waiting::Restore { xid, body, at });
                self.clients.mark(conn);
                return self.charge(conn, paths / budget::PATHS_A_UNIT);
            }
        };
        client.restoring = false;
        client.put_header(xid, zxid, code);
        client.stats.answered(0);
        self.clients.mark(conn);
        self.charge(conn, 1 + paths / budget::PATHS_A_UNIT);
        // What was sent behind it may be taken now.
        if let Some(client) = self.clients.get_mut(conn)
            && client.held
        {
            self.budget.queue(conn, client);
        }
    }

    /// Answers with a header alone, when all earlier requests are answered.
    pub(super) fn answer_in_turn(&mut self, conn: ConnId, xid: i32, code: Code, close: bool) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let first = client.waiting.is_empty();
        client.push(Waiting::Answer { xid, code, close });
        if first {
            self.advance_client(conn);
        }
    }

    /// Answers what stands at the head of the line and can be answered now, within the connection's
    /// slice and as long as its reader keeps up.
    pub(super) fn advance_client(&mut self, conn: ConnId) {
        while self.clients.get(conn).is_some_and(|c| c.output.len() < OUTPUT_PAUSE_BYTES)
            && self.can_answer(conn, false)
            && self.may_go_on(conn)
        {
            self.answer_first(conn);
        }
        self.count_in_flight(conn);
    }

    /// A write of this connection is about to be applied: what stands before it in the line is
    /// answered first, whatever it costs. Whatever was committed when a sync came stands in the log
    /// before a write that came after it, so such a sync need not wait for the leader's word.
    pub(super) fn answer_ahead(&mut self, conn: ConnId) {
        while self.can_answer(conn, true) {
            self.answer_first(conn);
            // The answers are longer than they were to be when the reads were taken.
            if self.clients.get(conn).is_some_and(|c| c.output.len() > OUTPUT_MAX_BYTES) {
                return self.close_stuck(conn);
            }
        }
    }

    fn can_answer(&self, conn: ConnId, ahead: bool) -> bool {
        match self.clients.get(conn).and_then(|client| client.waiting.front()) {
            Some(
                Waiting::Read { .. }
                | Waiting::Answer { .. }
                | Waiting::Token { .. }
                | Waiting::Restore { .. },
            ) => true,
            Some(Waiting::Sync { ticket, .. }) => ahead || self.syncs.is_done(*ticket),
            Some(Waiting::Write { .. } | Waiting::Connect { .. } | Waiting::Upgrade) | None => {
                false
            }
        }
    }

    /// Answers the request at the head of the line, or does a part of it.
    fn answer_first(&mut self, conn: ConnId) {
        let zxid = self.state.last_zxid();
        let Some(client) = self.clients.get_mut(conn) else { return };
        if let Some(Waiting::Restore { .. }) = client.waiting.front() {
            return self.restore_watches(conn);
        }
        match client.pop() {
            Some(Waiting::Read { xid, op, body, .. }) => self.read(conn, xid, op, &body),
            Some(Waiting::Answer { xid, code, close }) => {
                // Who may ask or may not is no state (`ZooKeeperServer.processPacket`).
                let refused = code == Code::SessionClosedRequireSaslAuth;
                let zxid = if xid == xid::AUTH || refused { 0 } else { zxid };
                client.put_header(xid, zxid, code);
                if xid == xid::PING {
                    client.stats.answered(0);
                }
                self.stats.sent += 1;
                self.clients.mark(conn);
                self.charge(conn, 1);
                if close {
                    self.close_client(conn);
                }
            }
            Some(Waiting::Token { xid, code, token, close }) => {
                client.put_token(xid, code, token.as_deref());
                self.stats.sent += 1;
                self.clients.mark(conn);
                self.charge(conn, 1);
                if close {
                    self.close_client(conn);
                }
            }
            Some(Waiting::Sync { xid, path, .. }) => {
                client.put_reply(xid, zxid, &path);
                self.stats.sent += 1;
                self.clients.mark(conn);
                self.charge(conn, 1);
            }
            Some(
                Waiting::Write { .. }
                | Waiting::Connect { .. }
                | Waiting::Upgrade
                | Waiting::Restore { .. },
            )
            | None => {}
        }
    }

    /// The connection ends once what stands in its output is sent. Its session lives on.
    pub(super) fn close_client(&mut self, conn: ConnId) {
        if let Some(client) = self.clients.get_mut(conn) {
            client.phase = Phase::Closing;
            client.forget_requests();
            self.sessions.unbind(client.session, conn);
            self.watches.drop_connection(conn.slot());
            self.clients.mark(conn);
        }
    }

    /// Ends the connection that serves the session here, if one does.
    pub(super) fn close_session_here(&mut self, session: i64) {
        if let Some(conn) = self.sessions.connection(session) {
            self.close_client(conn);
        }
    }

    /// Ends the connections that are served, for their clients to turn to other members.
    pub(super) fn send_clients_away(&mut self) {
        for conn in self.clients.ids() {
            let phase = self.clients.get(conn).map(|client| client.phase);
            if matches!(phase, Some(Phase::Open | Phase::Connecting)) {
                self.stats.connections_dropped += 1;
                self.close_client(conn);
            }
        }
    }

    // ---- what the edge asks ----

    /// Connections to look at: something to send, to close, or to read from again.
    pub fn take_dirty_clients(&mut self) -> Vec<ConnId> {
        let dirty = self.clients.take_dirty();
        for &conn in &dirty {
            self.close_stuck(conn);
        }
        dirty
    }

    /// What is to be sent to a connection; the edge removes what it has sent.
    pub fn client_output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.clients.get_mut(conn).map(|c| &mut c.output)
    }

    /// The connection ends when its output is empty.
    pub fn client_closing(&self, conn: ConnId) -> bool {
        self.clients.get(conn).is_none_or(|c| c.phase == Phase::Closing)
    }

    /// Nothing is on its way to it: one that has said its last may be closed.
    pub fn client_idle(&self, conn: ConnId) -> bool {
        self.clients.get(conn).is_none_or(Client::idle)
    }

    /// Its bytes should not be read now: it waits for answers, or does not take them.
    pub fn client_paused(&self, conn: ConnId) -> bool {
        self.clients.get(conn).is_some_and(|c| c.paused() || c.held)
    }

    /// The edge has sent something: a connection that was paused may go on.
    pub fn client_sent(&mut self, conn: ConnId) {
        self.count_in_flight(conn);
        if self.can_answer(conn, false) {
            self.advance_client(conn);
        }
        if self.clients.get(conn).is_some_and(|client| !client.paused()) {
            self.take_input(conn);
        }
    }

    /// Ends connections that do not take what is sent to them.
    pub(super) fn close_stuck(&mut self, conn: ConnId) {
        if self.clients.get(conn).is_some_and(|c: &Client| c.output.len() > OUTPUT_MAX_BYTES) {
            if let Some(client) = self.clients.get_mut(conn) {
                client.output = Vec::new();
            }
            self.close_client(conn);
        }
    }
}

/// Whether a request is a write of which taking it in is long, and not divided.
fn is_large(payload: &[u8]) -> bool {
    let mut reader = Reader::new(payload);
    let header = RequestHeader::decode(&mut reader).ok();
    let op = header.and_then(|header| OpCode::from_client(header.op));
    op.is_some_and(|op| op.is_write() && budget::is_large(budget::units(op, reader.remaining(), 0)))
}

/// addWatch, removeWatches and checkWatches: they touch this server's table alone.
fn watch_request(watches: &mut Watches, conn: u32, op: OpCode, body: &[u8]) -> Code {
    match Request::decode(op, body) {
        Ok(Request::AddWatch(request)) => match WatchKind::from_add_mode(request.mode) {
            Some(kind) if watches.register(conn, request.path, kind) => Code::Ok,
            Some(_) => Code::SystemError,
            // `AddWatchMode.fromInt` throws while the request is read.
            None => Code::MarshallingError,
        },
        Ok(Request::RemoveWatches(request)) => watches.remove(conn, request.path, request.mode),
        Ok(Request::CheckWatches(request)) => watches.check(conn, request.path, request.mode),
        _ => Code::MarshallingError,
    }
}
