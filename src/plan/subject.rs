//! What a step is about: the identity of a resource, by which plans and steps name it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Group(String),
    User(String),
    /// What swaps at this moment.
    Swap,
    SwapUnits,
    Zram,
    /// The swap lines of `/etc/fstab`.
    Fstab,
    Sysctl,
    Directory(String),
    Archive(String),
    Symlink(String),
    File(String),
    Binary(String),
    OldBinaries,
    Unit(String),
    /// A host's own key, and the request for its certificate; of the store it is made for.
    Key(String),
    Certificate(String),
}

/// All kinds, for `--only` and the help.
pub const KINDS: [&str; 12] = [
    "group",
    "user",
    "swap",
    "fstab",
    "sysctl",
    "directory",
    "archive",
    "symlink",
    "file",
    "binary",
    "certificate",
    "service",
];

impl Subject {
    /// Its kind, as `--only` names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::User(_) => "user",
            Self::Swap | Self::SwapUnits | Self::Zram => "swap",
            Self::Fstab => "fstab",
            Self::Sysctl => "sysctl",
            Self::Directory(_) => "directory",
            Self::Archive(_) => "archive",
            Self::Symlink(_) => "symlink",
            Self::File(_) => "file",
            Self::Binary(_) | Self::OldBinaries => "binary",
            Self::Unit(_) => "service",
            Self::Key(_) | Self::Certificate(_) => "certificate",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name)
            | Self::User(name)
            | Self::Directory(name)
            | Self::Archive(name)
            | Self::Symlink(name)
            | Self::File(name)
            | Self::Binary(name)
            | Self::Certificate(name)
            | Self::Unit(name) => write!(f, "{} {name}", self.kind()),
            Self::Key(store) => write!(f, "key for {store}"),
            Self::Swap => f.write_str("swap now"),
            Self::SwapUnits => f.write_str("swap units"),
            Self::Zram => f.write_str("swap zram-generator"),
            Self::Fstab => f.write_str("fstab swap lines"),
            Self::Sysctl => f.write_str("sysctl values"),
            Self::OldBinaries => f.write_str("binary older ones"),
        }
    }
}
