//! A certificate authority: its key, its certificate, and whom its ensemble trusts beside it. One that
//! zkprov makes has a key of P-256; one that is given may have RSA or P-384 as well.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use coordinator::tls::encode::{element, oid, pem, sequence};
use coordinator::tls::request::ECDSA_SHA256;
use coordinator::tls::{Facts, blocks};

use crate::failure::Failure;

/// `ecdsa-with-SHA384`
const ECDSA_SHA384: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
/// `sha256WithRSAEncryption`
const RSA_SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
/// Certificates of a file; a bundle has a handful.
const CERTIFICATES_MAX: usize = 64;

/// What signs.
pub enum Signer {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// From a key in PEM: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub fn read(text: &str) -> Result<Self, String> {
        let labels = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
        let Some(der) = labels.iter().find_map(|label| blocks(text, label).into_iter().next())
        else {
            return Err(if text.contains("ENCRYPTED") {
                "the key is encrypted; zkprov asks for no password: keep it decrypted where only you can read it"
                    .into()
            } else {
                "there is no private key in PEM".into()
            });
        };
        let ecdsa = |algorithm| EcdsaKeyPair::from_private_key_der(algorithm, &der);
        if let Ok(key) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING) {
            return Ok(Self::P384(key));
        }
        let key = rsa::KeyPair::from_pkcs8(&der).or_else(|_| rsa::KeyPair::from_der(&der));
        match key {
            Ok(key) => Ok(Self::Rsa(Box::new(key))),
            Err(_) => {
                Err("the key is neither ECDSA (P-256, P-384) nor RSA of 2048 bits or more".into())
            }
        }
    }

    /// A new one, with its key in PEM.
    pub fn generate() -> Result<(Self, String), Failure> {
        let failed = |_| Failure::failed("the system gives no random numbers for a key");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
        let document = key.to_pkcs8v1().map_err(failed)?;
        let text = pem("PRIVATE KEY", document.as_ref());
        Ok((Self::P256(key), text))
    }

    /// As it stands in a certificate behind the algorithm.
    pub fn public(&self) -> &[u8] {
        match self {
            Self::P256(key) | Self::P384(key) => key.public_key().as_ref(),
            Self::Rsa(key) => key.public_key().as_ref(),
        }
    }

    /// The algorithm's identifier, whole.
    pub fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::P256(_) => sequence(&[&oid(&ECDSA_SHA256)]),
            Self::P384(_) => sequence(&[&oid(&ECDSA_SHA384)]),
            Self::Rsa(_) => sequence(&[&oid(&RSA_SHA256), &element(5, &[])]),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let random = SystemRandom::new();
        let signed = match self {
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let done = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                done.map(|()| signature)
            }
        };
        signed.map_err(|_| Failure::failed("the authority's key could not sign"))
    }

    /// Whether its key signed this.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self {
            Self::P256(_) => &ECDSA_P256_SHA256_ASN1,
            Self::P384(_) => &ECDSA_P384_SHA384_ASN1,
            Self::Rsa(_) => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, self.public()).verify(message, signature).is_ok()
    }
}

/// Who issues, and whom hosts believe.
#[derive(Debug)]
pub struct Authority {
    pub signer: Signer,
    /// Of the certificate that belongs to the key.
    pub facts: Facts,
    /// That certificate and those above it, but for the last one, which everybody has.
    pub chain: Vec<Vec<u8>>,
    /// Everything that is trusted; PEM.
    pub trusted: String,
}

impl Authority {
    /// From its key, its certificate (and those above it, in any order behind it), and what else is
    /// trusted while one authority follows another; all PEM.
    pub fn read(key: &str, certificates: &str, beside: &str) -> Result<Self, String> {
        let signer = Signer::read(key)?;
        let all = blocks(certificates, "CERTIFICATE");
        let Some(first) = all.first() else {
            return Err("there is no certificate in PEM".into());
        };
        if all.len() > CERTIFICATES_MAX {
            return Err(format!("there are more than {CERTIFICATES_MAX} certificates"));
        }
        let facts = Facts::of(first).ok_or("its first certificate cannot be read")?;
        if !facts.key_info.ends_with(signer.public()) {
            return Err("the key does not belong to the first certificate".into());
        }
        if !facts.may_issue {
            return Err(
                "its certificate is no authority's: it lacks CA:TRUE, or keyCertSign".into()
            );
        }
        let root = |der: &&Vec<u8>| {
            Facts::of(der).is_some_and(|facts| facts.subject_name == facts.issuer_name)
        };
        let chain = all.iter().filter(|der| !root(der)).cloned().collect();
        let mut trusted = String::new();
        for der in all.iter().chain(&blocks(beside, "CERTIFICATE")) {
            let text = pem("CERTIFICATE", der);
            if !trusted.contains(&text) {
                trusted.push_str(&text);
            }
        }
        Ok(Self { signer, facts, chain, trusted })
    }

    /// Whether it has issued this certificate.
    pub fn issued(&self, facts: &Facts) -> bool {
        facts.issuer_name == self.facts.subject_name
            && self.signer.verifies(&facts.signed, &facts.signature)
    }
}
