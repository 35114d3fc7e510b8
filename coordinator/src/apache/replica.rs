//! A tree as Apache ZooKeeper's files tell it: a snapshot, then what the log says on top.
//!
//! A snapshot is taken while writes go on, so it may hold a part of what its log repeats. The rules
//! by which both converge are those of `DataTree`: what exists is not created again, what is gone
//! is not deleted again, and nothing takes a parent's cversion or pzxid back.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::snapshot::{Node, StoredStat, Visitor};
use super::txn::{Change, Create, Header, Lifetime};
use super::{digest, owner};
use crate::tree::acl::{AclId, OPEN};
use crate::tree::node::{Fields, Kind, NAME_BYTES_MAX, NodeId, ROOT};
use crate::tree::{Graft, Tree, path};
use crate::wire::acl::AclList;
use crate::wire::jute::Reader;

/// Name and data of one znode: our own snapshots hold no larger one.
const ZNODE_BYTES_MAX: usize = 48 << 20;

/// The open list as `vector<ACL>`.
const OPEN_KEY: i64 = -1;

#[derive(Debug)]
pub struct Replica {
    pub tree: Tree,
    /// Timeouts in milliseconds.
    pub sessions: BTreeMap<i64, i32>,
    /// See [`digest`].
    pub digest: u64,
    /// The latest that any znode or txn bears.
    pub time_ms: i64,
    /// The greatest zxid that a znode of the snapshot bears: the log must lead there.
    pub zxid_seen: i64,
    acls: HashMap<i64, AclId, foldhash::quality::FixedState>,
    /// Znodes whose list came into the table after the table was written: their creation stands in
    /// the log.
    without_acl: BTreeMap<NodeId, i64>,
    /// The path of the last znode and those above it: length of each one's path, and its number.
    last_path: String,
    above: Vec<(usize, NodeId)>,
    has_root: bool,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            tree: Tree::default(),
            sessions: BTreeMap::new(),
            digest: 0,
            time_ms: 0,
            zxid_seen: 0,
            acls: HashMap::from_iter([(OPEN_KEY, OPEN)]),
            without_acl: BTreeMap::new(),
            last_path: String::new(),
            above: Vec::new(),
            has_root: false,
        }
    }
}

impl Visitor for Replica {
    fn session(&mut self, id: i64, timeout_ms: i32) -> Result<(), String> {
        if timeout_ms < 0 || id == 0 {
            return Err(format!("session {id:#x} with a timeout of {timeout_ms} ms"));
        }
        self.sessions.insert(id, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, key: i64, list: &[u8]) -> Result<(), String> {
        let id = self.intern(list)?;
        match self.acls.insert(key, id) {
            None => Ok(()),
            Some(_) => Err(format!("ACL list {key} is there twice")),
        }
    }

    fn node(&mut self, node: &Node<'_>) -> Result<(), String> {
        let stat = &node.stat;
        let acl = self.acls.get(&node.acl).copied();
        let fields = Fields {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            pzxid: stat.pzxid,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
        };
        self.time_ms = self.time_ms.max(stat.ctime_ms).max(stat.mtime_ms);
        self.zxid_seen = self.zxid_seen.max(stat.czxid).max(stat.mzxid).max(stat.pzxid);
        let id = if node.path.is_empty() {
            if std::mem::replace(&mut self.has_root, true) {
                return Err("the root is there twice".to_owned());
            }
            self.tree.graft_root(node.data, acl.unwrap_or(OPEN), &fields);
            self.above.push((0, ROOT));
            ROOT
        } else {
            let (parent, name) = self.place_of(node.path)?;
            fits(name, node.data)?;
            if self.tree.child(parent, name).is_some() {
                return Err(format!("`{}` is there twice", node.path));
            }
            let kind = owner::decode(stat.owner);
            let acl = acl.unwrap_or(OPEN);
            let graft = Graft { parent, name, data: node.data, acl, kind, fields };
            let id = self.tree.graft(&graft);
            self.above.push((node.path.len(), id));
            id
        };
        self.last_path.clear();
        self.last_path.push_str(node.path);
        if acl.is_none() {
            self.without_acl.insert(id, node.acl);
        }
        self.digest = self.digest.wrapping_add(digest::of_node(node.path, node.data, stat));
        Ok(())
    }
}

impl Replica {
    /// What every server of Apache ZooKeeper begins with, before the first txn.
    pub fn founded() -> Result<Self, String> {
        let mut replica = Self { has_root: true, ..Self::default() };
        replica.enter(ROOT, "/");
        replica.complete()?;
        Ok(replica)
    }

