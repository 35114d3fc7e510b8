//! The thread that writes the own snapshots to disk, chunk by chunk, beside everything else.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::completion::{Completion, Completions};
use crate::store::{RealDisk, SnapshotMeta, SnapshotWriter, StoreError, purge_snapshots};

/// Work for the writer.
pub(super) enum BulkWork {
    Begin(SnapshotMeta),
    Chunk(Vec<u8>),
    End,
}

/// Starts the writer; dropping the sender ends it. Keeps `retain` snapshots.
pub(super) fn start(
    disk: RealDisk,
    retain: usize,
    completions: Completions,
) -> std::io::Result<Sender<BulkWork>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("snapshot".to_owned())
        .spawn(move || run(&disk, retain, &completions, &receiver))?;
    Ok(sender)
}

fn run(disk: &RealDisk, retain: usize, completions: &Completions, work: &Receiver<BulkWork>) {
    let mut writer: Option<SnapshotWriter<RealDisk>> = None;
    while let Ok(work) = work.recv() {
        let done = match work {
            BulkWork::Begin(meta) => {
                SnapshotWriter::create(disk.clone(), &meta).map(|w| writer = Some(w))
            }
            BulkWork::Chunk(chunk) => {
                let written = writer.as_mut().map_or(Ok(()), |w| w.chunk(&chunk));
                completions.send(Completion::SnapshotChunkWritten);
                written
            }
            BulkWork::End => writer.take().map_or(Ok(()), |w| finish(disk, retain, w, completions)),
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
