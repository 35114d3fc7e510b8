//! The write-ahead log beside the server: append all that waits, sync once, say so.
//!
//! A thread does it, so that reads and heartbeats do not wait for a disk. A lone write on a disk that
//! is quick is not worth the hand-over, which costs more than the sync: the server's thread makes it
//! itself (`docs/decisions/0010`).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft::eraftpb::{Entry, HardState};

use super::completion::{Completion, Completions};
use super::logging::Logger;
use crate::store::{Disk, Position, StoreError, Wal, WalOptions, prepare_spare, remove_segments};

/// Work for the log.
enum LogWork {
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

/// A disk is quick while its syncs take less than this, in the mean.
const QUICK: Duration = Duration::from_micros(500);
/// Entries at most in what the server's thread writes itself.
const FEW: usize = 8;

/// The way to the log; dropping it ends the thread.
pub(super) struct Log<D: Disk> {
    worker: Arc<Mutex<Worker<D>>>,
    work: Sender<LogWork>,
    /// What the thread has been given last and has not told done: nothing may overtake it.
    awaited: Option<u64>,
    /// A running mean of what a sync takes: one slow sync sends some dozens to the thread.
    mean: Duration,
}

/// What came of [`Log::persist`].
pub(super) enum Persist {
    /// It is on disk; the sync took this long.
    Done(Option<Duration>),
    /// The thread will say so.
    Later,
    Failed(StoreError),
}

impl<D: Disk + Send + Sync + 'static> Log<D> {
    /// Makes entries durable: at once if nothing else is to be done (`alone`), by the thread else.
    pub(super) fn persist(
        &mut self,
        number: u64,
        entries: Vec<Entry>,
        hard_state: Option<HardState>,
        alone: bool,
    ) -> Persist {
        let quick = self.mean < QUICK && entries.len() <= FEW;
        if alone && quick && self.awaited.is_none() {
            // A thread that holds it is about to be done with what it has told already.
            let worker = self.worker.try_lock().ok();
            let written = worker.map(|mut worker| worker.write(&entries, hard_state.as_ref()));
            match written {
                Some(Ok(sync)) => {
                    self.took(sync);
                    return Persist::Done(sync);
                }
                Some(Err(error)) => return Persist::Failed(error),
                None => {}
            }
        }
        self.awaited = Some(number);
        let _ = self.work.send(LogWork::Append { number, entries, hard_state });
        Persist::Later
    }

    /// What a sync takes here in the mean, if the disk is quick and the thread has nothing to do.
    pub(super) fn quick_sync(&self) -> Option<Duration> {
        (self.awaited.is_none() && self.mean < QUICK).then_some(self.mean)
    }

    /// The thread has said that everything up to `number` is on disk.
    pub(super) fn persisted(&mut self, number: u64, sync: Option<Duration>) {
        if self.awaited.is_some_and(|awaited| awaited <= number) {
            self.awaited = None;
        }
        self.took(sync);
    }

    fn took(&mut self, sync: Option<Duration>) {
        self.mean = (self.mean * 7 + sync.unwrap_or_default()) / 8;
    }

    /// A received snapshot replaces everything. The write that makes it count follows.
    pub(super) fn install(&mut self, position: Position) {
        self.awaited = Some(u64::MAX);
        let _ = self.work.send(LogWork::Install(position));
    }

    /// Nothing up to this index is needed any more.
    pub(super) fn purge(&self, index: u64) {
        let _ = self.work.send(LogWork::Purge(index));
    }
}

/// What takes milliseconds, for which no write should wait.
enum Chore {
    /// Segments that are not needed any more. In their order: a hole in the log would be damage.
    Remove(Vec<String>),
    /// The next segment is zero-filled before an append needs it.
    PrepareSpare,
}

struct Worker<D: Disk> {
    wal: Wal<D>,
    force_sync: bool,
    warning: Duration,
    chores: Sender<Chore>,
    logger: Logger,
}

impl<D: Disk + Send + Sync + 'static> Log<D>
where
    D::File: Send,
{
    /// The thread ends when the log is dropped: everything handed over is written by then, and no
    /// thread holds the directory any more.
    pub(super) fn start(
        wal: Wal<D>,
        disk: D,
        options: WalOptions,
        (force_sync, warning): (bool, Duration),
        completions: Completions,
        logger: Logger,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (work, receiver) = channel();
        let (chores, chores_thread) = start_chores(disk, options, logger)?;
        let worker = Arc::new(Mutex::new(Worker { wal, force_sync, warning, chores, logger }));
        let shared = Arc::clone(&worker);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            if let Err(error) = run(&shared, &receiver, &completions) {
                return completions.send(Completion::Fatal(error.to_string()));
            }
            // The log has let go of the worker before it hung up: this ends the chores.
            drop(shared);
            let _ = chores_thread.join();
        })?;
        Ok((Log { worker, work, awaited: None, mean: QUICK }, thread))
    }
}

fn start_chores<D: Disk + Send + 'static>(
    disk: D,
    options: WalOptions,
    logger: Logger,
) -> std::io::Result<(Sender<Chore>, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("chores".to_owned()).spawn(move || {
        let mut removes = true;
        for chore in receiver {
            match chore {
                Chore::Remove(names) if removes => {
                    if let Err(error) = remove_segments(&disk, &names) {
                        logger.error(&format!("old log segments stay until a restart: {error}"));
                        removes = false;
                    }
                }
                Chore::Remove(_) => {}
                Chore::PrepareSpare => {
                    if let Err(error) = prepare_spare(&disk, &options) {
                        logger.warn(&format!("cannot prepare the log's next segment: {error}"));
                    }
                }
            }
        }
    })?;
    Ok((sender, thread))
}

