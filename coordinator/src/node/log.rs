//! The recent end of the raft log in memory, as the `raft` crate reads it.
//!
//! What is here is also on disk or on its way there; older entries are only on disk, and a
//! follower that needs those gets a snapshot.

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::entry;

/// Entries that followers may still ask for are kept up to this many bytes. A follower that was
/// away for longer is served by a snapshot; more would be memory that only a rare case uses.
const WINDOW_BYTES: usize = 8 << 20;

/// While a snapshot is on its way to a follower, the entries behind it are kept up to this.
const PINNED_BYTES: usize = 512 << 20;

/// A snapshot that is whole on disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SnapshotPoint {
    pub index: u64,
    pub term: u64,
    pub conf_state: ConfState,
}

/// The log as raft sees it.
pub struct LogCache {
    hard_state: HardState,
    /// Members as of the snapshot the server started from; raft reads it once.
    initial_conf_state: ConfState,
    /// The entry before the first one here.
    truncated_index: u64,
    truncated_term: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    snapshot: SnapshotPoint,
    /// Entries after this index stay while a snapshot is made or sent.
    pinned: Option<u64>,
    /// Raft asked for a snapshot newer than the one on disk.
    snapshot_wanted: Cell<bool>,
}

impl LogCache {
    /// A log that starts after `snapshot` with the entries read from disk.
    pub fn new(
        snapshot: SnapshotPoint,
        conf_state: ConfState,
        hard_state: HardState,
        entries: Vec<Entry>,
    ) -> Self {
        let bytes = entries.iter().map(cost).sum();
        LogCache {
            hard_state,
            initial_conf_state: conf_state,
            truncated_index: snapshot.index,
            truncated_term: snapshot.term,
            entries: entries.into(),
            bytes,
            snapshot,
            pinned: None,
            snapshot_wanted: Cell::new(false),
        }
    }

    fn first(&self) -> u64 {
        self.truncated_index + 1
    }

    fn last(&self) -> u64 {
        self.truncated_index + self.entries.len() as u64
    }

    /// Adds entries; those of the same index and later are replaced (raft's conflict rule).
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        // What is forgotten was applied, so committed: raft replaces nothing of that. Entries in a
        // message follow each other (`peer::parse`), and raft takes those that follow its log.
        assert!(first.index > self.truncated_index, "an applied entry cannot be replaced");
        assert!(first.index <= self.last() + 1, "the log has no holes");
        while self.last() >= first.index {
            let dropped = self.entries.pop_back().expect("last() counts entries");
            self.bytes -= cost(&dropped);
        }
        self.bytes += entries.iter().map(cost).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Returns whether term or vote have changed: promises that must be on disk to count.
    pub fn set_hard_state(&mut self, hard_state: HardState) -> bool {
        let before = std::mem::replace(&mut self.hard_state, hard_state);
        before.term != self.hard_state.term || before.vote != self.hard_state.vote
    }

    /// A snapshot of the own state is whole on disk.
    pub fn snapshot_saved(&mut self, point: SnapshotPoint) {
        if point.index <= self.snapshot.index {
            return;
        }
        // The members at the very beginning stand in no entry, only in a snapshot: whoever joins
        // later must not start from the first entry with the members of its own configuration.
        if self.truncated_index == 0 {
            self.forget_through(point.index);
        }
        self.snapshot = point;
    }

    fn forget_through(&mut self, index: u64) {
        while self.entries.front().is_some_and(|e| e.index <= index) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let dropped = self.entries.pop_front().expect("asked only when there is one");
        self.bytes -= cost(&dropped);
        self.truncated_index = dropped.index;
        self.truncated_term = dropped.term;
    }

    /// The state was replaced by a received snapshot: the log starts after it.
    pub fn install(&mut self, point: SnapshotPoint) {
        self.truncated_index = point.index;
        self.truncated_term = point.term;
        self.entries.clear();
        self.bytes = 0;
        self.pinned = None;
        self.snapshot = point;
    }

    /// Keeps everything after `index` until [`LogCache::unpin`].
    pub fn pin(&mut self, index: u64) {
        self.pinned = Some(self.pinned.map_or(index, |p| p.min(index)));
    }

    pub fn unpin(&mut self) {
        self.pinned = None;
    }

    /// Forgets old entries that are applied here and outside the window.
    pub fn trim(&mut self, applied: u64, alone: bool) {
        let window = if alone { 0 } else { WINDOW_BYTES };
        loop {
            let oldest = self.first();
            let pinned = self.pinned.is_some_and(|p| oldest > p) && self.bytes < PINNED_BYTES;
            if self.entries.is_empty() || self.bytes <= window || oldest > applied || pinned {
                return;
            }
            self.forget_oldest();
        }
    }

