//! Sessions that have ended and left ephemerals: whose go next, and who waits for that.

use std::collections::{BTreeMap, VecDeque};

use super::client::ConnId;
use super::outbox::Waiter;

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
    // ---- as leader ----

    /// Leadership begins, with what these sessions have left.
    pub(super) fn begin(&mut self, left: Vec<i64>) {
        self.left = left.into();
        self.proposed = None;
    }

    /// A session has ended, and has left ephemerals.
    pub(super) fn left_by(&mut self, session: i64) {
        self.left.push_back(session);
    }

    /// Whether the next part may be proposed.
    pub(super) fn is_due(&self) -> bool {
        !self.left.is_empty() && self.proposed.is_none()
    }

    /// The next part to propose, of the first session of which `part_of` finds any.
    pub(super) fn take_part(
        &mut self,
        part_of: impl Fn(i64) -> Option<Vec<u8>>,
    ) -> Option<(i64, Vec<u8>)> {
        while self.is_due() {
            let &session = self.left.front()?;
            if let Some(part) = part_of(session) {
                self.proposed = Some(part.clone());
                return Some((session, part));
            }
            self.left.pop_front();
        }
        None
    }

    /// A close with this body was applied, whatever came of it.
    pub(super) fn applied(&mut self, body: &[u8]) {
        self.proposed.take_if(|part| part == body);
    }

    // ---- who waits ----

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

    /// Those whose sessions are over.
    pub(super) fn take_finished(&mut self, is_over: impl Fn(i64) -> bool) -> Vec<(i64, Waiter)> {
        self.waiting.extract_if(.., |&session, _| is_over(session)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_at_a_time_and_the_next_when_that_one_is_applied() {
        let mut endings = Endings::default();
        endings.begin(vec![1, 2]);
        endings.left_by(3);
        let part = |body: &str| Some(body.as_bytes().to_vec());
        let first = endings.take_part(|session| if session == 1 { None } else { part("a") });
        assert_eq!(first, Some((2, b"a".to_vec())), "1 has nothing left");
        assert!(!endings.is_due() && endings.take_part(|_| part("b")).is_none());
        endings.applied(b"");
        endings.applied(b"b");
        assert!(!endings.is_due(), "a close of somebody else's");
        endings.applied(b"a");
        assert_eq!(endings.take_part(|_| part("b")), Some((2, b"b".to_vec())));
        endings.begin(vec![2]);
        assert!(endings.is_due(), "a new leadership proposes anew");
        assert_eq!(endings.take_part(|_| None), None);
        assert!(!endings.is_due());
    }

    #[test]
    fn whoever_closed_a_session_is_named_once_when_it_is_over() {
        let (conn, other) = (ConnId::from_u64(1), ConnId::from_u64(2));
        let waiter = Waiter { conn, since_ms: 5 };
        let mut endings = Endings::default();
        endings.wait(7, waiter);
        assert!(endings.waits(7) && endings.closes(7, conn) && !endings.closes(7, other));
        assert_eq!(endings.take_finished(|_| false), []);
        assert_eq!(endings.take_finished(|session| session == 7), [(7, waiter)]);
        assert!(!endings.waits(7) && endings.take_finished(|_| true).is_empty());
    }
}
