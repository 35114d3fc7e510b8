//! When a host's certificate is due: there is none, it ends soon, or it says something else than the
//! inventory.

use std::fmt;

use coordinator::tls::{Facts, blocks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::certificates::issue::Wanted;

const DAY_S: u64 = 86_400;

/// What is known of the authority where hosts are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Whom hosts believe; PEM.
    pub bundle: String,
    /// Who issues, as its certificate names it.
    pub issuer_name: Vec<u8>,
    pub now_s: u64,
    pub days: u32,
}

/// Why a certificate is issued anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Missing,
    /// What stands there is no certificate.
    Unreadable,
    Expired {
        days_ago: u64,
    },
    /// It holds from a moment that has not come.
    Early,
    Ends {
        days_left: u64,
    },
    /// Another authority has issued it.
    Issuer {
        found: String,
    },
    Subject {
        found: String,
    },
    Names {
        lacks: Vec<String>,
        has: Vec<String>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Unreadable => f.write_str("what is there is no certificate"),
            Self::Expired { days_ago } => write!(f, "expired {days_ago} days ago"),
            Self::Early => f.write_str("it does not hold yet"),
            Self::Ends { days_left } => write!(f, "ends in {days_left} days"),
            Self::Issuer { found } => write!(f, "issued by {found}"),
            Self::Subject { found } => write!(f, "its subject is {found}"),
            Self::Names { lacks, has } => {
                let said = |word, names: &[String]| match names {
                    [] => None,
                    names => Some(format!("{word} {}", names.join(", "))),
                };
                let said = [said("lacks", lacks), said("should not name", has)];
                f.write_str(&said.into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// The first certificate of a PEM text.
pub fn first(text: &str) -> Option<Facts> {
    Facts::of(blocks(text, "CERTIFICATE").first()?)
}

/// Whole days until it ends; `None` when it has.
pub fn days_left(facts: &Facts, now_s: u64) -> Option<u64> {
    facts.not_after.checked_sub(now_s).map(|left| left / DAY_S)
}

/// Whether so little of its life is left that it is renewed: a third.
pub fn ends_soon(facts: &Facts, now_s: u64) -> bool {
    let life = facts.not_after.saturating_sub(facts.not_before);
    facts.not_after.saturating_sub(now_s) < life / 3
}

/// Why what stands on a host is not good enough; `found` is the PEM there, if any.
pub fn due(wanted: &Wanted, trust: &Trust, found: Option<&str>) -> Option<Why> {
    let Some(text) = found.filter(|text| !text.trim().is_empty()) else {
        return Some(Why::Missing);
    };
    let Some(facts) = first(text) else { return Some(Why::Unreadable) };
    if trust.now_s > facts.not_after {
        return Some(Why::Expired { days_ago: (trust.now_s - facts.not_after) / DAY_S });
    }
    if trust.now_s < facts.not_before {
        return Some(Why::Early);
    }
    if facts.issuer_name != trust.issuer_name {
        return Some(Why::Issuer { found: facts.issuer });
    }
    if facts.subject != wanted.subject() {
        return Some(Why::Subject { found: facts.subject });
    }
    let lacks: Vec<String> = beyond(&wanted.names, &facts.names);
    let has: Vec<String> = beyond(&facts.names, &wanted.names);
    if !lacks.is_empty() || !has.is_empty() {
        return Some(Why::Names { lacks, has });
    }
    ends_soon(&facts, trust.now_s)
        .then(|| Why::Ends { days_left: days_left(&facts, trust.now_s).unwrap_or(0) })
}

fn beyond(these: &[String], those: &[String]) -> Vec<String> {
    these.iter().filter(|name| !those.contains(name)).cloned().collect()
}
