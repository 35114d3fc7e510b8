//! What goes over a connection between members once they know each other: records that cannot be
//! forged, changed, repeated, reordered or cut without notice.
//!
//! A record is `length u32` (little-endian), so many bytes, and a tag over its number on this
//! connection, its length and the bytes: 16 bytes of an HMAC-SHA256 under the connection's key, or
//! without a secret a CRC-32, which finds what the network or memory has damaged. A record holds
//! any part of the stream of messages; an empty one says nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Largest record: what a receiver keeps before it can check it.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;
const MAC_BYTES: usize = 16;
const CRC_BYTES: usize = 4;

/// A record that does not fit: damaged, or somebody meddles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadRecord;

impl std::fmt::Display for BadRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record is damaged, or not the next one of this connection")
    }
}

impl std::error::Error for BadRecord {}

enum Tags {
    Mac(Box<Hmac<Sha256>>),
    Crc,
}

/// The tags of one direction, in order.
struct Counter {
    tags: Tags,
    number: u64,
}

impl Counter {
    fn new(key: Option<[u8; 32]>) -> Self {
        let tags = key.map_or(Tags::Crc, |key| {
            Tags::Mac(Box::new(Hmac::new_from_slice(&key).expect("any length is a key")))
        });
        Counter { tags, number: 0 }
    }

    fn tag_bytes(&self) -> usize {
        match self.tags {
            Tags::Mac(_) => MAC_BYTES,
            Tags::Crc => CRC_BYTES,
        }
    }

    /// The tag of the next record; what is behind [`Counter::tag_bytes`] has no meaning.
    fn next(&mut self, payload: &[u8]) -> [u8; MAC_BYTES] {
        let number = self.number.to_le_bytes();
        let length = (payload.len() as u32).to_le_bytes();
        self.number += 1;
        let mut tag = [0; MAC_BYTES];
        match &self.tags {
            Tags::Mac(keyed) => {
                let mut mac = keyed.clone();
                mac.update(&number);
                mac.update(&length);
                mac.update(payload);
                tag.copy_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
            }
            Tags::Crc => {
                let mut crc = crc32fast::Hasher::new();
                crc.update(&number);
                crc.update(&length);
                crc.update(payload);
                tag[..CRC_BYTES].copy_from_slice(&crc.finalize().to_le_bytes());
            }
        }
        tag
    }
}

/// Writes records.
pub(super) struct Sealer(Counter);

impl Sealer {
    pub(super) fn new(key: Option<[u8; 32]>) -> Self {
        Sealer(Counter::new(key))
    }

    /// Appends one record; `payload` is at most [`RECORD_BYTES_MAX`] long.
    pub(super) fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        assert!(payload.len() <= RECORD_BYTES_MAX, "the caller cuts longer ones");
        out.reserve(LENGTH_BYTES + payload.len() + MAC_BYTES);
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(payload);
        let tag = self.0.next(payload);
        out.extend_from_slice(&tag[..self.0.tag_bytes()]);
    }
}

/// Reads and checks records.
pub(super) struct Opener(Counter);

impl Opener {
    pub(super) fn new(key: Option<[u8; 32]>) -> Self {
        Opener(Counter::new(key))
    }

    /// Appends what the whole records at the front of `input` hold; returns how many bytes they take.
    pub(super) fn open(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, BadRecord> {
        let mut taken = 0;
        while let Some((length, rest)) = input[taken..].split_first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length > RECORD_BYTES_MAX {
                return Err(BadRecord);
            }
            let tag_bytes = self.0.tag_bytes();
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            let Some(shown) = rest.get(..tag_bytes) else { break };
            let tag = self.0.next(payload);
            // Compared in constant time.
            let differ = tag.iter().zip(shown).fold(0, |acc, (a, b)| acc | (a ^ b));
            if differ != 0 {
                return Err(BadRecord);
            }
            out.extend_from_slice(payload);
            taken += LENGTH_BYTES + length + tag_bytes;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn records(key: Option<[u8; 32]>) -> Vec<Vec<u8>> {
        let mut sealer = Sealer::new(key);
        [&b"one"[..], b"", b"three"]
            .map(|payload| {
                let mut out = Vec::new();
                sealer.seal(payload, &mut out);
                out
            })
            .to_vec()
    }

    fn open(key: Option<[u8; 32]>, input: &[u8]) -> Result<(usize, Vec<u8>), BadRecord> {
        let mut out = Vec::new();
        let taken = Opener::new(key).open(input, &mut out)?;
        Ok((taken, out))
    }

    #[test]
    fn what_was_sealed_comes_out_in_whatever_pieces_it_arrives() {
        for key in [None, Some(KEY)] {
            let all = records(key).concat();
            for cut in 0..=all.len() {
                let mut opener = Opener::new(key);
                let mut out = Vec::new();
                let taken = opener.open(&all[..cut], &mut out).unwrap();
                assert!(taken <= cut);
                let rest = opener.open(&all[taken..], &mut out).unwrap();
                assert_eq!((taken + rest, &out[..]), (all.len(), &b"onethree"[..]));
            }
        }
    }

    #[test]
    fn nothing_is_changed_repeated_reordered_or_left_out() {
        for key in [None, Some(KEY)] {
            let [one, two, three] = records(key).try_into().unwrap();
            assert!(open(key, &[&one[..], &one].concat()).is_err(), "repeated");
            assert!(open(key, &[&two[..], &one].concat()).is_err(), "reordered");
            assert!(open(key, &[&one[..], &three].concat()).is_err(), "left out");
            for at in 4..one.len() {
                let mut changed = one.clone();
                changed[at] ^= 1;
                assert!(open(key, &changed).is_err(), "byte {at} changed");
            }
            // A length that is too long waits for more, and a wrong one is found then.
            let mut longer = one.clone();
            longer[0] += 1;
            assert!(open(key, &[&longer[..], &two, &three].concat()).is_err());
            assert!(open(key, &[255; 8]).is_err(), "longer than any record");
        }
        assert!(open(Some([8; 32]), &records(Some(KEY)).concat()).is_err(), "another key");
        assert!(open(Some(KEY), &records(None).concat()).is_err(), "no key");
    }
}
