//! A walk over a subtree that needs no memory: children, siblings and parents are links.

use super::Tree;
use super::node::{NONE, NodeId};

/// Iterator over (znode, depth), parents before children.
#[derive(Debug)]
pub struct Walk<'t> {
    tree: &'t Tree,
    top: NodeId,
    next: Option<(NodeId, usize)>,
}

impl<'t> Walk<'t> {
    pub(super) fn new(tree: &'t Tree, top: NodeId) -> Self {
        Self { tree, top, next: Some((top, 0)) }
    }

    fn after(&self, id: NodeId, depth: usize) -> Option<(NodeId, usize)> {
        if let Some(child) = self.tree.children(id).next() {
            return Some((child, depth + 1));
        }
        let (mut id, mut depth) = (id, depth);
        while id != self.top {
            let node = &self.tree.nodes[id];
            if node.next != NONE {
                return Some((node.next, depth));
            }
            id = node.parent;
            depth -= 1;
        }
        None
    }
}

impl Iterator for Walk<'_> {
    type Item = (NodeId, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, depth) = self.next.take()?;
        self.next = self.after(id, depth);
        Some((id, depth))
    }
}
