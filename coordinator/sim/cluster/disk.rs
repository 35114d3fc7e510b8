//! When a server's other threads work: the log's, the snapshots', and who fetches snapshots.

use coordinator::driver::{
    Chore, Completion, LogWork, ReceivedSnapshot, SnapshotStep, open_snapshot,
};
use coordinator::random::Seeded;
use coordinator::state::State;
use coordinator::store::{Disk, FaultyDisk, Identity, WalOptions};

use super::host::stopwatch;
use super::{Arrival, SEGMENT_BYTES};
use crate::network::{MS, Micros};
use crate::world::{What, World};

impl World {
    /// How long a sync takes on this server's disk.
    pub(super) fn sync_time(&mut self, s: usize) -> Micros {
        let slow = self.now_us < self.servers[s].slow_until_us;
        let (low, high) = if slow { (50 * MS, 800 * MS) } else { self.setting.sync_us };
        let hangs_us = self.servers[s].hangs_until_us.saturating_sub(self.now_us);
        hangs_us + self.random.range(low, high)
    }

    /// Appends all that waits, and is busy with the sync until `log_done`.
    pub(super) fn work_log(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        if running.log_busy || running.log_work.is_empty() {
            return;
        }
        let work: Vec<LogWork> = running.log_work.drain(..).collect();
        match running.log.append(work) {
            Ok(number) => (running.log_busy, running.log_number) = (true, number),
            Err(e) => return self.complete(s, Completion::Fatal(e.to_string())),
        }
        let delay = self.sync_time(s);
        self.schedule(delay, What::LogDone { server: s, boot, took: delay });
    }

    pub fn log_done(&mut self, s: usize, took: Micros) {
        let Some(running) = &mut self.servers[s].running else { return };
        running.log_busy = false;
        if let Some(number) = running.log_number.take() {
            match running.log.sync(stopwatch(took)) {
                Ok(sync) => self.complete(s, Completion::Persisted { number, sync }),
                Err(e) => return self.complete(s, Completion::Fatal(e.to_string())),
            }
        }
        self.schedule_chores(s);
        self.work_log(s);
    }

    /// A thread of its own does them, some time later.
    pub(super) fn schedule_chores(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        for chore in running.log.take_chores() {
            let delay = self.random.range(100, 20 * MS);
            // In their order.
            let at_us = (self.time_us() + delay).max(self.chores_us + 1);
            self.chores_us = at_us;
            self.schedule_at(at_us, What::Chore { server: s, boot, chore });
        }
    }

    pub fn chore(&mut self, s: usize, chore: Chore) {
        let Some(running) = &mut self.servers[s].running else { return };
        if let Some((_, text)) = running.chores.carry_out(chore) {
            self.say(|| format!("server {} says: {text}", s + 1));
        }
    }

    /// The snapshot thread takes the next piece of work, if it is idle.
    pub(super) fn work_snapshots(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        let took = self.random.range(50, 5 * MS);
        let Some(running) = &mut self.servers[s].running else { return };
        if running.snapshot_busy {
            return;
        }
        let Some(work) = running.snapshot_work.pop_front() else { return };
        running.snapshot_busy = true;
        let SnapshotStep { rest, completions } = running.snapshots.carry_out(work, stopwatch(took));
        let delay = took + rest.as_micros() as Micros;
        self.schedule(delay, What::SnapshotStep { server: s, boot, completions });
    }

    pub fn snapshot_step(&mut self, s: usize, completions: Vec<Completion>) {
        let Some(running) = &mut self.servers[s].running else { return };
        running.snapshot_busy = false;
        for completion in completions {
            self.complete(s, completion);
        }
        self.work_snapshots(s);
    }

    /// A snapshot comes from the disk of another server, is written and restored here. Who sends it has
    /// the file open, so that it is sent to its end.
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
        let fetched = Completion::Fetched { index, state: state.map(Box::new) };
        let boot = self.servers[s].boot;
        let delay = self.random.range(5 * MS, 800 * MS);
        let arrival = Arrival::Completed(fetched);
        self.schedule(delay, What::Arrive { server: s, boot, arrival });
    }
}

pub(super) fn options(identity: &Identity) -> WalOptions {
    WalOptions {
        segment_bytes: SEGMENT_BYTES,
        always_synced: true,
        ..WalOptions::new(identity.incarnation as u64)
    }
}

fn copy_snapshot(
    source: &FaultyDisk,
    target: &FaultyDisk,
    index: u64,
) -> Result<Option<State>, String> {
    let Some(mut reader) = open_snapshot(source, index).map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let received = ReceivedSnapshot::begin(target.clone(), reader.meta());
    let mut received = received.map_err(|e| e.to_string())?;
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk).map_err(|e| e.to_string())? {
        received.chunk(&chunk)?;
    }
    received.finish().map(Some)
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
