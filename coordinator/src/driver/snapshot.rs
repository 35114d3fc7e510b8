//! Snapshots on disk: the own ones, written chunk by chunk beside everything else, and those of
//! other members.

use std::time::Duration;

use super::host::Completion;
use crate::state::{Restore, State};
use crate::store::{
    Disk, SnapshotMeta, SnapshotReader, SnapshotWriter, StoreError, list_snapshots, purge_snapshots,
};

/// After each chunk the writer rests this many times as long as writing it took: a snapshot can
/// wait, a write cannot.
const REST_TIMES: u32 = 7;

/// The longest rest: on a disk that is busy with other things a snapshot ends all the same.
const REST_MAX: Duration = Duration::from_millis(100);

/// Synced in steps, so that the log's fsync never queues behind more than this.
const SYNC_BYTES: u64 = 64 << 10;
const HURRIED_SYNC_BYTES: u64 = 4 << 20;

/// Work for the thread that writes snapshots.
pub enum SnapshotWork {
    Begin(SnapshotMeta),
    Chunk {
        bytes: Vec<u8>,
        /// Too much has been written meanwhile to leave the disk to others.
        hurry: bool,
    },
    End,
}

/// Writes the server's own snapshots.
pub struct SnapshotThread<D: Disk> {
    disk: D,
    /// How many snapshots are kept.
    retain: usize,
    writer: Option<(u64, SnapshotWriter<D>)>,
}

/// What one piece of work came to.
#[derive(Default)]
pub struct SnapshotStep {
    /// Sleep for this long, then report.
    pub rest: Duration,
    pub completions: Vec<Completion>,
}

impl<D: Disk> SnapshotThread<D> {
    pub fn new(disk: D, retain: usize) -> Self {
        SnapshotThread { disk, retain, writer: None }
    }

    pub fn carry_out(&mut self, work: SnapshotWork, clock: impl Fn() -> Duration) -> SnapshotStep {
        let mut step = SnapshotStep::default();
        let done = match work {
            SnapshotWork::Begin(meta) => SnapshotWriter::create(self.disk.clone(), &meta)
                .map(|writer| self.writer = Some((meta.index, writer))),
            SnapshotWork::Chunk { bytes, hurry } => {
                let began = clock();
                let written = self.writer.as_mut().map_or(Ok(()), |(_, writer)| {
                    writer.sync_every(if hurry { HURRIED_SYNC_BYTES } else { SYNC_BYTES });
                    writer.chunk(&bytes)
                });
                if !hurry {
                    let took = clock().saturating_sub(began);
                    step.rest = (took * REST_TIMES).min(REST_MAX);
                }
                step.completions.push(Completion::SnapshotChunkWritten(bytes));
                written
            }
            SnapshotWork::End => match self.writer.take() {
                Some((index, writer)) => {
                    let finished = writer.finish();
                    finished.and_then(|()| purge_snapshots(&self.disk, self.retain)).map(|()| {
                        step.completions.push(Completion::SnapshotSaved(index));
                    })
                }
                None => Ok(()),
            },
        };
        if let Err(error) = done {
            self.writer = None;
            step.completions.push(Completion::SnapshotFailed(error.to_string()));
        }
        step
    }
}

/// A snapshot on disk, to be sent to another member; `None` if it was replaced meanwhile.
pub fn open_snapshot<D: Disk>(
    disk: &D,
    index: u64,
) -> Result<Option<SnapshotReader<D>>, StoreError> {
    let name = list_snapshots(disk)?
        .into_iter()
        .find_map(|(position, name)| (position.index == index).then_some(name));
    name.map(|name| SnapshotReader::open(disk, &name)).transpose()
}

/// A snapshot that arrives from another member: kept on disk and restored in memory.
pub struct ReceivedSnapshot<D: Disk> {
    writer: SnapshotWriter<D>,
    restore: Restore,
}

impl<D: Disk> ReceivedSnapshot<D> {
    pub fn begin(disk: D, meta: &SnapshotMeta) -> Result<Self, StoreError> {
        Ok(ReceivedSnapshot {
            writer: SnapshotWriter::create(disk, meta)?,
            restore: Restore::new(),
        })
    }

    pub fn chunk(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.writer.chunk(chunk).map_err(|e| e.to_string())?;
        self.restore.chunk(chunk).map_err(|e| format!("malformed content: {e:?}"))
    }

    /// The file is under its final name only once the state is whole.
    pub fn finish(self) -> Result<State, String> {
        let state = self.restore.finish().map_err(|e| format!("incomplete content: {e:?}"))?;
        self.writer.finish().map_err(|e| e.to_string())?;
        Ok(state)
    }
}
