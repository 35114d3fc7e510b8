//! Mutual authentication of two members by the ensemble's secrets, before any message is decoded.
//!
//! The dialler sends a nonce and an HMAC of it, by which the acceptor finds which of its secrets the
//! other one uses. The acceptor answers with its own nonce and an HMAC of both. The dialler answers
//! with an HMAC of both nonces and its hello. The acceptor answers with its hello under a last HMAC,
//! or with the reason for a refusal. Each of the four frames is `length u32` (little-endian) and at
//! most [`FRAME_BYTES_MAX`] bytes. Each HMAC covers the direction, so that no answer can be
//! reflected. What follows goes in records under a key of this connection alone (`records`).
//!
//! A hello is a list of fields, `tag u8`, `length u32`, bytes: later releases add fields, and this one
//! passes over those it does not know.

use std::sync::OnceLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::records::{Opener, Protection, Sealer};
use crate::bytes::take;
use crate::node::PeerHello;

/// Largest frame of a handshake.
pub(super) const FRAME_BYTES_MAX: usize = 16 << 10;

/// The handshake's form. A later one may put more behind what stands in the first frame.
const MAGIC: &[u8; 8] = b"zkcoord2";
const NONCE_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

const FIELD_ID: u8 = 1;
const FIELD_CLUSTER: u8 = 2;
const FIELD_INCARNATION: u8 = 3;
const FIELD_BLANK: u8 = 4;
const FIELD_MEMBERS: u8 = 5;
const FIELD_KNOWN: u8 = 6;
/// The feature level, `u16`.
const FIELD_LEVEL: u8 = 7;
/// What the sender can do beyond its level, a bit each, `u64`.
const FIELD_FEATURES: u8 = 8;

/// Records can be sealed by AES-256-GCM.
const FEATURE_AES_GCM: u64 = 1;

/// What a member can do beyond its level, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Features(u64);

impl Features {
    /// Of this server, on this processor.
    pub(super) fn own() -> Self {
        static OWN: OnceLock<bool> = OnceLock::new();
        let aes_gcm = *OWN.get_or_init(|| crate::tls::missing_features().is_empty());
        Features(if aes_gcm { FEATURE_AES_GCM } else { 0 })
    }

    fn both(self, other: Features, feature: u64) -> bool {
        self.0 & other.0 & feature != 0
    }
}

pub(super) type Nonce = [u8; NONCE_BYTES];

/// A secret of the ensemble; empty where none is configured.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

/// The secrets of the ensemble: all are accepted. A member is dialled with the first one, and with the
/// next one where it does not know that. So two members link when they have one secret in common.
#[derive(Clone)]
pub(super) struct KeyRing(Vec<Key>);

/// The port of the handshake: each HMAC covers it, so that no answer is valid on the other port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Quorum,
    Snapshot,
}

/// Why a handshake failed; for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthError(pub String);

impl std::fmt::Display for AuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuthError {}

impl KeyRing {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut keys: Vec<Key> = secrets.map(|secret| Key(secret.to_vec())).collect();
        if keys.is_empty() {
            keys.push(Key(Vec::new()));
        }
        KeyRing(keys)
    }

    /// The one to dial with after so many that the other member did not know.
    pub(super) fn nth(&self, failed: usize) -> &Key {
        &self.0[failed % self.0.len()]
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The secret by which this first frame was made.
    fn of_opening(&self, port: Port, nonce: &Nonce, shown: &[u8; MAC_BYTES]) -> Option<&Key> {
        self.0.iter().find(|key| key.check(shown, "opens", port, &[nonce]).is_ok())
    }
}

impl Key {
    /// No secret: who the other one is rests on its address alone.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    fn mac(&self, label: &str, port: Port, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(label.as_bytes());
        mac.update(&[port as u8]);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn check(
        &self,
        shown: &[u8; MAC_BYTES],
        label: &str,
        port: Port,
        parts: &[&[u8]],
    ) -> Result<(), AuthError> {
        let expected = self.mac(label, port, parts);
        // Compared in constant time.
        let differ = expected.iter().zip(shown).fold(0, |acc, (a, b)| acc | (a ^ b));
        if differ == 0 { Ok(()) } else { Err(unknown_secret()) }
    }

