//! `coordinator import`: an ensemble goes on from what Apache ZooKeeper has left on disk.
//!
//! Every member imports the same files and begins with the same state, as after a restore; members
//! that were given different ones have different ensembles and do not talk to each other. Nothing of
//! ours is written before all was read and checked, and Apache's files stay as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use raft::eraftpb::ConfState;
use serde::Serialize;
use sha2::Sha256;

use super::found;
use crate::apache::choose::{Standing, elect};
use crate::apache::directory::{self, File, evidence};
use crate::apache::{Digests, Loaded, Source, load};
use crate::config::{Config, PeerType};
use crate::state::cluster::PRINCIPALS;
use crate::state::{ClusterMetadata, State};
use crate::store::Position;
use crate::tree::node::{Kind, ROOT};

/// Schemes that a client of this server can prove itself by, or that need no proof.
const SCHEMES: [&str; 6] = ["world", "ip", "digest", "sasl", "x509", "super"];

#[derive(Debug, Default)]
pub struct ImportOptions {
    /// Directories of members, as `DATADIR` or `DATADIR,DATALOGDIR`; the configuration's own when
    /// there are none.
    pub from: Vec<String>,
    /// A word of this import, alike on all members.
    pub ensemble_id: Option<String>,
    /// The lowest epoch that zxids may go on in.
    pub epoch: u64,
    /// Only say what is there.
    pub check: bool,
    /// Take a history whose digests differ, as Apache ZooKeeper itself does.
    pub ignore_digests: bool,
    /// Move away what stands in the way.
    pub force: bool,
}

