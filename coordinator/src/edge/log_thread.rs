//! The log's threads: one appends and syncs, one does its chores.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use raft::eraftpb::{Entry, HardState};

use super::completion::Completions;
use super::event_loop::Clock;
use super::logging::Logger;
use crate::driver::{Chore, Chores, Completion, LogWork, LogWriter, Written};
use crate::store::{Disk, StoreError};

/// The way to the log; dropping it ends the threads.
pub(super) struct LogThread<D: Disk> {
    writer: Arc<Mutex<LogWriter<D>>>,
    work: Sender<LogWork>,
    chores: Sender<Chore>,
    clock: Clock,
}

impl<D: Disk> LogThread<D> {
    pub(super) fn give(&self, work: LogWork) {
        // A thread that has ended has reported why.
        let _ = self.work.send(work);
    }

    /// Writes on the caller's thread; `None` while the log's thread holds the writer.
    pub(super) fn write(
        &self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Option<Written> {
        let mut writer = self.writer.try_lock().ok()?;
        let written = writer.write(entries, hard_state, || self.clock.now());
        send_chores(&mut writer, &self.chores);
        Some(written)
    }
}

fn send_chores<D: Disk>(writer: &mut LogWriter<D>, chores: &Sender<Chore>) {
    for chore in writer.take_chores() {
        let _ = chores.send(chore);
    }
}

impl<D: Disk + Send + 'static> LogThread<D>
where
    D::File: Send,
{
    /// The thread ends when this is dropped: everything handed over is written by then, and no
    /// thread holds the directory any more.
    pub(super) fn start(
        writer: LogWriter<D>,
        chores: Chores<D>,
        clock: Clock,
        completions: Completions,
        logger: Logger,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (work, receiver) = channel();
        let (chores, chores_thread) = start_chores(chores, logger)?;
        let writer = Arc::new(Mutex::new(writer));
        let (shared, to_chores) = (Arc::clone(&writer), chores.clone());
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            if let Err(error) = run(&shared, &receiver, &to_chores, clock, &completions) {
                completions.send(Completion::Fatal(error.to_string()));
            }
            drop((shared, to_chores));
            let _ = chores_thread.join();
        })?;
        Ok((LogThread { writer, work, chores, clock }, thread))
    }
}

fn start_chores<D: Disk + Send + 'static>(
    mut chores: Chores<D>,
    logger: Logger,
) -> std::io::Result<(Sender<Chore>, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("chores".to_owned()).spawn(move || {
        for chore in receiver {
            if let Some((level, text)) = chores.carry_out(chore) {
                logger.log(level, &text);
            }
        }
    })?;
    Ok((sender, thread))
}

fn run<D: Disk>(
    writer: &Mutex<LogWriter<D>>,
    work: &Receiver<LogWork>,
    chores: &Sender<Chore>,
    clock: Clock,
    completions: &Completions,
) -> Result<(), StoreError> {
    while let Ok(first) = work.recv() {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Everything that came during the last sync shares the next one.
        let number = writer.append(std::iter::once(first).chain(work.try_iter()))?;
        if let Some(number) = number {
            let sync = writer.sync(|| clock.now())?;
            completions.send(Completion::Persisted { number, sync });
        }
        send_chores(&mut writer, chores);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::store::{Position, RealDisk, Wal, WalOptions};

    #[test]
    fn both_threads_write_the_same_log_and_its_end_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let options = WalOptions { always_synced: true, ..WalOptions::new(7) };
        let (wal, _) = Wal::open(disk.clone(), options.clone(), Position::default()).unwrap();
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (completions, _completed) = Completions::new(waker);
        let (writer, chores) = (LogWriter::new(wal, true), Chores::new(disk, options));
        let logger = Logger::from_environment();
        let (log, thread) =
            LogThread::start(writer, chores, Clock::start(), completions, logger).unwrap();
        let entry = |index| Entry { index, term: 1, ..Entry::default() };
        assert!(matches!(log.write(&[entry(1)], None), Some(Ok(Some(_)))));
        for index in 2..=9 {
            let entries = vec![entry(index)];
            log.give(LogWork::Append { number: index, entries, hard_state: None });
        }
        drop(log);
        thread.join().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let (_, found) = Wal::open(disk, WalOptions::new(7), Position::default()).unwrap();
        let indexes: Vec<u64> = found.entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, (1..=9).collect::<Vec<u64>>());
    }
}
