//! A whole directory: the newest snapshot that can be read, and all that the logs say behind it.
//!
//! What Apache ZooKeeper would pass over in silence and thereby lose is refused here: a wrong
//! checksum, a log that is missing between two others, a snapshot whose own log ends before the
//! snapshot does, and a digest that is not the one the server noted.

use std::path::{Path, PathBuf};

use super::directory::{self, File, Packing};
use super::error::ReadError;
use super::log::Log;
use super::replica::Replica;
use super::snapshot::{self, Tail, TreeDigest};
use super::{digest, txn, unpack};

/// `FileSnap` looks at this many snapshots, too.
const SNAPSHOTS_MAX: usize = 100;

/// Of a server alone, and of an ensemble.
const FIRST_ZXIDS: [i64; 2] = [1, 0x1_0000_0001];

/// Where a member keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub data: PathBuf,
    pub log: PathBuf,
}

/// What a directory held.
#[derive(Debug)]
pub struct Loaded {
    pub replica: Replica,
    pub last_zxid: i64,
    pub facts: Facts,
}

/// How it was found.
#[derive(Debug, Default)]
pub struct Facts {
    pub snapshot: PathBuf,
    /// Snapshots that were passed over, and why.
    pub passed: Vec<String>,
    pub logs: Vec<PathBuf>,
    /// Behind the snapshot.
    pub txns: u64,
    /// A txn that was not written to its end when the server died.
    pub torn: Option<String>,
    /// zxids that stand nowhere.
    pub holes: u64,
    pub digests_equal: u64,
    /// Only where they are not to be believed.
    pub digests_different: u64,
}

/// Whether digests that differ end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests {
    Binding,
    Counted,
}

pub fn load(source: &Source, digests: Digests) -> Result<Loaded, ReadError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |e| ReadError::io(&path, e)
    };
    let snapshots = directory::snapshots(&source.data).map_err(io(&source.data))?;
    let logs = directory::logs(&source.log).map_err(io(&source.log))?;
    let mut facts = Facts::default();
    let mut first_damage = None;
    for file in snapshots.iter().take(SNAPSHOTS_MAX) {
        let mut replica = Replica::default();
        let read = unpack::open(file).and_then(|bytes| {
            let tail = snapshot::read(bytes, &file.path, &mut replica)?;
            Ok(tail)
        });
        let tail = match read {
            Ok(tail) => tail,
            Err(damage) if damage.is_damage() => {
                // The server was killed as it wrote it.
                facts.passed.push(damage.to_string());
                first_damage.get_or_insert((file.zxid, damage));
                continue;
            }
            Err(other) => return Err(other),
        };
        facts.snapshot.clone_from(&file.path);
        let mut replay = Replay::new(replica, file, tail, digests, facts);
        replay.logs(&logs)?;
        let loaded = replay.finish()?;
        return match first_damage {
            // An older snapshot and the logs lead past it, so it held nothing more.
            Some((zxid, damage)) if loaded.last_zxid < zxid => Err(damage),
            _ => Ok(loaded),
        };
    }
    if let Some((_, damage)) = first_damage {
        return Err(damage);
    }
    let nothing = |what: &str| ReadError::damage(&directory::version_2(&source.data), 0, what);
    match logs.first() {
        None => Err(nothing("it holds no snapshot of Apache ZooKeeper")),
        // Releases before 3.5 take their first snapshot late: the logs are all there is.
        Some(log) if FIRST_ZXIDS.contains(&log.zxid) => {
            let replica = Replica::founded().map_err(|what| nothing(&what))?;
            let file = File { path: log.path.clone(), zxid: 0, packing: Packing::Plain };
            let mut replay = Replay::new(replica, &file, Tail::default(), digests, facts);
            replay.logs(&logs)?;
            replay.finish()
        }
        Some(_) => Err(nothing("it holds logs and no snapshot: what they begin with is missing")),
    }
}

/// The logs being repeated on a snapshot.
struct Replay {
    replica: Replica,
    facts: Facts,
    last_zxid: i64,
    /// Where the fuzziness of the snapshot ends, and the digest there; until it was met.
    expected: Option<TreeDigest>,
    /// A digest has been equal, so all that come must be.
    sure: bool,
    /// The first one that was not equal before.
    doubt: Option<ReadError>,
    snapshot: PathBuf,
    digests: Digests,
}

impl Replay {
    fn new(replica: Replica, file: &File, tail: Tail, digests: Digests, facts: Facts) -> Self {
        let last_zxid = file.zxid;
        let expected = tail.digest.filter(|d| d.version == digest::VERSION);
        let snapshot = file.path.clone();
        Self { replica, facts, last_zxid, expected, sure: false, doubt: None, snapshot, digests }
    }

