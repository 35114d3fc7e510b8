//! Encryption by passwords, as keys lie in PKCS#8 and PKCS#12 files: PBES2 with PBKDF2, and the older
//! PBES1 of PKCS#12 with 3DES or RC2, which `keytool -legacy` and old OpenSSL still write.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, InnerIvInit as _, KeyIvInit as _};
use des::TdesEde3;
use pbkdf2::pbkdf2_hmac;
use rc2::Rc2;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};

use super::der::{Der, OCTETS, OID, SEQUENCE};

/// Nobody's store asks for more; a number in a file must not keep the server busy for minutes.
const ROUNDS_MAX: u32 = 5_000_000;
const SALT_BYTES_MAX: usize = 1024;

/// `1.2.840.113549.1`, under which most of these are.
macro_rules! rsadsi {
    ($($arc:literal),+) => { [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, $($arc),+] };
}
pub(super) use rsadsi;

/// Decrypts by the contents of an `AlgorithmIdentifier`. `None`: an algorithm that is not known, or a
/// wrong password.
pub(super) fn decrypt(algorithm: &[u8], data: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut algorithm = Der(algorithm);
    let kind = algorithm.expect(OID)?.contents;
    let parameters = algorithm.inside(SEQUENCE)?;
    match kind {
        rsadsi!(1, 5, 13) => pbes2(parameters, data, password),
        rsadsi!(1, 12, 1, 3) => {
            let (key, iv) = pbes1::<24>(parameters, password)?;
            unpad(data, |buffer| {
                Decryptor::<TdesEde3>::new_from_slices(&key, &iv)
                    .ok()?
                    .decrypt_padded::<Pkcs7>(buffer)
                    .ok()
            })
        }
        rsadsi!(1, 12, 1, 5) => rc2::<16>(parameters, data, password),
        rsadsi!(1, 12, 1, 6) => rc2::<5>(parameters, data, password),
        _ => None,
    }
}

fn unpad(data: &[u8], decrypt: impl FnOnce(&mut [u8]) -> Option<&[u8]>) -> Option<Vec<u8>> {
    let mut buffer = data.to_vec();
    decrypt(&mut buffer).map(<[u8]>::to_vec)
}

fn rc2<const KEY: usize>(parameters: Der<'_>, data: &[u8], password: &str) -> Option<Vec<u8>> {
    let (key, iv) = pbes1::<KEY>(parameters, password)?;
    let cipher = Rc2::new_with_eff_key_len(&key, KEY * 8);
    unpad(data, |buffer| {
        let decryptor = Decryptor::<Rc2>::inner_iv_slice_init(cipher, &iv).ok()?;
        decryptor.decrypt_padded::<Pkcs7>(buffer).ok()
    })
}

fn pbes1<const KEY: usize>(
    mut parameters: Der<'_>,
    password: &str,
) -> Option<([u8; KEY], [u8; 8])> {
    let salt = parameters.expect(OCTETS)?.contents;
    let rounds = parameters.number()?;
    let (mut key, mut iv) = ([0; KEY], [0; 8]);
    derive::<Sha1>(KEY_PURPOSE, password, salt, rounds, &mut key)?;
    derive::<Sha1>(IV_PURPOSE, password, salt, rounds, &mut iv)?;
    Some((key, iv))
}

const KEY_PURPOSE: u8 = 1;
const IV_PURPOSE: u8 = 2;
pub(super) const MAC_PURPOSE: u8 = 3;

/// The key derivation of RFC 7292, appendix B.2. `None`: too costly.
pub(super) fn derive<D: Digest + sha1::digest::common::BlockSizeUser>(
    purpose: u8,
    password: &str,
    salt: &[u8],
    rounds: u32,
    key: &mut [u8],
) -> Option<()> {
    if rounds == 0 || rounds > ROUNDS_MAX || salt.len() > SALT_BYTES_MAX {
        return None;
    }
    let block = D::block_size();
    let mut wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    wide.extend([0, 0]);
    let fill = |text: &[u8]| -> Vec<u8> {
        text.iter().copied().cycle().take(text.len().div_ceil(block) * block).collect()
    };
    let mut input = [fill(salt), fill(&wide)].concat();
    for part in key.chunks_mut(<D as Digest>::output_size()) {
        let mut hash = D::new().chain_update(vec![purpose; block]).chain_update(&input).finalize();
        for _ in 1..rounds {
            hash = D::digest(&hash);
        }
        part.copy_from_slice(&hash[..part.len()]);
        // Each block of the input grows by the hash, repeated, plus one.
        for chunk in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (at, byte) in chunk.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(hash[at % hash.len()]) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
    }
    Some(())
}

fn pbes2(mut parameters: Der<'_>, data: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut derivation = parameters.inside(SEQUENCE)?;
    let mut scheme = parameters.inside(SEQUENCE)?;
    if derivation.expect(OID)?.contents != rsadsi!(1, 5, 12) {
        return None;
    }
    let mut derivation = derivation.inside(SEQUENCE)?;
    let salt = derivation.expect(OCTETS)?.contents;
    let rounds = derivation.number()?;
    if rounds > ROUNDS_MAX || salt.len() > SALT_BYTES_MAX {
        return None;
    }
    derivation.optional(super::der::INTEGER); // the key's length, which the cipher says as well
    let function = match derivation.inside(SEQUENCE) {
        Some(mut function) => function.expect(OID)?.contents,
        None => &rsadsi!(2, 7),
    };
    let hash = |key: &mut [u8]| {
        let password = password.as_bytes();
        match function {
            rsadsi!(2, 7) => pbkdf2_hmac::<Sha1>(password, salt, rounds, key),
            rsadsi!(2, 9) => pbkdf2_hmac::<Sha256>(password, salt, rounds, key),
            rsadsi!(2, 10) => pbkdf2_hmac::<Sha384>(password, salt, rounds, key),
            rsadsi!(2, 11) => pbkdf2_hmac::<Sha512>(password, salt, rounds, key),
            _ => return None,
        }
        Some(())
    };
    let cipher = scheme.expect(OID)?.contents;
    let iv = scheme.expect(OCTETS)?.contents;
    macro_rules! decrypted {
        ($cipher:ty, $bytes:literal) => {{
            let mut key = [0; $bytes];
            hash(&mut key)?;
            unpad(data, |buffer| {
                let decryptor = Decryptor::<$cipher>::new_from_slices(&key, iv).ok()?;
                decryptor.decrypt_padded::<Pkcs7>(buffer).ok()
            })
        }};
    }
    match cipher {
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2] => decrypted!(Aes128, 16),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 22] => decrypted!(Aes192, 24),
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42] => decrypted!(Aes256, 32),
        rsadsi!(3, 7) => decrypted!(TdesEde3, 24),
        _ => None,
    }
}
