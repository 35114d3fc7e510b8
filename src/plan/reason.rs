//! Why a change is made. Code decides by the variant; people read its `Display`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::certificates::Why;
use crate::plan::operation::Access;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NoSuchGroup,
    NoSuchUser,
    SwapInUse(Vec<String>),
    /// Units that would bring swap back.
    SwapUnits(Vec<String>),
    ZramConfigured,
    /// Numbers of lines of `/etc/fstab`.
    SwapLines(Vec<usize>),
    Settings(Vec<Setting>),
    Missing {
        wanted: Access,
    },
    Access {
        found: Access,
        wanted: Access,
    },
    Content {
        added: usize,
        removed: usize,
    },
    Secret,
    /// Why a certificate is issued anew.
    Certificate(Why),
    /// Each certificate has a key of its own.
    NewKey,
    LinkMissing {
        target: String,
    },
    LinkTarget {
        found: String,
        target: String,
    },
    InTheWay {
        directory: bool,
        aside: String,
        target: String,
    },
    Release {
        found: Found,
        bytes: Option<u64>,
        by_host: bool,
    },
    Binary {
        found: FoundBinary,
        bytes: u64,
    },
    /// Neither the wanted binary nor the one before it.
    OldBinaries(Vec<String>),
    NotEnabled,
    UnitFilesChanged,
    NotRunning,
    Failed {
        result: String,
    },
    /// systemd starts it again and again.
    Crashing {
        times: u32,
        result: String,
    },
    Stale(Stale),
    FirstStart,
    /// A rollback: the file, the link or the secret before the last change.
    Previous,
    PreviousLink {
        from: Option<String>,
        to: String,
    },
    PreviousSecret,
    /// Another installation's file is kept aside first.
    TakenOver {
        reason: Box<Reason>,
        aside: String,
    },
}

/// A kernel setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    pub key: String,
    pub now: u64,
    pub wanted: u64,
}

/// What stands where a release goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    Nothing,
    /// A release whose digest is another one.
    OtherDigest {
        aside: String,
    },
    /// A folder that zkprov did not make.
    NoStamp {
        aside: String,
    },
}

/// What stands where the coordinator's binary goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundBinary {
    Nothing,
    Damaged { sha256: String },
    Access { owner: String, mode: String },
}

/// Why a process must be restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// This very plan changes what it reads.
    Pending(Vec<String>),
    /// It runs another binary.
    Binary(String),
    /// A file on disk is younger than the process.
    Older(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchGroup => f.write_str("no such group"),
            Self::NoSuchUser => f.write_str("no such user"),
            Self::SwapInUse(areas) => write!(f, "in use: {}", areas.join(", ")),
            Self::SwapUnits(units) => write!(f, "active after a boot: {}", units.join(", ")),
            Self::ZramConfigured => f.write_str("the generator makes swap in memory at boot"),
            Self::SwapLines(lines) => {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                write!(f, "active after a boot: line {}", lines.join(", "))
            }
            Self::Settings(settings) => {
                let settings: Vec<String> = settings
                    .iter()
                    .map(|s| format!("{} {} -> {}", s.key, s.now, s.wanted))
                    .collect();
                f.write_str(&settings.join(", "))
            }
            Self::Missing { wanted } => write!(f, "missing; {wanted}"),
            Self::Access { found, wanted } => write!(f, "{found} -> {wanted}"),
            Self::Content { added: 0, removed: 0 } => f.write_str("order or blanks differ"),
            Self::Content { added, removed } => write!(f, "+{added} -{removed} lines"),
            Self::Secret => f.write_str("content differs (secret)"),
            Self::Certificate(why) => write!(f, "{why}"),
            Self::NewKey => f.write_str("made by the host; it never leaves it"),
            Self::LinkMissing { target } => write!(f, "missing; -> {target}"),
            Self::LinkTarget { found, target } => write!(f, "{found} -> {target}"),
            Self::InTheWay { directory, aside, target } => {
                let what = if *directory { "a directory" } else { "a file" };
                write!(f, "is {what}: kept as {aside}; -> {target}")
            }
            Self::Release { found, bytes, by_host } => {
                match found {
                    Found::Nothing => f.write_str("missing")?,
                    Found::OtherDigest { aside } => write!(f, "another digest: kept as {aside}")?,
                    Found::NoStamp { aside } => write!(f, "no stamp: kept as {aside}")?,
                }
                if *by_host {
                    return f.write_str("; downloaded by the host");
                }
                bytes.map_or(Ok(()), |bytes| write!(f, "; {:.1} MB", bytes as f64 / 1e6))
            }
            Self::Binary { found, bytes } => {
                match found {
                    FoundBinary::Nothing => f.write_str("missing")?,
                    FoundBinary::Damaged { sha256 } => {
                        write!(f, "damaged: its digest is {sha256}")?;
                    }
                    FoundBinary::Access { owner, mode } => write!(f, "{owner} {mode}")?,
                }
                write!(f, "; {:.1} MB", *bytes as f64 / 1e6)
            }
            Self::OldBinaries(names) => {
                write!(f, "neither this one nor the one before: {}", names.join(", "))
            }
            Self::NotEnabled => f.write_str("not enabled"),
            Self::UnitFilesChanged => f.write_str("unit files changed"),
            Self::NotRunning => f.write_str("not running"),
            Self::Failed { result } => write!(f, "failed ({result})"),
            Self::Crashing { times, result } => {
                write!(f, "crash loop: {times} restarts, {result}")
            }
            Self::Stale(stale) => write!(f, "{stale}"),
            Self::FirstStart => f.write_str("first start of a new ensemble: no host holds data"),
            Self::Previous => f.write_str("the version before the last change"),
            Self::PreviousLink { from, to } => {
                write!(f, "from {} to {to}", from.as_deref().unwrap_or("nothing"))
            }
            Self::TakenOver { reason, aside } => {
                write!(f, "{reason}; what is there is kept as {aside}")
            }
            Self::PreviousSecret => f.write_str("the secret before the last change"),
        }
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(subjects) => {
                write!(f, "the running process predates {}", subjects.join(", "))
            }
            Self::Binary(exe) => write!(f, "the running process is {exe}"),
            Self::Older(path) => write!(f, "the running process predates {path}"),
        }
    }
}
