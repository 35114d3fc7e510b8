//! Who belongs to the ensemble, and who may vote.
//!
//! A member whose data directory was lost has forgotten what it promised: counted as before, it
//! could help to elect a leader that lacks acknowledged writes. Every data directory has a random
//! name, its incarnation, which the ensemble remembers. A known member that comes back with an
//! empty directory is removed, added again as a learner under its new incarnation, and votes when
//! it has caught up. An ensemble where all are empty is a first boot.
//!
//! `step` is what a leader does about it.

mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType};

pub(super) use step::{Change, Step};

use super::NodeConfig;
use super::entry::{self, Segment};
use super::feature::LEVEL;
use super::outbox::Waiter;
use super::peers::{PeerHello, Peers};
use crate::config::{PeerType, Server};
use crate::state::ClusterMetadata;

/// In the context of a change of members: the member leaves for good, its directory is forgotten.
const FORGET: u128 = u128::MAX;

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
            let Ok((_, segments)) = entry::parse(&entry.data, LEVEL) else { continue };
            for segment in segments.flatten() {
                if let Segment::Incarnation { id, incarnation } = segment {
                    incarnations.entry(id).or_insert(incarnation);
                }
            }
        }
        Self { through: entries.last().map_or(0, |e| e.index), incarnations }
    }
}

/// The context of a change of members: the member, and its data directory from then on.
pub(super) fn change_context(id: u64, incarnation: u128) -> Vec<u8> {
    let mut context = vec![id as u8];
    context.extend_from_slice(&incarnation.to_le_bytes());
    context
}

/// What [`change_context`] has written; `None` where the directory stays as it is.
fn changed_member(context: &[u8]) -> Option<(u8, u128)> {
    let (&[id], incarnation) = context.split_first_chunk()?;
    let incarnation = u128::from_le_bytes(incarnation.try_into().ok()?);
    (incarnation != 0).then_some((id, incarnation))
}

/// Records in the state what a committed change of members says of a data directory.
pub(super) fn record_change(cluster: &mut ClusterMetadata, context: &[u8]) {
    match changed_member(context) {
        Some((id, FORGET)) => cluster.forget_member(id),
        Some((id, incarnation)) => cluster.set_incarnation(id, incarnation),
        None => {}
    }
}

/// The members as this server knows them, and what it may do among them.
pub(super) struct Membership {
    me: u8,
    /// Random name of this server's data directory.
    incarnation: u128,
    /// The directory was empty at the start.
    was_empty: bool,
    /// The feature level that this server knows.
    level: u16,
    /// The operator says that an empty directory is right.
    initialize: bool,
    /// Clients may ask for other members.
    reconfig_enabled: bool,
    /// The server list: the configuration's, until the ensemble has one of its own.
    participants: Vec<u8>,
    observers: Vec<u8>,
    /// Who votes and who only follows, as far as entries are applied here.
    conf_state: ConfState,
    logged: Logged,
    /// A blank directory does not keep this server from voting.
    permitted: bool,
    /// The ensemble knows another directory of this server.
    wiped: bool,
    loss_reported: bool,
    /// As leader: a list was proposed, and is not applied yet.
    list_proposed: bool,
    /// Who asked for the change of members that is under way, here.
    asker: Option<Waiter>,
}

impl Membership {
    pub(super) fn new(config: &NodeConfig, conf_state: ConfState, logged: Logged) -> Self {
        Membership {
            me: config.id,
            incarnation: config.incarnation,
            was_empty: config.blank,
            level: config.level,
            initialize: config.initialize,
            reconfig_enabled: config.reconfig_enabled,
            participants: config.voters.clone(),
            observers: config.observers.clone(),
            conf_state,
            logged,
            permitted: false,
            wiped: false,
            loss_reported: false,
            list_proposed: false,
            asker: None,
        }
    }

    // ---- who they are ----

    pub(super) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Raft has changed who votes and who follows.
    pub(super) fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    pub(super) fn voters(&self) -> &[u64] {
        &self.conf_state.voters
    }

    /// Voters and learners.
    pub(super) fn members(&self) -> impl Iterator<Item = u64> {
        self.conf_state.voters.iter().chain(&self.conf_state.learners).copied()
    }

    /// Who must understand what the ensemble uses: members, and those that the server list names. One
    /// with a new data directory is no member for a moment, and reads the same log afterwards.
    pub(super) fn readers(&self) -> impl Iterator<Item = u64> {
        self.members().chain(self.list().map(u64::from))
    }

    pub(super) fn is_voter(&self, id: u64) -> bool {
        self.conf_state.voters.contains(&id)
    }

    pub(super) fn is_learner(&self, id: u64) -> bool {
        self.conf_state.learners.contains(&id)
    }

    pub(super) fn is_member(&self, id: u64) -> bool {
        self.is_voter(id) || self.is_learner(id)
    }

    /// Alone in its ensemble.
    pub(super) fn alone(&self) -> bool {
        self.members().count() <= 1
    }

