//! Whatever a client may send: frames, handshakes, requests.
#![no_main]

#[path = "../../tests/it/wire_properties.rs"]
#[expect(dead_code, reason = "the other target uses the other half")]
mod wire_properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wire_properties::requests(bytes));
