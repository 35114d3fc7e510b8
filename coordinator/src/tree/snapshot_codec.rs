//! Znodes in a snapshot, and the tree built from them.
//!
//! A record carries its slot and its parent's slot, so records may come in any order and
//! restoring looks up no path. Little-endian, fixed fields, then what the flags announce, then
//! name and data.

use super::Tree;
use super::acl::{AclId, OPEN};
use super::index::hash_name;
use super::node::{Changed, Family, Kind, NAME_BYTES_MAX, NONE, Node, NodeId, ROOT, flag};
use crate::bytes::take;

const FIXED_BYTES: usize = 37;
const NULL: u8 = 1;
const CHANGED: u8 = 2;
const FAMILY: u8 = 4;
const EPHEMERAL: u8 = 8;
const CONTAINER: u8 = 16;
const TTL: u8 = 32;

/// Names that wait to be put into the index together.
const NAMES_MAX: usize = 1 << 18;

/// What stands before the record of a list; no znode has such flags.
pub(crate) const LIST: u8 = 0xfe;

/// Appends the record of a list.
pub(super) fn put_list(id: AclId, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(LIST);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends the record of a znode.
pub(super) fn put_node(tree: &Tree, id: NodeId, out: &mut Vec<u8>) {
    let node = &tree.nodes[id];
    let fields = tree.fields(id);
    let plain = Changed { mzxid: node.czxid, mtime_ms: node.ctime_ms, version: 0, aversion: 0 };
    let changed = tree.changed(node);
    let with_changed = changed != plain;
    let with_family = fields.cversion != 0 || fields.pzxid != node.czxid;
    let (kind_flag, owner) = match tree.kind(id) {
        Kind::Persistent => (0, None),
        Kind::Ephemeral(session) => (EPHEMERAL, Some(session)),
        Kind::Container => (CONTAINER, None),
        Kind::Ttl(ms) => (TTL, Some(ms)),
    };
    let flags = kind_flag
        | if node.has(flag::NULL) { NULL } else { 0 }
        | if with_changed { CHANGED } else { 0 }
        | if with_family { FAMILY } else { 0 };
    let mut fixed = [0; FIXED_BYTES];
    fixed[0] = flags;
    fixed[1..5].copy_from_slice(&id.to_le_bytes());
    fixed[5..9].copy_from_slice(&node.parent.to_le_bytes());
    fixed[9..13].copy_from_slice(&node.acl.to_le_bytes());
    fixed[13..17].copy_from_slice(&(node.name_len() as u32).to_le_bytes());
    fixed[17..21].copy_from_slice(&node.data_len.to_le_bytes());
    fixed[21..29].copy_from_slice(&node.czxid.to_le_bytes());
    fixed[29..37].copy_from_slice(&node.ctime_ms.to_le_bytes());
    out.extend_from_slice(&fixed);
    if with_changed {
        out.extend_from_slice(&changed.mzxid.to_le_bytes());
        out.extend_from_slice(&changed.mtime_ms.to_le_bytes());
        out.extend_from_slice(&changed.version.to_le_bytes());
        out.extend_from_slice(&changed.aversion.to_le_bytes());
    }
    if with_family {
        out.extend_from_slice(&fields.pzxid.to_le_bytes());
        out.extend_from_slice(&fields.cversion.to_le_bytes());
    }
    if let Some(owner) = owner {
        out.extend_from_slice(&owner.to_le_bytes());
    }
    out.extend_from_slice(tree.blobs.get(node.blob, node.blob_len()));
}

/// A record as it was read.
struct Record<'a> {
    flags: u8,
    id: NodeId,
    parent: NodeId,
    acl: AclId,
    czxid: i64,
    ctime_ms: i64,
    changed: Option<Changed>,
    pzxid_cversion: Option<(i64, i32)>,
    owner: i64,
    name: &'a [u8],
    data: &'a [u8],
}

