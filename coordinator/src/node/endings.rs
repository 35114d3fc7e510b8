//! Sessions that end with more ephemerals than one operation may remove without a break.
//!
//! The session ends at once: nobody can use it any more. Its ephemerals go in parts, each an operation
//! that the leader proposes when the one before is applied, so that others get their turn between.
//! Whoever closed the session is answered when none is left, whoever has removed the last. A leader
//! that takes over finds what is left: ephemerals whose session is gone.

use std::collections::{BTreeMap, VecDeque};

use super::Node;
use super::client::ConnId;
use super::outbox::Waiter;
use crate::state::cluster::PARTED_ENDS;
use crate::state::{State, Txn};
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;

#[derive(Debug, Default)]
pub(super) struct Endings {
    /// As leader: sessions that have ended and left ephemerals.
    left: VecDeque<i64>,
    /// The part of the first one that is on its way through the log.
    proposed: Option<Vec<u8>>,
    /// Who closed a session here, and is answered when all is gone.
    waiting: BTreeMap<i64, Waiter>,
}

impl Endings {
    /// Whether the next part may be proposed.
    pub(super) fn is_due(&self) -> bool {
        !self.left.is_empty() && self.proposed.is_none()
    }

    /// The next part to propose, of the first session that has anything left.
    fn take_part(&mut self, state: &State) -> Option<(i64, Vec<u8>)> {
        while self.is_due() {
            let &session = self.left.front()?;
            if let Some(body) = state.part_of_end(session) {
                self.proposed = Some(body.clone());
                return Some((session, body));
            }
            self.left.pop_front();
        }
        None
    }

    /// Whether the session's connection is still to be answered.
    pub(super) fn waits(&self, session: i64) -> bool {
        self.waiting.contains_key(&session)
    }

    /// Whether the connection has closed its session: nothing that it sent behind that is answered.
    pub(super) fn closes(&self, session: i64, conn: ConnId) -> bool {
        self.waiting.get(&session).is_some_and(|waiter| waiter.conn == conn)
    }

    pub(super) fn wait(&mut self, session: i64, waiter: Waiter) {
        self.waiting.insert(session, waiter);
    }
}

impl Node {
    /// A leader begins: what others have left is its to finish.
    pub(super) fn find_endings(&mut self) {
        self.endings.left = self.state.ended_sessions_with_ephemerals().into();
        self.endings.proposed = None;
    }

    /// A close was applied, or a part of one: nothing of a part may have been left to remove. True: the
    /// session ends with it, and leaves ephemerals.
    pub(super) fn close_applied(&mut self, txn: &Txn<'_>, ended: bool) -> bool {
        let leaves = ended && self.state.has_ephemerals(txn.session);
        if leaves && self.leading() {
            self.endings.left.push_back(txn.session);
        }
        self.endings.proposed.take_if(|part| part == txn.body);
        leaves
    }

    /// Whether a part can be proposed. What a backup has of ended sessions waits for the level: members
    /// below it would take nothing away.
    pub(super) fn can_end(&self) -> bool {
        self.endings.is_due()
            && self.state.cluster().level >= PARTED_ENDS
            && self.leading()
            && self.raft.raft.lead_transferee.is_none()
    }

    /// As leader, proposes the next part.
    pub(super) fn end_next_part(&mut self) {
        if self.can_end()
            && let Some((session, part)) = self.endings.take_part(&self.state)
        {
            self.propose_own([(session, OpCode::CloseSession, part)]);
        }
    }

    /// Answers those whose sessions have nothing left.
    pub(super) fn finish_endings(&mut self) {
        let state = &self.state;
        let waiting = &mut self.endings.waiting;
        let over = waiting.extract_if(.., |session, _| !state.has_ephemerals(*session));
        for (session, waiter) in over.collect::<Vec<_>>() {
            self.reply.clear();
            self.answer_write(waiter, OpCode::CloseSession, self.state.last_zxid(), Code::Ok);
            self.close_session_here(session);
        }
    }
}