    /// The only one that votes.
    pub(super) fn sole_voter(&self) -> bool {
        self.conf_state.voters == [u64::from(self.me)]
    }

    // ---- the server list ----

    /// The ensemble's list takes the place of the configuration's.
    pub(super) fn adopt(&mut self, list: &BTreeMap<u8, Server>) {
        let with_role = |role: PeerType| {
            let of_role = list.iter().filter(move |(_, server)| server.role == role);
            of_role.map(|(id, _)| *id).collect::<Vec<u8>>()
        };
        self.participants = with_role(PeerType::Participant);
        self.observers = with_role(PeerType::Observer);
    }

    pub(super) fn is_observer(&self, id: u8) -> bool {
        self.observers.contains(&id)
    }

    fn in_list(&self, id: u8) -> bool {
        self.participants.contains(&id) || self.observers.contains(&id)
    }

    fn list(&self) -> impl Iterator<Item = u8> {
        self.participants.iter().chain(&self.observers).copied()
    }

    /// As leader: a list is proposed from now on, until it is applied or leadership is lost.
    pub(super) fn propose_list(&mut self) {
        self.list_proposed = true;
    }

    pub(super) fn list_proposed(&self) -> bool {
        self.list_proposed
    }

    /// No list is on its way any more.
    pub(super) fn list_settled(&mut self) {
        self.list_proposed = false;
    }

    /// A client here waits for the change of members that is under way.
    pub(super) fn set_asker(&mut self, asker: Waiter) {
        self.asker = Some(asker);
    }

    pub(super) fn take_asker(&mut self) -> Option<Waiter> {
        self.asker.take()
    }

    // ---- introductions ----

    /// The data directories that state and log know of.
    fn known_incarnations(&self, cluster: &ClusterMetadata, applied: u64) -> Vec<(u8, u128)> {
        if applied < self.logged.through {
            return self.logged.incarnations.iter().map(|(&id, &known)| (id, known)).collect();
        }
        cluster.incarnations().collect()
    }

    /// What this server says of itself.
    pub(super) fn hello(&self, cluster: &ClusterMetadata, applied: u64) -> PeerHello {
        let mut members: Vec<u8> = self.list().collect();
        members.sort_unstable();
        PeerHello {
            id: self.me,
            cluster_id: cluster.cluster_id,
            incarnation: self.incarnation,
            blank: self.blank(cluster),
            members,
            known: self.known_incarnations(cluster, applied),
            level: self.level,
        }
    }

    /// This server's data directory, and those that others have shown it.
    pub(super) fn introduced(&self, peers: &Peers) -> Vec<(u8, u128)> {
        let others = peers.hellos().map(|hello| (hello.id, hello.incarnation));
        std::iter::once((self.me, self.incarnation)).chain(others).collect()
    }

