//! Who belongs to the ensemble, and who may vote.
//!
//! A member whose data directory was lost has forgotten what it promised: counted as before, it
//! could help to elect a leader that lacks acknowledged writes. Every data directory has a random
//! name, its incarnation, which the ensemble remembers. A known member that comes back with an
//! empty directory is removed, added again as a learner under its new incarnation, and votes when
//! it has caught up. An ensemble where all are empty is a first boot.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use raft::eraftpb::{ConfChangeTransition, Entry, EntryType, Message, MessageType};
use raft::{ProgressState, SnapshotStatus};

use super::entry::{self, Segment};
use super::feature::LEVEL;
use super::{Level, Node, NodeConfig, PeerHello};
use crate::state::ClusterMetadata;

/// In the context of a change of members: the member leaves for good, its directory is forgotten.
pub(super) const FORGET: u128 = u128::MAX;

/// Members of an ensemble that has no snapshot yet: the server list.
pub(super) fn first_conf_state(config: &NodeConfig) -> ConfState {
    let ids = |ids: &[u8]| ids.iter().map(|&id| u64::from(id)).collect::<Vec<_>>();
    let voters = if config.voters.is_empty() { vec![config.id] } else { config.voters.clone() };
    ConfState { voters: ids(&voters), learners: ids(&config.observers), ..ConfState::default() }
}

/// What a log that was found on disk says of data directories, committed or not: until a leader
/// says what of it counts, the state does not know it yet.
#[derive(Default)]
pub(super) struct Logged {
    through: u64,
    incarnations: BTreeMap<u8, u128>,
}

impl Logged {
    pub(super) fn read(cluster: &ClusterMetadata, entries: &[Entry]) -> Self {
        let mut incarnations: BTreeMap<u8, u128> = cluster.incarnations().collect();
        for entry in entries {
            if entry.get_entry_type() != EntryType::EntryNormal {
                if let Some((id, incarnation)) = changed_member(&entry.context)
                    && incarnation != FORGET
                {
                    incarnations.insert(id, incarnation);
                }
                continue;
            }
            let Ok((_, segments)) = entry::parse(&entry.data) else { continue };
            for segment in segments.flatten() {
                if let Segment::Incarnation { id, incarnation } = segment {
                    incarnations.entry(id).or_insert(incarnation);
                }
            }
        }
        Self { through: entries.last().map_or(0, |e| e.index), incarnations }
    }
}

/// The member in the context of a change of members, and its data directory from then on.
fn changed_member(context: &[u8]) -> Option<(u8, u128)> {
    let (&[id], incarnation) = context.split_first_chunk()?;
    let incarnation = u128::from_le_bytes(incarnation.try_into().ok()?);
    (incarnation != 0).then_some((id, incarnation))
}

impl Node {
    // ---- introductions ----

    /// The data directories that state and log know of.
    fn known_incarnations(&self) -> Vec<(u8, u128)> {
        if self.applied_index < self.logged.through {
            return self.logged.incarnations.iter().map(|(&id, &known)| (id, known)).collect();
        }
        self.state.cluster().incarnations().collect()
    }

    /// What this server says of itself.
    pub fn hello(&self) -> PeerHello {
        let mut members: Vec<u8> =
            self.config.voters.iter().chain(&self.config.observers).copied().collect();
        members.sort_unstable();
        PeerHello {
            id: self.config.id,
            cluster_id: self.state.cluster().cluster_id,
            incarnation: self.config.incarnation,
            blank: self.blank(),
            members,
            known: self.known_incarnations(),
            level: LEVEL,
        }
    }

    /// This server's data directory, and those that others have shown it.
    pub(super) fn introduced(&self) -> Vec<(u8, u128)> {
        let others = self.peers.hellos().map(|hello| (hello.id, hello.incarnation));
        std::iter::once((self.config.id, self.config.incarnation)).chain(others).collect()
    }

