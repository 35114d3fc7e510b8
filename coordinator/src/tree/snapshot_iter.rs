//! A consistent snapshot of the tree, taken step by step while writes go on.
//!
//! The iterator visits slots in order and emits each znode once. A znode that changes before its
//! turn is emitted first, as it was. A znode created after the beginning counts as visited. So the
//! output is the tree of the moment the snapshot began.

use std::collections::VecDeque;

use super::Tree;
use super::acl::OPEN;
use super::moment::{Moment, first_mark};
use super::node::{NodeId, flag};
use super::snapshot_codec::{put_list, put_node};

#[derive(Debug)]
pub(super) struct SnapshotIter {
    moment: Moment,
    /// A bit per list that existed at the beginning: whether it has come out. `None`: all of them
    /// stand in the head. A list keeps its number while a znode carries it, and a znode comes out
    /// before it changes its list: numbers mean the same to the end of the snapshot.
    lists: Option<Vec<u64>>,
    /// Records emitted between two steps, in parts of about [`PART_BYTES`].
    pending: VecDeque<Vec<u8>>,
}

/// A step ends after this many bytes, and a pending part is full at this size. A reader of
/// snapshots holds many times this at once, so that the largest znode fits.
const PART_BYTES: usize = 64 << 10;

impl SnapshotIter {
    /// Born after the snapshot's moment, so no part of it, whatever slot it has.
    pub(super) fn born(&mut self, id: NodeId) {
        self.moment.first_visit(id);
    }

    /// Emits a znode, and before it the list that it is the first one to carry.
    fn put(&mut self, tree: &Tree, id: NodeId, out: &mut Vec<u8>) {
        let list = tree.nodes[id].acl;
        if let Some(lists) = &mut self.lists
            && list != OPEN
            && first_mark(lists, list)
        {
            put_list(list, tree.acls.bytes(list), out);
        }
        put_node(tree, id, out);
    }
}

impl Tree {
    /// Begins a snapshot. Lists of ACLs come out with the first znodes that carry them, unless they
    /// were written elsewhere. An unfinished snapshot is dropped.
    pub fn snapshot_begin(&mut self, lists_elsewhere: bool) {
        let lists = vec![0; self.acls.slots().div_ceil(64)];
        self.snapshot = Some(Box::new(SnapshotIter {
            moment: Moment::new(self.nodes.used()),
            lists: (!lists_elsewhere).then_some(lists),
            pending: VecDeque::new(),
        }));
    }

    /// Slots that exist: numbers of znodes are below.
    pub fn slots(&self) -> u32 {
        self.nodes.used()
    }

    pub fn snapshot_abort(&mut self) {
        self.snapshot = None;
    }

    pub fn snapshotting(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Looks at up to `slots_max` slots, fewer where they hold much; true when all have been visited
    /// and the snapshot is over.
    pub fn snapshot_step(&mut self, mut slots_max: usize, out: &mut Vec<u8>) -> bool {
        let Some(mut iter) = self.snapshot.take() else { return true };
        let full = out.len() + PART_BYTES;
        while out.len() < full
            && let Some(mut part) = iter.pending.pop_front()
        {
            out.append(&mut part);
        }
        while out.len() < full
            && let Some(id) = iter.moment.next(&mut slots_max)
        {
            if self.nodes[id].has(flag::LIVE) {
                iter.put(self, id, out);
            }
        }
        if iter.moment.is_over() && iter.pending.is_empty() {
            return true;
        }
        self.snapshot = Some(iter);
        false
    }

    /// To be called before a znode changes that a snapshot in the making shows.
    pub(super) fn snapshot_touch(&mut self, id: NodeId) {
        let Some(mut iter) = self.snapshot.take() else { return };
        if iter.moment.first_visit(id) {
            if iter.pending.back().is_none_or(|part| part.len() >= PART_BYTES) {
                iter.pending.push_back(Vec::new());
            }
            let mut part = iter.pending.pop_back().unwrap_or_default();
            iter.put(self, id, &mut part);
            iter.pending.push_back(part);
        }
        self.snapshot = Some(iter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::NewNode;
    use crate::tree::node::{Kind, ROOT};

    #[test]
    fn large_znodes_come_out_in_small_steps() {
        const COUNT: usize = 24;
        let data = vec![7; PART_BYTES];
        let mut tree = Tree::default();
        let mut ids = Vec::new();
        for at in 0..COUNT {
            ids.push(tree.insert(&NewNode {
                parent: ROOT,
                name: &format!("n{at}"),
                data: Some(&data),
                acl: OPEN,
                kind: Kind::Persistent,
                zxid: 1,
                time_ms: 1,
            }));
        }
        tree.snapshot_begin(false);
        // Half of them are about to change while the writer is slow.
        for &id in &ids[..COUNT / 2] {
            tree.touch(id);
        }
        let (mut total, mut done) = (0, false);
        while !done {
            let mut out = Vec::new();
            done = tree.snapshot_step(500, &mut out);
            assert!(out.len() <= 3 * PART_BYTES, "{} bytes in one step", out.len());
            total += out.len();
        }
        assert!((COUNT * PART_BYTES..(COUNT + 1) * PART_BYTES).contains(&total), "each one once");
    }
}
