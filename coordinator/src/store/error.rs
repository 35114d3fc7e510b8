//! What can go wrong on disk, said for the person who has to act on it.

use std::{fmt, io};

use super::disk::Disk;

#[derive(Debug)]
pub enum StoreError {
    /// The operating system refused; `doing` is a verb: "writing", "syncing".
    Io { doing: &'static str, path: String, source: io::Error },
    /// Bytes that were durable are not what was written.
    Damage { path: String, offset: u64, what: String },
    /// Written by a newer coordinator.
    Version { path: String, found: u32 },
    /// The directory belongs to another member.
    Identity { path: String, what: String },
    /// Another process holds the directory's lock.
    Locked { path: String },
    /// More at once than a reader would take.
    TooLarge { what: &'static str, bytes: u64 },
    /// Entries that do not follow what is in the log.
    Gap { last: u64, next: u64 },
    /// An earlier write or fsync failed; what the log holds past it is unknown.
    Poisoned,
}

impl StoreError {
    pub(super) fn io<D: Disk>(
        doing: &'static str,
        disk: &D,
        name: &str,
        source: io::Error,
    ) -> StoreError {
        StoreError::Io { doing, path: disk.path(name), source }
    }

    pub(super) fn damage<D: Disk>(
        disk: &D,
        name: &str,
        offset: u64,
        what: impl Into<String>,
    ) -> StoreError {
        StoreError::Damage { path: disk.path(name), offset, what: what.into() }
    }

    /// No space left (or quota used up): the one I/O error an operator can end without repair.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }

    /// The bytes are wrong, as opposed to unreadable for now.
    pub fn is_damage(&self) -> bool {
        matches!(self, StoreError::Damage { .. })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io { doing, path, source } if self.is_full() => write!(
                f,
                "{doing} `{path}`: {source}; nothing acknowledged is lost: free space on that \
                 filesystem and start again"
            ),
            StoreError::Io { doing, path, source } => write!(f, "{doing} `{path}`: {source}"),
            StoreError::Damage { path, offset, what } => write!(
                f,
                "`{path}` is damaged at offset {offset}: {what}; with a majority of the other \
                 members up, move this data directory away and start empty: the member catches up \
                 from them"
            ),
            StoreError::Version { path, found } => write!(
                f,
                "`{path}` has format version {found}, this coordinator knows up to {}: run the \
                 newer coordinator that wrote it",
                super::FORMAT_VERSION
            ),
            StoreError::Identity { path, what } => write!(f, "`{path}`: {what}"),
            StoreError::Locked { path } => {
                write!(f, "`{path}` is locked: another coordinator runs on this data directory")
            }
            StoreError::TooLarge { what, bytes } => write!(
                f,
                "{what} of {bytes} bytes is more than a reader takes at once: nothing was written"
            ),
            StoreError::Gap { last, next } => write!(
                f,
                "entry {next} does not follow entry {last}, the last one of the log: nothing was \
                 written"
            ),
            StoreError::Poisoned => {
                write!(f, "the log takes nothing more after a failed write or fsync")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
