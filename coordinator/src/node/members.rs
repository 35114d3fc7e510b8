//! Changes of members: introductions, what the leader does about them, and what a committed change
//! means here. Who may vote and what comes next is decided by `membership`.

use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeV2, Message};
use raft::{ProgressState, SnapshotStatus};

use super::entry::Segment;
use super::membership::{self, Change, Step};
use super::{Level, Node, Output, PeerHello};
use crate::wire::opcode::OpCode;

impl Node {
    // ---- introductions ----

    /// What this server says of itself.
    pub fn hello(&self) -> PeerHello {
        self.membership.hello(self.state.cluster(), self.applied_index)
    }

    /// Whether to talk to a server that says this of itself; the error is for the log.
    pub fn check_hello(&self, hello: &PeerHello) -> Result<(), String> {
        self.membership.check_hello(hello, self.state.cluster(), &self.peers)
    }

    /// Messages from and to `hello.id` get through from now on.
    pub fn peer_connected(&mut self, hello: PeerHello) {
        let id = hello.id;
        if self.membership.learns_of_wipe(&hello, self.state.cluster()) {
            self.log(
                Level::Warn,
                "this data directory is empty, but the ensemble knows another one of this \
                     server: it follows without a vote until it has caught up",
            );
        }
        if !self.peers.contains(id) {
            return;
        }
        let progress = self.raft.raft.prs().get(u64::from(id));
        let held_entries = progress.is_some_and(|p| p.matched > 0);
        self.peers.connect(hello, held_entries, self.clocks.attentive_ms());
        self.durability.acknowledge_again();
        self.tell_of_loss();
        self.review_permission();
        if self.leader() == id {
            self.outbox.resend();
            self.report();
            self.announce();
        } else if self.leader() == 0 && self.connected_majority() {
            self.campaign_soon(0);
        }
        if self.is_leader() {
            self.review_members();
            // Wakes a follower that has not heard of this leader.
            self.raft.ping();
        }
    }

