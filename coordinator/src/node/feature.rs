//! The feature level: what all members of the ensemble understand.
//!
//! A level stands for forms of entries and of the state that releases before do not know. Servers
//! say in their hello how far they go; once every member knows a level, the leader raises the
//! ensemble to it by an entry, and only then is anything of it used. So servers of two releases
//! live together, and a release before can take over until then (`docs/compatibility.md`).

use super::entry::Segment;
use super::{Level, Node};

/// What this server knows. 1: entries carry their level; deletions of containers say after how long
/// one that was never used goes; entries say that hard quotas are to be kept.
pub const LEVEL: u16 = 1;

impl Node {
    /// As leader, raises the level to what every member knows.
    pub(super) fn review_level(&mut self) {
        let level = self.state.cluster().level;
        if level >= LEVEL || !self.leading() || self.state.cluster().cluster_id == 0 {
            return;
        }
        let members = self.membership.members();
        let known = members.map(|id| self.level_of(id as u8)).min().unwrap_or(0);
        if known > level {
            self.propose_segment(&Segment::Level { level: known });
        }
    }

    /// What a member says that it knows; 0 of one that has not been heard of.
    fn level_of(&self, id: u8) -> u16 {
        if id == self.config.id {
            return LEVEL;
        }
        self.peers.hello(id).map_or(0, |hello| hello.level)
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
