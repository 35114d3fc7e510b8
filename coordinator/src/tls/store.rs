//! Key stores and trust stores. Their content says what they are: `keytool` writes PKCS#12 into files
//! that are called `.jks`, and Java reads either.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{jks, pem, pkcs12};

/// What a store holds.
#[derive(Debug, Default)]
pub struct Store {
    /// The first key and its chain, the key's own certificate first.
    pub key: Option<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)>,
    /// Certificates that stand in it by themselves.
    pub trusted: Vec<CertificateDer<'static>>,
}

/// Why a store could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    Malformed(&'static str),
    Password,
    /// The store's own password is right.
    KeyPassword,
    Unknown,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Malformed(what) => write!(f, "the store is damaged: {what}"),
            StoreError::Password => f.write_str("the password is wrong, or the store is damaged"),
            StoreError::KeyPassword => {
                f.write_str("the key has another password than the store, or an unknown cipher")
            }
            StoreError::Unknown => f.write_str("neither JKS nor PKCS#12 nor PEM"),
        }
    }
}

impl Store {
    /// Reads a store of any kind.
    pub fn read(contents: &[u8], password: &str) -> Result<Store, StoreError> {
        match contents {
            [0xfe, 0xed, 0xfe, 0xed, ..] => jks::read(contents, password),
            [0xce, 0xce, 0xce, 0xce, ..] => {
                Err(StoreError::Malformed("JCEKS is not supported, convert it to PKCS#12"))
            }
            [0x30, ..] => pkcs12::read(contents, password),
            _ if contents.windows(11).any(|window| window == b"-----BEGIN ") => {
                pem::read(contents, password)
            }
            _ => Err(StoreError::Unknown),
        }
    }
}
