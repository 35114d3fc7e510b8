//! Files of Apache ZooKeeper's, as `coordinator import` reads them.
#![no_main]

use server as whole;
use server::random::Seeded;

#[path = "../../tests/it/apache_bytes.rs"]
mod apache_bytes;
#[path = "../corpus.rs"]
mod corpus;

fn seeds() -> Vec<Vec<u8>> {
    let mut random = Seeded::new(1);
    let heads = apache_bytes::HEADS.iter().map(|(kind, head)| [&[*kind], *head].concat());
    heads.chain((0..200).map(|_| apache_bytes::txns(&mut random))).collect()
}

libfuzzer_sys::fuzz_target!(
    init: corpus::begin("apache", seeds()),
    |bytes: &[u8]| apache_bytes::run(bytes)
);
