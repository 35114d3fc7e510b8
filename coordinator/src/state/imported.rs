//! A state whose tree and sessions come from another server's files.

use std::collections::BTreeMap;

use super::quota::Quotas;
use super::{ClusterMetadata, PasswordRule, Scratch, Session, State};
use crate::tree::Tree;

/// No server has this id: whoever the session's client comes to serves it.
const NOBODY: u8 = 0;

impl State {
    /// Sessions with their timeouts keep the passwords that Apache ZooKeeper gave them.
    pub fn imported(
        tree: Tree,
        sessions: BTreeMap<i64, i32>,
        last_zxid: i64,
        last_time_ms: i64,
    ) -> Self {
        let password = PasswordRule::Zookeeper;
        let session = |timeout_ms| Session { timeout_ms, origin: NOBODY, password };
        let mut tree = tree;
        let quotas = Quotas::rebuild(&tree);
        quotas.recount_all(&mut tree);
        Self {
            terms: super::members::Terms::default(),
            quotas,
            tree,
            sessions: sessions
                .into_iter()
                .map(|(id, ms)| (id, session(ms)))
                .collect::<BTreeMap<_, _>>()
                .into(),
            cluster: ClusterMetadata::default(),
            last_zxid,
            last_time_ms,
            scratch: Scratch::default(),
            snapshot_head: None,
            digest: None,
        }
    }

    /// Limits that clients have set.
    pub fn quota_count(&self) -> usize {
        self.quotas.len()
    }
}
