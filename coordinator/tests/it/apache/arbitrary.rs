//! The inputs of `apache_bytes` from fixed seeds: what the fuzzer does, bounded.

use coordinator::random::Seeded;

use crate::apache_bytes;

#[test]
fn random_txns_and_random_bytes() {
    let mut random = Seeded::new(3);
    for _ in 0..1500 {
        apache_bytes::run(&apache_bytes::txns(&mut random));
        let length = random.below(200) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8 & 0x0f).collect();
        for (kind, head) in apache_bytes::HEADS {
            apache_bytes::run(&[&[kind], head, &bytes].concat());
            apache_bytes::run(&[&[kind], &bytes[..]].concat());
        }
    }
}
