//! A data directory that begins with a given state, as if a leader had sent its snapshot.
//!
//! Whoever begins an ensemble anew makes sure that nothing of the old one is taken for it: it gets
//! another id, all members get data directories with other names, and its zxids lie above all
//! that clients may have seen. The names of all members stand in the state from the start, so a
//! member that was not given this state counts as one that has lost its data: it follows without a
//! vote until it has caught up.

use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use raft::eraftpb::ConfState;
use sha2::Sha256;

use crate::config::{Config, PeerType};
use crate::state::State;
use crate::store::{
    Disk as _, Identity, Position, RealDisk, SnapshotMeta, SnapshotWriter, StoreError, Wal,
    WalOptions, directory_in,
};

/// An ensemble goes through fewer elections than this while its backups are of use: whatever
/// epoch it came to after one was taken, the next multiple lies above.
const EPOCH_STEP: u64 = 4096;
/// Epochs are the upper half of a positive zxid.
const EPOCH_MAX: u64 = (1 << 31) - 2 * EPOCH_STEP;
/// Slots visited between two looks at the size of a chunk.
const STEP_SLOTS: usize = 8;
const CHUNK_BYTES: usize = 256 << 10;

/// The first epoch of an ensemble that follows one with this term and zxid.
pub(super) fn next_epoch(term: u64, zxid: i64, at_least: u64) -> Result<u64, String> {
    let last = term.max((zxid >> 32) as u64).max(at_least.saturating_sub(1));
    let epoch = (last / EPOCH_STEP + 1) * EPOCH_STEP;
    if epoch > EPOCH_MAX {
        return Err(format!("epoch {epoch} is beyond what a zxid can hold ({EPOCH_MAX})"));
    }
    Ok(epoch)
}

/// Something that only members of the ensemble can compute, alike on all of them.
pub(super) fn derive<const N: usize>(secret: &[u8; 32], parts: &[&[u8]]) -> [u8; N] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    let bytes = mac.finalize().into_bytes();
    bytes[..N].try_into().expect("SHA-256 has 32 bytes")
}

/// Ids of the members by role; of a server alone, its own.
pub(super) fn members(config: &Config) -> (Vec<u64>, Vec<u64>) {
    if config.standalone || config.servers.len() <= 1 {
        return (vec![u64::from(config.id)], Vec::new());
    }
    let of = |role: PeerType| {
        let ids = config.servers.iter().filter(move |(_, s)| s.role == role);
        ids.map(|(&id, _)| u64::from(id)).collect::<Vec<_>>()
    };
    (of(PeerType::Participant), of(PeerType::Observer))
}

/// The directories of data and log, or why they must not be written to.
pub(super) fn directories(config: &Config) -> Vec<PathBuf> {
    let mut directories = vec![directory_in(&config.data_dir)];
    if config.data_log_dir != config.data_dir {
        directories.push(directory_in(&config.data_log_dir));
    }
    directories
}

/// What stands in a directory, apart from what an empty one has too.
pub(super) fn occupied(directory: &Path) -> Option<String> {
    let entries = std::fs::read_dir(directory).ok()?;
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let fleeting = |name: &str| {
        let extension = Path::new(name).extension();
        name == "lock" || extension.is_some_and(|e| e == "sock" || e == "tmp")
    };
    names.retain(|name| !fleeting(name));
    names.sort();
    names.into_iter().next()
}

/// Moves a directory aside, under the first free name; a running server keeps it.
pub(super) fn move_aside(directory: &Path) -> Result<PathBuf, String> {
    // A server that runs here holds the lock, also when it has been moved.
    let lock = RealDisk::open(directory).map_err(|e| e.to_string())?;
    let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = (1..=u32::MAX)
        .map(|n| directory.with_file_name(format!("{name}.replaced-{n}")))
        .find(|path| !path.exists())
        .expect("numbers do not end");
    std::fs::rename(directory, &aside)
        .map_err(|e| format!("cannot move {} to {}: {e}", directory.display(), aside.display()))?;
    drop(lock);
    Ok(aside)
}

/// Writes the data directory of a member. The snapshot gets its name last: after a crash before
/// that the directory is refused as one that has lost its snapshot.
pub(super) fn write(
    config: &Config,
    state: &mut State,
    position: Position,
    conf_state: ConfState,
    incarnation: u128,
) -> Result<(), String> {
    let written = || -> Result<(), StoreError> {
        let disk = RealDisk::open(&directory_in(&config.data_dir))?;
        let log_disk = if config.data_log_dir == config.data_dir {
            disk.clone()
        } else {
            RealDisk::open(&directory_in(&config.data_log_dir))?
        };
        let cluster_id = state.cluster().cluster_id;
        let zxid = state.last_zxid();
        let Position { index, term } = position;
        let meta = SnapshotMeta { index, term, conf_state, zxid, cluster_id };
        let mut writer = SnapshotWriter::create(disk.clone(), &meta)?;
        chunks(state, |chunk| writer.chunk(chunk))?;
        let options = WalOptions::new(incarnation as u64);
        let (mut wal, _) = Wal::open(log_disk, options, Position::default())?;
        wal.reset(position)?;
        Identity { myid: config.id, cluster_id, incarnation }.write(&disk)?;
        writer.finish()?;
        disk.sync_dir().map_err(|source| StoreError::Io {
            doing: "syncing",
            path: disk.path(""),
            source,
        })
    };
    written().map_err(|e| e.to_string())?;
    for directory in directories(config) {
        give_to_owner(&directory)?;
    }
    Ok(())
}

/// The chunks of the state's snapshot, one after the other.
pub(super) fn chunks<E>(
    state: &mut State,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    state.snapshot_begin();
    let mut chunk = Vec::new();
    loop {
        let done = state.snapshot_step(STEP_SLOTS, &mut chunk);
        if done || chunk.len() >= CHUNK_BYTES {
            take(&chunk)?;
            chunk.clear();
        }
        if done {
            return Ok(());
        }
    }
}

/// What root has made belongs to whom the directory above belongs to: the server's user.
pub(super) fn give_to_owner(directory: &Path) -> Result<(), String> {
    let give = || -> std::io::Result<()> {
        let above = directory.parent().filter(|p| !p.as_os_str().is_empty());
        let owner = std::fs::metadata(above.unwrap_or(Path::new(".")))?;
        let entries = std::fs::read_dir(directory)?.map(|e| e.map(|e| e.path()));
        for path in entries.chain([Ok(directory.to_owned())]) {
            let path = path?;
            let found = std::fs::symlink_metadata(&path)?;
            if (found.uid(), found.gid()) != (owner.uid(), owner.gid()) && found.uid() == 0 {
                // What has become a link in the meantime is not followed.
                lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
            }
        }
        Ok(())
    };
    give().map_err(|e| format!("cannot give {} to its server's user: {e}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_only_grow_and_leave_room_for_elections() {
        assert_eq!(next_epoch(3, 0x0000_0002_0000_004d, 0), Ok(4096));
        assert_eq!(next_epoch(4096, 4095 << 32, 0), Ok(8192));
        assert_eq!(next_epoch(1, 4096 << 32, 0), Ok(8192));
        assert_eq!(next_epoch(1, 1, 8192), Ok(8192));
        assert_eq!(next_epoch(1, 1, 8193), Ok(12288));
        assert!(next_epoch(1 << 31, 1, 0).is_err());
    }
}
