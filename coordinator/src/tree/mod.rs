//! The data tree: znodes by number, found by path, linked to parents and siblings.
//!
//! The tree keeps versions, times and counters the way ZooKeeper stores them and knows nothing of
//! requests, permissions or sessions' lives. Bytes per znode are the design:
//! a record of 48 bytes ([`node`]), name and data in one slot of a size class ([`slab`]), 8 bytes
//! in a sharded index ([`index`]), ACL lists stored once ([`acl`]), and side tables for what few
//! znodes have ([`owner`]). Nothing that grows with the tree is ever copied as a whole.

pub mod acl;
pub mod arena;
pub(crate) mod digest;
mod graft;
pub(crate) mod index;
mod moment;
pub mod node;
mod owner;
pub mod path;
pub mod slab;
pub mod snapshot_codec;
mod snapshot_iter;
mod undo;
mod walk;

use crate::wire::stat::Stat;
use acl::{AclId, AclTable};
use arena::Arena;
use digest::DigestSweep;
pub use graft::Graft;
use index::{Index, hash_name};
use node::{Changed, Family, Fields, Kind, NONE, Node, NodeId, ROOT, flag};
use owner::Owners;
use slab::Slab;
use snapshot_iter::SnapshotIter;
use undo::{Journal, Undo};
pub use walk::Walk;

/// All znodes. The root always exists.
#[derive(Debug)]
pub struct Tree {
    nodes: Arena<Node>,
    changed: Arena<Changed>,
    families: Arena<Family>,
    blobs: Slab,
    index: Index,
    owners: Owners,
    pub acls: AclTable,
    /// Znodes that can be found; the root is one of them.
    len: usize,
    /// Bytes of all paths and all data.
    bytes: u64,
    journal: Journal,
    /// A snapshot that is being written.
    snapshot: Option<Box<SnapshotIter>>,
    /// A digest that is being made.
    digest_sweep: Option<Box<DigestSweep>>,
}

/// A znode that is about to be.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    pub parent: NodeId,
    pub name: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: AclId,
    pub kind: Kind,
    pub zxid: i64,
    pub time_ms: i64,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self::vacant();
        let root = NewNode {
            parent: NONE,
            name: "",
            data: Some(&[]),
            acl: acl::OPEN,
            kind: Kind::Persistent,
            zxid: 0,
            time_ms: 0,
        };
        let root = tree.place(&root);
        tree.link(root);
        tree
    }
}

/// Reading.
impl Tree {
    /// Without even a root.
    fn vacant() -> Self {
        Self {
            nodes: Arena::default(),
            changed: Arena::default(),
            families: Arena::default(),
            blobs: Slab::default(),
            index: Index::default(),
            owners: Owners::default(),
            acls: AclTable::default(),
            len: 0,
            bytes: 0,
            journal: Journal::default(),
            snapshot: None,
            digest_sweep: None,
        }
    }

