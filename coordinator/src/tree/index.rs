//! Finds the child of a parent by name.
//!
//! A table of slot numbers only, keyed by parent and name through the nodes themselves. It is
//! sharded so that growing rehashes a small part at a time: no write waits for the whole index.

use super::node::NodeId;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Not a power of two: at powers of ten the shards then stand well filled.
const SHARDS: u64 = 768;

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<HashTable<NodeId>>,
    state: FixedState,
}

impl Default for Index {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, state: FixedState::default() }
    }
}

impl Index {
    pub(super) fn hash(&self, parent: NodeId, name: &[u8]) -> u64 {
        hash(&self.state, parent, name)
    }

    /// The tables use the lowest and the seven highest bits of a hash, the shard those between.
    fn shard(hash: u64) -> usize {
        ((u64::from((hash >> 25) as u32) * SHARDS) >> 32) as usize
    }

    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(&NodeId) -> bool) -> Option<NodeId> {
        self.shards[Self::shard(hash)].find(hash, is_it).copied()
    }

    /// `id` must not be there yet; `key` gives parent and name of any node that is.
    pub(super) fn insert<'n>(
        &mut self,
        hash_of_id: u64,
        id: NodeId,
        key: impl Fn(&NodeId) -> (NodeId, &'n [u8]),
    ) {
        let state = &self.state;
        let rehash = |id: &NodeId| {
            let (parent, name) = key(id);
            hash(state, parent, name)
        };
        self.shards[Self::shard(hash_of_id)].insert_unique(hash_of_id, id, rehash);
    }

    pub(super) fn remove(&mut self, hash: u64, id: NodeId) {
        if let Ok(entry) = self.shards[Self::shard(hash)].find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Makes room for `nodes` evenly spread, while the index is empty.
    pub(super) fn reserve(&mut self, nodes: usize) {
        // Shards differ by a few standard deviations of a binomial distribution.
        let mean = nodes / SHARDS as usize;
        let room = mean + 3 * mean.isqrt();
        for shard in &mut self.shards {
            shard.reserve(room, |_| 0);
        }
    }
}

fn hash(state: &FixedState, parent: NodeId, name: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}
