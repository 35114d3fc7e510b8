//! A hash table of slot numbers, keyed through the records the numbers stand for.
//!
//! It is sharded so that growing moves a small part at a time: nothing waits for the whole. Half
//! of each hash stands beside its number, so that growing reads no record: each would be a miss of
//! the processor's cache.

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

/// Not a power of two: at powers of ten the shards then stand well filled.
const SHARDS: u64 = 768;

#[derive(Debug)]
pub(crate) struct Index {
    shards: Vec<HashTable<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: u32,
}

/// Of this process: names that collide cannot be computed by others. No order of an index can be
/// seen, so nothing else depends on it.
static SEED: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or(0));

/// For tables that are asked and never walked.
pub(crate) fn seeded() -> FixedState {
    FixedState::with_seed(*SEED)
}

/// Hash of a name below a parent, or of anything alike.
pub(crate) fn hash_name(parent: u32, name: &[u8]) -> u32 {
    let mut hasher = seeded().build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    (hasher.finish() >> 32) as u32
}

pub(crate) fn hash_pair(one: u32, other: u32) -> u32 {
    let mut hasher = seeded().build_hasher();
    hasher.write_u64(u64::from(one) << 32 | u64::from(other));
    (hasher.finish() >> 32) as u32
}

impl Default for Index {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect() }
    }
}

impl Index {
    fn shard(hash: u32) -> usize {
        ((u64::from(hash) * SHARDS) >> 32) as usize
    }

    /// The tables use the lowest bits, which the shards leave alone, and the seven highest ones.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.shards[Self::shard(hash)]
            .find(Self::spread(hash), |entry| entry.hash == hash && is_it(entry.id));
        found.map(|entry| entry.id)
    }

    /// `id` must not be there yet.
    pub(crate) fn insert(&mut self, hash: u32, id: u32) {
        let shard = &mut self.shards[Self::shard(hash)];
        shard.insert_unique(Self::spread(hash), Entry { hash, id }, |entry| {
            Self::spread(entry.hash)
        });
    }

    /// Inserts all of `entries`, hashes and numbers, and empties it: shard after shard, because
    /// one shard fits the processor's cache and the whole index does not.
    pub(crate) fn insert_all(&mut self, entries: &mut Vec<(u32, u32)>) {
        let mut starts = vec![0; self.shards.len() + 1];
        for (hash, _) in &*entries {
            starts[Self::shard(*hash) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut grouped = vec![(0, 0); entries.len()];
        for entry in entries.drain(..) {
            let next: &mut usize = &mut starts[Self::shard(entry.0)];
            grouped[*next] = entry;
            *next += 1;
        }
        for (hash, id) in grouped {
            self.insert(hash, id);
        }
    }

    pub(crate) fn remove(&mut self, hash: u32, id: u32) {
        let shard = &mut self.shards[Self::shard(hash)];
        if let Ok(entry) = shard.find_entry(Self::spread(hash), |entry| entry.id == id) {
            entry.remove();
        }
    }

    /// Makes room for `count` numbers evenly spread, while the index is empty.
    pub(crate) fn reserve(&mut self, count: usize) {
        // Shards differ by a few standard deviations of a binomial distribution.
        let mean = count / SHARDS as usize;
        let room = mean + 3 * mean.isqrt();
        for shard in &mut self.shards {
            shard.reserve(room, |entry| Self::spread(entry.hash));
        }
    }
}
