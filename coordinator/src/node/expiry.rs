//! The leader's clock of sessions: who has not been heard from for its whole timeout.
//!
//! Only the leader keeps it, only from its election on: a new leader gives every session its full
//! timeout again (`SessionTrackerImpl`; nobody may expire while nobody could be heard).

use std::collections::BTreeSet;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

#[derive(Debug, Clone, Copy)]
struct Tracked {
    timeout_ms: u64,
    heard_ms: u64,
    /// Where the session stands in `due`; may be earlier than its real deadline.
    checked_at: u64,
}

/// Deadlines of all sessions of the ensemble.
#[derive(Default)]
pub(super) struct Expiry {
    sessions: HashMap<i64, Tracked, FixedState>,
    /// (time, session), soonest first. A touch does not move a session here: it is looked at
    /// again when its time has come, so that a ping costs one look-up.
    due: BTreeSet<(u64, i64)>,
}

impl Expiry {
    /// Starts watching a session, or gives it another timeout.
    pub(super) fn track(&mut self, session: i64, timeout_ms: u64, now_ms: u64) {
        self.forget(session);
        let checked_at = now_ms + timeout_ms;
        self.sessions.insert(session, Tracked { timeout_ms, heard_ms: now_ms, checked_at });
        self.due.insert((checked_at, session));
    }

    /// A server has heard from the session.
    pub(super) fn touch(&mut self, session: i64, now_ms: u64) {
        if let Some(tracked) = self.sessions.get_mut(&session) {
            tracked.heard_ms = tracked.heard_ms.max(now_ms);
        }
    }

    pub(super) fn forget(&mut self, session: i64) {
        if let Some(tracked) = self.sessions.remove(&session) {
            self.due.remove(&(tracked.checked_at, session));
        }
    }

    /// When the session expires unless it is heard from.
    pub(super) fn deadline(&self, session: i64) -> Option<u64> {
        self.sessions.get(&session).map(|t| t.heard_ms + t.timeout_ms)
    }

    pub(super) fn knows(&self, session: i64) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
        self.due.clear();
    }

    /// Whether [`Expiry::take_expired`] has something to look at.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.due.first().is_some_and(|&(at, _)| at <= now_ms)
    }

    /// Sessions whose timeout has passed; each is named once and then no longer watched.
    pub(super) fn take_expired(&mut self, now_ms: u64) -> Vec<i64> {
        let mut expired = Vec::new();
        while let Some(&(at, session)) = self.due.first() {
            if at > now_ms {
                break;
            }
            self.due.pop_first();
            let tracked = self.sessions.get_mut(&session).expect("due sessions are tracked");
            let deadline = tracked.heard_ms + tracked.timeout_ms;
            if deadline > now_ms {
                tracked.checked_at = deadline;
                self.due.insert((deadline, session));
            } else {
                self.sessions.remove(&session);
                expired.push(session);
            }
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_for_the_whole_timeout_expires_and_a_touch_does_not_wait_in_line() {
        let mut expiry = Expiry::default();
        expiry.track(1, 100, 0);
        expiry.track(2, 100, 0);
        expiry.touch(1, 90);
        assert_eq!(expiry.take_expired(99), [0i64; 0]);
        assert_eq!(expiry.take_expired(100), [2]);
        assert_eq!(expiry.take_expired(189), [0i64; 0]);
        assert_eq!(expiry.take_expired(190), [1]);
        assert_eq!(expiry.take_expired(1000), [0i64; 0]);
    }
}
