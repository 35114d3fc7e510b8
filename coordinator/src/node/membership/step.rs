//! What a leader does about the members: one change at a time, each safe by itself.
//!
//! Who leaves the ensemble's list loses the vote first and stays as a follower without one while it
//! runs; who joins follows first, and votes when it has caught up. A member with a new data directory
//! is removed and joins again. A leader that is to leave hands over.

use std::fmt;

use raft::eraftpb::ConfChangeType;

use super::{FORGET, Membership};
use crate::node::Level;
use crate::node::peers::{PeerHello, Peers};
use crate::state::ClusterMetadata;

/// What a leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum Step {
    /// Records the data directory of a member that has none recorded.
    Record { id: u8, incarnation: u128 },
    /// Proposes a change of one member.
    Change(Change),
    /// Hands leadership to a member that keeps its vote.
    HandOver(u8),
    /// Proposes that the pending list is the present one.
    FinishList,
}

/// A change of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Change {
    pub id: u64,
    pub kind: ConfChangeType,
    /// The member's data directory from then on; 0: as it is.
    pub incarnation: u128,
    pub why: Why,
}

/// Why a member is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Why {
    /// The list has no vote for it.
    LosesVote,
    /// The list names it.
    Listed,
    /// The list names it no more, and it is gone.
    Left,
    LostItsLog,
    CaughtUp,
    /// It is linked, and no member.
    Joins,
    NewDirectory,
    /// It was removed for its new directory.
    JoinsAgain,
    /// No server's list names it.
    Unlisted,
    /// An operator has asked for it.
    Command,
}

impl Change {
    fn new(id: u64, kind: ConfChangeType, incarnation: u128, why: Why) -> Self {
        Change { id, kind, incarnation, why }
    }

    /// An operator takes a member away that is gone for good.
    pub(in crate::node) fn on_command(id: u8) -> Self {
        Change::new(u64::from(id), ConfChangeType::RemoveNode, FORGET, Why::Command)
    }

    /// How much its line in the log matters.
    pub(in crate::node) fn level(&self) -> Level {
        match self.why {
            Why::LostItsLog | Why::NewDirectory => Level::Warn,
            _ => Level::Info,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match self.why {
            Why::LosesVote => write!(f, "server {id} loses its vote: the list has changed"),
            Why::Listed => write!(f, "server {id} joins, at first without a vote"),
            Why::Left => write!(f, "server {id} has left"),
            Why::LostItsLog => write!(f, "server {id} has lost its log; it joins again"),
            Why::CaughtUp => write!(f, "server {id} has caught up; promoting it to a voter"),
            Why::Joins => write!(f, "server {id} joins as a learner"),
            Why::NewDirectory => write!(
                f,
                "server {id} has a new data directory; it is a learner until it has caught up"
            ),
            Why::JoinsAgain => write!(f, "server {id} joins again as a learner"),
            Why::Unlisted => write!(f, "server {id} is in no server list any more; removing it"),
            Why::Command => write!(f, "removing server {id} on an operator's command"),
        }
    }
}

/// A look at the ensemble's list.
enum Towards {
    /// This comes next, and nothing else.
    Next(Step),
    /// Something is under way.
    Wait,
    /// The members are as the list says.
    Reached,
}

impl Membership {
    /// What the leader does next. `caught_up` tells whether a member follows closely.
    pub(in crate::node) fn next_steps(
        &self,
        cluster: &ClusterMetadata,
        peers: &Peers,
        caught_up: impl Fn(u64) -> bool,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if cluster.incarnation(self.me).is_none() {
            steps.push(Step::Record { id: self.me, incarnation: self.incarnation });
        }
        if let Some(list) = &cluster.membership {
            match self.towards_list(list.pending.is_some(), peers) {
                Towards::Next(step) => {
                    steps.push(step);
                    return steps;
                }
                Towards::Wait => return steps,
                Towards::Reached => {}
            }
        }
        for hello in peers.linked() {
            if cluster.membership.is_some() && !self.in_list(hello.id) {
                continue;
            }
            let lost_its_log = peers.lost_its_log(hello.id);
            match self.for_linked(hello, cluster, lost_its_log, &caught_up) {
                Some(record @ Step::Record { .. }) => steps.push(record),
                Some(step) => {
                    steps.push(step);
                    return steps;
                }
                None => {}
            }
        }
        if cluster.membership.is_none() {
            steps.extend(self.remove_unlisted(peers));
        }
        steps
    }

