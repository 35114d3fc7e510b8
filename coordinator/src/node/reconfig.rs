//! Changes of members by clients: from a pending list to servers that follow, vote or have left.
//!
//! The list is replicated state (`state::members`). The leader takes the servers there one change
//! at a time, each safe by itself: who leaves loses the vote first and stays as a follower without
//! one while it runs; who joins follows first, and votes when it has caught up. A leader that is
//! to leave hands over. The client is answered when no vote is left that the list does not give.

use raft::eraftpb::ConfChangeType;

use super::client::{ConnId, Waiting};
use super::entry::Segment;
use super::membership::FORGET;
use super::{Level, Node, Output};
use crate::config::PeerType;
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
        let synced: Vec<u8> =
            self.conf_state.voters.iter().filter(|id| close(id)).map(|id| *id as u8).collect();
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

    /// A list was asked for, or has become the present one.
    pub(super) fn members_decided(&mut self) {
        self.members_proposed = false;
        self.adopt_members();
        self.review_members();
    }

    /// The ensemble's list takes the place of the configuration's.
    pub(super) fn adopt_members(&mut self) {
        let Some(membership) = &self.state.cluster().membership else { return };
        let members = membership.target().clone();
        let with_role = |role: PeerType| {
            let of_role = members.iter().filter(move |(_, server)| server.role == role);
            of_role.map(|(id, _)| *id).collect::<Vec<u8>>()
        };
        self.config.voters = with_role(PeerType::Participant);
        self.config.observers = with_role(PeerType::Observer);
        // Those that have left are heard until they are gone.
        let known = |id: u8| {
            let id = u64::from(id);
            self.conf_state.voters.contains(&id) || self.conf_state.learners.contains(&id)
        };
        let stays = |id| members.contains_key(&id) || known(id);
        self.peers.adopt(members.keys().copied(), stays);
        self.outputs.push(Output::Members(members));
    }

    /// Whether a member stands in the ensemble's list, where it has one.
    pub(super) fn listed(&self, id: u8) -> bool {
        self.state.cluster().membership.is_none()
            || self.config.voters.contains(&id)
            || self.config.observers.contains(&id)
    }

    /// The leader's next step towards the ensemble's list. True: one was made, or must be waited for.
    pub(super) fn follow_list(&mut self) -> bool {
        let Some(membership) = &self.state.cluster().membership else { return false };
        let pending = membership.pending.is_some();
        let me = u64::from(self.config.id);
        let votes = |id: u64| self.config.voters.contains(&(id as u8));
        let voters = &self.conf_state.voters;
        if let Some(&id) = voters.iter().find(|&&id| id != me && !votes(id)) {
            self.log(Level::Info, &format!("server {id} loses its vote: the list has changed"));
            self.change(id, ConfChangeType::AddLearnerNode, 0);
            return true;
        }
        if !votes(me) {
            // Another one takes the vote of this one.
            let ready = |id: &&u64| **id != me && votes(**id) && self.peers.is_up(**id as u8);
            if let Some(&to) = voters.iter().find(ready) {
                self.transfer_leadership(Some(to as u8));
            }
            return true;
        }
        let member = |id: &u64| voters.contains(id) || self.conf_state.learners.contains(id);
        let listed = self.config.voters.iter().chain(&self.config.observers);
        if let Some(id) = listed.map(|id| u64::from(*id)).find(|id| !member(id)) {
            self.log(Level::Info, &format!("server {id} joins, at first without a vote"));
            // Its data directory may be another one than before.
            let incarnation = self.peers.hello(id as u8).map_or(0, |hello| hello.incarnation);
            self.change(id, ConfChangeType::AddLearnerNode, incarnation);
            return true;
        }
        if pending {
            if !self.members_proposed {
                self.members_proposed = true;
                self.propose_own([(0, OpCode::Reconfig, "")]);
            }
            return true;
        }
        let gone = |id: &&u64| !self.listed(**id as u8) && !self.peers.is_up(**id as u8);
        if let Some(&id) = self.conf_state.learners.iter().find(gone) {
            self.log(Level::Info, &format!("server {id} has left"));
            self.change(id, ConfChangeType::RemoveNode, FORGET);
            return true;
        }
        false
    }
}
