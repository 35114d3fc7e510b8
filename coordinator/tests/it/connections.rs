//! The scripts of `connection_script` from fixed seeds: what the fuzzer does, bounded.

use coordinator::random::Seeded;

use crate::{connection_script, vectors};

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
    // The same scripts in every run.
    let mut random = Seeded::new(7);
    for number in 0..600 {
        let length = 20 + random.next_u64() as usize % 400;
        let mut script: Vec<u8> = (0..length)
            .map(|_| {
                let byte = random.next_u64() as u8;
                // Small numbers make lengths that fit, and bodies that are almost right.
                if random.next_u64().is_multiple_of(3) { byte } else { byte & 0x1f }
            })
            .collect();
        // Three servers cost more, and differ only in how writes go.
        script[0] = u8::from(number % 6 == 0);
        connection_script::run(&script);
    }
}