    /// From the last log that begins at or before the snapshot: its end may be behind it.
    fn logs(&mut self, logs: &[File]) -> Result<(), ReadError> {
        self.meet_snapshot_digest()?;
        let first = logs.partition_point(|log| log.zxid <= self.last_zxid).saturating_sub(1);
        // The last zxid in the logs, whether or not it was applied.
        let mut logged = None;
        for file in &logs[first..] {
            self.log(file, &mut logged)?;
        }
        Ok(())
    }

    fn log(&mut self, file: &File, logged: &mut Option<i64>) -> Result<(), ReadError> {
        let mut log = Log::open(&file.path)?;
        let mut first = true;
        loop {
            let path = file.path.as_path();
            let Some((at, bytes)) = log.next()? else { break };
            let damage = |what: String| ReadError::damage(path, at, what);
            let decoded = txn::decode(bytes).map_err(|e| damage(format!("the txn: {e}")))?;
            let (header, change, noted) = decoded;
            let zxid = header.zxid;
            if std::mem::replace(&mut first, false) {
                if zxid != file.zxid {
                    let what = format!("its first txn is {zxid:#x}, which is not its name");
                    return Err(damage(what));
                }
                let before = logged.unwrap_or(self.last_zxid);
                if zxid > before.wrapping_add(1) && zxid >> 32 == before >> 32 {
                    return Err(damage(format!(
                        "the log goes on with zxid {zxid:#x} where {before:#x} ends: a log between \
                         them is missing"
                    )));
                }
            }
            if let Some(before) = *logged {
                if zxid < before {
                    let what = format!("zxid {zxid:#x} stands behind {before:#x}");
                    return Err(damage(what));
                }
                if zxid == before {
                    continue;
                }
                if zxid >> 32 == before >> 32 {
                    self.facts.holes += (zxid - before - 1) as u64;
                }
            }
            *logged = Some(zxid);
            if zxid <= self.last_zxid {
                continue;
            }
            self.replica.apply(&header, change).map_err(&damage)?;
            self.last_zxid = zxid;
            self.facts.txns += 1;
            if let Some((digest::VERSION, noted)) = noted {
                self.compare(noted, path, at)?;
            }
            self.meet_snapshot_digest()?;
        }
        if let Some(at) = log.torn() {
            self.facts.torn = Some(format!("{} at offset {at}", file.path.display()));
        }
        self.facts.logs.push(file.path.clone());
        Ok(())
    }

    /// The digest that the server noted behind a txn.
    fn compare(&mut self, noted: u64, path: &Path, at: u64) -> Result<(), ReadError> {
        if noted == self.replica.digest {
            self.facts.digests_equal += 1;
            // Before the end of the fuzziness two trees can be equal by chance alone.
            self.sure |= self.expected.is_none();
            return Ok(());
        }
        if self.expected.is_some() {
            return Ok(());
        }
        let what = format!(
            "the tree's digest behind this txn is {:x}, the server noted {noted:x}",
            self.replica.digest
        );
        let error = ReadError::damage(path, at, what);
        if self.digests == Digests::Counted {
            self.facts.digests_different += 1;
            return Ok(());
        }
        if self.sure {
            return Err(error);
        }
        self.doubt.get_or_insert(error);
        Ok(())
    }

    fn meet_snapshot_digest(&mut self) -> Result<(), ReadError> {
        let Some(expected) = self.expected.filter(|e| e.zxid <= self.last_zxid) else {
            return Ok(());
        };
        self.expected = None;
        // A digest of before the snapshot's first moment says nothing of the snapshot.
        if expected.zxid < self.last_zxid {
            return Ok(());
        }
        if expected.digest == self.replica.digest {
            self.facts.digests_equal += 1;
            self.sure = true;
            return Ok(());
        }
        if self.digests == Digests::Counted {
            self.facts.digests_different += 1;
            return Ok(());
        }
        Err(ReadError::damage(
            &self.snapshot,
            0,
            format!(
                "the tree's digest at zxid {:#x} is {:x}, the server noted {:x}",
                expected.zxid, self.replica.digest, expected.digest
            ),
        ))
    }

    fn finish(mut self) -> Result<Loaded, ReadError> {
        let fuzzy_to = self.expected.map_or(0, |e| e.zxid).max(self.replica.zxid_seen);
        if fuzzy_to > self.last_zxid {
            return Err(ReadError::damage(
                &self.snapshot,
                0,
                format!(
                    "it was taken while writes went on, up to zxid {fuzzy_to:#x}, and the logs \
                     end at {:#x}: are they in another directory (`dataLogDir`)?",
                    self.last_zxid
                ),
            ));
        }
        if let (false, Some(doubt)) = (self.sure, self.doubt.take()) {
            return Err(doubt);
        }
        self.replica.complete().map_err(|what| ReadError::damage(&self.snapshot, 0, what))?;
        Ok(Loaded { replica: self.replica, last_zxid: self.last_zxid, facts: self.facts })
    }
}
