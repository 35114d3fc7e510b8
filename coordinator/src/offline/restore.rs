//! `coordinator restore`: every member of an ensemble begins with the same backup.

use std::path::Path;

use raft::eraftpb::ConfState;

use super::backup::{self, Backup};
use super::found;
use crate::answers::RestoreReport;
use crate::config::Config;
use crate::state::ClusterMetadata;
use crate::store::Position;

/// What the operator says beside the backup.
#[derive(Debug, Default)]
pub struct RestoreOptions {
    /// A word of this restore, alike on all members.
    pub ensemble_id: Option<String>,
    /// The lowest epoch that zxids may go on in; 0 for the backup's own next one.
    pub epoch: u64,
    /// Move away what stands in the way.
    pub force: bool,
}

/// Verifies the backup, then makes this member's data directory of it.
pub fn restore(
    config: &Config,
    file: &Path,
    options: &RestoreOptions,
) -> Result<RestoreReport, String> {
    let (voters, learners) = found::members(config);
    let alone = voters.len() + learners.len() == 1;
    let word = match &options.ensemble_id {
        Some(word) => word.as_str(),
        None if alone => "alone",
        None => {
            return Err(
                "--ensemble-id is missing: give all members of this restore the same word, \
                        and another one at the next restore"
                    .to_owned(),
            );
        }
    };
    let directories = found::directories(config);
    if !options.force {
        for directory in &directories {
            if let Some(name) = found::occupied(directory) {
                return Err(format!(
                    "{} is not empty (`{name}` is there): a restore begins an ensemble anew, on \
                     all members; --force moves what is there aside",
                    directory.display()
                ));
            }
        }
    }
    let Backup { meta, mut state, fingerprint, .. } = backup::read(file)?;
    let epoch = found::next_epoch(meta.term, meta.zxid, options.epoch)?;

    let (checksum, chunks, bytes) = fingerprint;
    let content = [u64::from(checksum), chunks, bytes, meta.index, meta.zxid as u64, epoch];
    let content = content.map(u64::to_le_bytes).concat();
    let ids: Vec<u8> = voters.iter().chain(&[0]).chain(&learners).map(|&id| id as u8).collect();
    let old = state.cluster().secret;
    let mut cluster = ClusterMetadata::default();
    cluster.level = state.cluster().level;
    cluster.secret = found::derive(&old, &[b"restore", word.as_bytes(), &content, &ids]);
    let secret = cluster.secret;
    cluster.cluster_id = u128::from_le_bytes(found::derive(&secret, &[b"ensemble"])).max(1);
    let incarnation = |id: u8| u128::from_le_bytes(found::derive(&secret, &[b"member", &[id]]));
    for &id in voters.iter().chain(&learners) {
        cluster.set_incarnation(id as u8, incarnation(id as u8));
    }
    let cluster_id = cluster.cluster_id;
    let digest = state.content_digest();
    let (sessions_ended, ephemerals_removed) = state.end_sessions(epoch);
    state.refound(epoch, cluster);

    let mut moved = Vec::new();
    for directory in &directories {
        if found::occupied(directory).is_some() {
            moved.push(found::move_aside(directory)?.display().to_string());
        }
    }
    let members = voters.iter().chain(&learners).copied().collect();
    let conf_state = ConfState { voters, learners, ..ConfState::default() };
    let position = Position { index: meta.index, term: epoch };
    found::write(config, &mut state, position, conf_state, incarnation(config.id))?;
    Ok(RestoreReport {
        server: config.id,
        ensemble: format!("{cluster_id:032x}"),
        members,
        znodes: state.node_count() as u64,
        sessions_ended: sessions_ended as u64,
        ephemerals_removed: ephemerals_removed as u64,
        zxid: state.last_zxid(),
        digest: format!("{digest:016x}"),
        moved,
    })
}
