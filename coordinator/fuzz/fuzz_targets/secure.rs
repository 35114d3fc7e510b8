//! Stores, certificates, records of TLS, logins of SASL.
#![no_main]

use server as whole;

#[path = "../../tests/it/secure_bytes.rs"]
#[expect(dead_code, reason = "the tests begin with a client's hello, the fuzzer with its corpus")]
mod secure_bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| secure_bytes::run(bytes));
