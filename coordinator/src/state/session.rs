//! Sessions as the ensemble knows them: how long a client may be silent, and who serves it.

use super::cluster::PRINCIPALS;
use super::{PasswordRule, State};
use crate::wire::code::Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Negotiated timeout.
    pub timeout_ms: i32,
    /// Id of the server that serves it now.
    pub origin: u8,
    /// Fixed when the session begins: its client knows no other password.
    pub password: PasswordRule,
}

impl PasswordRule {
    /// Whether members of an ensemble of this level know the rule.
    pub fn known_at(self, level: u16) -> bool {
        self == Self::Keyed || level >= PRINCIPALS
    }
}

impl State {
    /// `SessionTracker.checkSession`. Session 0 is the server itself.
    pub(super) fn check_session(&self, session: i64, origin: u8) -> Result<(), Code> {
        if session == 0 {
            return Ok(());
        }
        match self.sessions.get(session) {
            None => Err(Code::SessionExpired),
            Some(known) if known.origin != origin => Err(Code::SessionMoved),
            Some(_) => Ok(()),
        }
    }

    pub fn session(&self, id: i64) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// In the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = (i64, &Session)> {
        self.sessions.iter()
    }
}
