//! The first frame of a connection: a session is created, or comes from another connection.
//!
//! Both go through the log. The answer to a client that comes back is therefore never a guess: a
//! server that lags cannot call a living session expired.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::client::{ConnId, Phase, Waiting};
use super::{Level, Node};
use crate::session_password::{self, PasswordRule};
use crate::wire::code::Code;
use crate::wire::frame;
use crate::wire::handshake::{ConnectRequest, ConnectResponse, PASSWORD_BYTES};
use crate::wire::opcode::OpCode;

impl Node {
    /// The connect request of a new connection.
    pub(super) fn connect(&mut self, conn: ConnId, payload: &[u8]) {
        let Ok(request) = ConnectRequest::decode(payload) else {
            return self.close_client(conn);
        };
        // Never "expired" for want of a leader: the client would give its session up.
        let alone = !self.serving();
        if alone && !(request.read_only == Some(true) && self.reads_alone()) {
            return self.close_client(conn);
        }
        if request.last_zxid_seen > self.state.last_zxid() {
            let address = self.clients.get(conn).map(|c| c.address);
            self.log(
                Level::Info,
                &format!(
                    "refusing {address:?}: it has seen zxid {:#x}, this server {:#x}; it will try another",
                    request.last_zxid_seen,
                    self.state.last_zxid()
                ),
            );
            return self.close_client(conn);
        }
        let timeout_ms = self.negotiate(request.timeout_ms);
        let (session, op, rule) = if request.session == 0 {
            let session = self.new_session_id();
            if alone || self.config.local_sessions {
                return self.open_local(conn, session, timeout_ms, &request);
            }
            let wanted = self.config.session_passwords;
            let known = wanted.known_at(self.state.cluster().level);
            (session, OpCode::CreateSession, if known { wanted } else { PasswordRule::Keyed })
        } else {
            // The password first: a stranger must not cut the owner off.
            let Some(rule) = self.proved(request.session, request.password) else {
                return self.refuse_session(conn, request.read_only);
            };
            let local = self.sessions.local.knows(request.session);
            if alone && !local {
                // It may live on with the others: it is not said to have expired.
                return self.close_client(conn);
            }
            if local && rule != PasswordRule::Keyed {
                return self.refuse_session(conn, request.read_only);
            }
            if let Some(old) = self.sessions.connection(request.session) {
                // The log knows whether Apache ZooKeeper's rule is the session's; this server, which
                // lags, may not. The owner is not cut off for that: the client tries again.
                if rule == PasswordRule::Zookeeper && self.rule_of(request.session) != Some(rule) {
                    return self.close_client(conn);
                }
                self.close_client(old);
            }
            if local {
                return self.open_local(conn, request.session, timeout_ms, &request);
            }
            self.stats.sessions_attached += 1;
            (request.session, OpCode::AttachSession, rule)
        };
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.phase = Phase::Connecting;
        client.session = session;
        client.timeout_ms = timeout_ms;
        client.stats.last_op = op.as_i32();
        client.push(Waiting::Connect { read_only: request.read_only });
        self.sessions.bind(session, conn);
        let mut body = (timeout_ms as i32).to_be_bytes().to_vec();
        rule.encode(&mut body);
        self.submit(conn, op, &body);
    }

    /// The rule by which this is the session's password.
    fn proved(&self, session: i64, password: Option<&[u8]>) -> Option<PasswordRule> {
        let password = password?;
        if password == self.keyed_password(session) {
            return Some(PasswordRule::Keyed);
        }
        let rule = PasswordRule::Zookeeper;
        let fits = match self.rule_of(session) {
            Some(known) => known == rule,
            None => rule.known_at(self.state.cluster().level),
        };
        (fits && password == session_password::of_session(session)).then_some(rule)
    }

    fn rule_of(&self, session: i64) -> Option<PasswordRule> {
        self.state.session(session).map(|known| known.password)
    }

    /// The session's write has been applied.
    pub(super) fn connected(&mut self, conn: ConnId, read_only: Option<bool>, code: Code) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let session = client.session;
        if code != Code::Ok {
            return self.refuse_session(conn, read_only);
        }
        let password = match self.rule_of(session) {
            Some(PasswordRule::Zookeeper) => session_password::of_session(session),
            _ => self.keyed_password(session),
        };
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.phase = Phase::Open;
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: client.timeout_ms as i32,
            session,
            password,
            read_only: read_only.map(|_| client.read_only),
        };
        let start = frame::begin(&mut client.output);
        response.encode(&mut client.output);
        frame::end(&mut client.output, start);
        client.stats.sent += 1;
        self.stats.sent += 1;
        self.clients.mark(conn);
    }

    fn refuse_session(&mut self, conn: ConnId, read_only: Option<bool>) {
        if let Some(client) = self.clients.get_mut(conn) {
            let start = frame::begin(&mut client.output);
            ConnectResponse::expired(read_only).encode(&mut client.output);
            frame::end(&mut client.output, start);
            self.close_client(conn);
        }
    }

    fn negotiate(&self, asked_ms: i32) -> u32 {
        let asked = u32::try_from(asked_ms).unwrap_or(0);
        asked.clamp(self.config.session_timeout_min_ms, self.config.session_timeout_max_ms)
    }

    fn new_session_id(&mut self) -> i64 {
        let taken = |id| self.state.session(id).is_some();
        self.sessions.new_id(self.config.id, self.clocks.wall_ms(), taken)
    }

    /// Any server can recompute it; nobody without the ensemble's secret can.
    fn keyed_password(&self, session: i64) -> [u8; PASSWORD_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.state.cluster().secret)
            .expect("HMAC takes keys of any length");
        mac.update(&session.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        *digest.first_chunk().expect("SHA-256 has 32 bytes")
    }
}