    /// Whether to talk to a server that says this of itself; the error is for the log.
    pub fn check_hello(&self, hello: &PeerHello) -> Result<(), String> {
        let id = hello.id;
        if id == self.config.id {
            return Err(format!(
                "it says that it is server {id}, as this one is: two `myid` alike?"
            ));
        }
        if !self.peers.contains(id) {
            return Err(format!("server {id} is not in this server's list of members"));
        }
        let ours = self.state.cluster().cluster_id;
        if ours != 0 && hello.cluster_id != 0 && ours != hello.cluster_id {
            return Err(format!(
                "its data directory belongs to ensemble {:032x}, ours to {ours:032x}; \
                 one of the two has the wrong `dataDir`",
                hello.cluster_id
            ));
        }
        // Where the ensemble decides, a list is as old as what its server has applied.
        if self.config.reconfig_enabled || self.state.cluster().membership.is_some() {
            return Ok(());
        }
        let mine = self.hello().members;
        let differ = |a: &[u8], b: &[u8]| a.iter().filter(|id| !b.contains(id)).count();
        let (only_here, only_there) =
            (differ(&mine, &hello.members), differ(&hello.members, &mine));
        // One id more or less is a change on its way from member to member.
        if only_here + only_there > 1 {
            return Err(format!(
                "its server list has the ids {:?}, ours {mine:?}; make the `server.N` lines alike",
                hello.members
            ));
        }
        Ok(())
    }