/// What was found, and what was made of it.
#[derive(Debug, Serialize)]
pub struct ImportReport {
    pub done: bool,
    pub server: u8,
    /// The directory that counts.
    pub source: String,
    /// Each directory with its epoch and last zxid, in the order given.
    pub members_seen: Vec<MemberSeen>,
    pub snapshot: String,
    pub logs: usize,
    /// Repeated from the logs.
    pub txns: u64,
    /// The last one in the history.
    pub last_zxid: String,
    /// All that come are higher.
    pub zxid: String,
    /// As the server counts: the root twice.
    pub znodes: usize,
    /// Of all paths and data.
    pub bytes: u64,
    pub ephemerals: usize,
    pub containers: usize,
    pub ttls: usize,
    pub quotas: usize,
    pub sessions: usize,
    /// Schemes of ACL entries, and how many lists have one.
    pub acl_schemes: BTreeMap<String, usize>,
    /// The sum that Apache ZooKeeper since 3.6 keeps over its tree.
    pub apache_digest: String,
    /// Noted by Apache ZooKeeper and found equal.
    pub digests_equal: u64,
    pub digests_different: u64,
    /// Over what is kept, as `coordinator check BACKUP` shows it.
    pub digest: String,
    /// What was there and is not kept, or not kept as it was; empty where nothing is lost.
    pub lost: Vec<String>,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// Of the ensemble that begins: the same on all members; empty when nothing was done.
    pub ensemble: String,
    pub members: Vec<u64>,
    /// Where data of ours that was there is now.
    pub moved: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct MemberSeen {
    pub directory: String,
    pub epoch: u64,
    pub last_zxid: String,
}

/// How far a member has come, by which an election chooses.
#[derive(Debug, Serialize)]
pub struct StandingReport {
    pub current_epoch: u32,
    /// No zxid that it has written or promised to write is in a later epoch.
    pub epoch: u64,
    /// In decimal, as programs compare it.
    pub last_zxid: i64,
    pub myid: u64,
    /// What another host needs of `dataDir`: the two newest snapshots, since a server that was killed may have
    /// left the newest half-written.
    pub snapshots: Vec<String>,
    /// And of `dataLogDir`: the logs from there on.
    pub logs: Vec<String>,
}

/// Reads how far the member of one directory has come, by its last log alone.
pub fn standing(directory: &str) -> Result<StandingReport, String> {
    let source = source(directory);
    let standing = Standing::of(&source).map_err(|error| error.to_string())?;
    if standing.last_zxid == 0 && evidence(&source.data).is_none() {
        return Err(format!("{} holds nothing of Apache ZooKeeper's", source.data.display()));
    }
    let unreadable = |path: &Path, error| format!("cannot read {}: {error}", path.display());
    let snapshots = directory::snapshots(&source.data).map_err(|e| unreadable(&source.data, e))?;
    let snapshots = &snapshots[..snapshots.len().min(2)];
    let since = snapshots.last().map_or(0, |file| file.zxid);
    let logs = directory::logs(&source.log).map_err(|e| unreadable(&source.log, e))?;
    // The last log that begins at or before the snapshot can go on behind it.
    let first = logs.partition_point(|log| log.zxid <= since).saturating_sub(1);
    Ok(StandingReport {
        current_epoch: standing.current_epoch,
        epoch: standing.epoch(),
        last_zxid: standing.last_zxid,
        myid: standing.myid.unwrap_or(0),
        snapshots: names(snapshots),
        logs: names(&logs[first..]),
    })
}

fn names(files: &[File]) -> Vec<String> {
    let names = files.iter().filter_map(|file| file.path.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Reads the history, and unless only asked for it makes this member's data directory of it.
pub fn import(config: &Config, options: &ImportOptions) -> Result<ImportReport, String> {
    let (voters, learners) = found::members(config);
    let word = word(options, voters.len() + learners.len() == 1)?;
    let directories = found::directories(config);
    if !options.check {
        refuse_living(config)?;
        if !options.force {
            refuse_occupied(&directories)?;
        }
    }
    let sources = sources(config, &options.from);
    let mut standings = Vec::new();
    for source in &sources {
        standings.push(Standing::of(source).map_err(refusal)?);
    }
    let winner = elect(&standings).ok_or("there is no directory to import")?;
    let digests = if options.ignore_digests { Digests::Counted } else { Digests::Binding };
    let Loaded { mut replica, last_zxid, facts } =
        load(&sources[winner], digests).map_err(refusal)?;
    if last_zxid < standings[winner].last_zxid {
        return Err(refusal(format!(
            "{} is said to go on to zxid {:#x}, and can be read up to {last_zxid:#x} only",
            sources[winner].data.display(),
            standings[winner].last_zxid
        )));
    }
    let last = standings.iter().map(|s| s.last_zxid).fold(last_zxid, i64::max);
    let term = standings.iter().map(Standing::epoch).max().unwrap_or(0);
    let epoch = found::next_epoch(term, last, options.epoch)?;

    let apache_digest = replica.digest;
    let orphans = replica.delete_orphans(last_zxid);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // A clock that once was far ahead must not rule all times to come.
    let time_ms = replica.time_ms.min(now_ms as i64);
    let mut notes = notes(config, &sources, &standings, winner);
    if replica.time_ms > time_ms {
        notes.push("a znode bears a time that is still to come".to_owned());
    }
    notes.extend(facts.passed.iter().map(|why| format!("passed over a snapshot: {why}")));
    if let Some(torn) = &facts.torn {
        notes.push(format!("a txn that was never written to its end: {torn}"));
    }
    if facts.holes > 0 {
        notes.push(format!("{} zxids stand in no log", facts.holes));
    }
    let mut state = State::imported(replica.tree, replica.sessions, last_zxid, time_ms);
    let contents = Contents::of(&state);
    let mut lost = Vec::new();
    if orphans > 0 {
        lost.push(format!(
            "{orphans} ephemerals without a session, which Apache ZooKeeper removes at its start"
        ));
    }
    for (scheme, lists) in &contents.acl_schemes {
        if !SCHEMES.contains(&scheme.as_str()) {
            lost.push(format!(
                "nobody can prove the scheme `{scheme}` here: {lists} ACL lists have it, and stay \
                 as they are"
            ));
        }
    }
    let mut report = ImportReport {
        done: false,
        server: config.id,
        source: sources[winner].data.display().to_string(),
        members_seen: seen(&sources, &standings),
        snapshot: facts.snapshot.display().to_string(),
        logs: facts.logs.len(),
        txns: facts.txns,
        last_zxid: format!("{last_zxid:#x}"),
        zxid: format!("{:#x}", (epoch << 32).max(last_zxid as u64)),
        znodes: state.node_count(),
        bytes: state.approximate_data_size(),
        ephemerals: state.ephemerals_count(),
        containers: contents.containers,
        ttls: contents.ttls,
        quotas: state.quota_count(),
        sessions: state.session_count(),
        acl_schemes: contents.acl_schemes,
        apache_digest: format!("{apache_digest:x}"),
        digests_equal: facts.digests_equal,
        digests_different: facts.digests_different,
        digest: format!("{:016x}", state.content_digest()),
        lost,
        notes,
        ensemble: String::new(),
        members: voters.iter().chain(&learners).copied().collect(),
        moved: Vec::new(),
    };
    if options.check {
        return Ok(report);
    }

    let key = key(config, &mut state, &word, epoch, &report.members);
    let mut cluster = ClusterMetadata::default();
    // Sessions and lists of ACLs may be such as the first release does not know.
    cluster.level = PRINCIPALS;
    cluster.secret = found::derive(&key, &[b"passwords"]);
    cluster.cluster_id = u128::from_le_bytes(found::derive(&key, &[b"ensemble"])).max(1);
    let incarnation = |id: u8| u128::from_le_bytes(found::derive(&key, &[b"member", &[id]]));
    for &id in &report.members {
        cluster.set_incarnation(id as u8, incarnation(id as u8));
    }
    report.ensemble = format!("{:032x}", cluster.cluster_id);
    state.refound(epoch, cluster);
    for directory in &directories {
        if found::occupied(directory).is_some() {
            report.moved.push(found::move_aside(directory)?.display().to_string());
        }
    }
    let conf_state = ConfState { voters, learners, ..ConfState::default() };
    // A log that begins where nothing was before it has no index 0.
    let position = Position { index: 1, term: epoch };
    let written = found::write(config, &mut state, position, conf_state, incarnation(config.id));
    if let Err(why) = written {
        // All of it was made just now: nothing of it may stand in the way of the next try.
        for directory in &directories {
            let _ = std::fs::remove_dir_all(directory);
        }
        return Err(format!(
            "{why}; what was begun is removed, Apache ZooKeeper's files are as they were"
        ));
    }
    report.done = true;
    Ok(report)
}

fn refusal(error: impl std::fmt::Display) -> String {
    format!("{error}; nothing was written")
}

fn word(options: &ImportOptions, alone: bool) -> Result<String, String> {
    match &options.ensemble_id {
        Some(word) => Ok(word.clone()),
        None if alone || options.check => Ok("alone".to_owned()),
        None => {
            Err("--ensemble-id is missing: give all members of this import the same word, and \
                     another one at the next import"
                .to_owned())
        }
    }
}

/// A server that still runs on these files writes to them, and would serve beside ours.
fn refuse_living(config: &Config) -> Result<(), String> {
    let own = config.own_server();
    let ports = config
        .client_listen
        .iter()
        .cloned()
        .chain(own.into_iter().flat_map(|s| s.quorum_listen(config.quorum_listen_on_all_ips)))
        .chain(own.into_iter().flat_map(|s| s.election_listen(config.quorum_listen_on_all_ips)));
    for listen in ports {
        for address in listen.candidates().unwrap_or_default() {
            match std::net::TcpListener::bind(address) {
                Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                    return Err(format!(
                        "a server still listens on {address}: stop it, and see that nothing starts \
                         it again; `--check` reads beside it"
                    ));
                }
                // Addresses of other hosts say nothing.
                _ => {}
            }
        }
    }
    Ok(())
}

fn refuse_occupied(directories: &[PathBuf]) -> Result<(), String> {
    for directory in directories {
        if let Some(name) = found::occupied(directory) {
            return Err(format!(
                "{} is not empty (`{name}` is there): an import begins an ensemble anew, on all \
                 members; --force moves what is there aside",
                directory.display()
            ));
        }
    }
    Ok(())
}

fn sources(config: &Config, from: &[String]) -> Vec<Source> {
    if from.is_empty() {
        let (data, log) = (config.data_dir.clone(), config.data_log_dir.clone());
        return vec![Source { data, log }];
    }
    from.iter().map(|text| source(text)).collect()
}

fn source(text: &str) -> Source {
    let (data, log) = text.split_once(',').unwrap_or((text, text));
    Source { data: data.into(), log: log.into() }
}

fn seen(sources: &[Source], standings: &[Standing]) -> Vec<MemberSeen> {
    let member = |(source, standing): (&Source, &Standing)| MemberSeen {
        directory: source.data.display().to_string(),
        epoch: u64::from(standing.current_epoch),
        last_zxid: format!("{:#x}", standing.last_zxid),
    };
    sources.iter().zip(standings).map(member).collect()
}

fn notes(
    config: &Config,
    sources: &[Source],
    standings: &[Standing],
    winner: usize,
) -> Vec<String> {
    let mut notes = Vec::new();
    let voting = |s: &&crate::config::Server| s.role == PeerType::Participant;
    let participants = config.servers.values().filter(voting).count();
    // Of one member's directory given twice nobody learns more.
    let different: BTreeSet<_> = sources.iter().map(|s| s.data.canonicalize().ok()).collect();
    if participants > 1 && different.len() <= participants / 2 {
        notes.push(format!(
            "{} of {participants} members' directories: an acknowledged write can be missing here; \
             name those of a majority by --from, and the one with the greatest epoch and zxid counts",
            different.len(),
        ));
    }
    for (source, standing) in sources.iter().zip(standings) {
        if standing.last_zxid > standings[winner].last_zxid {
            notes.push(format!(
                "{} goes on to {:#x} in an epoch that was given up: proposals that no majority took",
                source.data.display(),
                standing.last_zxid
            ));
        }
    }
    notes
}

/// What is derived from: the same on all members that import the same, and known to nobody who
/// knows neither the ensemble's secret nor every byte of its data.
fn key(config: &Config, state: &mut State, word: &str, epoch: u64, members: &[u64]) -> [u8; 32] {
    let secret = config
        .secret
        .as_ref()
        .and_then(|secret| secret.keys().find(|key| !key.is_empty()))
        .unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"import");
    mac.update(&(word.len() as u64).to_le_bytes());
    mac.update(word.as_bytes());
    mac.update(&epoch.to_le_bytes());
    for id in members {
        mac.update(&id.to_le_bytes());
    }
    found::chunks(state, |chunk| {
        mac.update(chunk);
        Ok::<(), std::convert::Infallible>(())
    })
    .unwrap_or_else(|never| match never {});
    mac.finalize().into_bytes().into()
}

/// What a tree holds besides plain znodes.
struct Contents {
    containers: usize,
    ttls: usize,
    acl_schemes: BTreeMap<String, usize>,
}

impl Contents {
    fn of(state: &State) -> Self {
        let tree = state.tree();
        let mut acl_schemes = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (id, _) in tree.walk(ROOT) {
            let acl = tree.acl(id);
            if !seen.insert(acl) {
                continue;
            }
            let schemes: BTreeSet<&str> = tree.acls.list(acl).map(|acl| acl.scheme).collect();
            for scheme in schemes {
                *acl_schemes.entry(scheme.to_owned()).or_default() += 1;
            }
        }
        debug_assert!(tree.ttls().all(|(id, _)| matches!(tree.kind(id), Kind::Ttl(_))));
        Self { containers: tree.containers().count(), ttls: tree.ttls().count(), acl_schemes }
    }
}
