//! Soft quotas: `zookeeper_stats` is kept current, nothing is ever refused.
//!
//! A quota on P is the znode `/zookeeper/quota<P>/zookeeper_limits`; its sibling
//! `zookeeper_stats` holds `count=N,bytes=M` of P and all below. The server rewrites it without
//! a version, a time or a watch, as `DataTree.updateCountBytes` does.

use crate::tree::{Tree, path};
use hashbrown::HashSet;
use std::fmt::Write as _;

const TOP: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
const STATS_BYTES_MAX: usize = 1024;

/// Paths under a quota. Looked up only, never iterated.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limited: HashSet<Box<str>, foldhash::quality::FixedState>,
    /// Limits that came (`true`) or went within the multi at hand, should it fail.
    journal: Option<Vec<(Box<str>, bool)>>,
}

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
        let Some(counts) = tree.data(stats).and_then(parse) else { return };
        write(tree, stats, counts.0.wrapping_add(nodes), counts.1.wrapping_add(bytes));
    }
}

/// Counts a subtree anew: its `zookeeper_stats` has just been made.
fn recount(tree: &mut Tree, limited: &str) {
    let Some(stats) = tree.find(&format!("{TOP}{limited}/{STATS}")) else { return };
    let (mut nodes, mut bytes) = (0, 0);
    if let Some(top) = tree.find(limited) {
        (nodes, bytes) = (1 + i64::from(tree.descendants(top)), tree.bytes_from(top) as i64);
    }
    write(tree, stats, nodes, bytes);
}

fn write(tree: &mut Tree, stats: u32, nodes: i64, bytes: i64) {
    let mut text = String::new();
    let _ = write!(text, "count={nodes},bytes={bytes}");
    tree.overwrite_data(stats, text.as_bytes());
}

/// `count=N,bytes=M`, possibly with more behind it.
fn parse(data: &[u8]) -> Option<(i64, i64)> {
    // Clients may write there as well: what is longer than any statistic is none.
    let text = std::str::from_utf8(data.get(..data.len().min(STATS_BYTES_MAX + 1))?).ok()?;
    if text.len() > STATS_BYTES_MAX {
        return None;
    }
    let (mut nodes, mut bytes) = (None, None);
    for part in text.split([',', ';']) {
        match part.split_once('=')? {
            ("count", number) => nodes = Some(number.parse().ok()?),
            ("bytes", number) => bytes = Some(number.parse().ok()?),
            _ => {}
        }
    }
    Some((nodes?, bytes?))
}
