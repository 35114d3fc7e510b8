//! The thread that writes this server's snapshots to disk, chunk by chunk.
//!
//! It leaves the disk to the log most of the time: a snapshot can wait, a write cannot.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::completion::{Completion, Completions};
use crate::store::{RealDisk, SnapshotMeta, SnapshotWriter, StoreError, purge_snapshots};

/// After each chunk the writer rests for this many times as long as the chunk took.
const REST_TIMES: u32 = 7;

/// Sync after this many bytes, so that the log's fsync never queues behind more.
const SYNC_BYTES: u64 = 64 << 10;
const HURRIED_SYNC_BYTES: u64 = 4 << 20;

/// Longest rest: on a busy disk the snapshot still has to end.
const REST_MAX: Duration = Duration::from_millis(100);

/// Work for the writer.
pub(super) enum SnapshotWork {
    Begin(SnapshotMeta),
    Chunk {
        bytes: Vec<u8>,
        /// Too much has been written meanwhile to leave the disk to others.
        hurry: bool,
    },
    End,
}

/// Starts the writer; dropping the sender ends it. Keeps `retain` snapshots.
pub(super) fn start(
    disk: RealDisk,
    retain: usize,
    completions: Completions,
) -> std::io::Result<Sender<SnapshotWork>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(move || run(&disk, retain, &completions, &receiver))?;
    Ok(sender)
}

fn run(disk: &RealDisk, retain: usize, completions: &Completions, work: &Receiver<SnapshotWork>) {
    let mut writer: Option<SnapshotWriter<RealDisk>> = None;
    while let Ok(work) = work.recv() {
        let done = match work {
            SnapshotWork::Begin(meta) => {
                SnapshotWriter::create(disk.clone(), &meta).map(|w| writer = Some(w))
            }
            SnapshotWork::Chunk { bytes, hurry } => {
                let began = Instant::now();
                let written = writer.as_mut().map_or(Ok(()), |w| {
                    w.sync_every(if hurry { HURRIED_SYNC_BYTES } else { SYNC_BYTES });
                    w.chunk(&bytes)
                });
                if !hurry {
                    std::thread::sleep((began.elapsed() * REST_TIMES).min(REST_MAX));
                }
                completions.send(Completion::SnapshotChunkWritten(bytes));
                written
            }
            SnapshotWork::End => {
                writer.take().map_or(Ok(()), |w| finish(disk, retain, w, completions))
            }
        };
        if let Err(error) = done {
            writer = None;
            completions.send(Completion::SnapshotFailed(error.to_string()));
        }
    }
}

fn finish(
    disk: &RealDisk,
    retain: usize,
    writer: SnapshotWriter<RealDisk>,
    completions: &Completions,
) -> Result<(), StoreError> {
    writer.finish()?;
    purge_snapshots(disk, retain)?;
    completions.send(Completion::SnapshotSaved);
    Ok(())
}
