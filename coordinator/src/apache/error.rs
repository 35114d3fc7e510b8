//! Why a file of Apache ZooKeeper's was not read: which, where, and what stands there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Nothing is made of a file that gives one of these.
#[derive(Debug)]
pub enum ReadError {
    /// The system did not give the bytes.
    Io { path: PathBuf, source: io::Error },
    /// The bytes are not what Apache ZooKeeper writes.
    Damage { path: PathBuf, offset: u64, what: String },
}

impl ReadError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn damage(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damage { path: path.to_owned(), offset, what: what.into() }
    }

    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damage { .. })
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Damage { path, offset, what } => {
                write!(f, "{} is damaged at offset {offset}: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for ReadError {}