    /// The znode at exactly this path; "" is the root too, as for `DataTree`.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        let mut names = path.as_bytes().strip_prefix(b"/")?.split(|byte| *byte == b'/');
        names.try_fold(ROOT, |id, name| self.child_named(id, name))
    }

    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.child_named(parent, name.as_bytes())
    }

    fn child_named(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = hash_name(parent, name);
        self.index.find(hash, |id| {
            let node = &self.nodes[id];
            node.parent == parent && self.name(id) == name
        })
    }

    /// Znodes, the root included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: the root is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of all paths and all data.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn ephemerals(&self) -> usize {
        self.owners.ephemerals()
    }

    /// UTF-8, as all of it came in as strings.
    pub fn name(&self, id: NodeId) -> &[u8] {
        let node = &self.nodes[id];
        &self.blobs.get(node.blob, node.blob_len())[..node.name_len()]
    }

    /// Null and empty are not the same.
    pub fn data(&self, id: NodeId) -> Option<&[u8]> {
        let node = &self.nodes[id];
        let blob = self.blobs.get(node.blob, node.blob_len());
        (!node.has(flag::NULL)).then_some(&blob[node.name_len()..])
    }

    pub fn data_len(&self, id: NodeId) -> usize {
        self.nodes[id].data_len as usize
    }

    pub fn acl(&self, id: NodeId) -> AclId {
        self.nodes[id].acl
    }

    pub fn parent(&self, id: NodeId) -> NodeId {
        self.nodes[id].parent
    }

    pub fn kind(&self, id: NodeId) -> Kind {
        let node = &self.nodes[id];
        if !node.has(flag::KIND) {
            Kind::Persistent
        } else if node.has(flag::EPHEMERAL) {
            Kind::Ephemeral(self.owners.session_of(id))
        } else if node.has(flag::CONTAINER) {
            Kind::Container
        } else {
            Kind::Ttl(self.owners.ttl_ms(id))
        }
    }

    fn family(&self, node: &Node) -> Option<&Family> {
        node.has(flag::FAMILY).then(|| &self.families[node.extra])
    }

    fn changed(&self, node: &Node) -> Changed {
        if node.has(flag::FAMILY) {
            self.families[node.extra].changed
        } else if node.has(flag::CHANGED) {
            self.changed[node.extra]
        } else {
            Changed { mzxid: node.czxid, mtime_ms: node.ctime_ms, version: 0, aversion: 0 }
        }
    }

    pub fn fields(&self, id: NodeId) -> Fields {
        let node = &self.nodes[id];
        let changed = self.changed(node);
        let family = self.family(node);
        Fields {
            czxid: node.czxid,
            mzxid: changed.mzxid,
            pzxid: family.map_or(node.czxid, |f| f.pzxid),
            ctime_ms: node.ctime_ms,
            mtime_ms: changed.mtime_ms,
            version: changed.version,
            cversion: family.map_or(0, |f| f.cversion),
            aversion: changed.aversion,
        }
    }

    /// As clients see it, `DataNode.copyStat`.
    pub fn stat(&self, id: NodeId) -> Stat {
        let node = &self.nodes[id];
        let changed = self.changed(node);
        let (pzxid, cversion, children) = match self.family(node) {
            None => (node.czxid, 0, 0),
            Some(family) => (family.pzxid, family.cversion, family.children as i32),
        };
        Stat {
            czxid: node.czxid,
            mzxid: changed.mzxid,
            ctime_ms: node.ctime_ms,
            mtime_ms: changed.mtime_ms,
            version: changed.version,
            cversion: cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: changed.aversion,
            ephemeral_owner: if node.has(flag::EPHEMERAL) { self.owners.session_of(id) } else { 0 },
            data_length: node.data_len as i32,
            num_children: children,
            pzxid,
        }
    }

    pub fn child_count(&self, id: NodeId) -> usize {
        self.family(&self.nodes[id]).map_or(0, |f| f.children as usize)
    }

    /// Znodes below, all generations.
    pub fn descendants(&self, id: NodeId) -> u32 {
        self.family(&self.nodes[id]).map_or(0, |f| f.descendants)
    }

    /// Bytes of the data of a znode and of all below it.
    pub fn bytes_from(&self, id: NodeId) -> u64 {
        let below = self.family(&self.nodes[id]).map_or(0, |f| f.bytes_below);
        self.data_len(id) as u64 + below
    }

    /// In an order that means nothing, and that differs between servers.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let first = self.family(&self.nodes[id]).map_or(NONE, |f| f.first_child);
        let some = |id: NodeId| (id != NONE).then_some(id);
        std::iter::successors(some(first), move |id| some(self.nodes[*id].next))
    }

    /// The znode and all below it, parents before children, with the depth below `top`.
    pub fn walk(&self, top: NodeId) -> Walk<'_> {
        Walk::new(self, top)
    }

    /// Appends the path of a znode.
    pub fn push_path(&self, id: NodeId, out: &mut String) {
        if id == ROOT {
            return out.push('/');
        }
        let mut up = Vec::new();
        let mut at = id;
        while at != ROOT {
            up.push(at);
            at = self.nodes[at].parent;
        }
        for id in up.into_iter().rev() {
            out.push('/');
            out.push_str(&String::from_utf8_lossy(self.name(id)));
        }
    }

    pub fn path(&self, id: NodeId) -> String {
        let mut path = String::new();
        self.push_path(id, &mut path);
        path
    }

    /// Ephemerals of a session, in no particular order.
    pub fn ephemerals_of(&self, session: i64) -> impl Iterator<Item = NodeId> {
        self.owners.nodes_of(session)
    }

    /// Sessions with ephemerals, in no particular order.
    pub fn owning_sessions(&self) -> impl Iterator<Item = i64> {
        self.owners.sessions()
    }

    pub fn containers(&self) -> impl Iterator<Item = NodeId> {
        self.owners.containers()
    }

    /// Znodes with a TTL, in milliseconds.
    pub fn ttls(&self) -> impl Iterator<Item = (NodeId, i64)> {
        self.owners.ttls()
    }

    /// The first container in this slot or behind it.
    pub fn container_from(&self, id: NodeId) -> Option<NodeId> {
        self.owners.container_from(id)
    }

    /// The first znode with a TTL in this slot or behind it.
    pub fn ttl_from(&self, id: NodeId) -> Option<NodeId> {
        self.owners.ttl_from(id)
    }
}

