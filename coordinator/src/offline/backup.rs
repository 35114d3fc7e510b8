//! The file that `coordinator admin backup` writes: a snapshot, read here to its very end.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::answers::BackupCheck;
use crate::state::{Restore, State};
use crate::store::{SnapshotMeta, SnapshotStream, StreamError};

/// A backup, whole and sound.
pub(super) struct Backup {
    pub meta: SnapshotMeta,
    pub state: State,
    /// Names the content: checksum, chunks, bytes.
    pub fingerprint: (u32, u64, u64),
    pub bytes: u64,
}

/// Reads a backup to its end and says what is in it.
pub fn check_backup(path: &Path) -> Result<BackupCheck, String> {
    let Backup { meta, state, bytes, .. } = read(path)?;
    Ok(BackupCheck {
        sound: true,
        zxid: meta.zxid,
        znodes: state.node_count() as u64,
        ephemerals: state.ephemerals_count() as u64,
        sessions: state.session_count() as u64,
        bytes,
        digest: format!("{:016x}", state.content_digest()),
        ensemble: format!("{:032x}", meta.cluster_id),
    })
}

/// Reads and verifies all of it; `-` is stdin.
pub(super) fn read(path: &Path) -> Result<Backup, String> {
    let stdin = path == Path::new("-");
    let name =
        if stdin { "the backup on stdin".to_owned() } else { format!("`{}`", path.display()) };
    let input: Box<dyn Read> = if stdin {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|e| format!("cannot open {name}: {e}"))?)
    };
    load(BufReader::with_capacity(256 << 10, input)).map_err(|error| match error {
        StreamError::Damage { .. } => {
            format!("{name} {error}; nothing was changed: take another backup, or use an older one")
        }
        other => format!("{name} {other}"),
    })
}

fn load(input: impl Read) -> Result<Backup, StreamError> {
    let mut stream = SnapshotStream::open(input)?;
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while stream.chunk(&mut chunk)? {
        restore.chunk(&chunk).map_err(|e| stream.damage(e.to_string()))?;
    }
    let state = restore.finish().map_err(|e| stream.damage(e.to_string()))?;
    let meta = stream.meta().clone();
    if state.last_zxid() != meta.zxid || state.cluster().cluster_id != meta.cluster_id {
        return Err(stream.damage("its description is not that of its content"));
    }
    let (fingerprint, bytes) = (stream.fingerprint(), stream.offset());
    stream.expect_end()?;
    Ok(Backup { meta, state, fingerprint, bytes })
}
