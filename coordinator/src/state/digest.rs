//! A hash of all that the state means, alike on every server and architecture.
//!
//! In one piece for tests and for people, and in steps beside writes for servers that compare theirs
//! (`node::compare`): both give the same number.

use super::{Session, State};
use crate::tree::digest::Mix;
use crate::tree::node::Kind;

/// A digest in the making: what is left are sessions and znodes.
#[derive(Debug)]
pub(super) struct DigestInMaking {
    head: Mix,
    sessions: u64,
}

fn of_session(id: i64, session: Session) -> u64 {
    let origin = u64::from(session.origin) | (session.password as u64) << 8;
    Mix(4).word(id as u64).word(session.timeout_ms as u64).word(origin).finish()
}

impl State {
    /// Over znodes, ACLs, sessions, cluster metadata and the last zxid.
    pub fn digest(&self) -> u64 {
        let sessions = self.sessions().map(|(id, session)| of_session(id, *session));
        let sessions = sessions.fold(0, u64::wrapping_add);
        self.digest_head().word(sessions).word(self.tree.digest()).finish()
    }

    fn digest_head(&self) -> Mix {
        let mut cluster = Vec::new();
        self.cluster.encode(&mut cluster);
        Mix(1).word(self.last_zxid as u64).bytes(&cluster)
    }

    /// Begins the digest of the state as it is now, whatever is applied until it is complete. One
    /// that is in the making is given up.
    pub fn digest_begin(&mut self) {
        self.digest = Some(DigestInMaking { head: self.digest_head(), sessions: 0 });
        self.sessions.digest_begin();
        self.tree.digest_begin();
    }

    pub fn digest_abort(&mut self) {
        self.digest = None;
        self.sessions.digest_abort();
        self.tree.digest_abort();
    }

    /// Goes on with it, after a look at up to so many sessions or znodes: the digest when it is
    /// complete.
    pub fn digest_step(&mut self, look_at: usize) -> Option<u64> {
        let making = self.digest.as_mut()?;
        let sessions = &mut making.sessions;
        let looked = self.sessions.digest_step(look_at, |id, session| {
            *sessions = sessions.wrapping_add(of_session(id, session));
        });
        if looked == look_at {
            return None;
        }
        let tree = self.tree.digest_step(look_at - looked)?;
        let DigestInMaking { head, sessions } = self.digest.take()?;
        Some(head.word(sessions).word(tree).finish())
    }

    /// Over what clients have stored for good: znodes that are not ephemeral, outside
    /// `/zookeeper/config`. The ends of sessions leave it as it is, so cversion and pzxid are out.
    pub fn content_digest(&self) -> u64 {
        let mut sum: u64 = 0;
        let config = self.tree.find("/zookeeper/config");
        self.tree.with_path_hashes(Mix(3), |id, path| {
            if Some(id) != config && !matches!(self.tree.kind(id), Kind::Ephemeral(_)) {
                sum = sum.wrapping_add(self.tree.content_hash(id, path).finish());
            }
        });
        sum
    }
}
