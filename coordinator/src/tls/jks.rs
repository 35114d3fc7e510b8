//! Java's own key store, as `keytool -storetype JKS` writes it.

use rustls::pki_types::PrivateKeyDer;
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

use super::der::{Der, OCTETS, OID, SEQUENCE};
use super::store::{Store, StoreError};

const VERSION: u32 = 2;
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST_BYTES: usize = 20;
/// The algorithm of its keys, `1.3.6.1.4.1.42.2.17.1.1`.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], StoreError> {
        let (bytes, rest) =
            self.0.split_at_checked(count).ok_or(StoreError::Malformed("cut off"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self, size: usize) -> Result<usize, StoreError> {
        Ok(self.bytes(size)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// A text with its length, which is not looked at.
    fn skip_text(&mut self) -> Result<(), StoreError> {
        let length = self.number(2)?;
        self.bytes(length).map(|_| ())
    }

    fn block(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.number(4)?;
        self.bytes(length)
    }

    fn certificate(&mut self) -> Result<&'a [u8], StoreError> {
        self.skip_text()?; // `X.509`
        self.block()
    }
}

pub(super) fn read(contents: &[u8], password: &str) -> Result<Store, StoreError> {
    let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let at = contents.len().checked_sub(DIGEST_BYTES).ok_or(StoreError::Malformed("cut off"))?;
    let (body, digest) = contents.split_at(at);
    let expected =
        Sha1::new_with_prefix(&wide).chain_update(WHITENER).chain_update(body).finalize();
    if !bool::from(expected.as_slice().ct_eq(digest)) {
        return Err(StoreError::Password);
    }
    let mut input = Input(body);
    input.bytes(4)?; // the magic number
    if input.number(4)? != VERSION as usize {
        return Err(StoreError::Malformed("a version other than 2"));
    }
    let mut store = Store::default();
    for _ in 0..input.number(4)? {
        let tag = input.number(4)?;
        input.skip_text()?; // the alias
        input.bytes(8)?; // when it was made
        match tag {
            1 => {
                let protected = input.block()?;
                let mut chain = Vec::new();
                for _ in 0..input.number(4)? {
                    chain.push(input.certificate()?.to_vec().into());
                }
                if store.key.is_none() {
                    let key = unprotect(protected, &wide).ok_or(StoreError::KeyPassword)?;
                    store.key = Some((PrivateKeyDer::Pkcs8(key.into()), chain));
                }
            }
            2 => store.trusted.push(input.certificate()?.to_vec().into()),
            _ => return Err(StoreError::Malformed("an entry that is neither key nor certificate")),
        }
    }
    Ok(store)
}

/// 20 bytes of salt, the key under a chain of hashes, a hash to check it by.
fn unprotect(protected: &[u8], password: &[u8]) -> Option<Vec<u8>> {
    let mut info = Der(protected).inside(SEQUENCE)?;
    if info.inside(SEQUENCE)?.expect(OID)?.contents != KEY_PROTECTOR {
        return None;
    }
    let data = info.expect(OCTETS)?.contents;
    let (salt, rest) = data.split_at_checked(DIGEST_BYTES)?;
    let (hidden, check) = rest.split_at_checked(rest.len().checked_sub(DIGEST_BYTES)?)?;
    let mut previous = salt.to_vec();
    let mut key = Vec::with_capacity(hidden.len());
    for part in hidden.chunks(DIGEST_BYTES) {
        previous = Sha1::new_with_prefix(password).chain_update(&previous).finalize().to_vec();
        key.extend(part.iter().zip(&previous).map(|(byte, mask)| byte ^ mask));
    }
    let expected = Sha1::new_with_prefix(password).chain_update(&key).finalize();
    bool::from(expected.as_slice().ct_eq(check)).then_some(key)
}