    /// How one direction of one connection is protected, from what both ends can do.
    fn protection(
        &self,
        port: Port,
        (dialler, acceptor): (&Nonce, &Nonce),
        from_dialler: bool,
        theirs: Features,
    ) -> Protection {
        let direction = [u8::from(from_dialler)];
        let key = |label| self.mac(label, port, &[dialler, acceptor, &direction]);
        if self.is_none() {
            Protection::Crc
        } else if Features::own().both(theirs, FEATURE_AES_GCM) {
            Protection::AesGcm(key("records by AES-256-GCM"))
        } else {
            Protection::Hmac(key("records"))
        }
    }

    /// What one side sends from now on, to one who can do this.
    pub(super) fn sealer(
        &self,
        port: Port,
        nonces: (&Nonce, &Nonce),
        dialled: bool,
        theirs: Features,
    ) -> Sealer {
        Sealer::new(&self.protection(port, nonces, dialled, theirs))
    }

    /// What one side hears from now on.
    pub(super) fn opener(
        &self,
        port: Port,
        nonces: (&Nonce, &Nonce),
        dialled: bool,
        theirs: Features,
    ) -> Opener {
        Opener::new(&self.protection(port, nonces, !dialled, theirs))
    }
}

/// First frame, from the dialler.
pub(super) fn opening(key: &Key, port: Port, nonce: &Nonce) -> Vec<u8> {
    [&MAGIC[..], nonce, &key.mac("opens", port, &[nonce])].concat()
}

/// The dialler's nonce, and the secret it uses.
pub(super) fn opened(
    ring: &KeyRing,
    port: Port,
    opening: &[u8],
) -> Result<(Nonce, Key), AuthError> {
    let mut rest = opening.strip_prefix(MAGIC).ok_or_else(garbled)?;
    let nonce = take(&mut rest).ok_or_else(garbled)?;
    let mac = take(&mut rest).ok_or_else(garbled)?;
    let key = ring.of_opening(port, &nonce, &mac).ok_or_else(unknown_secret)?;
    Ok((nonce, key.clone()))
}

/// Second frame, from the acceptor.
pub(super) fn challenge(key: &Key, port: Port, theirs: &Nonce, nonce: &Nonce) -> Vec<u8> {
    let mac = key.mac("accepts", port, &[theirs, nonce]);
    [&nonce[..], &mac].concat()
}

/// Third frame, from who dials: proves itself once the other one has.
pub(super) fn answer(
    key: &Key,
    port: Port,
    nonce: &Nonce,
    challenge: &[u8],
    hello: &PeerHello,
) -> Result<(Vec<u8>, Nonce), AuthError> {
    let (theirs, rest) = challenge.split_first_chunk::<NONCE_BYTES>().ok_or_else(garbled)?;
    let mac = rest.try_into().map_err(|_| garbled())?;
    key.check(mac, "accepts", port, &[nonce, theirs])?;
    let hello = encode_hello(hello);
    let mac = key.mac("dials", port, &[nonce, theirs, &hello]);
    Ok(([&mac[..], &hello].concat(), *theirs))
}

/// Checks the third frame.
pub(super) fn check_answer(
    key: &Key,
    port: Port,
    theirs: &Nonce,
    nonce: &Nonce,
    answer: &[u8],
) -> Result<(PeerHello, Features), AuthError> {
    let (mac, hello) = answer.split_first_chunk::<MAC_BYTES>().ok_or_else(garbled)?;
    key.check(mac, "dials", port, &[theirs, nonce, hello])?;
    decode_hello(hello).ok_or_else(garbled)
}

