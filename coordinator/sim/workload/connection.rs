//! A client's turn, its connection, and what arrives on it.

use coordinator::wire::code::Code;
use coordinator::wire::frame;
use coordinator::wire::handshake::{ConnectRequest, ConnectResponse};
use coordinator::wire::jute::Reader;
use coordinator::wire::reply::{EventKind, Reply, ReplyHeader, WatcherEvent};
use coordinator::wire::request::xid;

use super::guarded::User;
use super::{HANDSHAKE_US, Op, reaped};
use crate::check::durable::DELETE;
use crate::network::{MS, SECOND};
use crate::world::{What, World};

impl World {
    /// The client's own turn: dial, ping, send something, give up.
    pub fn client_acts(&mut self, c: usize) {
        if self.clients[c].dead {
            return;
        }
        let delay = self.clients[c].random.range(MS, 40 * MS);
        self.schedule(delay, What::ClientActs { client: c });
        let now_us = self.now_us;
        let client = &mut self.clients[c];
        if now_us < client.hangs_until_us {
            return;
        }
        let Some(wire) = client.wire else {
            if now_us >= client.dialled_us {
                self.dial_any(c);
            }
            return;
        };
        if !client.open {
            if now_us > client.dialled_us + HANDSHAKE_US {
                self.drop_wire(c);
            }
            return;
        }
        if now_us > client.heard_us + client.timeout_us * 2 / 3 {
            self.drop_wire(c);
            return;
        }
        if now_us > client.sent_us + client.timeout_us / 3 {
            self.send(c, Op::Ping);
        }
        if self.clients[c].resting {
            return;
        }
        let client = &mut self.clients[c];
        if client.random.chance(1, 4000) {
            let for_us = client.random.range(SECOND, 12 * SECOND);
            client.hangs_until_us = now_us + for_us;
            client.awake = false;
            return;
        }
        if client.random.chance(1, 1500) {
            // Off to another server, as after a broken connection.
            self.client_closes(wire);
            self.drop_wire(c);
            return;
        }
        if client.random.chance(1, 3000) {
            self.send(c, Op::Close);
            return;
        }
        if client.random.chance(1, 4000) {
            self.send(c, Op::BadAuth);
            return;
        }
        for _ in 0..self.clients[c].random.below(5) {
            let op = self.choose(c);
            self.send(c, op);
        }
    }

