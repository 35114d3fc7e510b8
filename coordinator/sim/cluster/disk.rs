//! The log thread, and the writing and fetching of snapshots.

use coordinator::node::SnapshotPoint;
use coordinator::random::Seeded;
use coordinator::state::{Restore, State};
use coordinator::store::{
    Disk, FaultyDisk, Identity, SnapshotMeta, SnapshotReader, SnapshotWriter, StoreError,
    WalOptions, list_snapshots, prepare_spare, purge_snapshots,
};

use super::{Arrival, LogWork, SEGMENT_BYTES, SNAPSHOTS_KEPT};
use crate::network::MS;
use crate::world::{What, World};

impl World {
    pub(super) fn snapshot_failed(&mut self, s: usize, error: &StoreError) {
        if let Some(running) = &mut self.servers[s].running {
            running.writer = None;
        }
        self.arrive(s, Arrival::SnapshotFailed(error.to_string()));
    }

    pub fn snapshot_ends(&mut self, s: usize) {
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        let Some(writer) = running.writer.take() else { return };
        match writer.finish().and_then(|()| purge_snapshots(&disk, SNAPSHOTS_KEPT)) {
            Ok(()) => {
                self.stats.snapshots += 1;
                self.arrive(s, Arrival::SnapshotSaved);
            }
            Err(e) => self.snapshot_failed(s, &e),
        }
    }

    /// A snapshot comes from the disk of another server, is written and restored here.
    pub fn fetch(&mut self, s: usize, from: usize, index: u64) {
        let reachable = self.network.reachable(s, from) && self.servers[from].alive();
        let state = if reachable {
            let source = self.servers[from].disk.clone();
            match copy_snapshot(&source, &self.servers[s].disk.clone(), index) {
                Ok(state) => state,
                Err(e) => {
                    self.say(|| format!("server {} cannot fetch snapshot {index}: {e}", s + 1));
                    None
                }
            }
        } else {
            None
        };
        self.arrive(s, Arrival::Fetched { index, state: state.map(Box::new) });
    }

    /// Appends all that waits, and is busy with the sync until `log_done`.
    pub(super) fn work_log(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        if running.log_busy || running.log_work.is_empty() {
            return;
        }
        let mut number = None;
        let mut failed = None;
        for work in std::mem::take(&mut running.log_work) {
            let done = match work {
                LogWork::Append { number: n, entries, hard_state } => {
                    number = Some(n);
                    running.wal.append(&entries, hard_state.as_ref())
                }
                LogWork::Install(position) => running.wal.reset(position),
                LogWork::Purge(index) => running.wal.purge(index),
            };
            if let Err(e) = done {
                failed = Some(e);
                break;
            }
        }
        running.log_busy = true;
        running.log_number = number;
        if let Some(error) = failed {
            return self.process_fails(s, &error);
        }
        let slow = self.now_us < self.servers[s].slow_until_us;
        let (low, high) = if slow { (50 * MS, 800 * MS) } else { self.setting.sync_us };
        let delay = self.random.range(low, high);
        self.schedule(delay, What::LogDone { server: s, boot });
    }

    pub fn log_done(&mut self, s: usize) {
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        running.log_busy = false;
        let number = running.log_number.take();
        if let Err(e) = running.wal.sync() {
            return self.process_fails(s, &e);
        }
        if running.wal.wants_spare()
            && let Ok(Some(identity)) = Identity::read(&disk)
        {
            // For want of space there is none; the append that needs it says so.
            let _ = prepare_spare(&disk, &options(&identity));
        }
        if let Some(number) = number {
            self.arrive(s, Arrival::Persisted { number });
        }
        self.work_log(s);
    }
}

pub(super) fn options(identity: &Identity) -> WalOptions {
    WalOptions { segment_bytes: SEGMENT_BYTES, ..WalOptions::new(identity.incarnation as u64) }
}

pub(super) fn point_of(meta: &SnapshotMeta) -> SnapshotPoint {
    SnapshotPoint { index: meta.index, term: meta.term, conf_state: meta.conf_state.clone() }
}

pub(super) fn restore(reader: &mut SnapshotReader<FaultyDisk>) -> Result<State, StoreError> {
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        restore.chunk(&chunk).map_err(|e| reader.damage(e.to_string()))?;
    }
    restore.finish().map_err(|e| reader.damage(e.to_string()))
}

pub(super) fn copy_snapshot(
    source: &FaultyDisk,
    target: &FaultyDisk,
    index: u64,
) -> Result<Option<State>, StoreError> {
    let Some((_, name)) = list_snapshots(source)?.into_iter().find(|(p, _)| p.index == index)
    else {
        return Ok(None);
    };
    let mut reader = SnapshotReader::open(source, &name)?;
    let mut writer = SnapshotWriter::create(target.clone(), reader.meta())?;
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        writer.chunk(&chunk)?;
        restore.chunk(&chunk).map_err(|e| reader.damage(e.to_string()))?;
    }
    let state = restore.finish().map_err(|e| reader.damage(e.to_string()))?;
    writer.finish()?;
    Ok(Some(state))
}

/// Flips a bit in the older half of the log, where no crash can have torn anything.
pub fn rot(disk: &FaultyDisk, random: &mut Seeded) -> Option<String> {
    let names = disk.list().ok()?;
    let logs: Vec<_> = names.iter().filter(|n| n.starts_with("log-")).collect();
    let name = logs.first()?;
    let content = disk.content(name);
    let used = content.iter().rposition(|&b| b != 0)?;
    if used < 16 << 10 {
        return None;
    }
    let offset = random.below(used as u64 / 4);
    disk.rot(name, offset, random.next_u64() as u8);
    Some(format!("{name} at {offset}"))
}