    /// Parent and name: mostly the znode before, or one above that.
    fn place_of<'p>(&mut self, path: &'p str) -> Result<(NodeId, &'p str), String> {
        let (parent_path, name) = split(path)?;
        while let Some(&(length, id)) = self.above.last() {
            let is_above = length <= parent_path.len()
                && self.last_path.as_bytes()[..length] == parent_path.as_bytes()[..length];
            if is_above {
                if length == parent_path.len() {
                    return Ok((id, name));
                }
                break;
            }
            self.above.pop();
        }
        if !self.has_root {
            return Err(format!("`{path}` comes before the root"));
        }
        let parent = self.tree.find(parent_path);
        parent.map(|id| (id, name)).ok_or_else(|| format!("`{path}` has no parent"))
    }

    fn intern(&mut self, list: &[u8]) -> Result<AclId, String> {
        // A null list means what an empty one means.
        const EMPTY: &[u8] = &[0; 4];
        if list == [0xff; 4] {
            return Ok(self.tree.acls.intern(EMPTY));
        }
        if list.len() > ZNODE_BYTES_MAX {
            return Err(format!("an ACL list of {} bytes", list.len()));
        }
        AclList::decode(&mut Reader::new(list)).map_err(|e| format!("an ACL list: {e}"))?;
        Ok(self.tree.acls.intern(list))
    }

    /// Applies what the log says next.
    pub fn apply(&mut self, header: &Header, change: Change<'_>) -> Result<(), String> {
        self.time_ms = self.time_ms.max(header.time_ms);
        match change {
            Change::Nothing => Ok(()),
            Change::Create(create) => self.create(header, &create),
            Change::Delete { path } => {
                split(path)?;
                self.delete(path, header.zxid);
                Ok(())
            }
            Change::SetData { path, data, version } => {
                let Some(id) = self.tree.find(path) else { return Ok(()) };
                fits("", data)?;
                self.leave(id, path);
                self.tree.put_data(id, data, header.zxid, header.time_ms, version);
                self.enter(id, path);
                Ok(())
            }
            Change::SetAcl { path, acl, aversion } => {
                let Some(id) = self.tree.find(path) else { return Ok(()) };
                let acl = self.intern(acl)?;
                self.leave(id, path);
                self.tree.put_acl(id, acl, aversion);
                self.enter(id, path);
                self.without_acl.remove(&id);
                Ok(())
            }
            Change::CreateSession { timeout_ms } => self.session(header.client, timeout_ms),
            Change::CloseSession { paths } => {
                self.sessions.remove(&header.client);
                for path in paths.iter() {
                    split(path)?;
                    self.delete(path, header.zxid);
                }
                self.delete_ephemerals(header.client, header.zxid);
                Ok(())
            }
            Change::Multi(multi) => {
                for part in multi.parts() {
                    let part = part.map_err(|e| e.to_string())?;
                    self.apply(header, part)?;
                }
                Ok(())
            }
        }
    }

    fn create(&mut self, header: &Header, create: &Create<'_>) -> Result<(), String> {
        let (parent_path, name) = split(create.path)?;
        fits(name, create.data)?;
        let acl = self.intern(create.acl)?;
        // Its parent was deleted later, which the snapshot shows already.
        let Some(parent) = self.tree.find(parent_path) else { return Ok(()) };
        let existing = self.tree.child(parent, name);
        let before = self.tree.fields(parent);
        let cversion = match create.parent_cversion {
            -1 => before.cversion.wrapping_add(1),
            given => given,
        };
        if cversion > before.cversion {
            self.leave(parent, parent_path);
            self.tree.put_counters(parent, cversion, header.zxid);
            self.enter(parent, parent_path);
        }
        if let Some(id) = existing {
            let list_is_missing = self.without_acl.contains_key(&id);
            if list_is_missing && self.tree.fields(id).czxid == header.zxid {
                let aversion = self.tree.fields(id).aversion;
                self.tree.put_acl(id, acl, aversion);
                self.without_acl.remove(&id);
            }
            return Ok(());
        }
        let kind = match create.lifetime {
            Lifetime::Persistent => Kind::Persistent,
            Lifetime::Ephemeral => Kind::Ephemeral(header.client),
            Lifetime::Container => Kind::Container,
            Lifetime::Ttl(ms) => owner::decode(owner::encode(Kind::Ttl(ms))),
        };
        let (zxid, time_ms) = (header.zxid, header.time_ms);
        let fields = Fields {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: time_ms,
            mtime_ms: time_ms,
            ..Fields::default()
        };
        let data = create.data;
        let id = self.tree.graft(&Graft { parent, name, data, acl, kind, fields });
        self.enter(id, create.path);
        Ok(())
    }

