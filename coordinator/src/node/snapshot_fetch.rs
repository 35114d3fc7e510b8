//! A follower that is too far behind for the leader's log: it is offered a snapshot, fetches it, and
//! takes its state for its own.

use raft::eraftpb::Message;
use raft::{ProgressState, SnapshotStatus};

use super::snapshots::Offer;
use super::{Level, Node, Output, SnapshotPoint, peer};
use crate::state::State;

impl Node {
    /// Offers snapshots again that were not taken up.
    pub(super) fn repeat_offers(&mut self) {
        if !self.is_leader() {
            return;
        }
        let progress = self.raft.raft.prs();
        let offered = |id: u8| {
            progress.get(u64::from(id)).is_some_and(|p| p.state == ProgressState::Snapshot)
        };
        for id in self.peers.take_stale_offers(self.clocks.now_ms(), offered) {
            self.raft.report_snapshot(u64::from(id), SnapshotStatus::Failure);
        }
    }

    /// The leader says that only a snapshot brings this server up to date.
    pub(super) fn snapshot_offered(&mut self, from: u8, message: Message) {
        let metadata = message.get_snapshot().get_metadata();
        let point = SnapshotPoint {
            index: metadata.index,
            term: metadata.term,
            conf_state: metadata.get_conf_state().clone(),
        };
        if point.index <= self.raft.raft.raft_log.committed {
            // Raft answers with what it has. The leader asks because it has not heard that yet.
            self.durability.acknowledge_again();
            return self.step_raft(message);
        }
        if self.fetch.busy() {
            return; // one at a time, and none twice; a leader repeats its offer
        }
        self.log(
            Level::Info,
            &format!("fetching the snapshot of index {} from server {from}", point.index),
        );
        self.outputs.push(Output::FetchSnapshot { from, index: point.index, term: point.term });
        self.fetch.begin(Offer { from, point, message });
    }

    /// The snapshot asked for by [`Output::FetchSnapshot`] is whole on disk and in memory, or not
    /// to be had.
    pub fn snapshot_fetched(&mut self, index: u64, state: Option<Box<State>>) {
        let Some(offer) = self.fetch.end(index) else { return };
        let Some(state) = state else {
            let mut message = Vec::new();
            peer::snapshot_failed(&mut message);
            return self.peers.send(offer.from, &message);
        };
        if offer.point.index <= self.raft.raft.raft_log.committed {
            return;
        }
        self.fetch.keep(offer.point, state);
        self.step_raft(offer.message);
        if self.raft.raft.raft_log.unstable_snapshot().is_none() {
            self.fetch.take();
        }
    }

    /// Raft has accepted the fetched snapshot: the state is replaced.
    pub(super) fn install_snapshot(&mut self) -> SnapshotPoint {
        self.stats.snapshots_received += 1;
        let (point, state) = self.fetch.take().expect("raft was given the snapshot just now");
        self.snapshots.abort(&mut self.state);
        self.state = *state;
        self.forget_comparison();
        self.proposals.continue_from(self.state.last_time_ms());
        self.applied_index = point.index;
        self.applied_term = point.term;
        self.membership.set_conf_state(point.conf_state.clone());
        self.adopt_members();
        self.raft.mut_store().install(point.clone());
        // Watches may have missed events and answers may be lost: clients come back and ask.
        for conn in self.clients.ids() {
            self.close_client(conn);
        }
        let applied = self.state.cluster().last_sequence(self.config.id);
        if self.admitted() {
            self.outbox.skip_through(applied);
        }
        self.review_own_vote();
        self.log(Level::Info, &format!("installed the snapshot of index {}", point.index));
        point
    }
}
