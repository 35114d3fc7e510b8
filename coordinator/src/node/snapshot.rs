//! Snapshots that do not stop writes: the state is swept in small steps between other work.

use raft::ProgressState;

use super::{Level, Node, Output, SnapshotPoint};
use crate::random::Seeded;
use crate::state::State;

/// Znodes looked at in one step: well under a millisecond.
const STEP_NODES: usize = 100;

/// A chunk goes to the writer at this size.
const CHUNK_BYTES: usize = 64 << 10;
/// What the last step before that may add included, unless it is a large znode.
const CHUNK_ROOM: usize = CHUNK_BYTES + (CHUNK_BYTES >> 1);

/// So many chunks may wait for the writer; then the snapshot pauses.
const CHUNKS_WAITING_MAX: usize = 2;

/// The entries behind a snapshot are kept for so long after it is saved.
const PIN_AFTER_MS: u64 = 5000;

/// The snapshot in the making, and when the next one is due.
#[derive(Default)]
pub(super) struct Snapshots {
    active: Option<SnapshotPoint>,
    ended: bool,
    chunk: Vec<u8>,
    /// Chunks that were written, to be filled again.
    spare: Vec<Vec<u8>>,
    chunks_waiting: usize,
    saved_ms: u64,
    ops_since: u64,
    ops_due: u64,
}

impl Snapshots {
    /// Draws when the next snapshot is due: servers should not all write at once
    /// (`SyncRequestProcessor` draws from the upper half of `snapCount` too).
    pub(super) fn next_after(&mut self, ops: u64, random: &mut Seeded) {
        self.ops_since = 0;
        self.ops_due = ops / 2 + random.below(ops / 2 + 1) + 1;
    }

    /// The next one is due as soon as what is being applied is applied.
    pub(super) fn due_now(&mut self) {
        self.ops_due = 0;
    }

    /// Whether one is in the making, or was until a moment ago: a follower that waits for it asks
    /// again only after its next heartbeat.
    fn recent(&self, now_ms: u64) -> bool {
        self.active.is_some() || now_ms < self.saved_ms + PIN_AFTER_MS
    }

    pub(super) fn applied_one(&mut self) {
        self.ops_since += 1;
    }

    pub(super) fn abort(&mut self, state: &mut State) {
        if self.active.take().is_some() && !self.ended {
            state.snapshot_abort();
        }
        self.ended = false;
        self.chunk = Vec::new();
        self.spare = Vec::new();
    }
}

impl Node {
    /// Whether [`Node::flush`] should be called again without waiting: a snapshot is in progress.
    pub fn busy(&self) -> bool {
        self.has_queued() || self.snapshotting()
    }

    fn snapshotting(&self) -> bool {
        let snapshots = &self.snapshots;
        snapshots.active.is_some()
            && !snapshots.ended
            && snapshots.chunks_waiting < CHUNKS_WAITING_MAX
    }

    /// Begins a snapshot if one is due, or goes on with the one in the making.
    pub(super) fn step_snapshot(&mut self) {
        if self.snapshots.active.is_none() {
            let wanted = self.raft.store().take_snapshot_wanted();
            if !wanted && self.snapshots.ops_since < self.snapshots.ops_due
                || self.applied_index == 0
            {
                return;
            }
            self.begin(wanted);
        }
        if !self.snapshotting() {
            return;
        }
        let done = self.state.snapshot_step(STEP_NODES, &mut self.snapshots.chunk);
        if done || self.snapshots.chunk.len() >= CHUNK_BYTES {
            self.snapshots.chunks_waiting += 1;
            let next = self.snapshots.spare.pop();
            let next = next.unwrap_or_else(|| Vec::with_capacity(CHUNK_ROOM));
            let chunk = std::mem::replace(&mut self.snapshots.chunk, next);
            self.outputs.push(Output::SnapshotChunk(chunk));
        }
        if done {
            self.snapshots.ended = true;
            self.outputs.push(Output::SnapshotEnd);
        }
    }

