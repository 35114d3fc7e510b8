//! The inputs of `secure_bytes` from fixed seeds: what the fuzzer does, bounded.

use coordinator::random::Seeded;

use crate::secure_bytes::{KINDS, run, seeds};

#[test]
fn arbitrary_and_mutated_bytes_let_nobody_in() {
    let mut random = Seeded::new(20);
    for seed in seeds() {
        run(&seed);
        for _ in 0..150 {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(3) {
                let at = 1 + random.below(bytes.len() as u64 - 1) as usize;
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4) as usize],
                    2 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, random.next_u64() as u8),
                }
                if bytes.len() < 2 {
                    break;
                }
            }
            run(&bytes);
        }
    }
    for kind in 0..KINDS {
        for length in 0..100 {
            let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
            run(&[&[kind], &bytes[..]].concat());
        }
    }
}
