//! `coordinator rescue`: an ensemble goes on from one member after a majority was lost for good.
//!
//! Everything in the survivor's log counts as committed: what it knows is kept, what only the lost
//! ones knew is gone. It becomes the only voter of an ensemble of another id; the others join as
//! members that have lost their data, and vote when they have caught up.

use raft::eraftpb::{ConfState, Entry, EntryType};
use serde::Serialize;

use super::found;
use crate::config::Config;
use crate::edge::{self, Logger};
use crate::node::{Node, Output};
use crate::state::{ClusterMetadata, State};
use crate::store::{Identity, Position, RealDisk, StoreError, WalOptions, directory_in};

/// A lone voter leads at once; whatever keeps it for so many ticks keeps it for ever.
const TICKS_MAX: u64 = 1000;

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

/// The state after all that stands in the log, the position of the last entry there, and the index
/// that the state is of.
fn replay(config: &Config) -> Result<(State, Position, u64), String> {
    let text = |e: StoreError| e.to_string();
    let directory = directory_in(&config.data_dir);
    let nothing = || {
        format!(
            "{} holds no data of an ensemble, so there is nothing to go on from; after a rescue \
             that was broken off, move the directory of the same name with `.replaced-N` back",
            directory.display()
        )
    };
    if found::occupied(&directory).is_none() {
        return Err(nothing());
    }
    let disk = RealDisk::open(&directory).map_err(text)?;
    let log_disk = if config.data_log_dir == config.data_dir {
        disk.clone()
    } else {
        RealDisk::open(&directory_in(&config.data_log_dir)).map_err(text)?
    };
    let identity = Identity::read(&disk).map_err(text)?.filter(|i| i.cluster_id != 0);
    let identity = identity.ok_or_else(nothing)?;
    if identity.myid != config.id {
        return Err(format!(
            "{} belongs to member {}, but `myid` says {}",
            directory.display(),
            identity.myid,
            config.id
        ));
    }
    let options = WalOptions::new(identity.incarnation as u64);
    let (mut recovered, wal) =
        edge::recover(&disk, &log_disk, &options, Logger::from_environment())?;
    let last = wal.last();
    drop(wal);

    // The members of old are gone: nobody is to be asked for a majority.
    recovered
        .snapshot
        .conf_state
        .clone_from(&ConfState { voters: vec![u64::from(config.id)], ..ConfState::default() });
    recovered.entries.iter_mut().for_each(without_members);
    let mut node_config = edge::node_config(config, true, identity.incarnation, false, false);
    node_config.published_members = None;
    let mut node = Node::new(node_config, recovered, 0, 0, 0);
    for tick in 1..=TICKS_MAX {
        node.wake(tick * 20, 0);
        node.tick();
        node.flush();
        for output in node.take_outputs() {
            match output {
                Output::Persist { number, .. } => node.persisted(number),
                Output::Fatal(why) => return Err(why),
                _ => {}
            }
        }
        if node.serving() {
            let applied = node.applied_index();
            return Ok((node.into_state(), last, applied));
        }
    }
    Err("the log could not be replayed to its end".to_owned())
}

/// A change of members becomes an entry without effect.
fn without_members(entry: &mut Entry) {
    if entry.get_entry_type() != EntryType::EntryNormal {
        entry.set_entry_type(EntryType::EntryNormal);
        entry.data.clear();
        entry.context.clear();
    }
}