    /// Towards the ensemble's own list.
    fn towards_list(&self, pending: bool, peers: &Peers) -> Towards {
        let me = u64::from(self.me);
        let votes = |id: u64| self.participants.contains(&(id as u8));
        if let Some(&id) = self.voters().iter().find(|&&id| id != me && !votes(id)) {
            let kind = ConfChangeType::AddLearnerNode;
            return Towards::Next(Step::Change(Change::new(id, kind, 0, Why::LosesVote)));
        }
        if !votes(me) {
            // Another one takes the vote of this one.
            let ready = |id: &&u64| **id != me && votes(**id) && peers.is_up(**id as u8);
            let next = self.voters().iter().find(ready);
            return next.map_or(Towards::Wait, |&to| Towards::Next(Step::HandOver(to as u8)));
        }
        if let Some(id) = self.list().find(|&id| !self.is_member(u64::from(id))) {
            // Its data directory may be another one than before.
            let incarnation = peers.hello(id).map_or(0, |hello| hello.incarnation);
            let kind = ConfChangeType::AddLearnerNode;
            let change = Change::new(u64::from(id), kind, incarnation, Why::Listed);
            return Towards::Next(Step::Change(change));
        }
        if pending {
            let proposed = self.list_proposed;
            return if proposed { Towards::Wait } else { Towards::Next(Step::FinishList) };
        }
        let gone = |id: &&u64| !self.in_list(**id as u8) && !peers.is_up(**id as u8);
        match self.conf_state.learners.iter().find(gone) {
            Some(&id) => {
                let change = Change::new(id, ConfChangeType::RemoveNode, FORGET, Why::Left);
                Towards::Next(Step::Change(change))
            }
            None => Towards::Reached,
        }
    }

    /// What follows from a linked server's data directory.
    fn for_linked(
        &self,
        hello: &PeerHello,
        cluster: &ClusterMetadata,
        lost_its_log: bool,
        caught_up: impl Fn(u64) -> bool,
    ) -> Option<Step> {
        let id = u64::from(hello.id);
        let (voter, learner) = (self.is_voter(id), self.is_learner(id));
        let change =
            |kind, incarnation, why| Some(Step::Change(Change::new(id, kind, incarnation, why)));
        match cluster.incarnation(hello.id) {
            None if voter && lost_its_log => change(ConfChangeType::RemoveNode, 0, Why::LostItsLog),
            None => Some(Step::Record { id: hello.id, incarnation: hello.incarnation }),
            Some(known) if known == hello.incarnation => {
                if learner && !self.is_observer(hello.id) && caught_up(id) {
                    return change(ConfChangeType::AddNode, 0, Why::CaughtUp);
                }
                if !voter && !learner {
                    let kind = ConfChangeType::AddLearnerNode;
                    return change(kind, hello.incarnation, Why::Joins);
                }
                None
            }
            // Empty, or not any more: it may have caught up half-way before this was seen.
            Some(_) if voter || learner => change(ConfChangeType::RemoveNode, 0, Why::NewDirectory),
            Some(_) => change(ConfChangeType::AddLearnerNode, hello.incarnation, Why::JoinsAgain),
        }
    }

    /// A member that is in nobody's server list any more leaves: this one's list and those of all
    /// linked members, a majority of the voters, must say so.
    fn remove_unlisted(&self, peers: &Peers) -> Option<Step> {
        let listed = |id: u8| {
            id == self.me
                || self.in_list(id)
                || peers.linked().flat_map(|hello| &hello.members).any(|&member| member == id)
        };
        let id = self.members().find(|&id| !listed(id as u8))?;
        let change = Change::new(id, ConfChangeType::RemoveNode, FORGET, Why::Unlisted);
        peers.majority_is_up(self.voters()).then_some(Step::Change(change))
    }
}
