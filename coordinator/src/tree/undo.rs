//! Taking back the first operations of a multi when a later one fails.
//!
//! While a journal is open, what a change replaces is kept: removed znodes stay in their slots,
//! replaced data in the slab. Committing frees it; rolling back, newest change first, puts it
//! back. A multi that succeeds pays a few bytes per change, a single operation nothing.

use super::Tree;
use super::node::{Changed, Kind, NodeId, flag};
use super::slab::Handle;

#[derive(Debug, Default)]
pub(super) struct Journal {
    open: bool,
    /// Kept between multis for its capacity.
    changes: Vec<Undo>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Inserted(NodeId),
    /// Unlinked, still in its slot.
    Removed(NodeId, Kind),
    /// The data and versions a znode had.
    Data {
        id: NodeId,
        blob: Handle,
        data_len: u32,
        null: bool,
        changed: Changed,
    },
    /// Counters of a parent.
    Parent {
        id: NodeId,
        pzxid: i64,
        cversion: i32,
    },
}

impl Journal {
    /// Whether the change was noted, so that what it replaces must be kept.
    pub(super) fn push(&mut self, change: Undo) -> bool {
        if self.open {
            self.changes.push(change);
        }
        self.open
    }
}

impl Tree {
    /// Opens the journal: from here on everything can be taken back.
    pub fn begin(&mut self) {
        self.journal.open = true;
    }

    pub fn commit(&mut self) {
        self.journal.open = false;
        let mut changes = std::mem::take(&mut self.journal.changes);
        for change in changes.drain(..) {
            match change {
                Undo::Inserted(_) | Undo::Parent { .. } => {}
                Undo::Removed(id, _) => self.vacate(id),
                Undo::Data { id, blob, data_len, .. } => {
                    // The name has not changed, also when the znode was removed after this: its
                    // slot is emptied by a later entry.
                    let len = self.nodes[id].name_len() + data_len as usize;
                    self.blobs.free(blob, len);
                }
            }
        }
        self.journal.changes = changes;
    }

    pub fn rollback(&mut self) {
        self.journal.open = false;
        let mut changes = std::mem::take(&mut self.journal.changes);
        for change in changes.drain(..).rev() {
            self.undo(change);
        }
        self.journal.changes = changes;
    }

    fn undo(&mut self, change: Undo) {
        match change {
            Undo::Inserted(id) => {
                self.unlink(id);
                self.vacate(id);
            }
            Undo::Removed(id, kind) => {
                self.owners.insert(id, kind);
                self.link(id);
            }
            Undo::Data { id, blob, data_len, null, changed } => {
                let node = self.nodes[id];
                self.blobs.free(node.blob, node.blob_len());
                self.resized(id, node.data_len, data_len);
                let node = &mut self.nodes[id];
                node.blob = blob;
                node.data_len = data_len;
                node.put(flag::NULL, null);
                *self.changed_mut(id) = changed;
            }
            Undo::Parent { id, pzxid, cversion } => {
                let family = self.family_mut(id);
                family.pzxid = pzxid;
                family.cversion = cversion;
            }
        }
    }

    pub(super) fn remember_parent(&mut self, id: NodeId) {
        if self.journal.open {
            let fields = self.fields(id);
            self.journal.push(Undo::Parent { id, pzxid: fields.pzxid, cversion: fields.cversion });
        }
    }
}
