//! Quotas: `zookeeper_stats` is kept current, and what goes over a hard limit is refused where the
//! leader's `enforceQuota` says so.
//!
//! A quota on P is the znode `/zookeeper/quota<P>/zookeeper_limits`; its sibling
//! `zookeeper_stats` holds `count=N,bytes=M` of P and all below. The server rewrites it without
//! a version, a time or a watch, as `DataTree.updateCountBytes` does. The deepest quota counts.

use crate::tree::{Tree, path};
use crate::wire::code::Code;
use hashbrown::HashSet;
use std::collections::BTreeMap;
use std::fmt;

const TOP: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
const STATS_BYTES_MAX: usize = 1024;
const COUNT_HARD: &str = "countHardLimit";
const BYTES_HARD: &str = "byteHardLimit";

/// Paths under a quota. Looked up only, never iterated.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limited: HashSet<Box<str>, foldhash::quality::FixedState>,
    /// Limits that came (`true`) or went within the multi at hand, should it fail.
    journal: Option<Vec<(Box<str>, bool)>>,
    /// Whether the entry that is being applied was made by a leader that enforces hard limits.
    pub enforced: bool,
    /// What went over a limit last.
    pub exceeded: Option<Exceeded>,
}

/// A limit that an operation went over, or would have gone over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub limited: String,
    pub what: Counted,
    pub hard: bool,
    pub would_be: i64,
    pub limit: i64,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Znodes,
    Bytes,
}

impl Exceeded {
    /// The first part of the path, by which ZooKeeper's metrics go.
    pub fn namespace(&self) -> &str {
        self.limited.split('/').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { limited, would_be, limit, .. } = self;
        let unit = if self.what == Counted::Znodes { "znodes" } else { "bytes" };
        let (over, kind) = if self.hard { ("would have", "hard") } else { ("has", "soft") };
        write!(f, "quota exceeded: {limited} {over} {would_be} {unit}, its {kind} limit is {limit}")
    }
}

/// Limits and use of all quotas whose paths begin with the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUsage {
    pub count_limit: i64,
    pub bytes_limit: i64,
    pub count: i64,
    pub bytes: i64,
}

/// Znodes looked at below [`TOP`] for one view of all quotas.
const LOOKED_AT_MAX: usize = 10_000;

/// The limited path and the last name, for a znode below [`TOP`].
fn target(path: &str) -> Option<(&str, &str)> {
    let (limited, name) = path.strip_prefix(TOP)?.rsplit_once('/')?;
    // A quota on the root is not kept, as in ZooKeeper.
    (limited.starts_with('/')).then_some((limited, name))
}

impl Quotas {
    /// Finds all limits of a tree.
    pub(super) fn rebuild(tree: &Tree) -> Self {
        let mut quotas = Self::default();
        let Some(top) = tree.find(TOP) else { return quotas };
        for (id, _) in tree.walk(top) {
            if tree.name(id) == LIMITS.as_bytes()
                && let Some((limited, _)) = target(&tree.path(id))
            {
                quotas.limited.insert(limited.into());
            }
        }
        quotas
    }

