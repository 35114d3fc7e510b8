//! A state that another ensemble begins with: what a backup or a survivor gives to its successor.

use super::{ClusterMetadata, Effects, Identity, Session, Stamp, State, Txn};
use crate::wire::opcode::OpCode;

impl State {
    /// All sessions end, as if they had expired one after the other, and their ephemerals go.
    /// Their zxids are the first ones of `epoch`. Returns how many sessions and znodes went.
    pub fn end_sessions(&mut self, epoch: u64) -> (usize, usize) {
        self.end_sessions_where(epoch, |_| true)
    }

    /// The same, of those that `ends` says.
    pub fn end_sessions_where(
        &mut self,
        epoch: u64,
        ends: impl Fn(&Session) -> bool,
    ) -> (usize, usize) {
        let znodes = self.node_count();
        let ending = self.sessions.iter().filter(|(_, session)| ends(session));
        let sessions: Vec<i64> = ending.map(|(id, _)| id).collect();
        let mut effects = Effects::new(false);
        for &session in &sessions {
            effects.clear();
            let identity = Identity::from_bytes(&[]);
            let txn = Txn { session, identity, op: OpCode::CloseSession, body: &[] };
            let zxid = self.last_zxid.max((epoch as i64) << 32) + 1;
            self.apply(Stamp { zxid, time_ms: 0 }, 0, &txn, &mut effects, None);
            while let Some(body) = self.part_of_end(session) {
                effects.clear();
                let txn = Txn { body: &body, ..txn };
                let stamp = Stamp { zxid: self.last_zxid + 1, time_ms: 0 };
                self.apply(stamp, 0, &txn, &mut effects, None);
            }
        }
        (sessions.len(), znodes - self.node_count())
    }

    /// The same, as if this had been the last zxid.
    #[must_use]
    pub fn after(mut self, zxid: i64) -> Self {
        self.last_zxid = self.last_zxid.max(zxid);
        self
    }

    /// Belongs to another ensemble from now on, whose zxids lie in `epoch` and above.
    pub fn refound(&mut self, epoch: u64, cluster: ClusterMetadata) {
        self.last_zxid = self.last_zxid.max((epoch as i64) << 32);
        self.cluster = cluster;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::create_mode;

    fn create(state: &mut State, session: i64, zxid: i64, path: &str, mode: i32) {
        let mut body = Vec::new();
        body.extend_from_slice(&(path.len() as i32).to_be_bytes());
        body.extend_from_slice(path.as_bytes());
        body.extend_from_slice(&0i32.to_be_bytes());
        body.extend_from_slice(&1i32.to_be_bytes());
        body.extend_from_slice(&31i32.to_be_bytes());
        for part in ["world", "anyone"] {
            body.extend_from_slice(&(part.len() as i32).to_be_bytes());
            body.extend_from_slice(part.as_bytes());
        }
        body.extend_from_slice(&mode.to_be_bytes());
        let identity = Identity::from_bytes(&[]);
        let txn = Txn { session, identity, op: OpCode::Create, body: &body };
        let stamp = Stamp { zxid, time_ms: 5 };
        let code = state.apply(stamp, 1, &txn, &mut Effects::new(false), None);
        assert_eq!(code, crate::wire::code::Code::Ok, "{path}");
    }

    #[test]
    fn sessions_and_their_ephemerals_go_and_zxids_never_go_back() {
        let mut state = State::new();
        for session in [7, 9] {
            let body = 4000i32.to_be_bytes();
            let identity = Identity::from_bytes(&[]);
            let txn = Txn { session, identity, op: OpCode::CreateSession, body: &body };
            let stamp = Stamp { zxid: 1 << 32 | session, time_ms: 5 };
            state.apply(stamp, 1, &txn, &mut Effects::new(false), None);
        }
        create(&mut state, 7, 0x1_0000_000a, "/kept", create_mode::PERSISTENT);
        let digest = state.content_digest();
        create(&mut state, 7, 0x1_0000_000b, "/kept/e", create_mode::EPHEMERAL);
        create(&mut state, 9, 0x1_0000_000c, "/f", create_mode::EPHEMERAL);
        assert_eq!(state.content_digest(), digest, "ephemerals are no content");

        assert_eq!(state.end_sessions(4096), (2, 2));
        assert_eq!(state.content_digest(), digest);
        assert_eq!(state.last_zxid(), 4096 << 32 | 2);
        assert_eq!(state.session_count(), 0);
        state.refound(4096, ClusterMetadata::default());
        assert_eq!(state.last_zxid(), 4096 << 32 | 2, "the sessions' ends stay the last");
        state.refound(8192, ClusterMetadata::default());
        assert_eq!(state.last_zxid(), 8192 << 32);

        create(&mut state, 0, 8193 << 32 | 1, "/more", create_mode::PERSISTENT);
        assert_ne!(state.content_digest(), digest);
    }
}
