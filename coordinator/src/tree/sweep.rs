//! A snapshot that is written while writes go on.
//!
//! The sweep visits slots in order and emits each znode once. A znode that is about to change or
//! go before the sweep has come to it is emitted first, as it was; a znode made after the
//! beginning counts as visited. So what comes out is the tree of the moment the sweep began.

use std::collections::VecDeque;

use super::Tree;
use super::image::put_node;
use super::node::{NodeId, flag};

#[derive(Debug)]
pub(super) struct Sweep {
    /// A bit per slot that existed at the beginning.
    visited: Vec<u64>,
    /// Slots that existed at the beginning.
    limit: NodeId,
    cursor: NodeId,
    /// Emitted between two steps, for those to come: parts of about [`PART_BYTES`].
    pending: VecDeque<Vec<u8>>,
}

/// A step ends when it has given so much, and a part of what waits is full. What a reader of
/// snapshots holds at once is many times this, also with the largest znodes.
const PART_BYTES: usize = 64 << 10;

impl Sweep {
    /// Whether this is the first visit of a slot that the snapshot knows.
    pub(super) fn first_visit(&mut self, id: NodeId) -> bool {
        if id >= self.limit {
            return false;
        }
        let (word, bit) = (&mut self.visited[(id / 64) as usize], 1 << (id % 64));
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

impl Tree {
    /// Begins a sweep; `head` comes out before the first znode. An unfinished one is dropped.
    pub fn sweep_begin(&mut self, head: Vec<u8>) {
        let limit = self.nodes.used();
        self.sweep = Some(Box::new(Sweep {
            visited: vec![0; limit.div_ceil(64) as usize],
            limit,
            cursor: 0,
            pending: VecDeque::from([head]),
        }));
    }

    /// Slots that exist: numbers of znodes are below.
    pub fn slots(&self) -> u32 {
        self.nodes.used()
    }

    pub fn sweep_abort(&mut self) {
        self.sweep = None;
    }

    pub fn sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Looks at up to `slots_max` slots, fewer where they hold much; true when all have been visited
    /// and the sweep is over.
    pub fn sweep_step(&mut self, slots_max: usize, out: &mut Vec<u8>) -> bool {
        let Some(mut sweep) = self.sweep.take() else { return true };
        let full = out.len() + PART_BYTES;
        while out.len() < full
            && let Some(mut part) = sweep.pending.pop_front()
        {
            out.append(&mut part);
        }
        let end = sweep.cursor.saturating_add(slots_max as u32).min(sweep.limit);
        while sweep.cursor < end && out.len() < full {
            let id = sweep.cursor;
            if sweep.first_visit(id) && self.nodes[id].has(flag::LIVE) {
                put_node(self, id, out);
            }
            sweep.cursor += 1;
        }
        if sweep.cursor == sweep.limit && sweep.pending.is_empty() {
            return true;
        }
        self.sweep = Some(sweep);
        false
    }

    /// To be called before each change of a znode that a snapshot shows.
    pub(super) fn touch(&mut self, id: NodeId) {
        let Some(mut sweep) = self.sweep.take() else { return };
        if sweep.first_visit(id) {
            if sweep.pending.back().is_none_or(|part| part.len() >= PART_BYTES) {
                sweep.pending.push_back(Vec::new());
            }
            put_node(self, id, sweep.pending.back_mut().expect("there is one"));
        }
        self.sweep = Some(sweep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::NewNode;
    use crate::tree::acl::OPEN;
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
        tree.sweep_begin(vec![1]);
        // Half of them are about to change while the writer is slow.
        for &id in &ids[..COUNT / 2] {
            tree.touch(id);
        }
        let (mut total, mut done) = (0, false);
        while !done {
            let mut out = Vec::new();
            done = tree.sweep_step(500, &mut out);
            assert!(out.len() <= 3 * PART_BYTES, "{} bytes in one step", out.len());
            total += out.len();
        }
        assert!((COUNT * PART_BYTES..(COUNT + 1) * PART_BYTES).contains(&total), "each one once");
    }
}
