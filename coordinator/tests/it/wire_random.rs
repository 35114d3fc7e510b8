//! Arbitrary and mutated bytes never panic, and what decodes survives a round trip.

use coordinator::wire::frame::{self, Next};
use coordinator::wire::handshake::{ConnectRequest, ConnectResponse};
use coordinator::wire::jute::Reader;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{Reply, ReplyHeader, WatcherEvent};
use coordinator::wire::request::{Request, RequestHeader};

use crate::wire::seeds;

/// `SplitMix64`: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A small change of the kind that finds bugs: lengths at their limits, cuts, splices.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const LENGTHS: [i32; 8] = [-2, -1, 0, 1, 0x7fff_ffff, i32::MIN, 0xff, 0x0010_0000];
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if bytes.len() >= 4 => {
                    let at = self.below(bytes.len() - 3);
                    let length = LENGTHS[self.below(LENGTHS.len())];
                    bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.next() as u8),
                _ => {
                    let tail = bytes[at..].to_vec();
                    bytes.extend_from_slice(&tail);
                }
            }
        }
    }
}

fn operations() -> impl Iterator<Item = OpCode> {
    (-20..200).filter_map(OpCode::from_i32)
}

/// Everything that reads bytes of a peer, with the properties that must hold.
fn decode_all(bytes: &[u8]) {
    let _ = ConnectResponse::decode(bytes);
    let _ = RequestHeader::decode(&mut Reader::new(bytes));
    let _ = ReplyHeader::decode(&mut Reader::new(bytes));
    let _ = WatcherEvent::decode(&mut Reader::new(bytes));
    if let Ok(request) = ConnectRequest::decode(bytes) {
        let mut again = Vec::new();
        request.encode(&mut again);
        assert_eq!(ConnectRequest::decode(&again), Ok(request));
    }
    for first in [true, false] {
        match frame::next(bytes, first, 1000) {
            Next::Frame(payload) => assert!(payload.len() + 4 <= bytes.len()),
            Next::NeedMore(count) => assert!(count > 0),
            Next::BadLength(_) | Next::Word(_) => assert!(bytes.len() >= 4),
        }
    }
    for op in operations() {
        let _ = Reply::decode(op, &mut Reader::new(bytes));
        if let Ok(request) = Request::decode(op, bytes) {
            let mut again = Vec::new();
            request.encode(&mut again);
            assert_eq!(Request::decode(op, &again), Ok(request), "{op:?} of {bytes:02x?}");
            assert!(again.len() <= bytes.len() + 8, "{op:?} grew from {bytes:02x?}");
        }
    }
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let length = random.below(96);
        // Small numbers make plausible lengths; plain noise almost never gets past the first one.
        let bytes: Vec<u8> = (0..length)
            .map(|_| if random.below(4) == 0 { random.next() as u8 } else { random.below(3) as u8 })
            .collect();
        decode_all(&bytes);
    }
}

#[test]
fn mutated_vectors() {
    let files = ["handshake.txt", "requests.txt", "replies.txt", "malformed.txt", "frames.txt"];
    let seeds: Vec<Vec<u8>> =
        files.iter().flat_map(|file| seeds(file)).map(|(_, bytes)| bytes).collect();
    let mut random = Random(2);
    for seed in &seeds {
        decode_all(seed);
        for _ in 0..300 {
            let mut bytes = seed.clone();
            random.mutate(&mut bytes);
            decode_all(&bytes);
        }
    }
}
