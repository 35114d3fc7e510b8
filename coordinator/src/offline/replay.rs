//! The state of a stopped member, by its own log alone: everything in there counts as committed.

use raft::eraftpb::{ConfState, Entry, EntryType};

use super::found;
use crate::config::Config;
use crate::edge::{self, Logger};
use crate::node::{Node, Output};
use crate::state::State;
use crate::store::{Identity, Position, RealDisk, StoreError, WalOptions, directory_in};

/// A lone voter leads at once; whatever keeps it for so many ticks keeps it for ever.
const TICKS_MAX: u64 = 1000;

/// The state after all that stands in the log, the position of the last entry there, and the index
/// that the state is of.
pub(super) fn replay(config: &Config) -> Result<(State, Position, u64), String> {
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
