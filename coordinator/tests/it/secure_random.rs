//! The inputs of `secure_bytes` from fixed seeds: what the fuzzer does, bounded.

use std::fs;

use coordinator::random::Seeded;

use crate::secure_bytes::{KINDS, client_hello, run};
use crate::tls::stores;

/// Real inputs, each behind the byte that says what it is.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // Stores without a cipher: a password's rounds would be what is tested.
    for name in ["server-all.pem", "server-pkcs1.pem", "ca.pem"] {
        seeds.push([&[0], &fs::read(stores().join(name)).unwrap()[..]].concat());
    }
    let certificate =
        coordinator::tls::Store::read(&fs::read(stores().join("server.pem")).unwrap(), "");
    seeds.push([&[1], certificate.unwrap().trusted[0].as_ref()].concat());
    seeds.push([&[2], &client_hello()[..]].concat());
    seeds.push([&[3], &client_hello()[..]].concat());
    let challenge = coordinator::sasl::Challenge::new(&[7; 32]).token();
    let response =
        coordinator::sasl::Response::to(&challenge, "alice", "queen", "cnonce").unwrap().token();
    seeds.push([&[4], &challenge[..]].concat());
    seeds.push([&[4], &response[..]].concat());
    let jaas = b"Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
                 user_a=\"b\\n\\051\"; }; /* c */ Client { x.Y required username='a'; };";
    seeds.push([&[5], &jaas[..]].concat());
    seeds
}

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