/// Fourth frame: welcome, or why not.
pub(super) fn welcome(
    key: &Key,
    port: Port,
    theirs: &Nonce,
    nonce: &Nonce,
    verdict: Result<&PeerHello, &str>,
) -> Vec<u8> {
    let body = match verdict {
        Ok(hello) => [&[1][..], &encode_hello(hello)].concat(),
        Err(why) => [&[0][..], why.as_bytes()].concat(),
    };
    let mac = key.mac("welcomes", port, &[theirs, nonce, &body]);
    [&mac[..], &body].concat()
}

/// Checks the fourth frame.
pub(super) fn check_welcome(
    key: &Key,
    port: Port,
    (nonce, theirs): (&Nonce, &Nonce),
    welcome: &[u8],
) -> Result<(PeerHello, Features), AuthError> {
    let (mac, body) = welcome.split_first_chunk::<MAC_BYTES>().ok_or_else(garbled)?;
    key.check(mac, "welcomes", port, &[nonce, theirs, body])?;
    match body.split_first() {
        Some((1, hello)) => decode_hello(hello).ok_or_else(garbled),
        Some((0, why)) => Err(AuthError(format!("it refuses: {}", String::from_utf8_lossy(why)))),
        _ => Err(garbled()),
    }
}

fn unknown_secret() -> AuthError {
    AuthError(
        "it does not know the ensemble's secret; do the files named by `coordinator.secretFile` \
         have a secret in common?"
            .to_owned(),
    )
}

fn garbled() -> AuthError {
    AuthError("it does not speak as a coordinator of this version does".to_owned())
}

fn encode_hello(hello: &PeerHello) -> Vec<u8> {
    let mut out = Vec::new();
    let mut field = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    field(FIELD_ID, &[hello.id]);
    field(FIELD_CLUSTER, &hello.cluster_id.to_le_bytes());
    field(FIELD_INCARNATION, &hello.incarnation.to_le_bytes());
    field(FIELD_BLANK, &[u8::from(hello.blank)]);
    field(FIELD_MEMBERS, &hello.members);
    let known = hello.known.iter();
    let known: Vec<u8> = known
        .flat_map(|(id, incarnation)| std::iter::once(*id).chain(incarnation.to_le_bytes()))
        .collect();
    field(FIELD_KNOWN, &known);
    field(FIELD_LEVEL, &hello.level.to_le_bytes());
    field(FIELD_FEATURES, &Features::own().0.to_le_bytes());
    out
}