    /// The znode goes with all below it: what stands there was made later, and comes again.
    fn delete(&mut self, path: &str, zxid: i64) {
        let Ok((parent_path, name)) = split(path) else { return };
        let Some(parent) = self.tree.find(parent_path) else { return };
        let pzxid = self.tree.fields(parent).pzxid;
        self.leave(parent, parent_path);
        if let Some(id) = self.tree.child(parent, name) {
            let below: Vec<NodeId> = self.tree.walk(id).map(|(id, _)| id).collect();
            for id in below.into_iter().rev() {
                let path = self.tree.path(id);
                self.leave(id, &path);
                self.without_acl.remove(&id);
                self.tree.remove(id, zxid);
            }
        }
        let cversion = self.tree.fields(parent).cversion;
        self.tree.put_counters(parent, cversion, pzxid.max(zxid));
        self.enter(parent, parent_path);
    }

    fn delete_ephemerals(&mut self, session: i64, zxid: i64) -> usize {
        let mut paths: Vec<String> =
            self.tree.ephemerals_of(session).map(|id| self.tree.path(id)).collect();
        paths.sort_unstable();
        for path in &paths {
            self.delete(path, zxid);
        }
        paths.len()
    }

    /// Before a change: the znode as it is goes out of the digest.
    fn leave(&mut self, id: NodeId, path: &str) {
        self.digest = self.digest.wrapping_sub(self.share(id, path));
    }

    fn enter(&mut self, id: NodeId, path: &str) {
        self.digest = self.digest.wrapping_add(self.share(id, path));
    }

    fn share(&self, id: NodeId, path: &str) -> u64 {
        digest::of_node(path, self.tree.data(id), &stored_stat(&self.tree, id))
    }

    /// Ends what Apache ZooKeeper ends when it starts: ephemerals whose session is gone. Returns
    /// how many there were.
    pub fn delete_orphans(&mut self, zxid: i64) -> usize {
        let mut owners: Vec<i64> = self.tree.owning_sessions().collect();
        owners.retain(|session| !self.sessions.contains_key(session));
        owners.sort_unstable();
        owners.into_iter().map(|session| self.delete_ephemerals(session, zxid)).sum()
    }

    /// What every ensemble of ZooKeeper's has; releases before 3.5 have no `config`.
    pub fn complete(&mut self) -> Result<(), String> {
        if !self.has_root {
            return Err("it has no root".to_owned());
        }
        if let Some((id, key)) = self.without_acl.first_key_value() {
            let path = self.tree.path(*id);
            return Err(format!("`{path}` has the ACL list {key}, which is nowhere"));
        }
        let mut read_only = Vec::new();
        let read = crate::wire::acl::perms::READ;
        let anyone = crate::wire::acl::Acl { perms: read, ..crate::wire::acl::Acl::OPEN };
        crate::wire::acl::put_acls(&mut read_only, [anyone].into_iter());
        let read_only = self.tree.acls.intern(&read_only);
        for (parent, name, acl, version) in [
            ("/", "zookeeper", OPEN, 0),
            ("/zookeeper", "quota", OPEN, 0),
            ("/zookeeper", "config", read_only, -1),
        ] {
            let parent_id = self.tree.find(parent).ok_or("it has no `/zookeeper`")?;
            if self.tree.child(parent_id, name).is_some() {
                continue;
            }
            let (data, kind) = (Some(&[][..]), Kind::Persistent);
            let fields = Fields { aversion: version, ..Fields::default() };
            let graft = Graft { parent: parent_id, name, data, acl, kind, fields };
            let id = self.tree.graft(&graft);
            let path = self.tree.path(id);
            self.enter(id, &path);
        }
        Ok(())
    }
}

/// The fields of a znode as Apache ZooKeeper stores them.
pub fn stored_stat(tree: &Tree, id: NodeId) -> StoredStat {
    let fields = tree.fields(id);
    StoredStat {
        czxid: fields.czxid,
        mzxid: fields.mzxid,
        ctime_ms: fields.ctime_ms,
        mtime_ms: fields.mtime_ms,
        version: fields.version,
        cversion: fields.cversion,
        aversion: fields.aversion,
        owner: owner::encode(tree.kind(id)),
        pzxid: fields.pzxid,
    }
}

/// Parent and name of a znode other than the root.
fn split(path: &str) -> Result<(&str, &str), String> {
    match path::split(path) {
        Some((parent, name)) if !name.is_empty() && path.starts_with('/') => Ok((parent, name)),
        _ => Err(format!("`{path}` is no path of a znode")),
    }
}

fn fits(name: &str, data: Option<&[u8]>) -> Result<(), String> {
    let bytes = name.len() + data.map_or(0, <[u8]>::len);
    if name.len() <= NAME_BYTES_MAX && bytes <= ZNODE_BYTES_MAX {
        return Ok(());
    }
    Err(format!("a znode of {bytes} bytes, at most {ZNODE_BYTES_MAX} are held"))
}
