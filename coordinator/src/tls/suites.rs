//! Protocols and cipher suites by the names that Java gives them.

use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

/// What can be offered, by Java's names.
pub const PROTOCOLS: [(&str, &SupportedProtocolVersion); 2] =
    [("TLSv1.2", &version::TLS12), ("TLSv1.3", &version::TLS13)];

const NAMES: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// All that there are. Needs no feature of the CPU.
pub fn all_suites() -> Vec<SupportedCipherSuite> {
    rustls_graviola::suites::ALL_CIPHER_SUITES.to_vec()
}

/// Of a list of Java's names, those that can be offered, and the names of the others.
pub fn suites<'a>(
    names: impl Iterator<Item = &'a str>,
    all: &[SupportedCipherSuite],
) -> (Vec<SupportedCipherSuite>, Vec<&'a str>) {
    let (mut offered, mut others) = (Vec::new(), Vec::new());
    for name in names {
        let known = NAMES.iter().find(|(java, _)| java.eq_ignore_ascii_case(name));
        let suite =
            known.and_then(|(_, suite)| all.iter().find(|offered| offered.suite() == *suite));
        match suite {
            Some(suite) => offered.push(*suite),
            None => others.push(name),
        }
    }
    (offered, others)
}