    pub(super) fn dial_any(&mut self, c: usize) {
        let server = self.clients[c].random.below(self.servers.len() as u64) as usize;
        let wire = self.client_dials(c, server);
        let client = &mut self.clients[c];
        client.wire = Some(wire);
        client.open = false;
        client.dialled_us = self.now_us;
        client.heard_us = self.now_us;
        client.input.clear();
        let (session, password) = self.credentials(c);
        let client = &mut self.clients[c];
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: client.last_zxid,
            timeout_ms: client.asks_timeout_ms,
            session,
            password: Some(&password),
            read_only: client.random.chance(1, 2).then_some(false),
        };
        let mut bytes = Vec::new();
        let start = frame::begin(&mut bytes);
        request.encode(&mut bytes);
        frame::end(&mut bytes, start);
        self.client_sends(wire, bytes);
    }

    /// The client's own session; now and then somebody's with a password that is not its.
    fn credentials(&mut self, c: usize) -> (i64, Vec<u8>) {
        let clients = self.clients.len() as u64;
        let client = &mut self.clients[c];
        client.impostor = client.random.chance(1, 40);
        let own = (client.session, client.password.clone());
        let other = client.random.below(clients) as usize;
        let session = self.clients[other].session;
        let client = &mut self.clients[c];
        client.impostor &= session != 0;
        if !client.impostor {
            return own;
        }
        let mut password = client.password.clone();
        if other == c || client.session == 0 {
            password[0] ^= 1;
        }
        (session, password)
    }

    /// The connection is over for the client; what was not answered may have happened or not.
    pub(super) fn drop_wire(&mut self, c: usize) {
        let Some(wire) = self.clients[c].wire.take() else { return };
        self.say(|| format!("client {c} is off server {}", self.wires[wire].server + 1));
        self.client_closes(wire);
        let client = &mut self.clients[c];
        client.open = false;
        client.pings = 0;
        client.watching.streams.disconnected();
        client.dialled_us = self.now_us + client.random.range(MS, 200 * MS);
        let mut closed = false;
        for pending in std::mem::take(&mut client.pending) {
            match pending.op {
                Op::Delete { path } if client.user.may_write(&path) => {
                    self.checks.durable.try_write(&path, DELETE);
                }
                Op::Empty { path } => {
                    self.checks.durable.try_write(&reaped::child(&path), DELETE);
                    client.containers.remove(&path);
                }
                Op::CreateContainer { path } | Op::Fill { path, .. } => {
                    client.containers.remove(&path);
                }
                Op::Close => closed = true,
                _ => {}
            }
        }
        if closed {
            client.forget_session();
        }
        self.stats.reconnects += 1;
    }

    pub fn client_sees_end(&mut self, wire: usize) {
        let c = self.wires[wire].client;
        if self.clients[c].wire == Some(wire) {
            self.drop_wire(c);
        }
    }

    pub fn client_receives(&mut self, wire: usize, bytes: &[u8]) {
        let c = self.wires[wire].client;
        if self.clients[c].wire != Some(wire) || self.clients[c].dead {
            return;
        }
        let client = &mut self.clients[c];
        client.heard_us = self.now_us;
        client.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut client.input);
        let mut taken = 0;
        while self.clients[c].wire == Some(wire) && self.failure.is_none() {
            let rest = &input[taken..];
            let Some((length, rest)) = rest.split_first_chunk::<4>() else { break };
            let length = i32::from_be_bytes(*length) as usize;
            let Some(payload) = rest.get(..length) else { break };
            taken += 4 + length;
            if let Err(why) = self.client_reads(c, payload) {
                self.fail(format!("client {c}: {why}"));
            }
        }
        if self.clients[c].wire == Some(wire) {
            self.clients[c].input = input[taken..].to_vec();
        }
    }

    pub(super) fn client_reads(&mut self, c: usize, payload: &[u8]) -> Result<(), String> {
        if !self.clients[c].open {
            return self.handshake_answered(c, payload);
        }
        let malformed = |e| format!("a reply cannot be decoded: {e}");
        let mut reader = Reader::new(payload);
        let header = ReplyHeader::decode(&mut reader).map_err(malformed)?;
        if header.xid == xid::NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader).map_err(malformed)?;
            let kind = EventKind::from_i32(event.kind).ok_or("an event of no kind")?;
            return self.clients[c].watching.event(kind, event.path);
        }
        let session = self.clients[c].session;
        if header.xid == xid::AUTH && header.zxid != 0 {
            return Err(format!("auth was answered with zxid {:#x}", header.zxid));
        }
        if header.xid != xid::AUTH {
            self.checks.session.replied(session, header.zxid)?;
        }
        let client = &mut self.clients[c];
        client.last_zxid = client.last_zxid.max(header.zxid);
        if header.xid == xid::PING {
            client.pings =
                client.pings.checked_sub(1).ok_or("a ping was answered that was not sent")?;
            return Ok(());
        }
        let pending = client.pending.pop_front().ok_or("a reply that nobody waits for")?;
        if pending.xid != header.xid {
            return Err(format!(
                "xid {} was answered, {} ({:?}) is next in line",
                header.xid, pending.xid, pending.op
            ));
        }
        let code = Code::from_i32(header.err).ok_or("an error code that does not exist")?;
        if code == Code::Ok {
            let reply = Reply::decode(pending.code, &mut reader).map_err(malformed)?;
            if reader.remaining() > 0 {
                return Err(format!(
                    "{} bytes behind the reply to {:?}",
                    reader.remaining(),
                    pending.op
                ));
            }
            self.succeeded(c, &pending, header.zxid, reply)
        } else {
            self.refused(c, &pending, header.zxid, code)
        }
    }

    pub(super) fn handshake_answered(&mut self, c: usize, payload: &[u8]) -> Result<(), String> {
        let response = ConnectResponse::decode(payload)
            .map_err(|e| format!("the handshake cannot be decoded: {e}"))?;
        let client = &mut self.clients[c];
        if response.session == 0 || response.timeout_ms == 0 {
            let session = client.session;
            if client.impostor {
                self.drop_wire(c);
                return Ok(());
            }
            if session == 0 {
                return Err("a new session was refused as expired".to_owned());
            }
            let gone = self.checks.session.get(session).is_none_or(|k| k.gone_us.is_some());
            if !gone {
                return Err(format!(
                    "session {session:#x} is called expired, and no server has ended it"
                ));
            }
            client.forget_session();
            self.drop_wire(c);
            return Ok(());
        }
        if client.impostor {
            return Err(format!(
                "session {:#x} was opened with a wrong password",
                response.session
            ));
        }
        if client.session != 0 && client.session != response.session {
            return Err(format!("session {:#x} became {:#x}", client.session, response.session));
        }
        let fresh = client.session == 0;
        client.session = response.session;
        client.password = response.password.to_vec();
        client.timeout_us = response.timeout_ms as u64 * MS;
        client.open = true;
        client.xid = 0;
        let (session, timeout_ms) = (response.session, response.timeout_ms);
        self.say(|| format!("client {c} has session {session:#x}, {timeout_ms} ms"));
        let client = &mut self.clients[c];
        let (zxid, now_us) = (client.last_zxid, self.now_us);
        let opened =
            self.checks.session.opened(c, response.session, response.timeout_ms, zxid, now_us);
        opened?;
        let (user, laid) = (client.user, client.laid);
        if user != User::Nobody {
            self.send(c, Op::Auth);
        }
        if !laid {
            self.send(c, Op::Lay);
        }
        if !fresh && !self.clients[c].watching.is_empty() {
            self.send(c, Op::SetWatches);
        }
        Ok(())
    }
}
