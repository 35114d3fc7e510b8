//! ACLs stored once: a znode carries the number of its list, as `ReferenceCountedACLCache` does.

use super::index;
use crate::wire::acl::{Acl, AclList, perms};
use crate::wire::jute::Reader;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Number of a list; 0 is world:anyone:cdrwa, always there and not counted.
pub type AclId = u32;

pub const OPEN: AclId = 0;

#[derive(Debug)]
pub struct AclTable {
    entries: Vec<Entry>,
    by_bytes: HashTable<AclId>,
    free: Vec<AclId>,
    /// Of all lists that are kept.
    bytes: usize,
    hash: FixedState,
}

#[derive(Debug)]
struct Entry {
    /// `vector<ACL>` as it goes into replies and snapshots.
    bytes: Box<[u8]>,
    /// Znodes that carry the list.
    uses: u32,
    /// What the list grants to world:anyone, and so to everyone.
    anyone: i32,
}

impl Entry {
    fn new(bytes: &[u8]) -> Self {
        let list = decode(bytes);
        let granted = list
            .iter()
            .filter(|acl| (acl.scheme, acl.id) == ("world", "anyone"))
            .fold(0, |perms, acl| perms | acl.perms);
        // An empty list comes from other servers' files alone. `ZooKeeperServer.checkACL` lets
        // everyone pass there.
        let anyone = if list.is_empty() { perms::ALL } else { granted };
        Self { bytes: bytes.into(), uses: 0, anyone }
    }
}

/// Lists are checked before they are interned.
fn decode(bytes: &[u8]) -> AclList<'_> {
    AclList::decode(&mut Reader::new(bytes)).unwrap_or(AclList::EMPTY)
}

impl Default for AclTable {
    fn default() -> Self {
        let mut table = Self {
            entries: Vec::new(),
            by_bytes: HashTable::new(),
            free: Vec::new(),
            bytes: 0,
            hash: index::seeded(),
        };
        let mut open = Vec::new();
        AclList::OPEN.encode(&mut open);
        assert_eq!(table.intern(&open), OPEN, "the open list comes first");
        table
    }
}

impl AclTable {
    /// Number of the list with these bytes. A new list has no use yet: [`AclTable::retain`] it.
    pub fn intern(&mut self, bytes: &[u8]) -> AclId {
        let hash = self.hash.hash_one(bytes);
        let known = self.by_bytes.find(hash, |id| *self.entries[*id as usize].bytes == *bytes);
        if let Some(id) = known {
            return *id;
        }
        self.bytes += bytes.len();
        let id = if let Some(id) = self.free.pop() {
            self.entries[id as usize] = Entry::new(bytes);
            id
        } else {
            self.entries.push(Entry::new(bytes));
            (self.entries.len() - 1) as AclId
        };
        let (entries, state) = (&self.entries, &self.hash);
        self.by_bytes.insert_unique(hash, id, |id| state.hash_one(&*entries[*id as usize].bytes));
        id
    }

    pub fn retain(&mut self, id: AclId) {
        self.entries[id as usize].uses += 1;
    }

    /// A list that no znode carries is forgotten.
    pub fn release(&mut self, id: AclId) {
        let entry = &mut self.entries[id as usize];
        entry.uses -= 1;
        if entry.uses > 0 || id == OPEN {
            return;
        }
        let hash = self.hash.hash_one(&*entry.bytes);
        if let Ok(found) = self.by_bytes.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.bytes -= entry.bytes.len();
        self.entries[id as usize].bytes = Box::default();
        self.free.push(id);
    }

    /// Whether a list with these bytes is kept already.
    pub fn knows(&self, bytes: &[u8]) -> bool {
        let hash = self.hash.hash_one(bytes);
        self.by_bytes.find(hash, |id| *self.entries[*id as usize].bytes == *bytes).is_some()
    }

    /// Bytes of all lists together.
    pub fn total_bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers that were ever given out are below.
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    /// `vector<ACL>` as it stands in replies.
    pub fn bytes(&self, id: AclId) -> &[u8] {
        &self.entries[id as usize].bytes
    }

    pub fn list(&self, id: AclId) -> impl Iterator<Item = Acl<'_>> {
        decode(self.bytes(id)).iter()
    }

    /// Permissions that the list gives to everyone.
    pub fn anyone(&self, id: AclId) -> i32 {
        self.entries[id as usize].anyone
    }

    /// Lists in use, the open one left out, by number.
    pub fn used(&self) -> impl Iterator<Item = (AclId, &[u8])> {
        let entries = self.entries.iter().enumerate().skip(1);
        entries.filter(|(_, e)| e.uses > 0).map(|(id, e)| (id as AclId, &*e.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_share_a_number_until_the_last_use_ends() {
        let mut table = AclTable::default();
        let mut bytes = vec![0, 0, 0, 1];
        Acl { perms: 1, scheme: "ip", id: "10.0.0.0/8" }.encode(&mut bytes);
        let id = table.intern(&bytes);
        table.retain(id);
        table.retain(table.intern_again(&bytes));
        assert_eq!((id, table.anyone(OPEN), table.anyone(id)), (1, 31, 0));
        table.release(id);
        assert_eq!(table.used().count(), 1);
        table.release(id);
        assert_eq!(table.used().count(), 0);
        bytes[7] = 3;
        assert_eq!(table.intern(&bytes), id, "the number is free again");
    }

    impl AclTable {
        fn intern_again(&self, bytes: &[u8]) -> AclId {
            let hash = self.hash.hash_one(bytes);
            *self.by_bytes.find(hash, |id| *self.bytes(*id) == *bytes).unwrap()
        }
    }
}
