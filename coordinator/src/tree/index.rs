//! A hash table of slot numbers, keyed through the records the numbers stand for.
//!
//! It is sharded so that growing rehashes a small part at a time: nothing waits for the whole.

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Not a power of two: at powers of ten the shards then stand well filled.
const SHARDS: u64 = 768;

#[derive(Debug)]
pub(crate) struct Index {
    shards: Vec<HashTable<u32>>,
}

/// Hash of a name below a parent, or of anything alike. Fixed: nothing here depends on chance.
pub(crate) fn hash_name(parent: u32, name: &[u8]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}

pub(crate) fn hash_pair(one: u32, other: u32) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write_u64(u64::from(one) << 32 | u64::from(other));
    hasher.finish()
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }
}

impl Index {
    /// The tables use the lowest and the seven highest bits of a hash, the shard those between.
    fn shard(hash: u64) -> usize {
        ((u64::from((hash >> 25) as u32) * SHARDS) >> 32) as usize
    }

    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(&u32) -> bool) -> Option<u32> {
        self.shards[Self::shard(hash)].find(hash, is_it).copied()
    }

    /// `id` must not be there yet; `rehash` gives the hash of any number that is.
    pub(crate) fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(&u32) -> u64) {
        self.shards[Self::shard(hash)].insert_unique(hash, id, rehash);
    }

    pub(crate) fn remove(&mut self, hash: u64, id: u32) {
        if let Ok(entry) = self.shards[Self::shard(hash)].find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Makes room for `count` numbers evenly spread, while the index is empty.
    pub(crate) fn reserve(&mut self, count: usize) {
        // Shards differ by a few standard deviations of a binomial distribution.
        let mean = count / SHARDS as usize;
        let room = mean + 3 * mean.isqrt();
        for shard in &mut self.shards {
            shard.reserve(room, |_| 0);
        }
    }
}
