//! What goes to the audit log, and when: changes that were applied, and those that were refused before.

use super::audit::{Audit, Caller};
use super::client::ConnId;
use super::outbox::Waiter;
use super::{Node, Output};
use crate::state::Txn;
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;

impl Node {
    /// A write was applied, and its answer is in `self.reply` if a session of this server asked for
    /// it. A close took these ephemerals with it.
    pub(super) fn audit_applied(
        &mut self,
        waiter: Option<&Waiter>,
        txn: &Txn<'_>,
        code: Code,
        ephemerals: &[String],
    ) {
        let Some(audit) = &mut self.audit else { return };
        if code == Code::Ok {
            for path in ephemerals {
                audit.put_ephemeral(txn.session, path);
            }
        }
        let Some(waiter) = waiter else { return };
        // The log knows local sessions as the server's own.
        let local = self.clients.get(waiter.conn).filter(|_| txn.session == 0);
        let session = local.map_or(txn.session, |client| client.session);
        let caller = Caller { session, identity: txn.identity };
        audit.request(caller, txn.op, txn.body, code, &self.reply);
    }

    /// A write was refused before it went into the log.
    pub(super) fn audit_refused(&mut self, conn: ConnId, op: OpCode, body: &[u8], code: Code) {
        let (Some(audit), Some(client)) = (&mut self.audit, self.clients.get(conn)) else { return };
        let caller = Caller { session: client.session, identity: client.identity.as_identity() };
        audit.request(caller, op, body, code, &[]);
    }

    /// Hands over what there is to tell.
    pub(super) fn flush_audit(&mut self) {
        let lines = self.audit.as_mut().and_then(Audit::take_lines);
        self.outputs.extend(lines.map(Output::Audit));
    }
}
