//! What goes over a connection between members once they know each other: records that cannot be
//! read, forged, changed, repeated, reordered or cut without notice.
//!
//! A record is `length u32` (little-endian), so many bytes, and a tag over its number on this
//! connection, its length and the bytes. A record holds any part of the stream of messages; an empty
//! one says nothing. How it is protected both ends know from the handshake: with a secret by
//! AES-256-GCM under a key of this connection and direction, where both processors have what that
//! takes, else by 16 bytes of an HMAC-SHA256, whose bytes can be read; without a secret by a CRC-32,
//! which finds what the network or memory has damaged. Records are sealed and opened where they
//! stand (`docs/decisions/0023`).

use std::io::IoSlice;

use graviola::aead::AesGcm;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Largest record: what a receiver keeps before it can check it.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
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

/// How the records of one direction are protected, and by which key.
pub(super) enum Protection {
    /// For a processor that [`crate::tls::missing_features`] finds nothing missing in.
    AesGcm([u8; 32]),
    Hmac([u8; 32]),
    Crc,
}

enum Tags {
    Gcm(Box<AesGcm>),
    Mac(Box<Hmac<Sha256>>),
    Crc,
}

/// The tags of one direction, in order.
struct Counter {
    tags: Tags,
    number: u64,
}

impl Counter {
    fn new(protection: &Protection) -> Self {
        let tags = match protection {
            Protection::AesGcm(key) => Tags::Gcm(Box::new(AesGcm::new(key))),
            Protection::Hmac(key) => {
                Tags::Mac(Box::new(Hmac::new_from_slice(key).expect("any length is a key")))
            }
            Protection::Crc => Tags::Crc,
        };
        Counter { tags, number: 0 }
    }

    fn tag_bytes(&self) -> usize {
        match self.tags {
            Tags::Gcm(_) | Tags::Mac(_) => TAG_BYTES,
            Tags::Crc => CRC_BYTES,
        }
    }

    /// Number and length of the next record. No key meets a number twice: a connection would have to
    /// carry 2⁶⁴ records.
    fn next(&mut self, payload: &[u8]) -> ([u8; 12], [u8; LENGTH_BYTES]) {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.number.to_le_bytes());
        self.number += 1;
        (nonce, (payload.len() as u32).to_le_bytes())
    }

    /// Protects the next record; what is behind [`Counter::tag_bytes`] of the tag has no meaning.
    fn seal(&mut self, payload: &mut [u8]) -> [u8; TAG_BYTES] {
        let (number, length) = self.next(payload);
        let mut tag = [0; TAG_BYTES];
        match &self.tags {
            Tags::Gcm(key) => key.encrypt(&number, &length, payload, &mut tag),
            Tags::Mac(keyed) => tag = mac(keyed, number, length, payload),
            Tags::Crc => tag[..CRC_BYTES].copy_from_slice(&crc(number, length, payload)),
        }
        tag
    }

    /// Whether this is the next record; then its bytes are what was sent.
    fn open(&mut self, payload: &mut [u8], shown: &[u8]) -> Result<(), BadRecord> {
        let (number, length) = self.next(payload);
        match &self.tags {
            Tags::Gcm(key) => key.decrypt(&number, &length, payload, shown).map_err(|_| BadRecord),
            Tags::Mac(keyed) => {
                let tag = mac(keyed, number, length, payload);
                // Compared in constant time.
                let differ = tag.iter().zip(shown).fold(0, |acc, (a, b)| acc | (a ^ b));
                if differ == 0 { Ok(()) } else { Err(BadRecord) }
            }
            Tags::Crc if crc(number, length, payload) == shown => Ok(()),
            Tags::Crc => Err(BadRecord),
        }
    }
}

/// A number as HMAC and CRC take it, which releases without AES-GCM make alike: without the zeroes
/// that make a nonce of it.
fn in_tags(number: &[u8; 12]) -> &[u8] {
    &number[..8]
}

