//! Byte strings by handle, in size classes of our own: no allocator header, no realloc copies.
//!
//! The owner remembers the length, and the length gives the class, so a handle is 4 bytes and a
//! stored string costs its bytes rounded up by at most about 6 %. Freed slots are reused by their
//! class. Strings above [`SMALL_BYTES_MAX`] stand in an allocation of their own.

/// Longest string that lives in a size class.
const SMALL_BYTES_MAX: usize = 4096;
/// Bytes one chunk of a class aims at. Chunks are zeroed by the kernel and untouched until used.
const CHUNK_BYTES: usize = 256 * 1024;

/// Handle of the empty string, which takes no slot.
pub const EMPTY: u32 = u32::MAX;

/// A string in a slab; worth nothing without its length.
pub type Handle = u32;

#[derive(Debug)]
pub struct Slab {
    classes: Vec<Class>,
    large: Vec<Box<[u8]>>,
    large_free: Vec<u32>,
}

/// Slots of one size.
#[derive(Debug)]
struct Class {
    slot_bytes: usize,
    /// Slots in a chunk are a power of two, so that finding one is a shift and a mask.
    shift: u32,
    chunks: Vec<Box<[u8]>>,
    /// Slots ever handed out.
    used: u32,
    free: Vec<u32>,
}

impl Class {
    fn new(slot_bytes: usize) -> Self {
        let shift = (CHUNK_BYTES / slot_bytes).ilog2();
        Self { slot_bytes, shift, chunks: Vec::new(), used: 0, free: Vec::new() }
    }

    fn alloc(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.used;
        if (slot >> self.shift) as usize == self.chunks.len() {
            self.chunks.push(vec![0; self.slot_bytes << self.shift].into_boxed_slice());
        }
        self.used += 1;
        slot
    }

    fn at(&self, slot: u32) -> (usize, usize) {
        let inside = slot & ((1 << self.shift) - 1);
        ((slot >> self.shift) as usize, inside as usize * self.slot_bytes)
    }

    fn get(&self, slot: u32, len: usize) -> &[u8] {
        let (chunk, start) = self.at(slot);
        &self.chunks[chunk][start..start + len]
    }

    fn get_mut(&mut self, slot: u32, len: usize) -> &mut [u8] {
        let (chunk, start) = self.at(slot);
        &mut self.chunks[chunk][start..start + len]
    }
}

/// Class of a length from 1 to [`SMALL_BYTES_MAX`]: steps of 8 up to 256, then 16 to an octave.
fn class_of(len: usize) -> usize {
    if len <= 256 {
        return (len - 1) / 8;
    }
    // 257..=512 is octave 0 with steps of 16, 513..=1024 octave 1 with steps of 32, …
    let octave = (len - 1).ilog2() as usize - 8;
    let step = (len - 1 - (256 << octave)) >> (4 + octave);
    32 + octave * 16 + step
}

fn class_bytes(class: usize) -> usize {
    if class < 32 {
        return (class + 1) * 8;
    }
    let (octave, step) = ((class - 32) / 16, (class - 32) % 16);
    (256 << octave) + ((step + 1) << (4 + octave))
}

impl Default for Slab {
    fn default() -> Self {
        let classes = (0..=class_of(SMALL_BYTES_MAX)).map(|c| Class::new(class_bytes(c)));
        Self { classes: classes.collect(), large: Vec::new(), large_free: Vec::new() }
    }
}

impl Slab {
    /// Keeps `head` and `tail` as one string.
    pub fn store(&mut self, head: &[u8], tail: &[u8]) -> Handle {
        let len = head.len() + tail.len();
        if len == 0 {
            return EMPTY;
        }
        if len > SMALL_BYTES_MAX {
            return self.store_large(head, tail);
        }
        let class = &mut self.classes[class_of(len)];
        let slot = class.alloc();
        let bytes = class.get_mut(slot, len);
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..].copy_from_slice(tail);
        slot
    }

    fn store_large(&mut self, head: &[u8], tail: &[u8]) -> Handle {
        let mut bytes = Vec::with_capacity(head.len() + tail.len());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(tail);
        let bytes = bytes.into_boxed_slice();
        if let Some(slot) = self.large_free.pop() {
            self.large[slot as usize] = bytes;
            slot
        } else {
            self.large.push(bytes);
            (self.large.len() - 1) as u32
        }
    }

    /// The string behind `handle`, stored with length `len`.
    pub fn get(&self, handle: Handle, len: usize) -> &[u8] {
        if len == 0 {
            &[]
        } else if len > SMALL_BYTES_MAX {
            &self.large[handle as usize]
        } else {
            self.classes[class_of(len)].get(handle, len)
        }
    }

    pub fn free(&mut self, handle: Handle, len: usize) {
        if len > SMALL_BYTES_MAX {
            self.large[handle as usize] = Box::default();
            self.large_free.push(handle);
        } else if len > 0 {
            self.classes[class_of(len)].free.push(handle);
        }
    }

    /// Replaces what follows the first `head_len` bytes, in place where the class allows it.
    pub fn replace_tail(
        &mut self,
        handle: Handle,
        len: usize,
        head_len: usize,
        tail: &[u8],
    ) -> Handle {
        let len_new = head_len + tail.len();
        let small = 1..=SMALL_BYTES_MAX;
        if small.contains(&len) && small.contains(&len_new) && class_of(len) == class_of(len_new) {
            self.classes[class_of(len)].get_mut(handle, len_new)[head_len..].copy_from_slice(tail);
            return handle;
        }
        let head = self.get(handle, len)[..head_len].to_vec();
        self.free(handle, len);
        self.store(&head, tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_class_that_holds_it_and_wastes_little() {
        for len in 1..=SMALL_BYTES_MAX {
            let bytes = class_bytes(class_of(len));
            assert!(bytes >= len, "{len} in {bytes}");
            assert!(bytes - len < 8.max(len / 15), "{len} wastes {}", bytes - len);
        }
    }

    #[test]
    fn strings_keep_their_bytes_and_slots_are_reused() {
        let mut slab = Slab::default();
        let long = vec![7; 10_000];
        let a = slab.store(b"name", &[1; 100]);
        let b = slab.store(b"n", &long);
        assert_eq!(&slab.get(a, 104)[..5], b"name\x01");
        assert_eq!(slab.get(b, 10_001)[1..], long);
        slab.free(a, 104);
        assert_eq!(slab.store(&[2; 101], b""), a, "the freed slot of its class");
        let c = slab.replace_tail(b, 10_001, 1, b"short");
        assert_eq!(slab.get(c, 6), b"nshort");
        let d = slab.replace_tail(c, 6, 1, b"longer");
        assert_eq!((d, slab.get(d, 7)), (c, &b"nlonger"[..]), "same class, same slot");
        assert_eq!(slab.store(b"x", &long), b, "the freed large slot");
    }
}
