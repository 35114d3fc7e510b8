//! The write-ahead log beside the server: append all that waits, sync once, report it.
//!
//! A thread does it, so that reads and heartbeats do not wait for a disk. A lone write on a quick
//! disk is not worth the hand-over, which costs more than the sync: the server's thread writes it
//! itself (`docs/decisions/0010`).

use std::time::Duration;

use raft::eraftpb::{Entry, HardState};

use super::host::Written;
use crate::node::Level;
use crate::store::{Disk, Position, StoreError, Wal, WalOptions, prepare_spare, remove_segments};

/// Work for the log thread.
pub enum LogWork {
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

/// A disk is quick while its mean sync takes less than this.
const QUICK: Duration = Duration::from_micros(500);
/// The server's thread itself writes at most this many entries at once, and bytes.
const FEW: usize = 8;
const FEW_BYTES: usize = 128 << 10;

/// Which thread writes what, and what the log thread still has to do.
pub(super) struct LogSchedule {
    /// The last ready given to the thread that it has not reported: nothing may overtake it.
    awaited: Option<u64>,
    /// Running mean of a sync: one slow sync sends some dozens of writes to the thread.
    mean: Duration,
}

impl LogSchedule {
    pub(super) fn new() -> Self {
        LogSchedule { awaited: None, mean: QUICK }
    }

    /// Whether the server's thread itself writes so many entries, of so many bytes: nobody else waits
    /// for it (`lone`), the disk is quick, and nothing is overtaken.
    pub(super) fn inline(&self, entries: usize, bytes: usize, lone: bool) -> bool {
        let few = entries <= FEW && bytes <= FEW_BYTES;
        lone && self.mean < QUICK && few && self.awaited.is_none()
    }

    /// The thread is given the log's part of ready `number`.
    pub(super) fn given(&mut self, number: u64) {
        self.awaited = Some(number);
    }

    /// The thread is given a received snapshot. The write that makes it count follows.
    pub(super) fn given_snapshot(&mut self) {
        self.awaited = Some(u64::MAX);
    }

    /// The mean sync, if the disk is quick and the thread has nothing to do.
    pub(super) fn quick_sync(&self) -> Option<Duration> {
        (self.awaited.is_none() && self.mean < QUICK).then_some(self.mean)
    }

    /// The thread reports that everything up to `number` is on disk.
    pub(super) fn persisted(&mut self, number: u64, sync: Option<Duration>) {
        if self.awaited.is_some_and(|awaited| awaited <= number) {
            self.awaited = None;
        }
        self.took(sync);
    }

    /// A sync took this long.
    pub(super) fn took(&mut self, sync: Option<Duration>) {
        self.mean = (self.mean * 7 + sync.unwrap_or_default()) / 8;
    }
}

/// Appends and syncs; used by one thread at a time.
pub struct LogWriter<D: Disk> {
    wal: Wal<D>,
    force_sync: bool,
    chores: Vec<Chore>,
}

impl<D: Disk> LogWriter<D> {
    /// Without `force_sync` no write waits for the disk (`forceSync=no`).
    pub fn new(wal: Wal<D>, force_sync: bool) -> Self {
        LogWriter { wal, force_sync, chores: Vec::new() }
    }

    /// Appends all that waits; returns the last ready that the next [`LogWriter::sync`] covers.
    pub fn append(
        &mut self,
        work: impl IntoIterator<Item = LogWork>,
    ) -> Result<Option<u64>, StoreError> {
        let mut last = None;
        for work in work {
            match work {
                LogWork::Append { number, entries, hard_state } => {
                    self.wal.append(&entries, hard_state.as_ref())?;
                    last = Some(number);
                }
                LogWork::Install(position) => self.wal.reset(position)?,
                LogWork::Purge(index) => {
                    let names = self.wal.release(index)?;
                    self.chores.push(Chore::Remove(names));
                }
            }
        }
        Ok(last)
    }

    /// Makes everything appended durable. Returns how long that took by `clock`.
    pub fn sync(&mut self, clock: impl Fn() -> Duration) -> Written {
        let took = if self.force_sync {
            let start = clock();
            self.wal.sync()?;
            Some(clock().saturating_sub(start))
        } else {
            None
        };
        if self.wal.wants_spare() {
            self.chores.push(Chore::PrepareSpare);
        }
        Ok(took)
    }

    /// Appends and syncs one write, on the caller's thread.
    pub fn write(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        clock: impl Fn() -> Duration,
    ) -> Written {
        self.wal.append(entries, hard_state)?;
        self.sync(clock)
    }

    /// Work for [`Chores`] that has come up since the last call.
    pub fn take_chores(&mut self) -> Vec<Chore> {
        std::mem::take(&mut self.chores)
    }
}

/// What takes milliseconds, and no write should wait for.
#[derive(Debug)]
pub enum Chore {
    /// Segments that are not needed any more. In order: a hole in the log would be damage.
    Remove(Vec<String>),
    /// The next segment is zero-filled before an append needs it.
    PrepareSpare,
}

/// Does the log's chores, on a thread of its own.
pub struct Chores<D: Disk> {
    disk: D,
    options: WalOptions,
    removes: bool,
}

impl<D: Disk> Chores<D> {
    pub fn new(disk: D, options: WalOptions) -> Self {
        Chores { disk, options, removes: true }
    }

    /// Returns a line for the server's log where it failed.
    pub fn carry_out(&mut self, chore: Chore) -> Option<(Level, String)> {
        match chore {
            Chore::Remove(names) if self.removes => {
                let error = remove_segments(&self.disk, &names).err()?;
                self.removes = false;
                Some((
                    Level::Error,
                    format!("cannot remove old log segments until the next start: {error}"),
                ))
            }
            Chore::Remove(_) => None,
            Chore::PrepareSpare => {
                let error = prepare_spare(&self.disk, &self.options).err()?;
                Some((Level::Warn, format!("cannot prepare the log's next segment: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> LogSchedule {
        LogSchedule { awaited: None, mean: Duration::from_micros(100) }
    }

    #[test]
    fn a_lone_write_on_a_quick_disk_is_inline_and_overtakes_nothing() {
        let mut log = quick();
        assert!(log.inline(1, 0, true));
        assert!(!log.inline(1, 0, false), "others wait");
        assert!(!log.inline(FEW + 1, 0, true), "too many for the server's thread");
        assert!(!log.inline(1, FEW_BYTES + 1, true), "too much for the server's thread");
        log.given(3);
        assert!(!log.inline(1, 0, true), "it would overtake what the thread has");
        log.persisted(2, Some(Duration::ZERO));
        assert!(!log.inline(1, 0, true), "the thread has more to do");
        log.persisted(3, Some(Duration::ZERO));
        assert!(log.inline(1, 0, true));
        log.mean = QUICK;
        assert!(!log.inline(1, 0, true), "the disk is slow");
    }

    #[test]
    fn nothing_is_inline_while_a_snapshot_replaces_the_log() {
        let mut log = quick();
        log.given_snapshot();
        assert!(!log.inline(1, 0, true));
        assert_eq!(log.quick_sync(), None);
        log.given(11); // the write that makes the snapshot count
        log.persisted(11, None);
        assert!(log.inline(1, 0, true));
    }

    #[test]
    fn one_slow_sync_sends_some_dozens_to_the_thread() {
        let mut log = quick();
        log.took(Some(Duration::from_millis(50)));
        let again = (0..1000).position(|_| {
            log.took(Some(Duration::from_micros(100)));
            log.inline(1, 0, true)
        });
        assert!(again.is_some_and(|after| (10..100).contains(&after)), "{again:?}");
    }
}
