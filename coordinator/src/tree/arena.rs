//! Records of one size by slot number, in chunks that never move.
//!
//! Growing takes one chunk more and copies nothing. Freed slots are handed out again, the last
//! freed first: undoing a run of allocations and frees in reverse gives every slot back as it was.

/// Records in a chunk: 192 KiB of nodes, touched as they are used.
const CHUNK_SHIFT: u32 = 12;
const CHUNK_LEN: usize = 1 << CHUNK_SHIFT;

#[derive(Debug)]
pub struct Arena<T> {
    chunks: Vec<Vec<T>>,
    /// Slots ever handed out; all below exist, in use or free.
    used: u32,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), used: 0, free: Vec::new() }
    }
}

impl<T: Clone> Arena<T> {
    pub fn insert(&mut self, record: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self[slot] = record;
            return slot;
        }
        self.push(record)
    }

    fn push(&mut self, record: T) -> u32 {
        let slot = self.used;
        if (slot >> CHUNK_SHIFT) as usize == self.chunks.len() {
            self.chunks.push(Vec::with_capacity(CHUNK_LEN));
        }
        self.chunks[(slot >> CHUNK_SHIFT) as usize].push(record);
        self.used += 1;
        slot
    }

    /// The record stays as it is until the slot is handed out again.
    pub fn remove(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Slots ever handed out.
    pub fn used(&self) -> u32 {
        self.used
    }

    pub fn get(&self, slot: u32) -> Option<&T> {
        self.chunks.get((slot >> CHUNK_SHIFT) as usize)?.get(slot as usize & (CHUNK_LEN - 1))
    }

    /// Makes `slot` exist, with `filler` in it and in every new slot below.
    pub fn extend_to(&mut self, slot: u32, filler: &T) {
        while self.used <= slot {
            self.push(filler.clone());
        }
    }

    /// Declares what is free, after slots were filled by number.
    pub fn set_free(&mut self, free: Vec<u32>) {
        self.free = free;
    }
}

impl<T> std::ops::Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        &self.chunks[(slot >> CHUNK_SHIFT) as usize][slot as usize & (CHUNK_LEN - 1)]
    }
}

impl<T> std::ops::IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        &mut self.chunks[(slot >> CHUNK_SHIFT) as usize][slot as usize & (CHUNK_LEN - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_freed_slot_is_the_next_one() {
        let mut arena = Arena::default();
        let slots: Vec<u32> = (0..5000).map(|n| arena.insert(n)).collect();
        assert_eq!((slots[4999], arena[4999], arena.used()), (4999, 4999, 5000));
        arena.remove(7);
        arena.remove(3);
        assert_eq!((arena.insert(-1), arena.insert(-2), arena.insert(-3)), (3, 7, 5000));
        arena.extend_to(6000, &-9);
        assert_eq!((arena[3], arena[6000], arena.used()), (-1, -9, 6001));
    }
}
