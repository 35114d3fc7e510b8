//! Snapshots that do not stop writes: the state is walked in small steps between other work.

use raft::ProgressState;

use super::{Level, Node, Output, SnapshotPoint};

/// Znodes looked at in one step: well under a millisecond.
const STEP_NODES: usize = 100;

impl Node {
    /// Whether [`Node::flush`] should be called again without waiting: a snapshot is in progress.
    pub fn busy(&self) -> bool {
        self.budget.has_queued() || self.snapshots.walks() || self.applies_later()
    }

    /// What is committed waits for the next turn: this one has applied enough.
    pub fn applies_later(&self) -> bool {
        !self.halted && self.raft.has_ready() && !self.budget.may_apply()
    }

    /// Begins a snapshot if one is due, or goes on with the one in the making.
    pub(super) fn step_snapshot(&mut self) {
        if self.differs() {
            return;
        }
        if self.snapshots.in_making().is_none() {
            let wanted = self.raft.store().take_snapshot_wanted();
            let now_ms = self.clocks.now_ms();
            let due = || self.snapshots.due(now_ms, || self.offers_snapshot());
            if !wanted && !due() || self.applied_index == 0 {
                return;
            }
            self.begin(wanted);
        }
        if !self.snapshots.walks() {
            return;
        }
        let Some(chunk) = self.snapshots.chunk() else { return };
        let done = self.state.snapshot_step(STEP_NODES, chunk);
        self.outputs.extend(self.snapshots.stepped(done).map(Output::SnapshotChunk));
        if done {
            self.outputs.push(Output::SnapshotEnd);
        }
    }

    /// Takes a snapshot of the state as it is now, as soon as none is in the making.
    pub fn begin_snapshot(&mut self) {
        if self.snapshots.in_making().is_none() && !self.differs() {
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
        self.snapshots.begin(point.clone(), &mut self.random);
        self.state.snapshot_begin();
        if wanted || self.somebody_lags() {
            self.raft.mut_store().pin(point.index);
        }
        let zxid = self.state.last_zxid();
        let cluster_id = self.state.cluster().cluster_id;
        self.outputs.push(Output::SnapshotBegin { point, zxid, cluster_id });
    }

    /// Writes applied since the snapshot in the making, or the last one, was begun.
    pub fn writes_since_snapshot(&self) -> u64 {
        self.snapshots.ops_since()
    }

    /// Gives a chunk that is written back for the next one.
    pub fn give_back_chunk(&mut self, chunk: Vec<u8>) {
        self.snapshots.give_back(chunk);
    }

    /// The writer has taken a chunk.
    pub fn snapshot_chunk_written(&mut self) {
        self.snapshots.chunk_written();
    }

    /// Index of the snapshot in the making.
    pub fn snapshot_in_making(&self) -> Option<u64> {
        self.snapshots.in_making()
    }

    /// The snapshot is whole on disk; returns the index behind which the log must be kept.
    pub fn snapshot_saved(&mut self) -> Option<u64> {
        let point = self.snapshots.saved(self.clocks.now_ms())?;
        let index = point.index;
        self.log(Level::Info, &format!("snapshot of index {index} is saved"));
        self.stats.snapshots_saved += 1;
        self.raft.mut_store().snapshot_saved(point);
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
        if !self.offers_snapshot() && !self.snapshots.recent(self.clocks.now_ms()) {
            self.raft.mut_store().unpin();
        }
    }

    /// A member was offered a snapshot of this leader, and has not taken it yet.
    fn offers_snapshot(&self) -> bool {
        let mut progress = self.raft.raft.prs().iter();
        self.is_leader() && progress.any(|(_, p)| p.state == ProgressState::Snapshot)
    }

    /// The snapshot could not be written; the log goes on without it.
    pub fn snapshot_failed(&mut self, why: &str) {
        self.snapshots.failed(&mut self.state);
        self.raft.mut_store().unpin();
        self.log(Level::Error, &format!("cannot write the snapshot: {why}"));
    }
}
