//! An operator who changes the server list while all else goes on: one member more or less at a time,
//! each server restarted with the new list, one after the other, as `zkprov apply` does it.

use coordinator::driver::Completion;
use coordinator::node::Node;
use coordinator::node::feature::LEVEL;
use coordinator::random::Seeded;

use crate::cluster::Server;
use crate::network::{MS, Micros, SECOND};
use crate::world::{What, World};

/// How often the operator looks at the servers.
const LOOKS_US: Micros = 200 * MS;
/// Fewer members than this are not left.
const MEMBERS_MIN: usize = 2;
/// Hosts of a run in which the server list changes: members and spare ones.
const HOSTS: usize = 5;

/// What the operator wants, and how far it is.
#[derive(Default)]
pub struct Operator {
    /// The newest server list.
    pub members: Vec<u8>,
    /// Not all is as it says yet.
    pub busy: bool,
    /// Servers that are to be restarted with it, the next one last.
    left: Vec<usize>,
    /// Was restarted with it, and does not serve yet.
    awaited: Option<usize>,
    /// Has left, and its vote may be taken from it by name.
    gone: Option<u8>,
}

impl Operator {
    pub fn new(members: Vec<u8>) -> Operator {
        Operator { members, ..Operator::default() }
    }
}

/// Hosts beside the first members: none where the list stays as it is. Drawn apart, so that such a
/// run is what it was before there were changes.
pub fn spares(seed: u64, members: usize, observers: usize) -> usize {
    let changes = Seeded::new(seed ^ 0x6f70_6572_6174_6f72).chance(1, 5);
    if changes && observers == 0 && members >= MEMBERS_MIN { HOSTS - members } else { 0 }
}

impl World {
    /// The servers that belong to the ensemble, by the newest list.
    pub fn members(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| self.operator.members.contains(&server.id))
    }

    /// Everybody is up, knows a leader, and has its vote and the incarnation that the ensemble
    /// knows: whoever has lost a disk before has caught up in the eyes of all.
    pub fn whole(&self) -> bool {
        let voters = self.setting.voters_of(&self.operator.members);
        let whole = |server: &Server| {
            server.node().is_some_and(|node| {
                let known = node.state().cluster().incarnation(server.id);
                node.leader() != 0
                    && known == Some(node.hello().incarnation)
                    && voters.iter().all(|&id| node.votes(id))
            })
        };
        !self.operator.busy && self.members().all(whole)
    }

    /// One look, and one step.
    pub fn operate(&mut self) {
        self.schedule(LOOKS_US, What::Operate);
        if self.operator.busy {
            self.go_on();
        } else if self.now_us < self.setting.faulty_us && self.whole() && self.random.chance(1, 3) {
            self.begin_change();
        }
    }

    fn begin_change(&mut self) {
        let spare: Vec<usize> = (0..self.servers.len())
            .filter(|&s| !self.operator.members.contains(&self.servers[s].id))
            .collect();
        let mut others: Vec<usize> =
            (0..self.servers.len()).filter(|s| !spare.contains(s)).collect();
        let grows = others.len() <= MEMBERS_MIN || self.random.chance(1, 2);
        if grows && !spare.is_empty() {
            let s = spare[self.random.below(spare.len() as u64) as usize];
            // A host that has been a member before may have kept its data.
            if self.random.chance(1, 2) {
                self.wipe(s);
            }
            self.operator.members.push(self.servers[s].id);
            self.operator.members.sort_unstable();
            self.servers[s].list.clone_from(&self.operator.members);
            // Whoever joins is of the release of today.
            self.servers[s].level = LEVEL;
            let delay = self.random.below(SECOND);
            self.start_later(s, delay);
        } else if others.len() > MEMBERS_MIN {
            let s = others.remove(self.random.below(others.len() as u64) as usize);
            let id = self.servers[s].id;
            self.operator.members.retain(|&member| member != id);
            self.servers[s].list.clear();
            self.operator.gone = self.random.chance(1, 2).then_some(id);
            self.stop(s);
        } else {
            return;
        }
        // The leader last, most of the time.
        for last in (1..others.len()).rev() {
            others.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        if self.random.chance(3, 4) {
            others.sort_by_key(|&s| !self.servers[s].leads());
        }
        self.operator.left = others;
        self.operator.busy = true;
        self.stats.lists_changed += 1;
        self.say(|| format!("the server list becomes {:?}", self.operator.members));
    }

    fn go_on(&mut self) {
        // One that differs serves nobody until it gets an empty disk, and that waits for the list.
        let done = |node: &Node| node.serving() || node.differs();
        let serves = |world: &World, s: usize| world.servers[s].node().is_some_and(done);
        if let Some(s) = self.operator.awaited {
            if self.servers[s].running.is_none() {
                self.start_later(s, MS);
            }
            if !serves(self, s) {
                return;
            }
            self.operator.awaited = None;
        }
        self.take_vote();
        if let Some(&s) = self.operator.left.last() {
            let mut waiting = self.operator.left.iter();
            if waiting.all(|&s| serves(self, s)) || self.random.chance(1, 20) {
                self.operator.left.pop();
                self.operator.awaited = Some(s);
                self.servers[s].list.clone_from(&self.operator.members);
                self.stop(s);
                self.start_later(s, 3 * SECOND + 100 * MS);
            }
            return;
        }
        let ids = 1..=self.servers.len() as u8;
        let agreed = |server: &Server| {
            let members = &self.operator.members;
            let node = server.node().filter(|node| done(node));
            node.is_some_and(|node| ids.clone().all(|id| node.votes(id) == members.contains(&id)))
        };
        if self.members().all(agreed) {
            self.operator.busy = false;
            self.operator.gone = None;
            self.say(|| "the server list is what it should be".to_owned());
        }
    }

    /// `coordinator admin remove-member`: refused while that server is linked, or nobody leads.
    fn take_vote(&mut self) {
        let Some(gone) = self.operator.gone else { return };
        for s in 0..self.servers.len() {
            let answer = self.servers[s].command(&format!("remove-member {gone}"));
            if answer.is_some_and(|text| text.starts_with("ok")) {
                self.operator.gone = None;
                return self.wake(s, 0);
            }
        }
    }

    /// In order, or at once.
    fn stop(&mut self, s: usize) {
        if self.servers[s].alive() && self.random.chance(1, 2) {
            return self.complete(s, Completion::Stop);
        }
        self.end_process(s);
        self.servers[s].disk.process_died();
    }
}