fn mac(
    keyed: &Hmac<Sha256>,
    number: [u8; 12],
    length: [u8; LENGTH_BYTES],
    payload: &[u8],
) -> [u8; TAG_BYTES] {
    let mut mac = keyed.clone();
    mac.update(in_tags(&number));
    mac.update(&length);
    mac.update(payload);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG_BYTES]);
    tag
}

fn crc(number: [u8; 12], length: [u8; LENGTH_BYTES], payload: &[u8]) -> [u8; CRC_BYTES] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(in_tags(&number));
    crc.update(&length);
    crc.update(payload);
    crc.finalize().to_le_bytes()
}

/// Protects records.
pub(super) struct Sealer(Counter);

/// A sealed record on its way: its bytes stay where they are until all of it is sent.
pub(super) struct Sealed {
    length: [u8; LENGTH_BYTES],
    tag: [u8; TAG_BYTES],
    tag_bytes: usize,
    payload_bytes: usize,
    sent: usize,
}

impl Sealer {
    pub(super) fn new(protection: &Protection) -> Self {
        Sealer(Counter::new(protection))
    }

    /// Whether nobody on the way can read what is sealed.
    pub(super) fn encrypts(&self) -> bool {
        matches!(self.0.tags, Tags::Gcm(_))
    }

    /// Whether nobody on the way can forge what is sealed.
    pub(super) fn authenticates(&self) -> bool {
        !matches!(self.0.tags, Tags::Crc)
    }

    /// Makes a record of the bytes, in place; they are at most [`RECORD_BYTES_MAX`].
    pub(super) fn seal(&mut self, payload: &mut [u8]) -> Sealed {
        assert!(payload.len() <= RECORD_BYTES_MAX, "the caller cuts longer ones");
        Sealed {
            length: (payload.len() as u32).to_le_bytes(),
            tag: self.0.seal(payload),
            tag_bytes: self.0.tag_bytes(),
            payload_bytes: payload.len(),
            sent: 0,
        }
    }
}

impl Sealed {
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == LENGTH_BYTES + self.payload_bytes + self.tag_bytes
    }

    pub(super) fn was_sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// What is still to be sent of a record whose bytes stand at the front of `payload`.
    pub(super) fn rest<'a>(&'a self, payload: &'a [u8]) -> [IoSlice<'a>; 3] {
        let mut skip = self.sent;
        [&self.length[..], &payload[..self.payload_bytes], &self.tag[..self.tag_bytes]].map(
            |part| {
                let skipped = skip.min(part.len());
                skip -= skipped;
                IoSlice::new(&part[skipped..])
            },
        )
    }
}

/// Checks records and gives back what they hold.
pub(super) struct Opener(Counter);

impl Opener {
    pub(super) fn new(protection: &Protection) -> Self {
        Opener(Counter::new(protection))
    }

