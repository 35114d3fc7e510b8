//! The life of a session, through the log like any other write.

use super::Call;
use crate::state::{Effects, PasswordRule, Session, State};
use crate::wire::code::Code;

impl State {
    pub(super) fn create_session(
        &mut self,
        call: Call<'_>,
        timeout_ms: i32,
        password: PasswordRule,
    ) {
        let session = Session { timeout_ms, origin: call.origin, password };
        self.sessions.insert(call.session, session);
    }

    /// The client came back through another server, or with another timeout.
    /// `proof` is the rule by which its password was right: one that anybody can compute is none
    /// for a session of another rule.
    pub(super) fn attach_session(
        &mut self,
        call: Call<'_>,
        timeout_ms: i32,
        proof: PasswordRule,
    ) -> Result<(), Code> {
        let session = self.sessions.get_mut(&call.session).ok_or(Code::SessionExpired)?;
        if proof == PasswordRule::Zookeeper && session.password != proof {
            return Err(Code::SessionExpired);
        }
        *session = Session { timeout_ms, origin: call.origin, ..*session };
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
