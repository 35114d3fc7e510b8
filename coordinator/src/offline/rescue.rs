//! `coordinator rescue`: an ensemble goes on from one member after a majority was lost for good.
//!
//! Everything in the survivor's log counts as committed: what it knows is kept, what only the lost
//! ones knew is gone. It becomes the only voter of an ensemble of another id; the others join as
//! members that have lost their data, and vote when they have caught up.

use raft::eraftpb::ConfState;
use serde::Serialize;

use super::found;
use super::replay::replay;
use crate::config::Config;
use crate::edge;
use crate::state::ClusterMetadata;
use crate::store::Position;

/// What a rescue has done, or would do.
#[derive(Debug, Serialize)]
pub struct RescueReport {
    pub done: bool,
    pub server: u8,
    /// The last entry of its log: of several survivors the one with the greatest term, then index.
    pub last_term: u64,
    pub last_index: u64,
    /// Of the last operation it has seen.
    pub last_zxid: String,
    /// All that come are higher.
    pub zxid: String,
    pub znodes: usize,
    pub sessions: usize,
    /// Over what is kept, as `coordinator check BACKUP` shows it.
    pub digest: String,
    /// Of the ensemble that goes on; empty when nothing was done.
    pub ensemble: String,
    /// Where the data directory as it was is now.
    pub moved: Vec<String>,
}

/// Makes the member of this configuration the only voter; without `yes` only says what it would do.
pub fn rescue(config: &Config, yes: bool) -> Result<RescueReport, String> {
    let (mut state, last, applied) = replay(config)?;
    let last_zxid = state.last_zxid();
    let epoch = found::next_epoch(last.term, last_zxid, 0)?;
    let me = config.id;
    let mut cluster = ClusterMetadata::default();
    cluster.level = state.cluster().level;
    // Clients keep their sessions: they prove them by what this key gives.
    cluster.secret = state.cluster().secret;
    cluster.cluster_id = edge::random_u128().max(1);
    let (voters, learners) = found::members(config);
    for id in voters.into_iter().chain(learners) {
        cluster.set_incarnation(id as u8, edge::random_u128());
    }
    let incarnation = cluster.incarnation(me).ok_or("this server is not in its own server list")?;
    let ensemble = format!("{:032x}", cluster.cluster_id);
    state.refound(epoch, cluster);
    let mut report = RescueReport {
        done: false,
        server: me,
        last_term: last.term,
        last_index: last.index,
        last_zxid: format!("{last_zxid:#x}"),
        zxid: format!("{:#x}", state.last_zxid()),
        znodes: state.node_count(),
        sessions: state.session_count(),
        digest: format!("{:016x}", state.content_digest()),
        ensemble: String::new(),
        moved: Vec::new(),
    };
    if !yes {
        return Ok(report);
    }
    for directory in found::directories(config) {
        report.moved.push(found::move_aside(&directory)?.display().to_string());
    }
    let conf_state = ConfState { voters: vec![u64::from(me)], ..ConfState::default() };
    found::write(
        config,
        &mut state,
        Position { index: applied, term: epoch },
        conf_state,
        incarnation,
    )
    .map_err(|why| format!("{why}; the data as it was is in {}", report.moved.join(", ")))?;
    Ok(RescueReport { done: true, ensemble, ..report })
}
