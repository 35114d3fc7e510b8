//! Stores, certificates, records of TLS, logins of SASL.
#![no_main]

use server as whole;

#[path = "../corpus.rs"]
mod corpus;
#[path = "../../tests/it/secure_bytes.rs"]
mod secure_bytes;

libfuzzer_sys::fuzz_target!(
    init: corpus::begin("secure", secure_bytes::seeds()),
    |bytes: &[u8]| secure_bytes::run(bytes)
);
