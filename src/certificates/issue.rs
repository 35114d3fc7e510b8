//! X.509 certificates, made: an authority's own, and those of hosts. Nothing of a host's request gets into
//! its certificate but the public key.

use std::net::IpAddr;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use coordinator::tls::blocks;
use coordinator::tls::encode::{bits, element, integer, name, octets, oid, pem, sequence, time};
use coordinator::tls::request::{REQUEST_BYTES_MAX, Request};
use sha2::{Digest as _, Sha256};

use crate::certificates::authority::{Authority, Signer};
use crate::digest::hex;
use crate::failure::Failure;

/// A host's clock may be behind: a certificate holds from a little before it was made.
const EARLIER_S: u64 = 3600;
const DAY_S: u64 = 86_400;
/// How long an authority of zkprov's lives: its end is the end of every host's certificate.
const YEARS: u64 = 10;
/// A serial number has 20 bytes at most; these cannot be guessed.
const SERIAL_BYTES: usize = 16;
/// Of the SHA-256 of a key: what names it in certificates (RFC 7093, method 1).
const KEY_ID_BYTES: usize = 20;

const KEY_ID: [u8; 3] = [0x55, 0x1d, 0x0e];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
const AUTHORITY_KEY_ID: [u8; 3] = [0x55, 0x1d, 0x23];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
/// `id-kp-serverAuth` and `id-kp-clientAuth`
const SERVER: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 2];
const TRUE: [u8; 3] = [1, 1, 0xff];

/// What a certificate shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub organization: String,
    pub common_name: String,
    /// DNS names and addresses.
    pub names: Vec<String>,
    /// A server's certificate is good for its own connections to others, too.
    pub serves: bool,
}

impl Wanted {
    /// The subject as RFC 2253 writes it: the id by which ACLs know it.
    pub fn subject(&self) -> String {
        format!("CN={},O={}", self.common_name, self.organization)
    }

    /// Issues it for the key of a host's request, for so many days. Gives the chain as PEM.
    pub fn issue(
        &self,
        authority: &Authority,
        request: &str,
        days: u32,
        now_s: u64,
    ) -> Result<String, Failure> {
        let der = checked(request).map_err(|why| {
            Failure::failed(format!("its request for a certificate is refused: {why}")).hint(
                "`coordinator certificate request KEY` makes a key and a request that are right",
            )
        })?;
        let request = Request::parse(&der).expect("checked");
        if now_s >= authority.facts.not_after {
            let cause = format!("the authority `{}` has expired", authority.facts.subject);
            return Err(Failure::refused(cause).hint("`zkprov certs rotate-ca` makes another one"));
        }
        // What outlives its issuer is worth nothing from then on.
        let until_s = (now_s + u64::from(days) * DAY_S).min(authority.facts.not_after);
        let usages: &[&[u8]] =
            if self.serves { &[&oid(&SERVER), &oid(&CLIENT)] } else { &[&oid(&CLIENT)] };
        let mut extensions = vec![
            extension(&BASIC_CONSTRAINTS, true, &sequence(&[])),
            // digitalSignature
            extension(&KEY_USAGE, true, &element(3, &[7, 0x80])),
            extension(&EXTENDED_KEY_USAGE, false, &sequence(usages)),
            extension(&KEY_ID, false, &octets(&key_id(request.point))),
        ];
        if let Some(id) = &authority.facts.key_id {
            extensions.push(extension(&AUTHORITY_KEY_ID, false, &sequence(&[&element(0x80, id)])));
        }
        let names: Vec<Vec<u8>> = self.names.iter().map(|name| general_name(name)).collect();
        if !names.is_empty() {
            extensions.push(extension(&ALTERNATIVE_NAMES, false, &element(0x30, &names.concat())));
        }
        let body = Body {
            issuer: &authority.facts.subject_name,
            subject: &name(Some(&self.organization), &self.common_name),
            from_s: now_s.saturating_sub(EARLIER_S),
            until_s,
            key_info: request.key_info,
            extensions: &extensions,
        };
        let leaf = body.signed(&authority.signer)?;
        let above = authority.chain.iter().map(|der| pem("CERTIFICATE", der));
        Ok([pem("CERTIFICATE", &leaf)].into_iter().chain(above).collect())
    }
}

/// The DER of a request that is signed by the key that it names.
fn checked(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err("it is too long");
    }
    let der =
        blocks(text, "CERTIFICATE REQUEST").into_iter().next().ok_or("it is no request in PEM")?;
    let request = Request::parse(&der).ok_or("it is not for a key of P-256")?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, request.point)
        .verify(request.signed, request.signature)
        .map_err(|_| "it is not signed by the key that it names")?;
    Ok(der)
}

/// A new authority: its key and its certificate in PEM.
pub fn authority(ensemble: &str, now_s: u64) -> Result<String, Failure> {
    let (signer, key) = Signer::generate()?;
    let certificate = root(&signer, ensemble, now_s, now_s + YEARS * 365 * DAY_S)?;
    Ok(key + &pem("CERTIFICATE", &certificate))
}

fn root(signer: &Signer, ensemble: &str, now_s: u64, until_s: u64) -> Result<Vec<u8>, Failure> {
    let id = key_id(signer.public());
    // Two authorities of one ensemble are told apart by their names.
    let subject = name(Some(ensemble), &format!("zkprov CA {}", hex(&id[..4])));
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let public_key = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let key_info =
        sequence(&[&sequence(&[&oid(&public_key), &oid(&curve)]), &bits(signer.public())]);
    let body = Body {
        issuer: &subject,
        subject: &subject,
        from_s: now_s.saturating_sub(EARLIER_S),
        until_s,
        key_info: &key_info,
        extensions: &[
            // It signs hosts' certificates, and no other authority's.
            extension(&BASIC_CONSTRAINTS, true, &sequence(&[&TRUE, &integer(&[])])),
            // keyCertSign and cRLSign
            extension(&KEY_USAGE, true, &element(3, &[1, 0x06])),
            extension(&KEY_ID, false, &octets(&id)),
        ],
    };
    body.signed(signer)
}

/// What stands in a certificate, all parts whole.
struct Body<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    from_s: u64,
    until_s: u64,
    key_info: &'a [u8],
    extensions: &'a [Vec<u8>],
}

impl Body<'_> {
    fn signed(&self, signer: &Signer) -> Result<Vec<u8>, Failure> {
        let mut serial = [0; SERIAL_BYTES];
        rand::fill(&mut serial)
            .map_err(|_| Failure::failed("the system gives no random numbers"))?;
        // Never zero, and never taken for negative.
        serial[0] = serial[0] & 0x7f | 0x40;
        let algorithm = signer.algorithm();
        let body = sequence(&[
            &element(0xa0, &integer(&[2])),
            &integer(&serial),
            &algorithm,
            self.issuer,
            &sequence(&[&time(self.from_s), &time(self.until_s)]),
            self.subject,
            self.key_info,
            &element(0xa3, &element(0x30, &self.extensions.concat())),
        ]);
        let signature = signer.sign(&body)?;
        Ok(sequence(&[&body, &algorithm, &bits(&signature)]))
    }
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &TRUE } else { &[] };
    sequence(&[&oid(id), flag, &octets(value)])
}

fn general_name(name: &str) -> Vec<u8> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => element(0x87, &address.octets()),
        Ok(IpAddr::V6(address)) => element(0x87, &address.octets()),
        Err(_) => element(0x82, name.as_bytes()),
    }
}

fn key_id(public: &[u8]) -> Vec<u8> {
    Sha256::digest(public)[..KEY_ID_BYTES].to_vec()
}

#[cfg(test)]
mod tests;
