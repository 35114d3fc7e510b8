//! From a data directory to what a node starts from: the newest readable snapshot and the log
//! behind it.

use std::time::Duration;

use crate::node::feature::LEVEL;
use crate::node::{Level, Recovered, SnapshotPoint};
use crate::state::{Restore, State};
use crate::store::{
    Disk, Identity, Position, ScannedLog, SnapshotMeta, SnapshotReader, StoreError, Wal,
    WalOptions, newest_snapshot, remove_partial,
};

/// The snapshot that was read, and the errors of damaged ones that were passed over.
pub type Newest = (Option<(SnapshotMeta, State)>, Vec<StoreError>);

/// Both halves of a data directory.
pub type Halves = (Result<Newest, StoreError>, Result<ScannedLog, StoreError>);

/// Why a server cannot start from its data directory.
#[derive(Debug)]
pub enum RecoverError {
    Store(StoreError),
    /// There are snapshots, and none can be read.
    NoSnapshot(StoreError),
    /// A later release has used this directory.
    Newer(u16),
}

impl RecoverError {
    /// The files are damaged; reading them again will not help.
    pub fn is_damage(&self) -> bool {
        match self {
            RecoverError::Store(error) => error.is_damage(),
            RecoverError::NoSnapshot(_) => true,
            RecoverError::Newer(_) => false,
        }
    }
}

impl From<StoreError> for RecoverError {
    fn from(error: StoreError) -> Self {
        RecoverError::Store(error)
    }
}

impl std::fmt::Display for RecoverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecoverError::Store(error) => error.fmt(f),
            RecoverError::NoSnapshot(error) => write!(
                f,
                "no snapshot can be read: {error}; restore the file from a backup, or empty the \
                 data directory so that the other members bring this one up to date"
            ),
            RecoverError::Newer(level) => write!(
                f,
                "the data directory is of an ensemble of feature level {level}, and this release \
                 knows level {LEVEL}: start the release that the other members run \
                 (docs/compatibility.md)"
            ),
        }
    }
}

/// Takes possession of a data directory: removes what an interrupted run left half made, and
/// reads or draws its identity.
pub fn claim<D: Disk>(disk: &D, id: u8, incarnation: u128) -> Result<Identity, StoreError> {
    remove_partial(disk)?;
    Identity::open_or_create(disk, id, incarnation)
}

/// Reads both halves one after the other.
pub fn read_halves<D: Disk>(disk: &D, log_disk: &D, options: &WalOptions) -> Halves {
    (newest_snapshot(disk, read_state), Wal::scan(log_disk, options))
}

/// Builds the state from a snapshot's chunks.
fn read_state<D: Disk>(reader: &mut SnapshotReader<D>) -> Result<State, StoreError> {
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        restore.chunk(&chunk).map_err(|e| reader.damage(format!("{e:?}")))?;
    }
    restore.finish().map_err(|e| reader.damage(format!("{e:?}")))
}

/// What the node starts from, and the log that goes on behind it. `read` is [`read_halves`], or
/// does the same with threads. Says on `log` what it found.
pub fn recover<D: Disk>(
    disk: &D,
    log_disk: &D,
    options: &WalOptions,
    read: impl FnOnce(&D, &D, &WalOptions) -> Halves,
    clock: impl Fn() -> Duration,
    mut log: impl FnMut(Level, &str),
) -> Result<(Recovered, Wal<D>), RecoverError> {
    let start = clock();
    let (newest, scanned) = read(disk, log_disk, options);
    let (snapshot, damaged) = newest?;
    for error in &damaged {
        log(Level::Error, &format!("skipping a damaged snapshot: {error}"));
    }
    let (point, state) = match (snapshot, damaged.into_iter().next()) {
        (Some((meta, state)), _) => (SnapshotPoint::from(meta), state),
        (None, Some(error)) => return Err(RecoverError::NoSnapshot(error)),
        (None, None) => (SnapshotPoint::default(), State::new()),
    };
    if state.cluster().level > LEVEL {
        return Err(RecoverError::Newer(state.cluster().level));
    }
    let position = Position { index: point.index, term: point.term };
    let (wal, found) = Wal::open_scanned(log_disk.clone(), options.clone(), position, scanned?)?;
    if let Some(cut) = &found.cut {
        log(
            Level::Info,
            &format!(
                "cut {} bytes of an unacknowledged write at offset {} of {}",
                cut.bytes, cut.offset, cut.path
            ),
        );
    }
    log(
        Level::Info,
        &format!(
            "read the snapshot of index {} and {} entries behind it in {} ms",
            point.index,
            found.entries.len(),
            clock().saturating_sub(start).as_millis()
        ),
    );
    let recovered =
        Recovered { snapshot: point, state, hard_state: found.hard_state, entries: found.entries };
    Ok((recovered, wal))
}

impl From<SnapshotMeta> for SnapshotPoint {
    fn from(meta: SnapshotMeta) -> Self {
        SnapshotPoint { index: meta.index, term: meta.term, conf_state: meta.conf_state }
    }
}
