//! Sessions that this server alone knows: all new ones where `localSessionsEnabled` spares the log
//! (`LocalSessionTracker`), and those of clients that only read while there is no quorum.
//!
//! Their writes go through the log as those of nobody's session. One that is to own an ephemeral
//! becomes a session of the ensemble first, or is refused.

use super::client::{ConnId, Phase, Waiting};
use super::{Level, Node};
use crate::state::PasswordRule;
use crate::wire::code::Code;
use crate::wire::handshake::ConnectRequest;
use crate::wire::opcode::OpCode;
use crate::wire::request::{Create, Request, create_mode};

/// So many at most: each lives for its timeout, whether its client does or not.
const SESSIONS_MAX: usize = 1_000_000;

impl Node {
    /// Without a quorum for so long that clients which ask for no more are let read.
    pub(super) fn reads_alone(&self) -> bool {
        let over = |after| self.sessions.unserved_for(self.clocks.now_ms(), after);
        self.config.read_only_after_ms.is_some_and(over)
            && self.state.cluster().cluster_id != 0
            && !self.stopping
            && !self.differs()
    }

    /// Begins and ends the time of clients that only read, and the time of local sessions.
    pub(super) fn review_local_sessions(&mut self) {
        if !self.serving() {
            self.sessions.service_ended(self.clocks.now_ms());
        } else if self.sessions.service_begins() {
            // They ask again, and find a server that writes.
            for conn in self.clients.ids() {
                if self.clients.get(conn).is_some_and(|client| client.read_only) {
                    self.close_client(conn);
                }
            }
            if !self.config.local_sessions {
                self.sessions.local.clear();
            }
        }
        if !self.sessions.local.is_due(self.clocks.attentive_ms()) {
            return;
        }
        for session in self.sessions.local.take_expired(self.clocks.attentive_ms()) {
            self.log(Level::Debug, &format!("local session {session:#x} has expired"));
            self.close_session_here(session);
        }
    }

    /// A session that begins here, or that this server knows already.
    pub(super) fn open_local(
        &mut self,
        conn: ConnId,
        session: i64,
        timeout_ms: u32,
        request: &ConnectRequest<'_>,
    ) {
        if self.sessions.local.len() >= SESSIONS_MAX && !self.sessions.local.knows(session) {
            return self.close_client(conn);
        }
        let read_only = !self.serving();
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.phase = Phase::Connecting;
        client.session = session;
        client.timeout_ms = timeout_ms;
        client.local = true;
        client.read_only = read_only;
        client.stats.last_op = OpCode::CreateSession.as_i32();
        self.sessions.bind(session, conn);
        self.sessions.local.track(session, u64::from(timeout_ms), self.clocks.attentive_ms());
        self.connected(conn, request.read_only, Code::Ok);
    }

    /// What a local session may not do, or does otherwise than one of the ensemble. True: it is
    /// answered.
    pub(super) fn answered_for_local(
        &mut self,
        conn: ConnId,
        xid: i32,
        op: OpCode,
        body: &[u8],
    ) -> bool {
        let Some(client) = self.clients.get(conn) else { return true };
        let (local, read_only, session) = (client.local, client.read_only, client.session);
        if !local {
            return false;
        }
        if op == OpCode::CloseSession {
            self.sessions.local.forget(session);
            self.answer_in_turn(conn, xid, Code::Ok, true);
            return true;
        }
        if read_only && (op.is_write() || matches!(op, OpCode::Sync | OpCode::Reconfig)) {
            self.answer_in_turn(conn, xid, Code::NotReadOnly, false);
            return true;
        }
        if !makes_ephemeral(op, body) {
            return false;
        }
        if !self.config.local_sessions_upgrade {
            self.answer_in_turn(conn, xid, Code::EphemeralOnLocalSession, false);
            return true;
        }
        self.upgrade(conn);
        false
    }

    /// The session becomes one of the ensemble, before the write that needs it.
    pub(super) fn upgrade(&mut self, conn: ConnId) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let (session, timeout_ms) = (client.session, client.timeout_ms);
        client.local = false;
        client.push(Waiting::Upgrade);
        self.sessions.local.forget(session);
        let mut body = (timeout_ms as i32).to_be_bytes().to_vec();
        PasswordRule::Keyed.encode(&mut body);
        self.submit(conn, OpCode::CreateSession, &body);
    }
}

/// Whether a write asks for an ephemeral (`QuorumZooKeeperServer.checkUpgradeSession`).
fn makes_ephemeral(op: OpCode, body: &[u8]) -> bool {
    let ephemeral = |create: &Create<'_>| {
        matches!(create.flags, create_mode::EPHEMERAL | create_mode::EPHEMERAL_SEQUENTIAL)
    };
    if !matches!(op, OpCode::Create | OpCode::Create2 | OpCode::Multi) {
        return false;
    }
    match Request::decode(op, body) {
        Ok(Request::Create(create) | Request::Create2(create)) => ephemeral(&create),
        Ok(Request::Multi(multi)) => multi.iter().any(|part| match part.request {
            Request::Create(create) | Request::Create2(create) => ephemeral(&create),
            _ => false,
        }),
        _ => false,
    }
}