    /// Whether to talk to a server that says this of itself; the error is for the log.
    pub(super) fn check_hello(
        &self,
        hello: &PeerHello,
        cluster: &ClusterMetadata,
        peers: &Peers,
    ) -> Result<(), String> {
        let id = hello.id;
        if id == self.me {
            return Err(format!(
                "it says that it is server {id}, as this one is: two `myid` alike?"
            ));
        }
        if !peers.contains(id) {
            return Err(format!("server {id} is not in this server's list of members"));
        }
        let level = cluster.level;
        if hello.level < level {
            return Err(format!(
                "server {id} runs a release that knows feature level {}, and the ensemble is at \
                 level {level}, which does not go back: start on it the release that the others run",
                hello.level
            ));
        }
        let ours = cluster.cluster_id;
        if ours != 0 && hello.cluster_id != 0 && ours != hello.cluster_id {
            return Err(format!(
                "its data directory belongs to ensemble {:032x}, ours to {ours:032x}; \
                 one of the two has the wrong `dataDir`",
                hello.cluster_id
            ));
        }
        // Where the ensemble decides, a list is as old as what its server has applied.
        if self.reconfig_enabled || cluster.membership.is_some() {
            return Ok(());
        }
        let mut mine: Vec<u8> = self.list().collect();
        mine.sort_unstable();
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

    /// Voters that have lost their data, where so many have that the others are no majority: nothing
    /// goes on by itself, since what only the lost ones had may have been acknowledged. Named once.
    pub(super) fn take_loss(
        &mut self,
        cluster: &ClusterMetadata,
        applied: u64,
        peers: &Peers,
    ) -> Option<Vec<u64>> {
        let known = self.known_incarnations(cluster, applied);
        let lost = |id: &u64| {
            peers.hello(*id as u8).is_some_and(|hello| {
                let recorded = known.iter().find(|(id, _)| *id == hello.id);
                hello.blank && recorded.is_some_and(|(_, known)| *known != hello.incarnation)
            })
        };
        let lost: Vec<u64> = self.voters().iter().copied().filter(lost).collect();
        let voters = self.voters().len();
        if self.loss_reported || (voters - lost.len()) * 2 > voters {
            return None;
        }
        self.loss_reported = true;
        Some(lost)
    }

    // ---- who may vote ----

    /// Nothing has been promised from this data directory yet.
    fn blank(&self, cluster: &ClusterMetadata) -> bool {
        self.was_empty && cluster.cluster_id == 0
    }

    pub(super) fn may_vote(&self) -> bool {
        self.permitted && !self.wiped
    }

    /// At the start: a server that was emptied and has caught up half-way since is not blank any
    /// more, but has still forgotten what it promised from the directory that the ensemble knows.
    pub(super) fn review_own_directory(&mut self, cluster: &ClusterMetadata, applied: u64) {
        let mut known = self.known_incarnations(cluster, applied).into_iter();
        self.wiped = known.any(|(id, known)| id == self.me && known != self.incarnation);
    }

    /// What another server knows of this one's directory. `true`: it is news that this one is empty
    /// where the ensemble knows another.
    pub(super) fn learns_of_wipe(&mut self, hello: &PeerHello, cluster: &ClusterMetadata) -> bool {
        let other = |&(id, known): &(u8, u128)| id == self.me && known != self.incarnation;
        let wiped = self.blank(cluster) && hello.known.iter().any(other);
        wiped && !std::mem::replace(&mut self.wiped, true)
    }

    /// A blank server votes when the operator said so, when everybody is blank, when the ensemble has
    /// never known a data directory of it, or knows this very one: then nothing was lost, it has only
    /// not heard yet that the ensemble is founded. Who speaks for the ensemble must know itself:
    /// otherwise its log may not even reach to the founding, where all directories are named.
    pub(super) fn review_permission(
        &mut self,
        cluster: &ClusterMetadata,
        applied: u64,
        peers: &Peers,
    ) {
        if self.permitted {
            return;
        }
        let me = self.me;
        let others = || self.participants.iter().filter(move |&&id| id != me);
        let alone = others().next().is_none();
        let all_blank = others().all(|&id| peers.hello(id).is_some_and(|hello| hello.blank));
        let vouched = |hello: &PeerHello| {
            let known = |of: u8| hello.known.iter().find(|(id, _)| *id == of).map(|(_, i)| *i);
            let knows_itself = known(hello.id) == Some(hello.incarnation);
            knows_itself && known(me).is_none_or(|known| known == self.incarnation)
        };
        self.permitted = !self.was_empty
            || self.initialize
            || alone
            || all_blank
            || self.known_incarnations(cluster, applied).contains(&(me, self.incarnation))
            || peers.hellos().any(|hello| !hello.blank && vouched(hello));
    }

    /// A member in its present directory votes; called when members or incarnations change. `true`:
    /// this server did not, and does now.
    pub(super) fn review_own_vote(&mut self, cluster: &ClusterMetadata) -> bool {
        let known = cluster.incarnation(self.me) == Some(self.incarnation);
        let begins = known && self.is_voter(u64::from(self.me)) && !self.may_vote();
        if begins {
            self.wiped = false;
            self.permitted = true;
        }
        begins
    }

    /// Whether a raft message of a peer counts. Votes of a server that has forgotten its promises
    /// do not, nor do its claims about a log that it has lost; a learner makes no promises. A
    /// leader counts always: those who elected it know its directory, though this server may be
    /// so far behind that it remembers the one before, and would never hear of the change.
    pub(super) fn trusts(
        &self,
        from: u8,
        message: &Message,
        cluster: &ClusterMetadata,
        peers: &Peers,
        last_index: u64,
    ) -> bool {
        let recorded = cluster.incarnation(from);
        let shown = peers.hello(from).map(|hello| hello.incarnation);
        let known = recorded.is_none() || shown.is_none() || recorded == shown;
        let kind = message.get_msg_type();
        let leads = matches!(
            kind,
            MessageType::MsgAppend
                | MessageType::MsgHeartbeat
                | MessageType::MsgSnapshot
                | MessageType::MsgReadIndexResp
        );
        if !known && !leads {
            return false;
        }
        let asks_for_vote = matches!(
            kind,
            MessageType::MsgRequestVote
                | MessageType::MsgRequestPreVote
                | MessageType::MsgTimeoutNow
        );
        if asks_for_vote {
            return self.may_vote();
        }
        // Known from before it was emptied, this server may be told of commits it has lost.
        let lost = kind == MessageType::MsgHeartbeat && message.commit > last_index;
        !lost
    }

    /// Whether an operator may take a member away that is gone for good. The error is for the operator.
    pub(super) fn may_remove(&self, id: u8, peers: &Peers) -> Result<(), String> {
        if !self.is_member(u64::from(id)) {
            return Err(format!("server {id} is not a member"));
        }
        if peers.is_up(id) {
            return Err(format!("server {id} runs: stop it first, or it would join again"));
        }
        let others = self.voters().iter().filter(|&&other| other != u64::from(id));
        let staying = others.clone().count();
        let up = others.filter(|&&other| peers.is_up(other as u8)).count();
        if up * 2 <= staying {
            return Err(format!("{up} of the other {staying} voters are connected"));
        }
        Ok(())
    }
}