    /// Messages from and to `hello.id` get through from now on.
    pub fn peer_connected(&mut self, hello: PeerHello) {
        let id = hello.id;
        for &(known, incarnation) in &hello.known {
            if known == self.config.id
                && incarnation != self.config.incarnation
                && self.blank()
                && !self.wiped
            {
                self.wiped = true;
                self.log(
                    Level::Warn,
                    "this data directory is empty, but the ensemble knows another one of this \
                         server: it follows without a vote until it has caught up",
                );
            }
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

    /// So many members have lost what they promised that the others are no majority: nothing goes
    /// on by itself, since what only the lost ones had may have been acknowledged.
    fn tell_of_loss(&mut self) {
        let known = self.known_incarnations();
        let lost = |&&id: &&u64| {
            self.peers.hello(id as u8).is_some_and(|hello| {
                let recorded = known.iter().find(|(id, _)| *id == hello.id);
                hello.blank && recorded.is_some_and(|(_, known)| *known != hello.incarnation)
            })
        };
        let voters = &self.conf_state.voters;
        let lost: Vec<u64> = voters.iter().filter(lost).copied().collect();
        if self.loss_told || self.leader() != 0 || (voters.len() - lost.len()) * 2 > voters.len() {
            return;
        }
        self.loss_told = true;
        self.log(
            Level::Error,
            &format!(
                "servers {lost:?} have lost their data, so no majority is left that knows what was \
                 acknowledged, and nobody serves: bring one of their data directories back, or, \
                 when they are gone for good, stop this server and go on from what it has with \
                 `coordinator rescue ZOOKEEPER.PROPERTIES`"
            ),
        );
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

    pub(super) fn connected_majority(&self) -> bool {
        self.peers.majority_is_up(&self.conf_state.voters)
    }

    // ---- who may vote ----

    /// Nothing has been promised from this data directory yet.
    fn blank(&self) -> bool {
        self.config.blank && self.state.cluster().cluster_id == 0
    }

    pub(super) fn may_vote(&self) -> bool {
        self.permitted && !self.wiped
    }

    /// At the start: a server that was emptied and has caught up half-way since is not blank any
    /// more, but has still forgotten what it promised from the directory that the ensemble knows.
    pub(super) fn review_own_directory(&mut self) {
        let me = self.config.id;
        let mut known = self.known_incarnations().into_iter();
        self.wiped = known.any(|(id, known)| id == me && known != self.config.incarnation);
    }

    /// A blank server votes when the operator said so, when everybody is blank, when the ensemble has
    /// never known a data directory of it, or knows this very one: then nothing was lost, it has only
    /// not heard yet that the ensemble is founded. Who speaks for the ensemble must know itself:
    /// otherwise its log may not even reach to the founding, where all directories are named.
    pub(super) fn review_permission(&mut self) {
        if self.permitted {
            return;
        }
        let me = self.config.id;
        let alone = self.config.voters.iter().all(|&id| id == me);
        let all_blank =
            self.config.voters.iter().filter(|&&id| id != me).all(|&id| {
                self.peers.hello(id).is_some_and(|hello| hello.blank)
            });
        let vouched = |hello: &PeerHello| {
            let known = |of: u8| hello.known.iter().find(|(id, _)| *id == of).map(|(_, i)| *i);
            let knows_itself = known(hello.id) == Some(hello.incarnation);
            knows_itself && known(me).is_none_or(|known| known == self.config.incarnation)
        };
        let mut introduced = self.peers.hellos();
        self.permitted = !self.config.blank
            || self.config.initialize
            || alone
            || all_blank
            || self.known_incarnations().contains(&(me, self.config.incarnation))
            || introduced.any(|hello| !hello.blank && vouched(hello));
    }

    /// Whether a raft message of a peer counts. Votes of a server that has forgotten its promises
    /// do not, nor do its claims about a log that it has lost; a learner makes no promises. A
    /// leader counts always: those who elected it know its directory, though this server may be
    /// so far behind that it remembers the one before, and would never hear of the change.
    pub(super) fn trusted(&mut self, from: u8, message: &Message) -> bool {
        let recorded = self.state.cluster().incarnation(from);
        let shown = self.peers.hello(from).map(|hello| hello.incarnation);
        let known = recorded.is_none() || shown.is_none() || recorded == shown;
        let leads = matches!(
            message.get_msg_type(),
            MessageType::MsgAppend
                | MessageType::MsgHeartbeat
                | MessageType::MsgSnapshot
                | MessageType::MsgReadIndexResp
        );
        if !known && !leads {
            return false;
        }
        let vote = matches!(
            message.get_msg_type(),
            MessageType::MsgRequestVote
                | MessageType::MsgRequestPreVote
                | MessageType::MsgTimeoutNow
        );
        if vote {
            return self.may_vote();
        }
        // Known from before it was emptied, this server may be told of commits it has lost.
        let lost = message.get_msg_type() == MessageType::MsgHeartbeat
            && message.commit > self.raft.raft.raft_log.last_index();
        !lost
    }

    /// A member in its present directory votes; called when members or incarnations change.
    pub(super) fn review_own_vote(&mut self) {
        let me = self.config.id;
        let known = self.state.cluster().incarnation(me) == Some(self.config.incarnation);
        if known && self.conf_state.voters.contains(&u64::from(me)) && !self.may_vote() {
            self.wiped = false;
            self.permitted = true;
            self.log(Level::Info, "this server is a voter");
        }
    }

    // ---- what the leader does about it ----

    /// Records incarnations, and takes wiped members through learner to voter again.
    pub(super) fn review_members(&mut self) {
        if !self.leading()
            || self.raft.raft.has_pending_conf()
            || self.raft.raft.lead_transferee.is_some()
        {
            return;
        }
        let me = self.config.id;
        if self.state.cluster().incarnation(me).is_none() {
            let incarnation = self.config.incarnation;
            self.propose_segment(&Segment::Incarnation { id: me, incarnation });
        }
        if self.follow_list() {
            return;
        }
        let peers: Vec<PeerHello> = self.peers.linked().cloned().collect();
        for hello in peers {
            let id = u64::from(hello.id);
            let voter = self.conf_state.voters.contains(&id);
            let learner = self.conf_state.learners.contains(&id);
            if !self.listed(hello.id) {
                continue;
            }
            match self.state.cluster().incarnation(hello.id) {
                None if voter && self.peers.lost_its_log(hello.id) => {
                    return self.change(id, ConfChangeType::RemoveNode, 0);
                }
                None => {
                    let incarnation = hello.incarnation;
                    self.propose_segment(&Segment::Incarnation { id: hello.id, incarnation });
                }
                Some(known) if known == hello.incarnation => {
                    let observer = self.config.observers.contains(&hello.id);
                    if learner && !observer && self.caught_up(id) {
                        self.log(
                            Level::Info,
                            &format!("server {id} has caught up; promoting it to a voter"),
                        );
                        return self.change(id, ConfChangeType::AddNode, 0);
                    }
                    if !voter && !learner {
                        self.log(Level::Info, &format!("server {id} joins as a learner"));
                        return self.change(id, ConfChangeType::AddLearnerNode, hello.incarnation);
                    }
                }
                // Empty, or not any more: it may have caught up half-way before this was seen.
                Some(_) if voter || learner => {
                    self.log(
                        Level::Warn,
                        &format!("server {id} has a new data directory; it is a learner until it has caught up"),
                    );
                    return self.change(id, ConfChangeType::RemoveNode, 0);
                }
                Some(_) => {
                    return self.change(id, ConfChangeType::AddLearnerNode, hello.incarnation);
                }
            }
        }
        self.remove_unlisted();
    }

    /// A member that is in nobody's server list any more leaves: this one's list and those of all
    /// linked members, a majority of the voters, must say so.
    fn remove_unlisted(&mut self) {
        if self.state.cluster().membership.is_some() {
            return;
        }
        let listed = |id: u8| {
            let config = &self.config;
            id == config.id
                || config.voters.contains(&id)
                || config.observers.contains(&id)
                || self.peers.linked().flat_map(|hello| &hello.members).any(|&member| member == id)
        };
        let members = self.conf_state.voters.iter().chain(&self.conf_state.learners);
        let Some(&id) = members.into_iter().find(|&&id| !listed(id as u8)) else { return };
        if self.connected_majority() {
            self.log(
                Level::Info,
                &format!("server {id} is in no server list any more; removing it"),
            );
            self.change(id, ConfChangeType::RemoveNode, FORGET);
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
        let is = |other: &&u64| **other == u64::from(id);
        let (voters, learners) = (&self.conf_state.voters, &self.conf_state.learners);
        if !voters.iter().chain(learners).any(|other| is(&other)) {
            return Err(format!("server {id} is not a member"));
        }
        if self.peers.is_up(id) {
            return Err(format!("server {id} runs: stop it first, or it would join again"));
        }
        if self.raft.raft.has_pending_conf() {
            return Err("another change of members is under way".to_owned());
        }
        let staying: Vec<u64> = voters.iter().filter(|other| !is(other)).copied().collect();
        let up = staying.iter().filter(|&&other| self.peers.is_up(other as u8)).count();
        if up * 2 <= staying.len() {
            return Err(format!("{up} of the other {} voters are connected", staying.len()));
        }
        self.log(Level::Info, &format!("removing server {id} on an operator's command"));
        self.change(u64::from(id), ConfChangeType::RemoveNode, FORGET);
        Ok(())
    }

    fn caught_up(&self, id: u64) -> bool {
        let committed = self.raft.raft.raft_log.committed;
        self.raft.raft.prs().get(id).is_some_and(|p| p.matched + 100 >= committed && p.matched > 0)
    }

    pub(super) fn change(&mut self, id: u64, what: ConfChangeType, incarnation: u128) {
        let mut single = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
        single.set_change_type(what);
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::Auto);
        change.mut_changes().push(single);
        let mut context = vec![id as u8];
        context.extend_from_slice(&incarnation.to_le_bytes());
        if self.raft.propose_conf_change(context, change).is_err() {
            self.log(Level::Warn, &format!("cannot change member {id} now; it is tried again"));
        }
    }

    /// A change of members is committed.
    pub(super) fn apply_conf_change(&mut self, change: &ConfChangeV2, context: &[u8]) {
        self.conf_state = self.raft.apply_conf_change(change).expect("raft proposed it");
        self.durability.members_changed();
        self.peers.forget_losses_but_of(&self.conf_state.voters);
        if let Some((id, incarnation)) = changed_member(context) {
            let cluster = self.state.cluster_mut();
            if incarnation == FORGET {
                cluster.forget_member(id);
            } else {
                cluster.set_incarnation(id, incarnation);
            }
        }
        self.review_own_vote();
        self.step_down_without_vote();
        let mut voters = self.conf_state.voters.clone();
        voters.sort_unstable();
        let text = format!("voters {voters:?}, learners {:?}", self.conf_state.learners);
        self.log(Level::Info, &text);
    }

    /// A leader may find in the log, proposed by the one before it, that it is no member any more, or
    /// has no vote. Raft leaves stepping down to us (0.7 `post_conf_change`), and looks for the leader
    /// among the members when its next entry is on disk.
    fn step_down_without_vote(&mut self) {
        let me = u64::from(self.config.id);
        if self.is_leader() && !self.conf_state.voters.contains(&me) {
            let term = self.raft.raft.term;
            self.raft.raft.become_follower(term, 0);
        }
    }
}