impl<'a> Record<'a> {
    fn decode(input: &mut &'a [u8]) -> Option<Self> {
        let [flags] = take(input)?;
        let [id, parent, acl, name_len, data_len] = [(); 5].map(|()| take(input));
        let (name_len, data_len) = (u32::from_le_bytes(name_len?), u32::from_le_bytes(data_len?));
        let (czxid, ctime_ms) = (take(input)?, take(input)?);
        let changed = if flags & CHANGED == 0 {
            None
        } else {
            Some(Changed {
                mzxid: i64::from_le_bytes(take(input)?),
                mtime_ms: i64::from_le_bytes(take(input)?),
                version: i32::from_le_bytes(take(input)?),
                aversion: i32::from_le_bytes(take(input)?),
            })
        };
        let pzxid_cversion = if flags & FAMILY == 0 {
            None
        } else {
            Some((i64::from_le_bytes(take(input)?), i32::from_le_bytes(take(input)?)))
        };
        let owned = flags & (EPHEMERAL | TTL) != 0;
        let owner = if owned { i64::from_le_bytes(take(input)?) } else { 0 };
        let (name, rest) = input.split_at_checked(name_len as usize)?;
        let (data, rest) = rest.split_at_checked(data_len as usize)?;
        *input = rest;
        Some(Self {
            flags,
            id: u32::from_le_bytes(id?),
            parent: u32::from_le_bytes(parent?),
            acl: u32::from_le_bytes(acl?),
            czxid: i64::from_le_bytes(czxid),
            ctime_ms: i64::from_le_bytes(ctime_ms),
            changed,
            pzxid_cversion,
            owner,
            name,
            data,
        })
    }

    fn kind(&self) -> Kind {
        match self.flags & (EPHEMERAL | CONTAINER | TTL) {
            EPHEMERAL => Kind::Ephemeral(self.owner),
            CONTAINER => Kind::Container,
            TTL => Kind::Ttl(self.owner),
            _ => Kind::Persistent,
        }
    }
}

/// What was counted below a znode so far.
struct Sum {
    id: NodeId,
    path_len: u64,
    bytes: u64,
    descendants: u32,
    bytes_below: u64,
}

/// A tree that is being restored. `None` from any function: the bytes are no snapshot.
#[derive(Debug)]
pub struct Builder {
    tree: Tree,
    /// Numbers of ACL lists in the snapshot to numbers here.
    acls: Vec<AclId>,
    slots: u32,
    /// Hashes of names that are not in the index yet, and their slots.
    names: Vec<(u32, NodeId)>,
}

impl Builder {
    /// `slots` and `nodes` as they were when the snapshot began.
    pub fn new(slots: u32, nodes: usize) -> Option<Self> {
        let mut tree = Tree::vacant();
        if nodes > slots as usize {
            return None;
        }
        // What a damaged head says is not believed beyond this.
        tree.index.reserve(nodes.min(1 << 26));
        Some(Self { tree, acls: vec![OPEN], slots, names: Vec::new() })
    }

    /// Declares list `id` of the snapshot, before the first znode that carries it.
    pub fn acl(&mut self, id: AclId, bytes: &[u8]) -> Option<()> {
        let at = id as usize;
        // A number stays low as long as lists are in use, so gaps are few.
        if at > self.acls.len() + (1 << 24) {
            return None;
        }
        if at >= self.acls.len() {
            self.acls.resize(at + 1, NONE);
        }
        if self.acls[at] != NONE {
            return None;
        }
        self.acls[at] = self.tree.acls.intern(bytes);
        Some(())
    }

