//! Whole connections of clients to one server or three.
#![no_main]

/// The whole library, under the name that the shared script knows: `coordinator` is the wire here.
use server as whole;

#[path = "../../tests/it/connection_script.rs"]
mod connection_script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| connection_script::run(bytes));
