//! The replicated state machine: the same operations in the same order give the same state.
//!
//! [`State::apply`] is deterministic and total: time and zxid come with the operation, every
//! input has an answer, and no order of a hash table can be seen. [`State::read`] answers from
//! the tree into the caller's buffer. Neither blocks, allocates more than it keeps, or knows
//! about connections; who watches what is [`watch`], which is not replicated.

pub mod admission;
pub mod cluster;
mod digest;
pub mod effects;
pub mod identity;
mod imported;
pub mod members;
mod op;
mod permission;
mod principal;
mod quota;
mod read;
mod refound;
mod session;
mod session_table;
mod snapshot_codec;
pub mod txn;
pub mod watch;

pub use cluster::ClusterMetadata;
pub use effects::{Effects, EventKind, Readers};
pub use identity::{Identity, IdentityBuf};
pub use op::reap::ReapCursor;
pub use permission::may_hear;
pub use quota::{Exceeded, QuotaUsage};
pub use read::{ReadResult, WatchRequest};
pub use session::Session;
pub use snapshot_codec::{Restore, SnapshotHead};
pub use txn::{Corrupt, Stamp, Txn};
pub use watch::{WatchKind, Watches};

pub use crate::session_password::PasswordRule;

use crate::tree::node::Kind;
use crate::tree::{NewNode, Tree, acl};
use crate::wire::acl::{Acl, perms, put_acls};
use digest::DigestInMaking;
use members::Terms;
use quota::Quotas;
use session_table::SessionTable;
use std::collections::BTreeMap;

/// Everything that all servers have in common.
#[derive(Debug)]
pub struct State {
    tree: Tree,
    sessions: SessionTable,
    cluster: ClusterMetadata,
    last_zxid: i64,
    last_time_ms: i64,
    quotas: Quotas,
    /// What the leader of the entry at hand says about changes of members.
    terms: Terms,
    scratch: Scratch,
    /// The beginning of a snapshot that has not come out.
    snapshot_head: Option<Vec<u8>>,
    digest: Option<DigestInMaking>,
}

/// Buffers that operations use and leave; no state.
#[derive(Debug, Default)]
struct Scratch {
    path: String,
    acl: Vec<u8>,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The tree every ensemble starts with, `DataTree`'s constructor.
    pub fn new() -> Self {
        let mut tree = Tree::default();
        let mut read_only = Vec::new();
        put_acls(&mut read_only, [Acl { perms: perms::READ, ..Acl::OPEN }].into_iter());
        let read_only = tree.acls.intern(&read_only);
        let mut node = NewNode {
            parent: crate::tree::node::ROOT,
            name: "zookeeper",
            data: Some(&[]),
            acl: acl::OPEN,
            kind: Kind::Persistent,
            zxid: 0,
            time_ms: 0,
        };
        // The constructor counts no creations: `stat /` of a new server shows cversion −1.
        node.parent = tree.insert(&node);
        tree.insert(&NewNode { name: "quota", ..node });
        let config = tree.insert(&NewNode { name: "config", acl: read_only, ..node });
        tree.set_versions(config, 0, -1);
        for id in [crate::tree::node::ROOT, node.parent] {
            tree.set_cversion(id, 0);
        }
        Self {
            tree,
            sessions: SessionTable::default(),
            cluster: ClusterMetadata::default(),
            last_zxid: 0,
            last_time_ms: 0,
            quotas: Quotas::default(),
            terms: Terms::default(),
            scratch: Scratch::default(),
            snapshot_head: None,
            digest: None,
        }
    }

    /// Of the last operation applied, failed ones included.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// The latest time that any operation was stamped with: whoever leads next stamps no earlier.
    pub fn last_time_ms(&self) -> i64 {
        self.last_time_ms
    }

    pub fn cluster(&self) -> &ClusterMetadata {
        &self.cluster
    }

    pub fn cluster_mut(&mut self) -> &mut ClusterMetadata {
        &mut self.cluster
    }

    /// As ZooKeeper counts: the root twice, once as "" and once as "/".
    pub fn node_count(&self) -> usize {
        self.tree.len() + 1
    }

    pub fn ephemerals_count(&self) -> usize {
        self.tree.ephemerals()
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        self.tree.bytes()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether a session owns ephemerals, also one that has ended.
    pub fn has_ephemerals(&self, session: i64) -> bool {
        self.tree.ephemerals_of(session).next().is_some()
    }

    /// Paths of a session's ephemerals, sorted.
    pub fn ephemerals_of(&self, session: i64) -> Vec<String> {
        let mut paths: Vec<String> =
            self.tree.ephemerals_of(session).map(|id| self.tree.path(id)).collect();
        paths.sort_unstable();
        paths
    }

    /// Whether what is applied from now on must keep to hard quotas: the leader that made an entry
    /// decides, not the configuration of the server that applies it.
    pub fn enforce_quotas(&mut self, enforced: bool) {
        self.quotas.enforced = enforced;
    }

    /// On which terms the leader of an entry takes changes of members.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// A limit that was gone over since this was last asked.
    pub fn take_exceeded(&mut self) -> Option<Exceeded> {
        self.quotas.exceeded.take()
    }

    /// Limits and use of quotas, by the first name of their paths.
    pub fn quota_usage(&self) -> BTreeMap<String, QuotaUsage> {
        quota::usage(&self.tree)
    }

    /// The tree, for watches to catch up with and for tests.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}
