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

/// Paths under a quota. Looked up only, never iterated.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    limited: HashSet<Box<str>, foldhash::quality::FixedState>,
    /// Set when a limit came or went, so that a multi that fails knows to look again.
    pub changed: bool,
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
                self.limited.insert(limited.into());
                self.changed = true;
            }
            Some((limited, STATS)) => recount(tree, limited),
            _ => {}
        }
        self.count(tree, path, bytes as i64, 1);
    }

    pub(super) fn deleted(&mut self, tree: &mut Tree, path: &str, bytes: usize) {
        if let Some((limited, LIMITS)) = target(path) {
            self.limited.remove(limited);
            self.changed = true;
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
        for (id, _) in tree.walk(top) {
            nodes += 1;
            bytes += tree.data_len(id) as i64;
        }
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
    let text = std::str::from_utf8(data).ok()?;
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
