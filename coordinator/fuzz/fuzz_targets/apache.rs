//! Files of Apache ZooKeeper's, as `coordinator import` reads them.
#![no_main]

use server as whole;

#[path = "../../tests/it/apache_bytes.rs"]
mod apache_bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apache_bytes::run(bytes));
