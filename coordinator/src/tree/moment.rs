//! The slots of a moment, each visited once, whatever becomes of the tree meanwhile.
//!
//! Who looks at all znodes in steps, while writes go on, keeps one of these. A znode that is about to
//! change is visited first, as it was; one that came later counts as visited. So what is seen is the
//! tree of the moment when the visit began.

use super::node::NodeId;

#[derive(Debug)]
pub(super) struct Moment {
    /// A bit per slot that existed at the beginning.
    visited: Vec<u64>,
    /// Slots that existed at the beginning.
    limit: NodeId,
    cursor: NodeId,
}

impl Moment {
    pub(super) fn new(limit: NodeId) -> Self {
        Self { visited: vec![0; limit.div_ceil(64) as usize], limit, cursor: 0 }
    }

    /// Marks a slot as visited; true if it is one of the moment's and was not visited before.
    pub(super) fn first_visit(&mut self, id: NodeId) -> bool {
        id < self.limit && first_mark(&mut self.visited, id)
    }

    /// The next slot that nobody has visited yet, where it is one of the next `*slots`, which are
    /// counted down.
    pub(super) fn next(&mut self, slots: &mut usize) -> Option<NodeId> {
        while *slots > 0 && self.cursor < self.limit {
            let id = self.cursor;
            self.cursor += 1;
            *slots -= 1;
            if self.first_visit(id) {
                return Some(id);
            }
        }
        None
    }

    pub(super) fn is_over(&self) -> bool {
        self.cursor == self.limit
    }
}

/// Marks a number; true the first time.
pub(super) fn first_mark(marks: &mut [u64], number: u32) -> bool {
    let Some(word) = marks.get_mut((number / 64) as usize) else { return false };
    let bit = 1 << (number % 64);
    let first = *word & bit == 0;
    *word |= bit;
    first
}