    /// Whether raft has asked for a newer snapshot since the last call.
    pub fn take_snapshot_wanted(&self) -> bool {
        self.snapshot_wanted.replace(false)
    }

    /// The newest snapshot on disk.
    pub fn snapshot_point(&self) -> &SnapshotPoint {
        &self.snapshot
    }

    /// The last time stamp among the entries here.
    pub fn last_stamp_ms(&self) -> Option<i64> {
        self.entries.iter().rev().find_map(stamp_ms)
    }

    /// Term of `index` where it is known here.
    pub fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.truncated_index {
            return Some(self.truncated_term);
        }
        let at = index.checked_sub(self.first())?;
        self.entries.get(at as usize).map(|e| e.term)
    }
}

/// The leader's time stamp; entries of raft itself have none.
pub(super) fn stamp_ms(entry: &Entry) -> Option<i64> {
    let normal = entry.get_entry_type() == EntryType::EntryNormal;
    if normal { entry::time_ms(&entry.data) } else { None }
}

fn cost(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + std::mem::size_of::<Entry>()
}

impl Storage for LogCache {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.initial_conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "raft asked beyond the log");
        let from = (low - self.first()) as usize;
        let to = (high - self.first()) as usize;
        let limit = max_size.into().unwrap_or(u64::MAX) as usize;
        let mut size = 0;
        let mut out = Vec::new();
        for entry in self.entries.range(from..to) {
            size += cost(entry);
            if size > limit && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.truncated_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_of(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // Usable only when the log goes on right behind it, and when it names who gets it: raft
        // refuses a snapshot of an ensemble that it does not belong to.
        let conf_state = &self.snapshot.conf_state;
        let member = conf_state.voters.contains(&to) || conf_state.learners.contains(&to);
        let usable =
            self.snapshot.index >= self.truncated_index && self.snapshot.index > 0 && member;
        if !usable || self.snapshot.index < request_index {
            self.snapshot_wanted.set(true);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = self.snapshot.index;
        metadata.term = self.snapshot.term;
        metadata.set_conf_state(self.snapshot.conf_state.clone());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64, size: usize) -> Entry {
        Entry { index, term, data: vec![0; size].into(), ..Entry::default() }
    }

    fn log() -> LogCache {
        LogCache::new(
            SnapshotPoint::default(),
            ConfState::default(),
            HardState::default(),
            Vec::new(),
        )
    }

    #[test]
    fn a_conflicting_suffix_is_replaced() {
        let mut log = log();
        log.append(&[entry(1, 1, 1), entry(2, 1, 1), entry(3, 1, 1)]);
        log.append(&[entry(2, 2, 1)]);
        assert_eq!(log.last_index().unwrap(), 2);
        assert_eq!(log.term(2).unwrap(), 2);
        assert!(log.term(3).is_err());
    }

    #[test]
    fn only_applied_entries_outside_the_window_are_forgotten() {
        let mut log = log();
        let big = WINDOW_BYTES / 2;
        log.append(&[entry(1, 1, big), entry(2, 1, big), entry(3, 1, big)]);
        log.trim(0, false);
        assert_eq!(log.first_index().unwrap(), 1, "nothing is applied yet");
        log.pin(1);
        log.trim(3, false);
        assert_eq!(log.first_index().unwrap(), 2, "what stands behind the pinned snapshot stays");
        log.unpin();
        log.trim(3, false);
        assert_eq!(log.first_index().unwrap(), 3);
        assert_eq!(log.term(2).unwrap(), 1, "the term before the first entry is remembered");
    }

    #[test]
    fn a_snapshot_that_the_log_does_not_follow_is_not_sent() {
        let mut log = log();
        log.append(&[entry(1, 1, 1), entry(2, 1, 1)]);
        let conf_state = ConfState { voters: vec![1, 2], ..ConfState::default() };
        log.snapshot_saved(SnapshotPoint { index: 1, term: 1, conf_state });
        assert_eq!(log.first_index().unwrap(), 2, "the first snapshot replaces the beginning");
        assert_eq!(log.snapshot(0, 2).unwrap().get_metadata().index, 1);
        assert!(log.snapshot(0, 3).is_err(), "server 3 is no member in it");
        assert!(log.take_snapshot_wanted());
        log.trim(2, true);
        assert!(log.snapshot(0, 2).is_err());
        assert!(log.take_snapshot_wanted());
        assert!(!log.take_snapshot_wanted());
    }
}