    /// Opens the record at the front of `input`, in place: what it holds, and how many bytes it takes.
    /// `None` while it is not whole.
    pub(super) fn open<'a>(
        &mut self,
        input: &'a mut [u8],
    ) -> Result<Option<(&'a [u8], usize)>, BadRecord> {
        let Some((length, rest)) = input.split_first_chunk_mut::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > RECORD_BYTES_MAX {
            return Err(BadRecord);
        }
        let tag_bytes = self.0.tag_bytes();
        let Some((payload, rest)) = rest.split_at_mut_checked(length) else { return Ok(None) };
        let Some(shown) = rest.get(..tag_bytes) else { return Ok(None) };
        self.0.open(payload, shown)?;
        Ok(Some((payload, LENGTH_BYTES + length + tag_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn protections() -> Vec<Protection> {
        let mut all = vec![Protection::Crc, Protection::Hmac(KEY)];
        if crate::tls::missing_features().is_empty() {
            all.push(Protection::AesGcm(KEY));
        }
        all
    }

    fn seal(sealer: &mut Sealer, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        let mut record = sealer.seal(&mut payload);
        let mut out = Vec::new();
        // As a socket takes it that takes three bytes at a time.
        while !record.is_sent() {
            let some: Vec<u8> =
                record.rest(&payload).iter().flat_map(|part| part.to_vec()).take(3).collect();
            record.was_sent(some.len());
            out.extend(some);
        }
        out
    }

    #[test]
    fn what_members_without_aes_gcm_send_is_what_it_was_before_there_was_any() {
        let tagged = |number: u64, payload: &[u8]| {
            let length = payload.len() as u32;
            [&number.to_le_bytes()[..], &length.to_le_bytes(), payload].concat()
        };
        let (mut plain, mut keyed) =
            (Sealer::new(&Protection::Crc), Sealer::new(&Protection::Hmac(KEY)));
        for (number, payload) in [(0, &b"one"[..]), (1, b""), (2, b"three")] {
            let bytes = tagged(number, payload);
            let sent = seal(&mut plain, payload);
            assert_eq!(sent[sent.len() - 4..], crc32fast::hash(&bytes).to_le_bytes());
            let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
            mac.update(&bytes);
            let sent = seal(&mut keyed, payload);
            assert_eq!(sent[sent.len() - 16..], mac.finalize().into_bytes()[..16]);
        }
    }

    fn records(protection: &Protection) -> [Vec<u8>; 3] {
        let mut sealer = Sealer::new(protection);
        [&b"one"[..], b"", b"three"].map(|payload| seal(&mut sealer, payload))
    }

    fn take(opener: &mut Opener, input: &[u8], out: &mut Vec<u8>) -> Result<usize, BadRecord> {
        let mut input = input.to_vec();
        let mut taken = 0;
        while let Some((payload, bytes)) = opener.open(&mut input[taken..])? {
            out.extend_from_slice(payload);
            taken += bytes;
        }
        Ok(taken)
    }

    fn open(protection: &Protection, input: &[u8]) -> Result<(usize, Vec<u8>), BadRecord> {
        let mut out = Vec::new();
        let taken = take(&mut Opener::new(protection), input, &mut out)?;
        Ok((taken, out))
    }

    #[test]
    fn what_was_sealed_comes_out_in_whatever_pieces_it_arrives() {
        for protection in &protections() {
            let all = records(protection).concat();
            for cut in 0..=all.len() {
                let mut opener = Opener::new(protection);
                let mut out = Vec::new();
                let taken = take(&mut opener, &all[..cut], &mut out).unwrap();
                assert!(taken <= cut);
                let rest = take(&mut opener, &all[taken..], &mut out).unwrap();
                assert_eq!((taken + rest, &out[..]), (all.len(), &b"onethree"[..]));
            }
        }
    }

    #[test]
    fn nothing_is_changed_repeated_reordered_or_left_out() {
        for protection in &protections() {
            let [one, two, three] = records(protection);
            assert!(open(protection, &[&one[..], &one].concat()).is_err(), "repeated");
            assert!(open(protection, &[&two[..], &one].concat()).is_err(), "reordered");
            assert!(open(protection, &[&one[..], &three].concat()).is_err(), "left out");
            for at in 4..one.len() {
                let mut changed = one.clone();
                changed[at] ^= 1;
                assert!(open(protection, &changed).is_err(), "byte {at} changed");
            }
            // A length that is too long waits for more, and a wrong one is found then.
            let mut longer = one.clone();
            longer[0] += 1;
            assert!(open(protection, &[&longer[..], &two, &three].concat()).is_err());
            assert!(open(protection, &[255; 8]).is_err(), "longer than any record");
        }
    }

    #[test]
    fn another_key_or_protection_opens_nothing() {
        let one = |protection| records(&protection)[0].clone();
        assert!(open(&Protection::Hmac([8; 32]), &one(Protection::Hmac(KEY))).is_err());
        assert!(open(&Protection::Hmac(KEY), &records(&Protection::Crc).concat()).is_err());
        if crate::tls::missing_features().is_empty() {
            let sealed = one(Protection::AesGcm(KEY));
            assert!(open(&Protection::AesGcm([8; 32]), &sealed).is_err());
            assert!(open(&Protection::Hmac(KEY), &sealed).is_err());
            assert!(!sealed.windows(3).any(|some| some == b"one"), "it cannot be read");
        }
    }
}
