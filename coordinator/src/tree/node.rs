//! The record of a znode: 48 bytes, and 24 or 56 more once it was changed or has had children.
//!
//! Most znodes are written once and have no children, so what they would repeat or leave at zero
//! is not stored.

use super::acl::AclId;
use super::slab::Handle;

/// Slot of a znode; the root is 0. A slot is reused after its znode is deleted.
pub type NodeId = u32;

pub const ROOT: NodeId = 0;
/// End of a list of siblings, parent of the root.
pub const NONE: NodeId = u32::MAX;

/// Longest name: its length shares a word with the flags.
pub const NAME_BYTES_MAX: usize = (1 << 24) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub czxid: i64,
    pub ctime_ms: i64,
    pub parent: NodeId,
    /// Siblings, in no order that means anything; `next` of the newest is the second newest.
    pub next: NodeId,
    pub prev: NodeId,
    /// Name and data as one string.
    pub blob: Handle,
    /// Where [`Changed`] or [`Family`] is, by the flags.
    pub extra: u32,
    pub data_len: u32,
    pub acl: AclId,
    /// Length of the name in the low 24 bits, flags above.
    pub name_and_flags: u32,
}

pub(super) mod flag {
    /// The slot holds a znode.
    pub(in crate::tree) const LIVE: u32 = 1 << 24;
    /// Null data, which is not empty data.
    pub(in crate::tree) const NULL: u32 = 1 << 25;
    /// `extra` is a [`super::Changed`].
    pub(in crate::tree) const CHANGED: u32 = 1 << 26;
    /// `extra` is a [`super::Family`].
    pub(in crate::tree) const FAMILY: u32 = 1 << 27;
    pub(in crate::tree) const EPHEMERAL: u32 = 1 << 28;
    pub(in crate::tree) const CONTAINER: u32 = 1 << 29;
    pub(in crate::tree) const TTL: u32 = 1 << 30;
    /// Its owner or TTL is in [`super::super::owner::Owners`].
    pub(in crate::tree) const KIND: u32 = EPHEMERAL | CONTAINER | TTL;
}

impl Node {
    pub(super) const FREE: Node = Node {
        czxid: 0,
        ctime_ms: 0,
        parent: NONE,
        next: NONE,
        prev: NONE,
        blob: super::slab::EMPTY,
        extra: NONE,
        data_len: 0,
        acl: 0,
        name_and_flags: 0,
    };

    pub(super) fn name_len(&self) -> usize {
        (self.name_and_flags & NAME_BYTES_MAX as u32) as usize
    }

    pub(super) fn blob_len(&self) -> usize {
        self.name_len() + self.data_len as usize
    }

    pub(super) fn has(&self, flags: u32) -> bool {
        self.name_and_flags & flags != 0
    }

    pub(super) fn put(&mut self, flag: u32, on: bool) {
        if on {
            self.name_and_flags |= flag;
        } else {
            self.name_and_flags &= !flag;
        }
    }
}

/// What setData and setACL change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    pub mzxid: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub aversion: i32,
}

/// A znode that has, or had, children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub changed: Changed,
    pub pzxid: i64,
    /// Children ever created. What clients see is twice that less the children there are.
    pub cversion: i32,
    pub first_child: NodeId,
    pub children: u32,
    /// Znodes below, all generations, and the bytes of their data.
    pub descendants: u32,
    pub bytes_below: u64,
}

/// How long a znode lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Persistent,
    /// As long as this session.
    Ephemeral(i64),
    /// Until it has no children any more.
    Container,
    /// Until it has had no children and no change for so many milliseconds.
    Ttl(i64),
}

/// All fields that versions and times are made of, as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    /// Children ever created.
    pub cversion: i32,
    pub aversion: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_the_memory_figure_counts_on() {
        assert_eq!(size_of::<Node>(), 48);
        assert_eq!(size_of::<Changed>(), 24);
        assert_eq!(size_of::<Family>(), 56);
    }
}
