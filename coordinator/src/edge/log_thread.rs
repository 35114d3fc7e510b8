//! The thread that owns the write-ahead log: append all that waits, sync once, say so.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft::eraftpb::{Entry, HardState};

use super::completion::{Completion, Completions};
use super::logging::Logger;
use crate::store::{Disk, Position, StoreError, Wal, WalOptions, prepare_spare, remove_segments};

/// Work for the log.
pub(super) enum LogWork {
    Append {
        number: u64,
        entries: Vec<Entry>,
        hard_state: Option<HardState>,
    },
    /// A received snapshot replaces everything.
    Install(Position),
    /// Nothing up to this index is needed any more.
    Purge(u64),
}

/// The log thread's letter box; dropping it ends the thread.
pub(super) struct LogThread {
    pub work: Sender<LogWork>,
    pub thread: JoinHandle<()>,
}

struct Worker<D: Disk> {
    wal: Wal<D>,
    disk: D,
    options: WalOptions,
    force_sync: bool,
    warning: Duration,
    /// Takes names of segments that are not needed any more.
    remover: Sender<Vec<String>>,
    completions: Completions,
    logger: Logger,
}

impl LogThread {
    pub(super) fn start<D: Disk + Send + Sync + 'static>(
        wal: Wal<D>,
        disk: D,
        options: WalOptions,
        (force_sync, warning): (bool, Duration),
        completions: Completions,
        logger: Logger,
    ) -> std::io::Result<Self>
    where
        D::File: Send,
    {
        let (work, receiver) = channel();
        let remover = start_remover(disk.clone(), logger)?;
        let mut worker =
            Worker { wal, disk, options, force_sync, warning, remover, completions, logger };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            if let Err(error) = worker.run(&receiver) {
                worker.completions.send(Completion::Fatal(error.to_string()));
            }
        })?;
        Ok(LogThread { work, thread })
    }
}

/// Removing 16 MiB takes milliseconds, for which no write should wait. One thread for all, so that
/// segments go in their order.
fn start_remover<D: Disk + Send + 'static>(
    disk: D,
    logger: Logger,
) -> std::io::Result<Sender<Vec<String>>> {
    let (sender, receiver) = channel::<Vec<String>>();
    std::thread::Builder::new().name("remover".to_owned()).spawn(move || {
        for names in receiver {
            if let Err(error) = remove_segments(&disk, &names) {
                return logger.error(&format!("old log segments stay until a restart: {error}"));
            }
        }
    })?;
    Ok(sender)
}

impl<D: Disk + Send + Sync + 'static> Worker<D> {
    fn run(&mut self, work: &Receiver<LogWork>) -> Result<(), StoreError> {
        while let Ok(first) = work.recv() {
            let mut number = self.carry_out(first)?;
            // Everything that came during the last sync shares the next one.
            while let Ok(next) = work.try_recv() {
                number = self.carry_out(next)?.or(number);
            }
            let Some(number) = number else { continue };
            let sync = if self.force_sync { Some(self.sync()?) } else { None };
            self.completions.send(Completion::Persisted { number, sync });
            self.prepare_spare();
        }
        Ok(())
    }

    fn carry_out(&mut self, work: LogWork) -> Result<Option<u64>, StoreError> {
        match work {
            LogWork::Append { number, entries, hard_state } => {
                self.wal.append(&entries, hard_state.as_ref())?;
                Ok(Some(number))
            }
            LogWork::Install(position) => self.wal.reset(position).map(|()| None),
            LogWork::Purge(index) => {
                let names = self.wal.release(index)?;
                // A remover that has failed is gone: the next start finds what is left.
                let _ = self.remover.send(names);
                Ok(None)
            }
        }
    }

    fn sync(&mut self) -> Result<Duration, StoreError> {
        let start = Instant::now();
        self.wal.sync()?;
        let took = start.elapsed();
        if took >= self.warning {
            self.logger.warn(&format!(
                "the log's fdatasync took {} ms (fsync.warningthresholdms); the disk is slow or busy",
                took.as_millis()
            ));
        }
        Ok(took)
    }

    /// The next segment is zero-filled beside the work, so that no append waits for it.
    fn prepare_spare(&mut self) {
        if !self.wal.wants_spare() {
            return;
        }
        let (disk, options, logger) = (self.disk.clone(), self.options.clone(), self.logger);
        std::thread::spawn(move || {
            if let Err(error) = prepare_spare(&disk, &options) {
                logger.warn(&format!("cannot prepare the log's next segment: {error}"));
            }
        });
    }
}
