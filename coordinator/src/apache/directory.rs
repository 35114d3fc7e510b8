//! Apache ZooKeeper's `version-2`: which files stand there, by their names alone.

use std::io;
use std::path::{Path, PathBuf};

/// Where Apache ZooKeeper keeps its files below `dataDir` and `dataLogDir`.
const NAME: &str = "version-2";
const SNAPSHOT: &str = "snapshot.";
const LOG: &str = "log.";

/// How a snapshot is packed, by the end of its name (`snapshot.compression.method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Snappy,
}

/// A snapshot or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    /// Of the snapshot's first moment, or of the log's first txn.
    pub zxid: i64,
    pub packing: Packing,
}

/// The directory itself, for a path that is `dataDir` or already `version-2`.
pub fn version_2(configured: &Path) -> PathBuf {
    let below = configured.join(NAME);
    if configured.ends_with(NAME) && !below.exists() { configured.into() } else { below }
}

/// Snapshots, the newest first.
pub fn snapshots(configured: &Path) -> io::Result<Vec<File>> {
    let mut found = files(configured, SNAPSHOT)?;
    found.reverse();
    Ok(found)
}

/// Logs, the oldest first.
pub fn logs(configured: &Path) -> io::Result<Vec<File>> {
    let mut found = files(configured, LOG)?;
    found.retain(|file| file.packing == Packing::Plain);
    Ok(found)
}

/// In the order of their numbers, not of their names.
fn files(configured: &Path, prefix: &str) -> io::Result<Vec<File>> {
    let directory = version_2(configured);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some((zxid, packing)) = name.to_str().and_then(|name| parse(name, prefix)) else {
            continue;
        };
        found.push(File { path: directory.join(&name), zxid, packing });
    }
    found.sort_by(|a, b| (a.zxid, &a.path).cmp(&(b.zxid, &b.path)));
    Ok(found)
}

/// The number in a name, which Java writes without sign or leading zeroes.
fn parse(name: &str, prefix: &str) -> Option<(i64, Packing)> {
    let rest = name.strip_prefix(prefix)?;
    let (digits, packing) = match rest.split_once('.') {
        None => (rest, Packing::Plain),
        Some((digits, "gz")) => (digits, Packing::Gzip),
        Some((digits, "snappy")) => (digits, Packing::Snappy),
        Some(_) => return None,
    };
    if digits.starts_with('+') {
        return None;
    }
    let zxid = u64::from_str_radix(digits, 16).ok()?;
    Some((i64::try_from(zxid).ok()?, packing))
}

/// The first file of a directory of Apache ZooKeeper's, if it is one that holds data.
pub fn evidence(configured: &Path) -> Option<PathBuf> {
    let of = |prefix| files(configured, prefix).unwrap_or_default().into_iter().next();
    of(SNAPSHOT).or_else(|| of(LOG)).map(|file| file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join(NAME);
        std::fs::create_dir(&inside).unwrap();
        assert_eq!(evidence(directory.path()), None);
        for name in [
            "log.1",
            "log.100000001",
            "log.ff",
            "log.zz",
            "log.1.gz",
            "snapshot.0",
            "snapshot.a.gz",
            "snapshot.b.snappy",
            "snapshot.10",
            "snapshot.10.tmp",
            "snapshot.+1",
            "snapshot.ffffffffffffffff",
            "currentEpoch",
        ] {
            std::fs::write(inside.join(name), "").unwrap();
        }
        let zxids = |files: Vec<File>| files.iter().map(|f| f.zxid).collect::<Vec<_>>();
        assert_eq!(zxids(snapshots(directory.path()).unwrap()), [16, 11, 10, 0]);
        assert_eq!(zxids(logs(&inside).unwrap()), [1, 255, 0x1_0000_0001]);
        assert_eq!(evidence(directory.path()), Some(inside.join("snapshot.0")));
    }
}
