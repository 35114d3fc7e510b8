//! What stands on disk: identity of the data directory, write-ahead log, snapshots.
//!
//! The promises, in the order in which the rest of the server leans on them:
//!
//! 1. What was appended before a [`Wal::sync`] that returned `Ok` is there after any crash.
//! 2. What was appended after it may be there in part after a crash; recovery keeps a prefix of
//!    whole appends and cuts the rest (a torn tail).
//! 3. Damage to anything covered by promise 1 is refused, naming file and offset. A log never
//!    comes back with a hole in it.
//! 4. A snapshot exists whole under its final name or not at all.
//! 5. After a failed write or fsync the log takes nothing more: the caller stops the server.
//!
//! Everything goes through the [`Disk`] trait, so that [`FaultyDisk`] can tear, lose, rot and
//! fill up under the same code. The bytes are described in `docs/disk.md`.

use std::path::{Path, PathBuf};

mod check;
mod direct;
mod disk;
mod error;
mod faulty;
mod identity;
mod record;
mod scan;
mod snapshot;
mod snapshot_stream;
mod wal;

pub use check::{Report, check};
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::StoreError;
pub use faulty::{CrashModel, FaultyDisk, FaultyFile};
pub use identity::Identity;
pub use record::Position;
pub use snapshot::{
    SnapshotMeta, SnapshotReader, SnapshotWriter, list_snapshots, newest_snapshot, purge_snapshots,
};
pub use snapshot_stream::{SnapshotStream, StreamError};
pub use wal::{Recovered, ScannedLog, Wal, WalOptions, prepare_spare, remove_segments};

/// Version of everything in a data directory; raised when older code could misread it.
pub const FORMAT_VERSION: u32 = 1;

/// Where the files stand below `dataDir` or `dataLogDir`. A path that is already this directory
/// is taken as it is.
pub fn directory_in(configured: &Path) -> PathBuf {
    const NAME: &str = "coordinator";
    let below = configured.join(NAME);
    if configured.ends_with(NAME) && !below.exists() { configured.into() } else { below }
}

/// Removes what an interrupted run left half made. Called once, under the directory's lock.
pub fn remove_partial<D: Disk>(disk: &D) -> Result<(), StoreError> {
    for name in disk.list().map_err(|e| StoreError::io("listing", disk, "", e))? {
        if name.strip_suffix(".tmp").is_some() {
            disk.remove(&name).map_err(|e| StoreError::io("removing", disk, &name, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
