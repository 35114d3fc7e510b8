//! Writes that another server sends on for its clients: read before they are proposed, since once in
//! the log they would be in every server's.

use super::entry::Segment;
use super::{Level, Node, Output};
use crate::state::Txn;
use crate::wire::opcode::OpCode;

impl Node {
    /// A server hands over writes of its sessions.
    pub(super) fn forwarded(
        &mut self,
        from: u8,
        boot: u64,
        first_sequence: u64,
        count: u32,
        ops: &[u8],
    ) {
        if !self.is_leader() {
            return; // it learns of the new leader and sends them there
        }
        let Some((sessions, reconfig)) = writes_of_a_server(count, ops) else {
            self.stats.forwards_refused += 1;
            self.log(
                Level::Warn,
                &format!("server {from} forwarded writes that cannot be decoded; refusing them"),
            );
            return self.outputs.push(Output::Disconnect(from));
        };
        for session in sessions {
            self.sessions.expiry.touch(session, self.clocks.attentive_ms());
        }
        if reconfig {
            self.propose_terms();
        }
        self.propose_segment(&Segment::Ops { origin: from, boot, first_sequence, count, ops });
    }
}

/// The sessions of forwarded writes, and whether one asks for other members; `None` unless all of
/// them can be read and are what a server sends on for its clients. The leader's own operations are
/// nobody else's to propose. Writes of local sessions come without one.
fn writes_of_a_server(count: u32, mut ops: &[u8]) -> Option<(Vec<i64>, bool)> {
    let (mut sessions, mut reconfig) = (Vec::new(), false);
    while !ops.is_empty() {
        let txn = Txn::decode(&mut ops).ok()?;
        let own = txn.op == OpCode::DeleteContainer;
        reconfig |= txn.op == OpCode::Reconfig;
        let of_session = matches!(
            txn.op,
            OpCode::CreateSession | OpCode::AttachSession | OpCode::CloseSession | OpCode::Reconfig
        );
        if own || !txn.op.is_write() || txn.session == 0 && of_session {
            return None;
        }
        sessions.push(txn.session);
    }
    (sessions.len() == count as usize && count > 0).then_some((sessions, reconfig))
}
