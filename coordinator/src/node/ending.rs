//! Sessions that end with more ephemerals than one operation may remove without a break.
//!
//! The session ends at once: nobody can use it any more. Its ephemerals go in parts, each an operation
//! that the leader proposes when the one before is applied, so that others get their turn between.
//! Whoever closed the session is answered when none is left, whoever has removed the last. A leader
//! that takes over finds what is left: ephemerals whose session is gone.

use super::Node;
use crate::state::Txn;
use crate::state::cluster::PARTED_ENDS;
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;

impl Node {
    /// A leader begins: what others have left is its to finish.
    pub(super) fn find_endings(&mut self) {
        self.endings.begin(self.state.ended_sessions_with_ephemerals());
    }

    /// A close was applied, or a part of one: nothing of a part may have been left to remove. True: the
    /// session ends with it, and leaves ephemerals.
    pub(super) fn close_applied(&mut self, txn: &Txn<'_>, ended: bool) -> bool {
        let leaves = ended && self.state.has_ephemerals(txn.session);
        if leaves && self.leading() {
            self.endings.left_by(txn.session);
        }
        self.endings.applied(txn.body);
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
            && let Some((session, part)) =
                self.endings.take_part(|session| self.state.part_of_end(session))
        {
            self.propose_own([(session, OpCode::CloseSession, part)]);
        }
    }

    /// Answers those whose sessions have nothing left.
    pub(super) fn finish_endings(&mut self) {
        for (session, waiter) in self.endings.take_finished(|id| !self.state.has_ephemerals(id)) {
            self.reply.clear();
            self.answer_write(waiter, OpCode::CloseSession, self.state.last_zxid(), Code::Ok);
            self.close_session_here(session);
        }
    }
}