    /// Takes one record from the front of `input`.
    pub fn node(&mut self, input: &mut &[u8]) -> Option<()> {
        let record = Record::decode(input)?;
        let tree = &mut self.tree;
        if record.id >= self.slots || record.name.len() > NAME_BYTES_MAX {
            return None;
        }
        tree.nodes.extend_to(record.id, &Node::FREE);
        if tree.nodes[record.id].has(flag::LIVE) {
            return None;
        }
        let acl = *self.acls.get(record.acl as usize).filter(|acl| **acl != NONE)?;
        tree.acls.retain(acl);
        let mut node = Node {
            czxid: record.czxid,
            ctime_ms: record.ctime_ms,
            parent: record.parent,
            blob: tree.blobs.store(record.name, record.data),
            data_len: record.data.len() as u32,
            acl,
            name_and_flags: record.name.len() as u32 | flag::LIVE,
            ..Node::FREE
        };
        node.put(flag::NULL, record.flags & NULL != 0);
        node.put(flag::EPHEMERAL, record.flags & EPHEMERAL != 0);
        node.put(flag::CONTAINER, record.flags & CONTAINER != 0);
        node.put(flag::TTL, record.flags & TTL != 0);
        let changed = record.changed.unwrap_or(tree.changed(&node));
        if let Some((pzxid, cversion)) = record.pzxid_cversion {
            let family = Family {
                changed,
                pzxid,
                cversion,
                first_child: NONE,
                children: 0,
                descendants: 0,
                bytes_below: 0,
            };
            node.extra = tree.families.insert(family);
            node.put(flag::FAMILY, true);
        } else if record.changed.is_some() {
            node.extra = tree.changed.insert(changed);
            node.put(flag::CHANGED, true);
        }
        tree.nodes[record.id] = node;
        tree.owners.insert(record.id, record.kind());
        if record.id != ROOT {
            self.names.push((hash_name(record.parent, record.name), record.id));
            if self.names.len() == NAMES_MAX {
                tree.index.insert_all(&mut self.names);
            }
        }
        Some(())
    }

    /// Links the znodes and checks that they are a tree.
    pub fn finish(mut self) -> Option<Tree> {
        if !self.tree.nodes.get(ROOT)?.has(flag::LIVE) || self.tree.nodes[ROOT].parent != NONE {
            return None;
        }
        self.tree.index.insert_all(&mut self.names);
        let used = self.tree.nodes.used();
        let mut free = Vec::new();
        let mut live = 0;
        for id in 0..used {
            if !self.tree.nodes[id].has(flag::LIVE) {
                free.push(id);
                continue;
            }
            live += 1;
            if id != ROOT {
                self.adopt(id)?;
            }
        }
        free.reverse();
        self.tree.nodes.set_free(free);
        let reached = self.count();
        self.tree.len = reached;
        // What a cycle holds together is not below the root.
        (reached == live).then_some(self.tree)
    }

    /// Fills in what every znode says of those below it; returns how many can be reached.
    fn count(&mut self) -> usize {
        let mut sums = Vec::new();
        let mut open: Vec<Sum> = Vec::new();
        let mut close = |open: &mut Vec<Sum>| {
            let Some(sum) = open.pop() else { return };
            if let Some(parent) = open.last_mut() {
                parent.descendants += sum.descendants + 1;
                parent.bytes_below += sum.bytes_below + sum.bytes;
            }
            if sum.descendants > 0 {
                sums.push((sum.id, sum.descendants, sum.bytes_below));
            }
        };
        let (mut reached, mut bytes) = (0, 0);
        for (id, depth) in self.tree.walk(ROOT) {
            while open.len() > depth {
                close(&mut open);
            }
            let above = open.last().map_or(0, |sum| sum.path_len);
            let node = &self.tree.nodes[id];
            let path_len = if id == ROOT { 0 } else { above + 1 + node.name_len() as u64 };
            let own = u64::from(node.data_len);
            open.push(Sum { id, path_len, bytes: own, descendants: 0, bytes_below: 0 });
            bytes += path_len.max(1) + own;
            reached += 1;
        }
        while !open.is_empty() {
            close(&mut open);
        }
        self.tree.bytes = bytes;
        for (id, descendants, bytes_below) in sums {
            let family = self.tree.family_mut(id);
            (family.descendants, family.bytes_below) = (descendants, bytes_below);
        }
        reached
    }

    fn adopt(&mut self, id: NodeId) -> Option<()> {
        let parent = self.tree.nodes[id].parent;
        if !self.tree.nodes.get(parent)?.has(flag::LIVE) {
            return None;
        }
        let family = self.tree.family_mut(parent);
        family.children += 1;
        let next = std::mem::replace(&mut family.first_child, id);
        self.tree.nodes[id].next = next;
        if next != NONE {
            self.tree.nodes[next].prev = id;
        }
        Some(())
    }
}
