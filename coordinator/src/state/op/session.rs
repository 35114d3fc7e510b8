//! The life of a session, through the log like any other write.

use super::Call;
use crate::state::{Effects, Session, State};
use crate::wire::code::Code;

impl State {
    pub(super) fn create_session(&mut self, call: Call<'_>, timeout_ms: i32) {
        self.sessions.insert(call.session, Session { timeout_ms, origin: call.origin });
    }

    /// The client came back through another server, or with another timeout.
    pub(super) fn attach_session(&mut self, call: Call<'_>, timeout_ms: i32) -> Result<(), Code> {
        let session = self.sessions.get_mut(&call.session).ok_or(Code::SessionExpired)?;
        *session = Session { timeout_ms, origin: call.origin };
        Ok(())
    }

    /// Closed by its client or expired. Its ephemerals go with it, in the order of their paths.
    /// Who serves it is not checked: expiry does not, and a close is a session's last word.
    pub(super) fn close_session(
        &mut self,
        call: Call<'_>,
        effects: &mut Effects,
    ) -> Result<(), Code> {
        self.sessions.remove(&call.session).ok_or(Code::SessionExpired)?;
        for path in self.ephemerals_of(call.session) {
            if let Some(id) = self.tree.find(&path) {
                self.remove(call, id, &path, effects);
            }
        }
        effects.closed.push(call.session);
        Ok(())
    }
}