    /// Messages do not get through any more.
    pub fn peer_disconnected(&mut self, id: u8) {
        if !self.peers.disconnect(id) {
            return;
        }
        self.durability.acknowledge_again();
        if self.leader() == id {
            self.outbox.resend();
            self.leases.reports_lost();
            // The leader's process is gone, or the way to it. Waiting for silence would add
            // nothing; a majority that still hears it refuses the pre-vote.
            self.raft.raft.election_elapsed = self.raft.raft.election_timeout();
            self.campaign_soon(id);
        }
        if self.is_leader() {
            let id = u64::from(id);
            self.raft.report_unreachable(id);
            // A snapshot on its way is not coming; raft would wait for it for ever.
            if self.raft.raft.prs().get(id).is_some_and(|p| p.state == ProgressState::Snapshot) {
                self.raft.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
    }

    /// Says once that too many members have lost their data.
    fn tell_of_loss(&mut self) {
        if self.leader() != 0 {
            return;
        }
        let (cluster, applied) = (self.state.cluster(), self.applied_index);
        if let Some(lost) = self.membership.take_loss(cluster, applied, &self.peers) {
            self.log(
                Level::Error,
                &format!(
                    "servers {lost:?} have lost their data, so no majority is left that knows what \
                     was acknowledged, and nobody serves: bring one of their data directories back, \
                     or, when they are gone for good, stop this server and go on from what it has \
                     with `coordinator rescue ZOOKEEPER.PROPERTIES`"
                ),
            );
        }
    }

    pub(super) fn connected_majority(&self) -> bool {
        self.peers.majority_is_up(self.membership.voters())
    }

    // ---- who may vote ----

    pub(super) fn review_permission(&mut self) {
        let (cluster, applied) = (self.state.cluster(), self.applied_index);
        self.membership.review_permission(cluster, applied, &self.peers);
    }

    pub(super) fn review_own_vote(&mut self) {
        if self.membership.review_own_vote(self.state.cluster()) {
            self.log(Level::Info, "this server is a voter");
        }
    }

    /// Whether a raft message of a peer counts.
    pub(super) fn trusted(&self, from: u8, message: &Message) -> bool {
        let last_index = self.raft.raft.raft_log.last_index();
        self.membership.trusts(from, message, self.state.cluster(), &self.peers, last_index)
    }

    // ---- what the leader does about it ----

    /// Does what comes next: records data directories, takes members towards the ensemble's list and
    /// through learner to voter.
    pub(super) fn review_members(&mut self) {
        if !self.leading()
            || self.raft.raft.has_pending_conf()
            || self.raft.raft.lead_transferee.is_some()
        {
            return;
        }
        let raft = &self.raft.raft;
        let caught_up = |id| {
            let progress = raft.prs().get(id);
            progress.is_some_and(|p| p.matched + 100 >= raft.raft_log.committed && p.matched > 0)
        };
        let cluster = self.state.cluster();
        for step in self.membership.next_steps(cluster, &self.peers, caught_up) {
            match step {
                Step::Record { id, incarnation } => {
                    self.propose_segment(&Segment::Incarnation { id, incarnation });
                }
                Step::Change(change) => self.change(&change),
                Step::HandOver(to) => {
                    self.transfer_leadership(Some(to));
                }
                Step::FinishList => {
                    self.membership.propose_list();
                    self.propose_own([(0, OpCode::Reconfig, "")]);
                }
            }
        }
    }

    fn change(&mut self, change: &Change) {
        self.log(change.level(), &change.to_string());
        let mut single = ConfChangeSingle { node_id: change.id, ..ConfChangeSingle::default() };
        single.set_change_type(change.kind);
        let mut proposal = ConfChangeV2::default();
        proposal.set_transition(ConfChangeTransition::Auto);
        proposal.mut_changes().push(single);
        let context = membership::change_context(change.id, change.incarnation);
        if self.raft.propose_conf_change(context, proposal).is_err() {
            self.log(
                Level::Warn,
                &format!("cannot change member {} now; it is tried again", change.id),
            );
        }
    }

    /// For an operator who wants what only the leader can do.
    pub fn who_leads(&self) -> String {
        match self.leader() {
            0 => "there is no leader now".to_owned(),
            leader => format!("this server does not lead; server {leader} does"),
        }
    }

    /// An operator takes the vote from a member that is gone for good, before the server lists change:
    /// with more votes than servers nobody could be spared for the restarts. The error is for the
    /// operator.
    pub fn remove_member(&mut self, id: u8) -> Result<(), String> {
        if !self.leading() {
            return Err(self.who_leads());
        }
        self.membership.may_remove(id, &self.peers)?;
        if self.raft.raft.has_pending_conf() {
            return Err("another change of members is under way".to_owned());
        }
        self.change(&Change::on_command(id));
        Ok(())
    }

    // ---- what is committed ----

    /// A change of members is committed.
    pub(super) fn apply_conf_change(&mut self, change: &ConfChangeV2, context: &[u8]) {
        match self.raft.apply_conf_change(change) {
            Ok(conf_state) => self.membership.set_conf_state(conf_state),
            // Not one of ours: all servers refuse it alike, since they have the same members.
            Err(error) => {
                self.stats.entries_unreadable += 1;
                return self.log(
                    Level::Error,
                    &format!("a change of members has no effect on any server: {error}"),
                );
            }
        }
        self.durability.members_changed();
        self.peers.forget_losses_but_of(self.membership.voters());
        membership::record_change(self.state.cluster_mut(), context);
        self.review_own_vote();
        self.step_down_without_vote();
        let mut voters = self.membership.voters().to_vec();
        voters.sort_unstable();
        let learners = &self.membership.conf_state().learners;
        let text = format!("voters {voters:?}, learners {learners:?}");
        self.log(Level::Info, &text);
    }

    /// A leader may find in the log, proposed by the one before it, that it is no member any more, or
    /// has no vote. Raft leaves stepping down to us (0.7 `post_conf_change`), and looks for the leader
    /// among the members when its next entry is on disk.
    fn step_down_without_vote(&mut self) {
        if self.is_leader() && !self.votes(self.config.id) {
            let term = self.raft.raft.term;
            self.raft.raft.become_follower(term, 0);
        }
    }

    /// The ensemble's list takes the place of the configuration's.
    pub(super) fn adopt_members(&mut self) {
        let Some(list) = &self.state.cluster().membership else { return };
        let list = list.target().clone();
        self.membership.adopt(&list);
        // Those that have left are heard until they are gone.
        let membership = &self.membership;
        let stays = |id| list.contains_key(&id) || membership.is_member(u64::from(id));
        self.peers.adopt(list.keys().copied(), stays);
        self.outputs.push(Output::Members(list));
    }

    /// A list was asked for, or has become the present one.
    pub(super) fn members_decided(&mut self) {
        self.membership.list_settled();
        self.adopt_members();
        self.review_members();
    }
}
