//! PKCS#12, as `keytool` (since Java 9 by default) and OpenSSL write it (RFC 7292).

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use super::certificate::Certificate;
use super::cipher::{MAC_PURPOSE, decrypt, derive, rsadsi};
use super::der::{Der, Element, OCTETS, OID, SEQUENCE, SET};
use super::pem::open;
use super::store::{Store, StoreError};

const DATA: &[u8] = &rsadsi!(1, 7, 1);
const ENCRYPTED_DATA: &[u8] = &rsadsi!(1, 7, 6);
const KEY_BAG: &[u8] = &rsadsi!(1, 12, 10, 1, 1);
const SHROUDED_KEY_BAG: &[u8] = &rsadsi!(1, 12, 10, 1, 2);
const CERTIFICATE_BAG: &[u8] = &rsadsi!(1, 12, 10, 1, 3);
const X509: &[u8] = &rsadsi!(1, 9, 22, 1);
const LOCAL_KEY_ID: &[u8] = &rsadsi!(1, 9, 21);
/// Oracle's mark of a certificate that is trusted by itself, `2.16.840.1.113894.746875.1.1`. Java
/// takes no certificate without it for an anchor.
const TRUSTED: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
const EXPLICIT: u8 = 0xa0;
/// A chain of more certificates than this is none.
const CHAIN_MAX: usize = 16;

/// One bag of interest.
#[derive(Default)]
struct Found {
    keys: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    certificates: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
}

pub(super) fn read(contents: &[u8], password: &str) -> Result<Store, StoreError> {
    let malformed = StoreError::Malformed("not a PKCS#12 file in DER");
    let mut file = Der(contents).inside(SEQUENCE).ok_or(malformed)?;
    file.number().filter(|version| *version == 3).ok_or(malformed)?;
    let mut safe = file.inside(SEQUENCE).ok_or(malformed)?;
    let safes = data(&mut safe).ok_or(malformed)?;
    if let Some(mac) = file.optional(SEQUENCE)
        && !verified(Der(mac.contents), safes, password).ok_or(malformed)?
    {
        return Err(StoreError::Password);
    }
    let mut found = Found::default();
    let mut list = Der(safes).inside(SEQUENCE).ok_or(malformed)?;
    while !list.is_empty() {
        let mut info = list.inside(SEQUENCE).ok_or(malformed)?;
        let opened;
        let mut kind = info;
        let bags = match kind.expect(OID).ok_or(malformed)?.contents {
            DATA => data(&mut info).ok_or(malformed)?,
            ENCRYPTED_DATA => {
                opened = encrypted(kind, password).ok_or(StoreError::Password)?;
                &opened
            }
            _ => return Err(StoreError::Malformed("a safe for a public key")),
        };
        safe_contents(bags, password, &mut found)?;
    }
    Ok(assembled(found))
}

/// The octets of a `ContentInfo` of plain data.
fn data<'a>(info: &mut Der<'a>) -> Option<&'a [u8]> {
    if info.expect(OID)?.contents != DATA {
        return None;
    }
    Some(info.inside(EXPLICIT)?.expect(OCTETS)?.contents)
}

/// What an `EncryptedData` holds.
fn encrypted(mut content: Der<'_>, password: &str) -> Option<Vec<u8>> {
    let mut data = content.inside(EXPLICIT)?.inside(SEQUENCE)?;
    data.number()?;
    let mut info = data.inside(SEQUENCE)?;
    info.expect(OID)?;
    let algorithm = info.expect(SEQUENCE)?.contents;
    let bytes = info.expect(0x80)?.contents;
    decrypt(algorithm, bytes, password)
}

