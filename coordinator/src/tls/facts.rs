//! What people and programs ask of a certificate: whose it is, who issued it, until when, for which names.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::certificate::{Certificate, Name};
use super::subject;

/// Of one certificate, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// As RFC 2253 writes them.
    pub subject: String,
    pub issuer: String,
    /// The whole `Name`s, to be compared and copied byte by byte.
    pub subject_name: Vec<u8>,
    pub issuer_name: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: u64,
    pub not_after: u64,
    /// DNS names as they stand, addresses as people write them.
    pub names: Vec<String>,
    /// The key with its algorithm, whole.
    pub key_info: Vec<u8>,
    /// `subjectKeyIdentifier`, where there is one.
    pub key_id: Option<Vec<u8>>,
    /// What is signed, and by what.
    pub signed: Vec<u8>,
    pub signature: Vec<u8>,
    pub may_issue: bool,
}

impl Facts {
    /// `None` when it is no certificate.
    pub fn of(der: &[u8]) -> Option<Facts> {
        let parsed = Certificate::parse(der)?;
        let names = parsed.names().into_iter().filter_map(shown).collect();
        Some(Facts {
            subject: subject::name(parsed.subject)?,
            issuer: subject::name(parsed.issuer)?,
            subject_name: parsed.subject.to_vec(),
            issuer_name: parsed.issuer.to_vec(),
            not_before: parsed.not_before,
            not_after: parsed.not_after,
            names,
            key_info: parsed.key_info.to_vec(),
            key_id: parsed.key_id().map(<[u8]>::to_vec),
            signed: parsed.signed.to_vec(),
            signature: parsed.signature.to_vec(),
            may_issue: parsed.may_issue(),
        })
    }
}

fn shown(name: Name<'_>) -> Option<String> {
    match name {
        Name::Dns(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        Name::Address(bytes) => match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
            _ => None,
        },
    }
}
