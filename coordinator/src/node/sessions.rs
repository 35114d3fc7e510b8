//! The sessions as this server serves them: over which connection, with which ids, and how long
//! without a sign of life.
//!
//! What a session is stands in the replicated state; this is what no other server need know.

use std::collections::BTreeMap;

use super::client::ConnId;
use super::expiry::Expiry;

/// The sessions served here, and the clocks of those that this server lets expire.
#[derive(Default)]
pub(super) struct Sessions {
    connections: BTreeMap<i64, ConnId>,
    /// The last id given out; 0 before the first.
    last_id: u64,
    /// As leader: all sessions of the ensemble.
    pub expiry: Expiry,
    /// Sessions that only this server knows.
    pub local: Expiry,
    /// Since when no client could be served with writes.
    unserved_since_ms: Option<u64>,
}

impl Sessions {
    /// The connection that serves a session here.
    pub(super) fn connection(&self, session: i64) -> Option<ConnId> {
        self.connections.get(&session).copied()
    }

    pub(super) fn bind(&mut self, session: i64, conn: ConnId) {
        self.connections.insert(session, conn);
    }

    /// The connection serves the session no more; another one may have taken its place.
    pub(super) fn unbind(&mut self, session: i64, conn: ConnId) {
        if self.connections.get(&session) == Some(&conn) {
            self.connections.remove(&session);
        }
    }

    /// Server id in the upper byte, then time and a counter: unique across restarts, never 0.
    /// `taken`: sessions that came from another ensemble have ids of the same form.
    pub(super) fn new_id(&mut self, server: u8, wall_ms: i64, taken: impl Fn(i64) -> bool) -> i64 {
        if self.last_id == 0 {
            let time = (wall_ms as u64) << 24 >> 8;
            self.last_id = u64::from(server) << 56 | time & 0x00ff_ffff_ffff_ffff;
        }
        loop {
            self.last_id += 1;
            if !taken(self.last_id as i64) {
                return self.last_id as i64;
            }
        }
    }

    /// No client can be served with writes.
    pub(super) fn service_ended(&mut self, now_ms: u64) {
        self.unserved_since_ms.get_or_insert(now_ms);
    }

    /// Clients are served with writes. `true`: they were not a moment ago.
    pub(super) fn service_begins(&mut self) -> bool {
        self.unserved_since_ms.take().is_some()
    }

    /// Writes have not been served for so long.
    pub(super) fn unserved_for(&self, now_ms: u64, ms: u64) -> bool {
        self.unserved_since_ms.is_some_and(|since| now_ms >= since + ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_replaced_does_not_take_the_session_with_it() {
        let (old, new) = (ConnId::from_u64(1), ConnId::from_u64(2));
        let mut sessions = Sessions::default();
        sessions.bind(7, old);
        sessions.bind(7, new);
        sessions.unbind(7, old);
        assert_eq!(sessions.connection(7), Some(new));
        sessions.unbind(7, new);
        assert_eq!(sessions.connection(7), None);
    }

    #[test]
    fn ids_carry_the_server_and_the_time_and_pass_over_those_in_use() {
        let wall_ms = 1_700_000_000_000;
        let first = Sessions::default().new_id(5, wall_ms, |_| false);
        assert_eq!(first.cast_unsigned() >> 56, 5);
        let mut sessions = Sessions::default();
        assert_eq!(sessions.new_id(5, wall_ms, |id| id < first + 3), first + 3);
        assert_eq!(sessions.new_id(5, 0, |_| false), first + 4, "the clock is read once");
        let later = Sessions::default().new_id(5, wall_ms + 1, |_| false);
        assert!(later > first + 60_000, "a run that starts later begins far above");
    }

    #[test]
    fn the_time_without_service_runs_from_its_beginning() {
        let mut sessions = Sessions::default();
        assert!(!sessions.unserved_for(1000, 0) && !sessions.service_begins());
        sessions.service_ended(1000);
        sessions.service_ended(1090);
        assert!(!sessions.unserved_for(1099, 100) && sessions.unserved_for(1100, 100));
        assert!(sessions.service_begins() && !sessions.service_begins());
        assert!(!sessions.unserved_for(9000, 100));
    }
}