fn safe_contents(bags: &[u8], password: &str, found: &mut Found) -> Result<(), StoreError> {
    let malformed = StoreError::Malformed("a bag that cannot be read");
    // A wrong password that escaped notice so far is seen here.
    let mut bags = Der(bags).inside(SEQUENCE).ok_or(StoreError::Password)?;
    while !bags.is_empty() {
        let mut bag = bags.inside(SEQUENCE).ok_or(malformed)?;
        let kind = bag.expect(OID).ok_or(malformed)?.contents;
        let value = bag.expect(EXPLICIT).ok_or(malformed)?.contents;
        let (mut id, mut trusted) = (None, false);
        if let Some(mut attributes) = bag.inside(SET) {
            while let Some(mut attribute) = attributes.inside(SEQUENCE) {
                let name = attribute.expect(OID).ok_or(malformed)?.contents;
                trusted |= name == TRUSTED;
                if name == LOCAL_KEY_ID {
                    let value = attribute.inside(SET).and_then(|mut set| set.next());
                    id = value.map(|Element { contents, .. }| contents.to_vec());
                }
            }
        }
        match kind {
            KEY_BAG => found.keys.push((value.to_vec(), id)),
            SHROUDED_KEY_BAG => {
                let key = open(value, password).ok_or(StoreError::KeyPassword)?;
                found.keys.push((key, id));
            }
            CERTIFICATE_BAG => {
                let mut bag = Der(value).inside(SEQUENCE).ok_or(malformed)?;
                if bag.expect(OID).is_some_and(|kind| kind.contents == X509) {
                    let octets = bag.inside(EXPLICIT).and_then(|mut inner| inner.expect(OCTETS));
                    let certificate = octets.ok_or(malformed)?.contents.to_vec();
                    found.certificates.push((certificate, id, trusted));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first key with its chain: its own certificate, then each one's issuer.
fn assembled(found: Found) -> Store {
    let trusted: Vec<CertificateDer<'static>> = found
        .certificates
        .iter()
        .filter(|(.., trusted)| *trusted)
        .map(|(der, ..)| der.clone().into())
        .collect();
    let mut store = Store { key: None, trusted };
    let Some((key, id)) = found.keys.into_iter().next() else { return store };
    let mut left: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        found.certificates.into_iter().map(|(der, id, _)| (der, id)).collect();
    let own = left.iter().position(|(_, of)| id.is_some() && *of == id).unwrap_or(0);
    let mut chain: Vec<CertificateDer<'static>> = Vec::new();
    let mut next = (own < left.len()).then_some(own);
    while let Some(at) = next.filter(|_| chain.len() < CHAIN_MAX) {
        let (der, _) = left.remove(at);
        let issuer = Certificate::parse(&der).map(|certificate| certificate.issuer.to_vec());
        chain.push(der.into());
        next = left.iter().position(|(der, _)| {
            Certificate::parse(der).is_some_and(|other| Some(other.subject) == issuer.as_deref())
        });
    }
    store.key = Some((PrivateKeyDer::Pkcs8(key.into()), chain));
    store
}

/// Whether the file's HMAC is by this password; `None` when it cannot be read.
fn verified(mut mac: Der<'_>, safes: &[u8], password: &str) -> Option<bool> {
    let mut info = mac.inside(SEQUENCE)?;
    let algorithm = info.inside(SEQUENCE)?.expect(OID)?.contents;
    let expected = info.expect(OCTETS)?.contents;
    let salt = mac.expect(OCTETS)?.contents;
    let rounds = if mac.is_empty() { 1 } else { mac.number()? };
    macro_rules! checked {
        ($hash:ty, $bytes:literal) => {{
            let mut key = [0; $bytes];
            derive::<$hash>(MAC_PURPOSE, password, salt, rounds, &mut key)?;
            let mac = Hmac::<$hash>::new_from_slice(&key).ok()?.chain_update(safes);
            Some(mac.verify_slice(expected).is_ok())
        }};
    }
    match algorithm {
        [0x2b, 0x0e, 3, 2, 0x1a] => checked!(Sha1, 20),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => checked!(Sha256, 32),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => checked!(Sha384, 48),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => checked!(Sha512, 64),
        _ => None,
    }
}
