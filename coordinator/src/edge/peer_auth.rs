//! Mutual authentication of two members by the ensemble's secret, before any message is decoded.
//!
//! The dialler sends a nonce. The acceptor answers with its own nonce and an HMAC of both. The
//! dialler answers with an HMAC of both nonces and its hello. The acceptor answers with its hello
//! under a third HMAC, or with the reason for a refusal. Each of the four frames is `length u32`
//! (little-endian) and at most [`FRAME_BYTES_MAX`] bytes. Each HMAC covers the direction, so that
//! no answer can be reflected.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::bytes::take;
use crate::node::PeerHello;

/// Largest frame of a handshake.
pub(super) const FRAME_BYTES_MAX: usize = 16 << 10;

const MAGIC: &[u8; 8] = b"zkcoord1";
const NONCE_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

pub(super) type Nonce = [u8; NONCE_BYTES];

/// The secret of the ensemble; empty when none is configured.
#[derive(Clone)]
pub(super) struct Key(pub Vec<u8>);

/// The port of the handshake: each HMAC covers it, so that no answer is valid on the other port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Quorum,
    Snapshot,
}

/// Why a handshake failed; for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthError(pub String);

impl Key {
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
        if differ == 0 {
            return Ok(());
        }
        Err(AuthError(
            "it does not know the ensemble's secret; is `coordinator.secretFile` the same file \
             on all members?"
                .to_owned(),
        ))
    }
}

/// First frame: who dials begins.
pub(super) fn opening(nonce: &Nonce) -> Vec<u8> {
    [&MAGIC[..], nonce].concat()
}

/// Second frame, from who accepts.
pub(super) fn challenge(
    key: &Key,
    port: Port,
    opening: &[u8],
    nonce: &Nonce,
) -> Result<Vec<u8>, AuthError> {
    let theirs = nonce_of(opening)?;
    let mac = key.mac("accepts", port, &[&theirs, nonce]);
    Ok([&nonce[..], &mac].concat())
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
    opening: &[u8],
    nonce: &Nonce,
    answer: &[u8],
) -> Result<PeerHello, AuthError> {
    let theirs = nonce_of(opening)?;
    let (mac, hello) = answer.split_first_chunk::<MAC_BYTES>().ok_or_else(garbled)?;
    key.check(mac, "dials", port, &[&theirs, nonce, hello])?;
    decode_hello(hello).ok_or_else(garbled)
}

/// Fourth frame: welcome, or why not.
pub(super) fn welcome(
    key: &Key,
    port: Port,
    opening: &[u8],
    nonce: &Nonce,
    verdict: Result<&PeerHello, &str>,
) -> Vec<u8> {
    let theirs = nonce_of(opening).unwrap_or([0; NONCE_BYTES]);
    let body = match verdict {
        Ok(hello) => [&[1][..], &encode_hello(hello)].concat(),
        Err(why) => [&[0][..], why.as_bytes()].concat(),
    };
    let mac = key.mac("welcomes", port, &[&theirs, nonce, &body]);
    [&mac[..], &body].concat()
}

/// Checks the fourth frame.
pub(super) fn check_welcome(
    key: &Key,
    port: Port,
    (nonce, theirs): (&Nonce, &Nonce),
    welcome: &[u8],
) -> Result<PeerHello, AuthError> {
    let (mac, body) = welcome.split_first_chunk::<MAC_BYTES>().ok_or_else(garbled)?;
    key.check(mac, "welcomes", port, &[nonce, theirs, body])?;
    match body.split_first() {
        Some((1, hello)) => decode_hello(hello).ok_or_else(garbled),
        Some((0, why)) => Err(AuthError(format!("it refuses: {}", String::from_utf8_lossy(why)))),
        _ => Err(garbled()),
    }
}

fn nonce_of(opening: &[u8]) -> Result<Nonce, AuthError> {
    let nonce = opening.strip_prefix(MAGIC).ok_or_else(garbled)?;
    nonce.try_into().map_err(|_| garbled())
}