    /// A multi begins.
    pub(super) fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// It ends; one that has failed takes back what it did.
    pub(super) fn end(&mut self, failed: bool) {
        for (limited, came) in self.journal.take().into_iter().flatten().rev() {
            match (failed, came) {
                (true, true) => drop(self.limited.remove(&limited)),
                (true, false) => drop(self.limited.insert(limited)),
                (false, _) => {}
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.limited.len()
    }

    /// Counts all limited subtrees anew, where what stands there is wrong: an import may bring
    /// statistics of before its last writes.
    pub(super) fn recount_all(&self, tree: &mut Tree) {
        let mut limited: Vec<&str> = self.limited.iter().map(|path| &**path).collect();
        limited.sort_unstable();
        for path in limited {
            recount(tree, path);
        }
    }

    /// The longest limited path that is `path` or an ancestor.
    fn limit_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.limited.is_empty() {
            return None;
        }
        std::iter::once(path).chain(path::ancestors(path)).find(|p| self.limited.contains(*p))
    }

    pub(super) fn created(&mut self, tree: &mut Tree, path: &str, bytes: usize) {
        match target(path) {
            Some((limited, LIMITS)) => {
                let limited: Box<str> = limited.into();
                if self.limited.insert(limited.clone())
                    && let Some(journal) = &mut self.journal
                {
                    journal.push((limited, true));
                }
            }
            Some((limited, STATS)) => recount(tree, limited),
            _ => {}
        }
        self.count(tree, path, bytes as i64, 1);
    }

    pub(super) fn deleted(&mut self, tree: &mut Tree, path: &str, bytes: usize) {
        if let Some((limited, LIMITS)) = target(path) {
            let gone = self.limited.take(limited);
            if let (Some(gone), Some(journal)) = (gone, &mut self.journal) {
                journal.push((gone, false));
            }
        }
        self.count(tree, path, -(bytes as i64), -1);
    }

    pub(super) fn resized(&mut self, tree: &mut Tree, path: &str, before: usize, after: usize) {
        self.count(tree, path, after as i64 - before as i64, 0);
    }

    fn count(&self, tree: &mut Tree, path: &str, bytes: i64, nodes: i64) {
        let Some(limited) = self.limit_of(path) else { return };
        let Some(stats) = tree.find(&format!("{TOP}{limited}/{STATS}")) else { return };
        // Clients may write there too. What is no statistic is left alone.
        let Some(mut track) = tree.data(stats).and_then(Track::parse) else { return };
        track.count = track.count.wrapping_add(nodes);
        track.bytes = track.bytes.wrapping_add(bytes);
        let text = track.to_string();
        tree.overwrite_data(stats, text.as_bytes());
    }

    /// `ZooKeeperServer.checkQuota`: may `path` grow by so many bytes and znodes? Unlike there, an
    /// operation of a multi sees what those before it have added.
    pub(super) fn check(
        &mut self,
        tree: &Tree,
        path: &str,
        bytes: i64,
        nodes: i64,
    ) -> Result<(), Code> {
        if !self.enforced {
            return Ok(());
        }
        let Some(limited) = self.limit_of(path) else { return Ok(()) };
        let track = |name| {
            let id = tree.find(&format!("{TOP}{limited}/{name}"))?;
            tree.data(id).and_then(Track::parse)
        };
        let (Some(limits), Some(stats)) = (track(LIMITS), track(STATS)) else { return Ok(()) };
        for (what, more, is, soft, hard) in [
            (Counted::Znodes, nodes, stats.count, limits.count, limits.of(COUNT_HARD)),
            (Counted::Bytes, bytes, stats.bytes, limits.bytes, limits.of(BYTES_HARD)),
        ] {
            let (limit, hard) = if hard > -1 { (hard, true) } else { (soft, false) };
            let would_be = is.saturating_add(more);
            if more == 0 || limit <= -1 || would_be <= limit {
                continue;
            }
            let limited = limited.to_owned();
            self.exceeded = Some(Exceeded { limited, what, hard, would_be, limit });
            if hard {
                return Err(Code::QuotaExceeded);
            }
        }
        Ok(())
    }
}

/// Limits and use by the first name of the limited paths (`QuotaMetricsUtils`).
pub(super) fn usage(tree: &Tree) -> BTreeMap<String, QuotaUsage> {
    let mut by_namespace: BTreeMap<String, QuotaUsage> = BTreeMap::new();
    let Some(top) = tree.find(TOP) else { return by_namespace };
    for (id, _) in tree.walk(top).take(LOOKED_AT_MAX) {
        let name = tree.name(id);
        let limits = name == LIMITS.as_bytes();
        if !limits && name != STATS.as_bytes() {
            continue;
        }
        let path = tree.path(id);
        let Some((limited, _)) = target(&path) else { continue };
        let Some(track) = tree.data(id).and_then(Track::parse) else { continue };
        let namespace = limited.split('/').nth(1).unwrap_or_default();
        let usage = by_namespace.entry(namespace.to_owned()).or_default();
        let add = |to: &mut i64, more: i64| *to = to.saturating_add(more);
        if limits {
            let hard_or = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
            add(&mut usage.count_limit, hard_or(track.of(COUNT_HARD), track.count));
            add(&mut usage.bytes_limit, hard_or(track.of(BYTES_HARD), track.bytes));
        } else {
            add(&mut usage.count, track.count);
            add(&mut usage.bytes, track.bytes);
        }
    }
    by_namespace
}

/// Counts a subtree anew: its `zookeeper_stats` has just been made.
fn recount(tree: &mut Tree, limited: &str) {
    let Some(stats) = tree.find(&format!("{TOP}{limited}/{STATS}")) else { return };
    let mut track = Track { count: 0, bytes: 0, others: Vec::new() };
    if let Some(top) = tree.find(limited) {
        track.count = 1 + i64::from(tree.descendants(top));
        track.bytes = tree.bytes_from(top) as i64;
    }
    // Releases of Apache ZooKeeper differ in what else they write there.
    let known = tree.data(stats).and_then(Track::parse);
    if known.is_some_and(|known| (known.count, known.bytes) == (track.count, track.bytes)) {
        return;
    }
    tree.overwrite_data(stats, track.to_string().as_bytes());
}

/// What limits and statistics are written as (`StatsTrack`): `count=N,bytes=M`, and behind it
/// `=;name=number` for whatever else there is. Where a number is missing it is −1.
#[derive(Debug)]
struct Track<'t> {
    count: i64,
    bytes: i64,
    others: Vec<(&'t str, i64)>,
}

impl<'t> Track<'t> {
    fn parse(data: &'t [u8]) -> Option<Self> {
        // Clients may write there as well: what is longer than any statistic is none.
        if data.len() > STATS_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(data).ok()?;
        let mut track = Track { count: -1, bytes: -1, others: Vec::new() };
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            // The second `=` of `bytes=5=` is for readers of old.
            let value = value.split('=').next().unwrap_or_default();
            let value = if value.is_empty() { -1 } else { value.parse().ok()? };
            match name {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                other => track.others.push((other, value)),
            }
        }
        Some(track)
    }

    fn of(&self, name: &str) -> i64 {
        let found = self.others.iter().rev().find(|(other, _)| *other == name);
        found.map_or(-1, |(_, value)| *value)
    }
}

impl fmt::Display for Track<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        for (at, (name, value)) in self.others.iter().enumerate() {
            write!(f, "{};{name}={value}", if at == 0 { "=" } else { "" })?;
        }
        Ok(())
    }
}
