//! Changes of members that clients ask for, and the terms on which a leader takes them.
//!
//! The list is replicated state (`state::members`); `membership` takes the servers there. The client
//! is answered when no vote is left that the list does not give.

use super::Node;
use super::client::{ConnId, Waiting};
use super::entry::Segment;
use crate::state::members::Terms;
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;
use crate::wire::request::Request;

const ENABLED: u8 = 1;
const ALONE: u8 = 2;
const TWO_VOTERS: u8 = 4;

/// What [`Node::propose_terms`] has written.
pub(super) fn terms(flags: u8, synced: &[u8]) -> Terms {
    Terms {
        enabled: flags & ENABLED != 0,
        alone: flags & ALONE != 0,
        two_voters: flags & TWO_VOTERS != 0,
        synced: synced.to_vec(),
    }
}

impl Node {
    /// A client asks for other members.
    pub(super) fn reconfig(&mut self, conn: ConnId, xid: i32, body: &[u8]) {
        if Request::decode(OpCode::Reconfig, body).is_err() {
            return self.answer_in_turn(conn, xid, Code::MarshallingError, false);
        }
        // Servers of level 0 would take it for their own.
        if self.state.cluster().level < 1 {
            self.audit_refused(conn, OpCode::Reconfig, body, Code::ReconfigDisabled);
            return self.answer_in_turn(conn, xid, Code::ReconfigDisabled, false);
        }
        if self.clients.get(conn).is_some_and(|client| client.local) {
            self.upgrade(conn);
        }
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.push(Waiting::Write { xid, op: OpCode::Reconfig, bytes: body.len() as u32 });
        client.reconfiguring = true;
        self.submit(conn, OpCode::Reconfig, body);
    }

    /// The leader says who could make a quorum, and what it allows.
    pub(super) fn propose_terms(&mut self) {
        let me = self.config.id;
        let committed = self.raft.raft.raft_log.committed;
        let close = |id: &u64| {
            let progress = self.raft.raft.prs().get(*id);
            *id as u8 == me
                || self.peers.is_up(*id as u8)
                    && progress.is_some_and(|p| p.matched + 1000 >= committed)
        };
        // An observer that has the log can be given a vote.
        let synced: Vec<u8> = self.membership.members().filter(close).map(|id| id as u8).collect();
        let mut flags = 0;
        for (set, flag) in [
            (self.config.reconfig_enabled, ENABLED),
            (self.config.standalone, ALONE),
            (self.config.two_voters, TWO_VOTERS),
        ] {
            flags |= if set { flag } else { 0 };
        }
        self.propose_segment(&Segment::Terms { flags, synced: &synced });
    }
}
