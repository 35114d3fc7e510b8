//! Arbitrary and mutated bytes never panic, and what decodes survives a round trip.

use coordinator::random::Seeded;

use crate::{vectors, wire_properties};

/// The same bytes in every run.
struct Random(Seeded);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A small change of the kind that finds bugs: lengths at their limits, cuts, splices.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const LENGTHS: [i32; 8] = [-2, -1, 0, 1, 0x7fff_ffff, i32::MIN, 0xff, 0x0010_0000];
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if bytes.len() >= 4 => {
                    let at = self.below(bytes.len() - 3);
                    let length = LENGTHS[self.below(LENGTHS.len())];
                    bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.next() as u8),
                _ => {
                    let tail = bytes[at..].to_vec();
                    bytes.extend_from_slice(&tail);
                }
            }
        }
    }
}

/// Both directions: bytes of one are malformed ones of the other.
fn check(bytes: &[u8]) {
    wire_properties::requests(bytes);
    wire_properties::replies(bytes);
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(Seeded::new(1));
    for _ in 0..20_000 {
        let length = random.below(96);
        // Small numbers make plausible lengths; plain noise almost never gets past the first one.
        let bytes: Vec<u8> = (0..length)
            .map(|_| if random.below(4) == 0 { random.next() as u8 } else { random.below(3) as u8 })
            .collect();
        check(&bytes);
    }
}

#[test]
fn mutated_vectors() {
    let files = ["handshake.txt", "requests.txt", "replies.txt", "malformed.txt", "frames.txt"];
    let seeds: Vec<Vec<u8>> =
        files.iter().flat_map(|file| vectors::read(file)).map(|vector| vector.bytes).collect();
    let mut random = Random(Seeded::new(2));
    for seed in &seeds {
        check(seed);
        for _ in 0..300 {
            let mut bytes = seed.clone();
            random.mutate(&mut bytes);
            check(&bytes);
        }
    }
}
