//! Sessions that end with more ephemerals than one operation may remove without a break.
//!
//! The session ends at once: nobody can use it any more. Its ephemerals go in parts, each an operation
//! that the leader proposes when the one before is applied, so that others get their turn between.
//! Whoever closed the session is answered behind the last part. A leader that takes over finds what
//! is left: ephemerals whose session is gone.

use std::collections::{BTreeMap, VecDeque};

use super::Node;
use super::outbox::Waiter;
use crate::wire::opcode::OpCode;

#[derive(Debug, Default)]
pub(super) struct Endings {
    /// As leader: sessions that have ended and left ephemerals.
    left: VecDeque<i64>,
    /// A part of the first one is on its way through the log.
    proposed: bool,
    /// Who closed a session here, and is answered when all is gone.
    waiting: BTreeMap<i64, Waiter>,
}

impl Endings {
    /// Whether the next part may be proposed.
    pub(super) fn is_due(&self) -> bool {
        !self.left.is_empty() && !self.proposed
    }

    /// Whether the session's connection is still to be answered.
    pub(super) fn waits(&self, session: i64) -> bool {
        self.waiting.contains_key(&session)
    }

    pub(super) fn wait(&mut self, session: i64, waiter: Waiter) {
        self.waiting.insert(session, waiter);
    }
}

impl Node {
    /// A leader begins: what others have left is its to finish.
    pub(super) fn find_endings(&mut self) {
        self.endings.left = self.state.ended_sessions_with_ephemerals().into();
        self.endings.proposed = false;
    }

    /// A session has ended, or a part of its ephemerals is gone. True: nothing is left of it.
    pub(super) fn session_ended(&mut self, session: i64, just_now: bool) -> bool {
        let over = !self.state.has_ephemerals(session);
        let endings = &mut self.endings;
        if just_now {
            if !over {
                endings.left.push_back(session);
            }
        } else if endings.left.front() == Some(&session) {
            endings.proposed = false;
            if over {
                endings.left.pop_front();
            }
        }
        over
    }

    /// Who waits for the end of a session that is over now.
    pub(super) fn waiter_of_ending(&mut self, session: i64) -> Option<Waiter> {
        self.endings.waiting.remove(&session)
    }

    /// Whether a part can be proposed.
    pub(super) fn can_end(&self) -> bool {
        self.endings.is_due() && self.leading() && self.raft.raft.lead_transferee.is_none()
    }

    /// As leader, proposes the next part.
    pub(super) fn end_next_part(&mut self) {
        while self.can_end()
            && let Some(&session) = self.endings.left.front()
        {
            let Some(body) = self.state.part_of_end(session) else {
                self.endings.left.pop_front();
                continue;
            };
            self.propose_own([(session, OpCode::CloseSession, body)]);
            self.endings.proposed = true;
        }
    }
}
