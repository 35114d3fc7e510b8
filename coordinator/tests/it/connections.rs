//! The scripts of `connection_script` from fixed seeds: what the fuzzer does, bounded.

use crate::{connection_script, vectors};

/// `SplitMix64`: the same scripts in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The script: one server or three, a connection, its bytes.
fn sending(servers: u8, handshake: bool, bytes: &[u8]) -> Vec<u8> {
    const OPEN: u8 = 2;
    const RAW: u8 = 2;
    const HANDSHAKE: u8 = 6;
    let mut script = vec![servers, OPEN];
    if handshake {
        script.push(HANDSHAKE);
    }
    for part in bytes.chunks(255) {
        script.extend_from_slice(&[RAW, part.len() as u8]);
        script.extend_from_slice(part);
    }
    script
}

#[test]
fn protocol_vectors_as_connections() {
    for file in ["handshake.txt", "requests.txt", "malformed.txt", "frames.txt"] {
        for vector in vectors::read(file) {
            connection_script::run(&sending(0, false, &vector.bytes));
            connection_script::run(&sending(0, true, &vector.bytes));
            let framed = [&(vector.bytes.len() as i32).to_be_bytes()[..], &vector.bytes].concat();
            connection_script::run(&sending(0, true, &framed));
        }
    }
}

#[test]
fn arbitrary_scripts() {
    let mut random = Random(7);
    for number in 0..600 {
        let length = 20 + random.next() as usize % 400;
        let mut script: Vec<u8> = (0..length)
            .map(|_| {
                let byte = random.next() as u8;
                // Small numbers make lengths that fit, and bodies that are almost right.
                if random.next().is_multiple_of(3) { byte } else { byte & 0x1f }
            })
            .collect();
        // Three servers cost more, and differ only in how writes go.
        script[0] = u8::from(number % 6 == 0);
        connection_script::run(&script);
    }
}