fn run<D: Disk + Send + Sync + 'static>(
    worker: &Mutex<Worker<D>>,
    work: &Receiver<LogWork>,
    completions: &Completions,
) -> Result<(), StoreError> {
    while let Ok(first) = work.recv() {
        let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut number = worker.carry_out(first)?;
        // Everything that came during the last sync shares the next one.
        while let Ok(next) = work.try_recv() {
            number = worker.carry_out(next)?.or(number);
        }
        let Some(number) = number else { continue };
        let sync = worker.sync()?;
        completions.send(Completion::Persisted { number, sync });
        worker.prepare_spare();
    }
    Ok(())
}

impl<D: Disk + Send + Sync + 'static> Worker<D> {
    /// What the thread does for one write, on the caller's.
    fn write(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<Option<Duration>, StoreError> {
        self.wal.append(entries, hard_state)?;
        let sync = self.sync()?;
        self.prepare_spare();
        Ok(sync)
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
                let _ = self.chores.send(Chore::Remove(names));
                Ok(None)
            }
        }
    }

    /// How long it took, or nothing where the configuration says that no write waits for a disk.
    fn sync(&mut self) -> Result<Option<Duration>, StoreError> {
        if !self.force_sync {
            return Ok(None);
        }
        let start = Instant::now();
        self.wal.sync()?;
        let took = start.elapsed();
        if took >= self.warning {
            self.logger.warn(&format!(
                "the log's fdatasync took {} ms (fsync.warningthresholdms); the disk is slow or busy",
                took.as_millis()
            ));
        }
        Ok(Some(took))
    }

    fn prepare_spare(&mut self) {
        if self.wal.wants_spare() {
            let _ = self.chores.send(Chore::PrepareSpare);
        }
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::store::RealDisk;

    struct Rig {
        log: Log<RealDisk>,
        thread: JoinHandle<()>,
        completed: Receiver<Completion>,
        directory: tempfile::TempDir,
        _poll: Poll,
    }

    fn rig() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let options = WalOptions { always_synced: true, ..WalOptions::new(7) };
        let (wal, _) = Wal::open(disk.clone(), options.clone(), Position::default()).unwrap();
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let (completions, completed) = Completions::new(waker);
        let how = (true, Duration::from_mins(1));
        let logger = Logger::from_environment();
        let (log, thread) = Log::start(wal, disk, options, how, completions, logger).unwrap();
        Rig { log, thread, completed, directory, _poll: poll }
    }

    impl Rig {
        /// The disk of a test may be any: how quick it is, is said.
        fn persist(&mut self, index: u64, alone: bool, mean: Duration) -> Persist {
            self.log.mean = mean;
            let entry = Entry { index, term: 1, ..Entry::default() };
            self.log.persist(index, vec![entry], None, alone)
        }

        /// Waits until the thread has done all that it was given.
        fn hear(&mut self) {
            while self.log.awaited.is_some() {
                match self.completed.recv().unwrap() {
                    Completion::Persisted { number, sync } => self.log.persisted(number, sync),
                    _ => panic!("the disk is whole"),
                }
            }
        }

        /// What a start would find.
        fn entries(self, snapshot: Position) -> Vec<u64> {
            drop(self.log);
            self.thread.join().unwrap();
            let disk = RealDisk::open(self.directory.path()).unwrap();
            let (_, found) = Wal::open(disk, WalOptions::new(7), snapshot).unwrap();
            found.entries.iter().map(|entry| entry.index).collect()
        }
    }

    #[test]
    fn a_lone_write_is_on_disk_at_once_and_overtakes_nothing() {
        let mut rig = rig();
        assert!(matches!(rig.persist(1, true, Duration::ZERO), Persist::Done(Some(_))));
        assert!(matches!(rig.persist(2, true, QUICK), Persist::Later), "the disk is slow");
        assert!(matches!(rig.persist(3, true, Duration::ZERO), Persist::Later), "behind another");
        rig.hear();
        assert!(matches!(rig.persist(4, false, Duration::ZERO), Persist::Later), "others wait");
        rig.hear();
        assert_eq!(rig.entries(Position::default()), [1, 2, 3, 4]);
    }

    #[test]
    fn nothing_goes_on_the_old_log_while_a_snapshot_replaces_it() {
        let mut rig = rig();
        let snapshot = Position { index: 10, term: 1 };
        rig.log.install(snapshot);
        assert!(matches!(rig.persist(11, true, Duration::ZERO), Persist::Later));
        rig.hear();
        assert_eq!(rig.entries(snapshot), [11]);
    }

    #[test]
    fn one_slow_sync_sends_some_dozens_to_the_thread() {
        let mut rig = rig();
        rig.log.took(Some(Duration::from_millis(50)));
        let again = (0..1000).position(|_| {
            rig.log.took(Some(Duration::from_micros(100)));
            rig.log.mean < QUICK
        });
        assert!(again.is_some_and(|after| (10..100).contains(&after)), "{again:?}");
    }
}