/// Writing. Each function is one change of ZooKeeper's `DataTree`; whether it may happen is
/// decided before.
impl Tree {
    /// To be called before each change of a znode: who looks at all of them sees it as it was.
    fn touch(&mut self, id: NodeId) {
        if self.snapshot.is_some() {
            self.snapshot_touch(id);
        }
        if self.digest_sweep.is_some() {
            self.digest_touch(id);
        }
    }

    /// Counts on the parent, whose stored cversion and pzxid it moves.
    pub fn insert(&mut self, new: &NewNode<'_>) -> NodeId {
        self.touch(new.parent);
        self.remember_parent(new.parent);
        let family = self.family_mut(new.parent);
        family.cversion = family.cversion.wrapping_add(1);
        family.pzxid = new.zxid;
        let id = self.place(new);
        self.link(id);
        self.journal.push(Undo::Inserted(id));
        id
    }

    /// The znode must have no children.
    pub fn remove(&mut self, id: NodeId, zxid: i64) {
        self.touch(id);
        let parent = self.nodes[id].parent;
        self.touch(parent);
        self.remember_parent(parent);
        self.family_mut(parent).pzxid = zxid;
        let kind = self.kind(id);
        self.unlink(id);
        if !self.journal.push(Undo::Removed(id, kind)) {
            self.vacate(id);
        }
    }

    pub fn set_data(&mut self, id: NodeId, data: Option<&[u8]>, zxid: i64, time_ms: i64) {
        self.touch(id);
        self.swap_data(id, data);
        let changed = self.changed_mut(id);
        changed.mzxid = zxid;
        changed.mtime_ms = time_ms;
        changed.version = changed.version.wrapping_add(1);
    }

    /// Changes data and nothing else: what the server itself keeps current.
    pub fn overwrite_data(&mut self, id: NodeId, data: &[u8]) {
        self.touch(id);
        self.swap_data(id, Some(data));
    }

    /// Not part of any multi, so nothing to undo.
    pub fn set_acl(&mut self, id: NodeId, acl: AclId) {
        self.touch(id);
        self.acls.retain(acl);
        self.acls.release(std::mem::replace(&mut self.nodes[id].acl, acl));
        let changed = self.changed_mut(id);
        changed.aversion = changed.aversion.wrapping_add(1);
    }

    /// Versions that no operation leads to: those of /zookeeper/config.
    pub fn set_versions(&mut self, id: NodeId, version: i32, aversion: i32) {
        self.touch(id);
        let changed = self.changed_mut(id);
        changed.version = version;
        changed.aversion = aversion;
    }

    /// A count of children that no operation leads to: that of the initial tree.
    pub fn set_cversion(&mut self, id: NodeId, cversion: i32) {
        self.touch(id);
        self.family_mut(id).cversion = cversion;
    }

    fn swap_data(&mut self, id: NodeId, data: Option<&[u8]>) {
        let bytes = data.unwrap_or_default();
        let before = self.nodes[id];
        let undo = Undo::Data {
            id,
            blob: before.blob,
            data_len: before.data_len,
            null: before.has(flag::NULL),
            changed: self.changed(&before),
        };
        let blob = if self.journal.push(undo) {
            let name = self.name(id).to_vec();
            self.blobs.store(&name, bytes)
        } else {
            self.blobs.replace_tail(before.blob, before.blob_len(), before.name_len(), bytes)
        };
        let node = &mut self.nodes[id];
        node.blob = blob;
        node.data_len = bytes.len() as u32;
        node.put(flag::NULL, data.is_none());
        self.resized(id, before.data_len, bytes.len() as u32);
    }

    /// Fills a slot; nobody finds it before [`Tree::link`].
    fn place(&mut self, new: &NewNode<'_>) -> NodeId {
        let (name, data) = (new.name.as_bytes(), new.data.unwrap_or_default());
        let kind = match new.kind {
            Kind::Persistent => 0,
            Kind::Ephemeral(_) => flag::EPHEMERAL,
            Kind::Container => flag::CONTAINER,
            Kind::Ttl(_) => flag::TTL,
        };
        let mut node = Node {
            czxid: new.zxid,
            ctime_ms: new.time_ms,
            parent: new.parent,
            blob: self.blobs.store(name, data),
            data_len: data.len() as u32,
            acl: new.acl,
            name_and_flags: name.len() as u32 | flag::LIVE | kind,
            ..Node::FREE
        };
        node.put(flag::NULL, new.data.is_none());
        self.acls.retain(new.acl);
        let id = self.nodes.insert(node);
        if let Some(iter) = &mut self.snapshot {
            iter.born(id);
        }
        if let Some(sweep) = &mut self.digest_sweep {
            sweep.born(id);
        }
        self.owners.insert(id, new.kind);
        id
    }

