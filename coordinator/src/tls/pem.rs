//! PEM: certificates and a key in one text, the key encrypted or not (`PemReader`).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivateKeyDer;

use super::cipher::decrypt;
use super::der::{Der, OCTETS, SEQUENCE};
use super::store::{Store, StoreError};

const BEGIN: &str = "-----BEGIN ";

pub(super) fn read(contents: &[u8], password: &str) -> Result<Store, StoreError> {
    let text = std::str::from_utf8(contents).map_err(|_| StoreError::Malformed("not a text"))?;
    let mut store = Store::default();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let block = &rest[at + BEGIN.len()..];
        let malformed = StoreError::Malformed("a PEM block does not end");
        let (label, block) = block.split_once("-----").ok_or(malformed)?;
        let (body, after) = block.split_once(&format!("-----END {label}-----")).ok_or(malformed)?;
        rest = after;
        let body: String = body.split_ascii_whitespace().collect();
        let der = BASE64_STANDARD
            .decode(body)
            .map_err(|_| StoreError::Malformed("a PEM block is no base64"))?;
        let key = match label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                store.trusted.push(der.into());
                continue;
            }
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der.into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
            "ENCRYPTED PRIVATE KEY" => {
                PrivateKeyDer::Pkcs8(open(&der, password).ok_or(StoreError::Password)?.into())
            }
            _ => continue,
        };
        store.key.get_or_insert((key, Vec::new()));
    }
    if let Some((_, chain)) = &mut store.key {
        chain.clone_from(&store.trusted);
    }
    Ok(store)
}

/// The contents of all blocks with this label; blocks that are damaged are left out.
pub fn blocks(text: &str, label: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let bodies = text.split(&begin).skip(1).filter_map(|rest| rest.split_once(&end));
    bodies
        .filter_map(|(body, _)| {
            let body: String = body.split_ascii_whitespace().collect();
            BASE64_STANDARD.decode(body).ok()
        })
        .collect()
}

/// The key inside an `EncryptedPrivateKeyInfo`.
pub(super) fn open(der: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut info = Der(der).inside(SEQUENCE)?;
    let algorithm = info.expect(SEQUENCE)?.contents;
    let key = decrypt(algorithm, info.expect(OCTETS)?.contents, password)?;
    // What a wrong password makes of it is seldom one whole sequence.
    let mut whole = Der(&key);
    let sound = whole.expect(SEQUENCE).is_some() && whole.is_empty();
    sound.then_some(key)
}
