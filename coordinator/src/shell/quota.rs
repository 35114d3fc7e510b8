//! Quotas: two znodes under `/zookeeper/quota`, read and written by their text.

use std::collections::BTreeMap;
use std::fmt;

use crate::client::{Client, CreateOptions, Error};
use crate::wire::code::Code;

use super::outcome::Trouble;
use super::subtree;

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// `StatsTrack`: named numbers, −1 for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits(BTreeMap<String, i64>);

impl Limits {
    /// Letters of the commands, and the names they stand for.
    pub(super) const LETTERS: [(char, &'static str); 4] =
        [('n', "count"), ('b', "bytes"), ('N', "countHardLimit"), ('B', "byteHardLimit")];

    fn parse(text: &str) -> Self {
        let pairs = text.split([',', ';']).filter_map(|pair| {
            let mut parts = pair.split('=');
            Some((parts.next()?.to_owned(), parts.next()?.parse().ok()?))
        });
        Self(pairs.collect())
    }

    /// Every limit, none set.
    fn none() -> Self {
        Self(Self::LETTERS.iter().map(|(_, name)| ((*name).to_owned(), -1)).collect())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(-1)
    }
}

impl fmt::Display for Limits {
    /// `count` and `bytes` first, the rest behind `=;`: readers older than 3.7 stop there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.get("count"), self.get("bytes"))?;
        let mut more = self.entries().filter(|(name, _)| !matches!(*name, "count" | "bytes"));
        if let Some((name, value)) = more.next() {
            write!(f, "=;{name}={value}")?;
        }
        more.try_for_each(|(name, value)| write!(f, ";{name}={value}"))
    }
}

fn quota_path(path: &str) -> String {
    if path == "/" { ROOT.to_owned() } else { format!("{ROOT}{path}") }
}

pub(super) fn set(zk: &mut Client, path: &str, changes: &[(&str, i64)]) -> Result<(), Trouble> {
    if path.starts_with(ROOT) {
        return Err(Trouble::Refused(format!("cannot set a quota under the path: {ROOT}")));
    }
    if zk.exists(path, false).map_err(Trouble::on(path))?.is_none() {
        return Err(Trouble::Refused(format!("{path} does not exist.")));
    }
    refuse_nested(zk, path)?;
    let base = quota_path(path);
    for (end, _) in base.match_indices('/').skip(1).chain([(base.len(), "")]) {
        create_if_absent(zk, &base[..end], None)?;
    }
    let limits_path = format!("{base}/{LIMITS}");
    let mut limits = match zk.get_data(&limits_path, false) {
        Ok((data, _)) => Limits::parse(&text(data)),
        Err(Error::Code(Code::NoNode)) => Limits::none(),
        Err(error) => return Err(Trouble::on(&limits_path)(error)),
    };
    for (name, value) in changes {
        limits.0.insert((*name).to_owned(), *value);
    }
    let limits = limits.to_string();
    if !create_if_absent(zk, &limits_path, Some(limits.as_bytes()))? {
        zk.set_data(&limits_path, Some(limits.as_bytes()), -1)
            .map_err(Trouble::on(&limits_path))?;
    }
    create_if_absent(zk, &format!("{base}/{STATS}"), Some(b"count=0,bytes=0"))?;
    Ok(())
}

/// The server counts a znode for one quota only: none above another.
fn refuse_nested(zk: &mut Client, path: &str) -> Result<(), Trouble> {
    let is_limits = |full: &str| full.ends_with(&format!("/{LIMITS}"));
    let owner = |full: &str| {
        let cut = full.len() - LIMITS.len() - 1;
        full[ROOT.len()..cut].to_owned()
    };
    for (end, _) in path.match_indices('/').skip(1) {
        let parent = format!("{}/{LIMITS}", quota_path(&path[..end]));
        if zk.exists(&parent, false).map_err(Trouble::on(&parent))?.is_some() {
            return Err(Trouble::Refused(format!(
                "{path} has a parent {} which has a quota",
                &path[..end]
            )));
        }
    }
    let base = quota_path(path);
    let below = match subtree::list(zk, &base, false) {
        Ok(below) => below,
        Err(Trouble::Client { error: Error::Code(Code::NoNode), .. }) => return Ok(()),
        Err(trouble) => return Err(trouble),
    };
    match below.iter().find(|full| is_limits(full) && owner(full) != path) {
        Some(full) => {
            Err(Trouble::Refused(format!("{path} has a child {} which has a quota", owner(full))))
        }
        None => Ok(()),
    }
}

pub(super) fn list(zk: &mut Client, path: &str) -> Result<(Limits, Limits), Trouble> {
    let base = quota_path(path);
    let mut read = |name: &str| {
        let full = format!("{base}/{name}");
        match zk.get_data(&full, false) {
            Ok((data, _)) => Ok(Limits::parse(&text(data))),
            Err(Error::Code(Code::NoNode)) => {
                Err(Trouble::Refused(format!("quota for {path} does not exist.")))
            }
            Err(error) => Err(Trouble::on(&full)(error)),
        }
    };
    Ok((read(LIMITS)?, read(STATS)?))
}

/// Without names, the whole quota goes, and the znodes above it that no quota needs.
pub(super) fn delete(zk: &mut Client, path: &str, names: &[&str]) -> Result<(), Trouble> {
    let base = quota_path(path);
    let limits_path = format!("{base}/{LIMITS}");
    let (data, _) = match zk.get_data(&limits_path, false) {
        Err(Error::Code(Code::NoNode)) => {
            return Err(Trouble::Refused(format!("quota for {path} does not exist.")));
        }
        answer => answer.map_err(Trouble::on(&limits_path))?,
    };
    if !names.is_empty() {
        let mut limits = Limits::parse(&text(data));
        for name in names {
            limits.0.insert((*name).to_owned(), -1);
        }
        let limits = limits.to_string();
        return zk
            .set_data(&limits_path, Some(limits.as_bytes()), -1)
            .map(drop)
            .map_err(Trouble::on(&limits_path));
    }
    for name in [LIMITS, STATS] {
        let full = format!("{base}/{name}");
        match zk.delete(&full, -1) {
            Ok(()) | Err(Error::Code(Code::NoNode)) => {}
            Err(error) => return Err(Trouble::on(&full)(error)),
        }
    }
    let mut branch = base.as_str();
    while branch.len() > ROOT.len() {
        match zk.delete(branch, -1) {
            Ok(()) | Err(Error::Code(Code::NoNode)) => {}
            Err(Error::Code(Code::NotEmpty)) => break,
            Err(error) => return Err(Trouble::on(branch)(error)),
        }
        branch = &branch[..branch.rfind('/').unwrap_or(0)];
    }
    Ok(())
}

/// False if it was there.
fn create_if_absent(zk: &mut Client, path: &str, data: Option<&[u8]>) -> Result<bool, Trouble> {
    match zk.create(path, data, CreateOptions::default()) {
        Ok(_) => Ok(true),
        Err(Error::Code(Code::NodeExists)) => Ok(false),
        Err(error) => Err(Trouble::on(path)(error)),
    }
}

fn text(data: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn limits_keep_their_text() {
        for text in [
            "count=5,bytes=-1",
            "count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=9",
            "count=0,bytes=0",
        ] {
            assert_eq!(Limits::parse(text).to_string(), text);
        }
        assert_eq!(Limits::parse("").to_string(), "count=-1,bytes=-1");
    }
}
