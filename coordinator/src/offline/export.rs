//! `coordinator export`: what a stopped member holds, as a directory from which Apache ZooKeeper
//! starts.
//!
//! Everything in the member's log counts as committed, as in a rescue: of several members the one
//! with the greatest term, then index, has all that was acknowledged.

use std::path::Path;

use serde::Serialize;

use super::found;
use super::replay::replay;
use crate::apache::{directory, write};
use crate::config::Config;
use crate::state::PasswordRule;

/// What was written, and what of the ensemble is not in it.
#[derive(Debug, Serialize)]
pub struct ExportReport {
    pub server: u8,
    /// The last entry of the log: of several members export the one with the greatest term, then
    /// index.
    pub last_term: u64,
    pub last_index: u64,
    pub snapshot: String,
    pub bytes: u64,
    pub zxid: String,
    /// Of the files beside the snapshot: the next leader's is higher.
    pub epoch: u64,
    /// As the server counts: the root twice.
    pub znodes: usize,
    pub sessions: usize,
    /// Whose clients hold passwords that Apache ZooKeeper does not know.
    pub sessions_ended: usize,
    pub ephemerals_removed: usize,
    /// The sum that Apache ZooKeeper since 3.6 keeps over its tree.
    pub apache_digest: String,
    /// Over what is kept, as `coordinator check BACKUP` shows it.
    pub digest: String,
}

/// Writes `DIRECTORY/version-2`.
pub fn export(config: &Config, target: &Path, end_sessions: bool) -> Result<ExportReport, String> {
    let inside = directory::version_2(target);
    if inside.exists() {
        return Err(format!(
            "{} is there already: name a directory without one, so that nothing of another \
             history is beside this one",
            inside.display()
        ));
    }
    let (mut state, last, _) = replay(config)?;
    let keyed = state.sessions().filter(|(_, s)| s.password == PasswordRule::Keyed).count();
    if keyed > 0 && !end_sessions {
        return Err(format!(
            "{keyed} of {} sessions have passwords by the ensemble's own key, which Apache \
             ZooKeeper would refuse\n\nto let all sessions live on: set \
             `coordinator.sessionPasswords=zookeeper`, restart the members, and export when the \
             sessions of before have ended; to give them up: --end-sessions",
            state.session_count()
        ));
    }
    let (sessions_ended, ephemerals_removed) =
        state.end_sessions_where(0, |session| session.password == PasswordRule::Keyed);
    // The epoch of the zxids can lie behind the term: a leader may have written nothing.
    let epoch = last.term.max((state.last_zxid() >> 32) as u64);
    let epoch = u32::try_from(epoch).ok().filter(|epoch| i32::try_from(*epoch).is_ok());
    let epoch = epoch.ok_or("the epoch is beyond what a zxid can hold")?;
    let written = write::write(&state, target, epoch)
        .map_err(|e| format!("cannot write {}: {e}", inside.display()))?;
    found::give_to_owner(&inside)?;
    Ok(ExportReport {
        server: config.id,
        last_term: last.term,
        last_index: last.index,
        snapshot: written.snapshot.display().to_string(),
        bytes: written.bytes,
        zxid: format!("{:#x}", state.last_zxid()),
        epoch: u64::from(epoch),
        znodes: state.node_count(),
        sessions: state.session_count(),
        sessions_ended,
        ephemerals_removed,
        apache_digest: format!("{:x}", written.digest),
        digest: format!("{:016x}", state.content_digest()),
    })
}
