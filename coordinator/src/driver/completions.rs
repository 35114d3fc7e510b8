//! What other threads have finished, or ask for.

use std::time::Duration;

use super::log::LogWork;
use super::{Completion, Driver, End, Host, Milestone, STOP_TIME};
use crate::store::{Disk, list_snapshots};

/// From a fetch that failed to the moment the leader hears of it. What stops it, a full disk say,
/// lasts: the leader would offer the snapshot again at once, and send it whole.
const FETCH_PAUSE: Duration = Duration::from_secs(1);

impl<D: Disk> Driver<D> {
    pub(super) fn complete(
        &mut self,
        host: &mut impl Host<Disk = D>,
        completion: Completion,
    ) -> Option<End> {
        match completion {
            Completion::Persisted { number, sync } => {
                self.log.persisted(number, sync);
                self.persisted(host, number, sync);
            }
            Completion::SnapshotChunkWritten(chunk) => {
                self.node.give_back_chunk(chunk);
                self.node.snapshot_chunk_written();
            }
            Completion::SnapshotSaved(index) => {
                // One that was given up meanwhile, for a received snapshot say, is on disk all the
                // same; the one in the making is not.
                if self.node.snapshot_in_making() == Some(index) {
                    self.node.snapshot_saved();
                }
                self.answer_backups(index);
                self.purge_log(host);
            }
            Completion::SnapshotFailed(why) => {
                for (_, answer) in self.backups.drain(..) {
                    let _ = answer.send(Err(format!("cannot write the snapshot: {why}")));
                }
                self.node.snapshot_failed(&why);
            }
            Completion::Fetched { index, state: None } => {
                self.failed_fetch = Some((host.now() + FETCH_PAUSE, index));
            }
            Completion::Fetched { index, state } => self.node.snapshot_fetched(index, state),
            Completion::Command { line, answer } => {
                let text = self.command(&line);
                let _ = answer.send(text);
            }
            Completion::Backup { answer } => self.backup(answer),
            Completion::View { parts, answer } => {
                let view = self.operators.view(&self.node, host, parts);
                let _ = answer.send(Box::new(view));
            }
            Completion::Stop if self.stop_by.is_none() => {
                host.reached(Milestone::Stopping);
                self.stop_by = Some(host.now() + STOP_TIME);
                self.node.stop();
            }
            Completion::Stop => return Some(End::Stopped),
            Completion::Fatal(why) => return Some(End::Fatal(why)),
        }
        None
    }

    fn answer_backups(&mut self, index: u64) {
        self.backups.retain(|(wanted, answer)| {
            let done = *wanted <= index;
            if done {
                let _ = answer.send(Ok(index));
            }
            !done
        });
    }

    /// The log is kept from the oldest snapshot that is kept.
    fn purge_log(&mut self, host: &mut impl Host<Disk = D>) {
        if let Ok(snapshots) = list_snapshots(&self.disk)
            && let Some((oldest, _)) = snapshots.last()
        {
            host.log_work(LogWork::Purge(oldest.index));
        }
    }
}