    /// Takes a snapshot of the state as it is now, as soon as none is in the making.
    pub fn begin_snapshot(&mut self) {
        if self.snapshots.active.is_none() {
            self.begin(false);
        }
    }

    /// A follower that gets this snapshot needs what comes behind it. Where nobody is `wanted` to get
    /// it, keeping that would be memory for nothing: up to half a gigabyte, a page fault for each page.
    fn begin(&mut self, wanted: bool) {
        let point = SnapshotPoint {
            index: self.applied_index,
            term: self.applied_term,
            conf_state: self.membership.conf_state().clone(),
        };
        let snapshot_ops = self.config.snapshot_ops;
        self.snapshots.next_after(snapshot_ops, &mut self.random);
        self.snapshots.ended = false;
        self.snapshots.chunk.reserve(CHUNK_ROOM);
        self.state.snapshot_begin();
        if wanted || self.somebody_lags() {
            self.raft.mut_store().pin(point.index);
        }
        let zxid = self.state.last_zxid();
        let cluster_id = self.state.cluster().cluster_id;
        self.outputs.push(Output::SnapshotBegin { point: point.clone(), zxid, cluster_id });
        self.snapshots.active = Some(point);
    }

    /// Writes applied since the snapshot in the making, or the last one, was begun.
    pub fn writes_since_snapshot(&self) -> u64 {
        self.snapshots.ops_since
    }

    /// Gives a chunk that is written back for the next one.
    pub fn give_back_chunk(&mut self, mut chunk: Vec<u8>) {
        if self.snapshots.active.is_some() && chunk.capacity() <= 2 * CHUNK_BYTES {
            chunk.clear();
            self.snapshots.spare.push(chunk);
        }
    }

    /// The writer has taken a chunk.
    pub fn snapshot_chunk_written(&mut self) {
        self.snapshots.chunks_waiting = self.snapshots.chunks_waiting.saturating_sub(1);
    }

    /// Index of the snapshot in the making.
    pub fn snapshot_in_making(&self) -> Option<u64> {
        self.snapshots.active.as_ref().map(|point| point.index)
    }

    /// The snapshot is whole on disk; returns the index behind which the log must be kept.
    pub fn snapshot_saved(&mut self) -> Option<u64> {
        let point = self.snapshots.active.take()?;
        self.snapshots.ended = false;
        self.snapshots.chunks_waiting = 0;
        self.snapshots.spare = Vec::new();
        self.snapshots.chunk = Vec::new();
        let index = point.index;
        self.log(Level::Info, &format!("snapshot of index {index} is saved"));
        self.stats.snapshots_saved += 1;
        let log = self.raft.mut_store();
        log.snapshot_saved(point);
        self.snapshots.saved_ms = self.clocks.now_ms();
        Some(index)
    }

    /// A member does not follow the log, and may soon ask for a snapshot.
    fn somebody_lags(&self) -> bool {
        let me = u64::from(self.config.id);
        let mut others = self.raft.raft.prs().iter().filter(|(id, _)| **id != me);
        self.is_leader() && others.any(|(_, p)| p.state != ProgressState::Replicate)
    }

    /// Gives up the entries behind a snapshot when no follower is being sent one.
    pub(super) fn review_pin(&mut self) {
        let progress = self.raft.raft.prs();
        let sending =
            self.is_leader() && progress.iter().any(|(_, p)| p.state == ProgressState::Snapshot);
        if !sending && !self.snapshots.recent(self.clocks.now_ms()) {
            self.raft.mut_store().unpin();
        }
    }

    /// The snapshot could not be written; the log goes on without it.
    pub fn snapshot_failed(&mut self, why: &str) {
        self.snapshots.abort(&mut self.state);
        self.snapshots.chunks_waiting = 0;
        self.raft.mut_store().unpin();
        self.log(Level::Error, &format!("cannot write the snapshot: {why}"));
    }
}