    /// Empties the slot of an unlinked znode.
    fn vacate(&mut self, id: NodeId) {
        let node = self.nodes[id];
        self.blobs.free(node.blob, node.blob_len());
        self.acls.release(node.acl);
        if node.has(flag::FAMILY) {
            self.families.remove(node.extra);
        } else if node.has(flag::CHANGED) {
            self.changed.remove(node.extra);
        }
        self.nodes[id] = Node::FREE;
        self.nodes.remove(id);
    }

    /// Makes a placed znode a child of its parent.
    fn link(&mut self, id: NodeId) {
        self.len += 1;
        let data_len = self.data_len(id) as u64;
        let parent = self.nodes[id].parent;
        if parent == NONE {
            self.bytes += 1 + data_len; // the root, whose path is "/"
            return;
        }
        let family = self.family_mut(parent);
        let next = std::mem::replace(&mut family.first_child, id);
        family.children += 1;
        let path_len = self.above(id, |family| {
            family.descendants += 1;
            family.bytes_below += data_len;
        });
        self.bytes += path_len + data_len;
        self.nodes[id].next = next;
        self.nodes[id].prev = NONE;
        if next != NONE {
            self.nodes[next].prev = id;
        }
        self.index_insert(id);
    }

    fn index_insert(&mut self, id: NodeId) {
        let hash = hash_name(self.nodes[id].parent, self.name(id));
        self.index.insert(hash, id);
    }

    /// Takes a znode away from its parent; it stays in its slot.
    fn unlink(&mut self, id: NodeId) {
        self.len -= 1;
        let data_len = self.data_len(id) as u64;
        let path_len = self.above(id, |family| {
            family.descendants -= 1;
            family.bytes_below -= data_len;
        });
        self.bytes -= path_len + data_len;
        self.owners.remove(id, self.kind(id));
        let hash = hash_name(self.nodes[id].parent, self.name(id));
        self.index.remove(hash, id);
        let Node { parent, next, prev, .. } = self.nodes[id];
        if next != NONE {
            self.nodes[next].prev = prev;
        }
        let family = self.family_mut(parent);
        family.children -= 1;
        if prev == NONE {
            family.first_child = next;
        } else {
            self.nodes[prev].next = next;
        }
    }

    /// Changes what every znode above this one says of those below; returns the length of its path.
    fn above(&mut self, id: NodeId, mut change: impl FnMut(&mut Family)) -> u64 {
        let mut len = 0;
        let mut at = id;
        while at != ROOT {
            let Node { parent, .. } = self.nodes[at];
            len += 1 + self.nodes[at].name_len() as u64;
            let extra = self.nodes[parent].extra; // it has a child
            change(&mut self.families[extra]);
            at = parent;
        }
        len
    }

    /// The data of a znode has another length.
    fn resized(&mut self, id: NodeId, before: u32, after: u32) {
        if before != after {
            let (before, after) = (u64::from(before), u64::from(after));
            self.bytes = self.bytes + after - before;
            self.above(id, |family| family.bytes_below = family.bytes_below + after - before);
        }
    }

    fn changed_mut(&mut self, id: NodeId) -> &mut Changed {
        let node = self.nodes[id];
        if node.has(flag::FAMILY) {
            return &mut self.families[node.extra].changed;
        }
        if node.has(flag::CHANGED) {
            return &mut self.changed[node.extra];
        }
        let extra = self.changed.insert(self.changed(&node));
        let node = &mut self.nodes[id];
        node.extra = extra;
        node.put(flag::CHANGED, true);
        &mut self.changed[extra]
    }

    fn family_mut(&mut self, id: NodeId) -> &mut Family {
        let node = self.nodes[id];
        if node.has(flag::FAMILY) {
            return &mut self.families[node.extra];
        }
        let extra = self.families.insert(Family {
            changed: self.changed(&node),
            pzxid: node.czxid,
            cversion: 0,
            first_child: NONE,
            children: 0,
            descendants: 0,
            bytes_below: 0,
        });
        if node.has(flag::CHANGED) {
            self.changed.remove(node.extra);
        }
        let node = &mut self.nodes[id];
        node.extra = extra;
        node.put(flag::CHANGED, false);
        node.put(flag::FAMILY, true);
        &mut self.families[extra]
    }
}