fn garbled() -> AuthError {
    AuthError("it does not speak as a coordinator of this version does".to_owned())
}

fn encode_hello(hello: &PeerHello) -> Vec<u8> {
    let mut out = vec![hello.id, u8::from(hello.blank)];
    out.extend_from_slice(&hello.cluster_id.to_le_bytes());
    out.extend_from_slice(&hello.incarnation.to_le_bytes());
    out.push(hello.members.len() as u8);
    out.extend_from_slice(&hello.members);
    out.push(hello.known.len() as u8);
    for (id, incarnation) in &hello.known {
        out.push(*id);
        out.extend_from_slice(&incarnation.to_le_bytes());
    }
    out
}

fn decode_hello(mut bytes: &[u8]) -> Option<PeerHello> {
    let input = &mut bytes;
    let [id, blank] = take(input)?;
    let cluster_id = u128::from_le_bytes(take(input)?);
    let incarnation = u128::from_le_bytes(take(input)?);
    let [count] = take(input)?;
    let (members, rest) = input.split_at_checked(usize::from(count))?;
    *input = rest;
    let members = members.to_vec();
    let [count] = take(input)?;
    let mut known = Vec::new();
    for _ in 0..count {
        let [id] = take(input)?;
        known.push((id, u128::from_le_bytes(take(input)?)));
    }
    let hello = PeerHello { id, cluster_id, incarnation, blank: blank != 0, members, known };
    input.is_empty().then_some(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(id: u8) -> PeerHello {
        PeerHello {
            id,
            cluster_id: 7,
            incarnation: u128::from(id),
            blank: false,
            members: vec![1, 2],
            known: vec![(1, 1), (2, 2)],
        }
    }

    fn introduce(dialer: &Key, acceptor: &Key) -> Result<(PeerHello, PeerHello), AuthError> {
        let (d, a) = ([1; 32], [2; 32]);
        let first = opening(&d);
        let second = challenge(acceptor, Port::Quorum, &first, &a)?;
        let (third, seen) = answer(dialer, Port::Quorum, &d, &second, &hello(1))?;
        let from_dialer = check_answer(acceptor, Port::Quorum, &first, &a, &third)?;
        let fourth = welcome(acceptor, Port::Quorum, &first, &a, Ok(&hello(2)));
        let from_acceptor = check_welcome(dialer, Port::Quorum, (&d, &seen), &fourth)?;
        Ok((from_dialer, from_acceptor))
    }

    #[test]
    fn who_knows_the_secret_is_introduced() {
        let key = Key(b"secret".to_vec());
        assert_eq!(introduce(&key, &key), Ok((hello(1), hello(2))));
    }

    #[test]
    fn who_does_not_is_a_stranger_to_both_sides() {
        let (key, other) = (Key(b"secret".to_vec()), Key(b"guess".to_vec()));
        assert!(introduce(&other, &key).is_err());
        let (d, a) = ([1; 32], [2; 32]);
        let first = opening(&d);
        let second = challenge(&other, Port::Quorum, &first, &a).unwrap();
        let (third, _) = answer(&other, Port::Quorum, &d, &second, &hello(1)).unwrap();
        assert!(check_answer(&key, Port::Quorum, &first, &a, &third).is_err());
    }

    #[test]
    fn an_answer_for_one_port_is_none_for_the_other() {
        let key = Key(b"secret".to_vec());
        let first = opening(&[1; 32]);
        let second = challenge(&key, Port::Snapshot, &first, &[2; 32]).unwrap();
        assert!(answer(&key, Port::Quorum, &[1; 32], &second, &hello(1)).is_err());
    }

    #[test]
    fn a_refusal_is_told() {
        let key = Key(Vec::new());
        let first = opening(&[1; 32]);
        let no = welcome(&key, Port::Quorum, &first, &[2; 32], Err("wrong list"));
        let told = check_welcome(&key, Port::Quorum, (&[1; 32], &[2; 32]), &no);
        assert_eq!(told, Err(AuthError("it refuses: wrong list".to_owned())));
    }
}
