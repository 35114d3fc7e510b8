//! The feature level: what all members of the ensemble understand.
//!
//! A level stands for forms of entries and of the state that releases before do not know. Servers
//! say in their hello how far they go; once every member knows a level, the leader raises the
//! ensemble to it by an entry, and only then is anything of it used. So servers of two releases
//! live together, and a release before can take over until then (`docs/compatibility.md`).

use super::{Level, Node};

/// What this server knows. 1: entries carry their level; deletions of containers say after how long
/// one that was never used goes; entries say that hard quotas are to be kept.
pub const LEVEL: u16 = 1;

impl Node {
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
