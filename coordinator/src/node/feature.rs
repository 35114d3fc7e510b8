//! The feature level: what all members of the ensemble understand.
//!
//! A level stands for forms of entries and of the state that releases before do not know. Servers
//! say in their hello how far they go. Once every server that reads the log knows a level, the
//! leader raises the ensemble to it by an entry, and only then is anything of it used. So servers of
//! two releases live together, and a release before can take over until then
//! (`docs/compatibility.md`).

use super::entry::Segment;
use super::{Level, Node};

/// What this release knows. 1: entries carry their level; deletions of containers say after how long
/// one that was never used goes; entries say that hard quotas are to be kept; `sasl` and `x509` in
/// lists of ACLs; sessions whose password follows Apache ZooKeeper's rule; changes of members by
/// clients. 2: members compare their states; sessions with many ephemerals end in parts.
pub const LEVEL: u16 = 2;

/// From here on the leader lets members compare their states.
pub const COMPARES: u16 = 2;

impl Node {
    /// As leader, raises the level to what every member knows.
    pub(super) fn review_level(&mut self) {
        let level = self.state.cluster().level;
        if level >= self.config.level || !self.leading() || self.state.cluster().cluster_id == 0 {
            return;
        }
        let readers = self.membership.readers();
        let known = readers.map(|id| self.level_of(id as u8)).min().unwrap_or(0);
        if known > level {
            self.propose_segment(&Segment::Level { level: known });
        }
    }

    /// What a member says that it knows; 0 of one that is not linked.
    fn level_of(&self, id: u8) -> u16 {
        if id == self.config.id {
            return self.config.level;
        }
        // One that is away may come back with another release.
        let hello = self.peers.hello(id).filter(|_| self.peers.is_up(id));
        hello.map_or(0, |hello| hello.level)
    }

    /// Every member knows this level.
    pub(super) fn level_raised(&mut self, level: u16) {
        let cluster = self.state.cluster_mut();
        if level > cluster.level {
            cluster.level = level;
            self.log(Level::Info, &format!("the ensemble's feature level is now {level}"));
            self.publish_members();
        }
    }
}
