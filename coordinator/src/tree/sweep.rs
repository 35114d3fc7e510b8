//! A snapshot that is written while writes go on.
//!
//! The sweep visits slots in order and emits each znode once. A znode that is about to change or
//! go before the sweep has come to it is emitted first, as it was; a znode made after the
//! beginning counts as visited. So what comes out is the tree of the moment the sweep began.

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
    /// Emitted between two steps, for the next one.
    pending: Vec<u8>,
}

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
            pending: head,
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

    /// Looks at up to `slots_max` slots; true when all have been visited and the sweep is over.
    pub fn sweep_step(&mut self, slots_max: usize, out: &mut Vec<u8>) -> bool {
        let Some(mut sweep) = self.sweep.take() else { return true };
        out.append(&mut sweep.pending);
        let end = sweep.cursor.saturating_add(slots_max as u32).min(sweep.limit);
        for id in sweep.cursor..end {
            if sweep.first_visit(id) && self.nodes[id].has(flag::LIVE) {
                put_node(self, id, out);
            }
        }
        sweep.cursor = end;
        if end == sweep.limit {
            return true;
        }
        self.sweep = Some(sweep);
        false
    }

    /// To be called before each change of a znode that a snapshot shows.
    pub(super) fn touch(&mut self, id: NodeId) {
        let Some(mut sweep) = self.sweep.take() else { return };
        if sweep.first_visit(id) {
            put_node(self, id, &mut sweep.pending);
        }
        self.sweep = Some(sweep);
    }
}