fn decode_hello(mut input: &[u8]) -> Option<(PeerHello, Features)> {
    let (mut id, mut cluster_id, mut incarnation) = (None, None, None);
    let (mut blank, mut members, mut known, mut level) = (false, None, Vec::new(), 0);
    let mut features = Features::default();
    while !input.is_empty() {
        let [tag] = take(&mut input)?;
        let length = u32::from_le_bytes(take(&mut input)?) as usize;
        let (mut bytes, rest) = input.split_at_checked(length)?;
        input = rest;
        match tag {
            FIELD_ID => id = Some(u8::from_le_bytes(take(&mut bytes)?)),
            FIELD_CLUSTER => cluster_id = Some(u128::from_le_bytes(take(&mut bytes)?)),
            FIELD_INCARNATION => incarnation = Some(u128::from_le_bytes(take(&mut bytes)?)),
            FIELD_BLANK => blank = take::<1>(&mut bytes)? != [0],
            FIELD_MEMBERS => members = Some(bytes.to_vec()),
            FIELD_KNOWN => {
                while !bytes.is_empty() {
                    let [id] = take(&mut bytes)?;
                    known.push((id, u128::from_le_bytes(take(&mut bytes)?)));
                }
            }
            FIELD_LEVEL => level = u16::from_le_bytes(take(&mut bytes)?),
            FIELD_FEATURES => features = Features(u64::from_le_bytes(take(&mut bytes)?)),
            _ => {} // of a later release
        }
    }
    let (id, members) = (id?, members?);
    let (cluster_id, incarnation) = (cluster_id?, incarnation?);
    let hello = PeerHello { id, cluster_id, incarnation, blank, members, known, level };
    Some((hello, features))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NO_SECRET: &[&[u8]] = &[];

    fn ring(secrets: &[&[u8]]) -> KeyRing {
        KeyRing::new(secrets.iter().copied())
    }

    fn hello(id: u8) -> PeerHello {
        PeerHello {
            id,
            cluster_id: 7,
            incarnation: u128::from(id),
            blank: false,
            members: vec![1, 2],
            known: vec![(1, 1), (2, 2)],
            level: 3,
        }
    }

    fn introduce(
        dialler: &KeyRing,
        acceptor: &KeyRing,
    ) -> Result<(PeerHello, PeerHello), AuthError> {
        let mut tried = dialler.keys().map(|key| introduce_by(key, acceptor));
        tried.find(Result::is_ok).unwrap_or_else(|| Err(unknown_secret()))
    }

    fn introduce_by(
        dialler: &Key,
        acceptor: &KeyRing,
    ) -> Result<(PeerHello, PeerHello), AuthError> {
        introduce_over(|_, frame| frame, dialler, acceptor)
    }

    /// `way` is what lies between the two: it gets each frame, counted from 0.
    fn introduce_over(
        way: impl Fn(usize, Vec<u8>) -> Vec<u8>,
        dialler: &Key,
        acceptor: &KeyRing,
    ) -> Result<(PeerHello, PeerHello), AuthError> {
        let (d, a) = ([1; 32], [2; 32]);
        let first = way(0, opening(dialler, Port::Quorum, &d));
        let (theirs, key) = opened(acceptor, Port::Quorum, &first)?;
        let second = way(1, challenge(&key, Port::Quorum, &theirs, &a));
        let (third, seen) = answer(dialler, Port::Quorum, &d, &second, &hello(1))?;
        let third = way(2, third);
        let (from_dialler, can) = check_answer(&key, Port::Quorum, &theirs, &a, &third)?;
        let fourth = way(3, welcome(&key, Port::Quorum, &theirs, &a, Ok(&hello(2))));
        let (from_acceptor, acceptor_can) =
            check_welcome(dialler, Port::Quorum, (&d, &seen), &fourth)?;
        // One of them may be of a release, or on a processor, that can do less.
        for less in [false, true] {
            let pick = |features| if less { Features::default() } else { features };
            let mut payload = *b"x";
            let mut sealer = dialler.sealer(Port::Quorum, (&d, &seen), true, pick(acceptor_can));
            let record = sealer.seal(&mut payload);
            let mut sealed = record.rest(&payload).map(|part| part.to_vec()).concat();
            let length = sealed.len();
            let mut opener = key.opener(Port::Quorum, (&theirs, &a), false, pick(can));
            assert_eq!(opener.open(&mut sealed), Ok(Some((&b"x"[..], length))));
        }
        Ok((from_dialler, from_acceptor))
    }

    #[test]
    fn who_knows_the_secret_is_introduced() {
        let key = ring(&[b"secret"]);
        assert_eq!(introduce(&key, &key), Ok((hello(1), hello(2))));
        let none = ring(NO_SECRET);
        assert_eq!(introduce(&none, &none), Ok((hello(1), hello(2))));
    }

    #[test]
    fn a_secret_is_rotated_and_added_one_member_at_a_time() {
        let steps: [&[&[u8]]; 3] = [&[b"old"], &[b"old", b"new"], &[b"new"]];
        let adding: [&[&[u8]]; 3] = [NO_SECRET, &[b"", b"new"], &[b"new"]];
        for steps in [steps, adding] {
            for pair in steps.windows(2) {
                let (before, after) = (ring(pair[0]), ring(pair[1]));
                assert!(introduce(&before, &after).is_ok() && introduce(&after, &before).is_ok());
            }
            assert!(introduce(&ring(steps[0]), &ring(steps[2])).is_err());
        }
    }

    #[test]
    fn who_does_not_know_it_is_a_stranger_to_both_sides() {
        let (key, other) = (ring(&[b"secret"]), ring(&[b"guess"]));
        assert!(introduce(&other, &key).is_err());
        assert!(introduce(&ring(NO_SECRET), &key).is_err());
        // Nor does an acceptor without it pass for a member.
        let (d, a) = ([1; 32], [2; 32]);
        let second = challenge(other.nth(0), Port::Quorum, &d, &a);
        assert!(answer(key.nth(0), Port::Quorum, &d, &second, &hello(1)).is_err());
        // Nor does one that repeats somebody's first frame.
        let (third, _) = {
            let second = challenge(other.nth(0), Port::Quorum, &d, &a);
            answer(other.nth(0), Port::Quorum, &d, &second, &hello(1)).unwrap()
        };
        assert!(check_answer(key.nth(0), Port::Quorum, &d, &a, &third).is_err());
    }

    #[test]
    fn nobody_on_the_way_changes_what_two_members_agree_on() {
        let ring = ring(&[b"secret"]);
        let over =
            |way: &dyn Fn(usize, Vec<u8>) -> Vec<u8>| introduce_over(way, ring.nth(0), &ring);
        let frame_bytes = Cell::new([0; 4]);
        let watch = |at: usize, frame: Vec<u8>| {
            let mut bytes = frame_bytes.get();
            bytes[at] = frame.len();
            frame_bytes.set(bytes);
            frame
        };
        assert!(over(&watch).is_ok());
        for (changed, bytes) in frame_bytes.get().into_iter().enumerate() {
            for byte in 0..bytes {
                let way = |at: usize, mut frame: Vec<u8>| {
                    if at == changed {
                        frame[byte] ^= 1;
                    }
                    frame
                };
                assert!(over(&way).is_err(), "byte {byte} of frame {changed}");
            }
        }
        // A hello that ends before it says what its sender can do is that of an earlier release, whose
        // records anybody can read.
        let field = [&[FIELD_FEATURES][..], &8_u32.to_le_bytes(), &Features::own().0.to_le_bytes()];
        let field = field.concat();
        for changed in [2, 3] {
            let way = |at: usize, mut frame: Vec<u8>| {
                if at == changed {
                    assert!(frame.ends_with(&field));
                    frame.truncate(frame.len() - field.len());
                }
                frame
            };
            assert!(over(&way).is_err(), "frame {changed} says nothing of what its sender can do");
        }
    }

    #[test]
    fn an_answer_for_one_port_is_none_for_the_other() {
        let key = ring(&[b"secret"]);
        let first = opening(key.nth(0), Port::Snapshot, &[1; 32]);
        assert!(opened(&key, Port::Quorum, &first).is_err());
        let second = challenge(key.nth(0), Port::Snapshot, &[1; 32], &[2; 32]);
        assert!(answer(key.nth(0), Port::Quorum, &[1; 32], &second, &hello(1)).is_err());
    }

    #[test]
    fn a_refusal_is_told() {
        let key = ring(NO_SECRET);
        let no = welcome(key.nth(0), Port::Quorum, &[1; 32], &[2; 32], Err("wrong list"));
        let told = check_welcome(key.nth(0), Port::Quorum, (&[1; 32], &[2; 32]), &no);
        assert_eq!(told, Err(AuthError("it refuses: wrong list".to_owned())));
    }

    #[test]
    fn a_later_release_may_say_more() {
        let mut said = encode_hello(&hello(3));
        said.extend_from_slice(&[200, 3, 0, 0, 0, 1, 2, 3]);
        assert_eq!(decode_hello(&said), Some((hello(3), Features::own())));
        for cut in 0..said.len() - 9 {
            let _ = decode_hello(&said[..cut]); // no panic, whatever is missing
        }
        assert_eq!(decode_hello(&said[..said.len() - 1]), None);
        assert_eq!(decode_hello(&[]), None);
        let first = opening(&Key(b"k".to_vec()), Port::Quorum, &[1; 32]);
        let longer = [&first[..], b"more"].concat();
        assert!(opened(&ring(&[b"k"]), Port::Quorum, &longer).is_ok());
    }
}
