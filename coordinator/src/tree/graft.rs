//! Znodes whose every field is given: what another server's files say, taken over as it is.
//!
//! Nothing is counted on parents and no version is raised here; whoever calls has read them.

use super::acl::AclId;
use super::node::{Changed, Fields, Kind, NodeId, ROOT, flag};
use super::{NewNode, Tree};

/// A znode that was elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Graft<'a> {
    pub parent: NodeId,
    pub name: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: AclId,
    pub kind: Kind,
    pub fields: Fields,
}

impl Tree {
    /// The parent must have no child of this name.
    pub fn graft(&mut self, new: &Graft<'_>) -> NodeId {
        let id = self.place(&NewNode {
            parent: new.parent,
            name: new.name,
            data: new.data,
            acl: new.acl,
            kind: new.kind,
            zxid: new.fields.czxid,
            time_ms: new.fields.ctime_ms,
        });
        self.link(id);
        self.put_fields(id, &new.fields);
        id
    }

    /// The root is always there; this makes it the one that was elsewhere.
    pub fn graft_root(&mut self, data: Option<&[u8]>, acl: AclId, fields: &Fields) {
        self.swap_data(ROOT, data);
        self.acls.retain(acl);
        self.acls.release(std::mem::replace(&mut self.nodes[ROOT].acl, acl));
        self.put_fields(ROOT, fields);
    }

    /// Data and what goes with it.
    pub fn put_data(
        &mut self,
        id: NodeId,
        data: Option<&[u8]>,
        zxid: i64,
        time_ms: i64,
        version: i32,
    ) {
        self.swap_data(id, data);
        let changed = self.changed_mut(id);
        changed.mzxid = zxid;
        changed.mtime_ms = time_ms;
        changed.version = version;
    }

    pub fn put_acl(&mut self, id: NodeId, acl: AclId, aversion: i32) {
        self.acls.retain(acl);
        self.acls.release(std::mem::replace(&mut self.nodes[id].acl, acl));
        if self.fields(id).aversion != aversion {
            self.changed_mut(id).aversion = aversion;
        }
    }

    /// What its children have left on a znode.
    pub fn put_counters(&mut self, id: NodeId, cversion: i32, pzxid: i64) {
        let family = self.family_mut(id);
        family.cversion = cversion;
        family.pzxid = pzxid;
    }

    fn put_fields(&mut self, id: NodeId, fields: &Fields) {
        let &Fields { czxid, ctime_ms, pzxid, cversion, .. } = fields;
        let node = &mut self.nodes[id];
        node.czxid = czxid;
        node.ctime_ms = ctime_ms;
        let has_family = node.has(flag::FAMILY);
        let plain = Changed { mzxid: czxid, mtime_ms: ctime_ms, version: 0, aversion: 0 };
        let changed = Changed {
            mzxid: fields.mzxid,
            mtime_ms: fields.mtime_ms,
            version: fields.version,
            aversion: fields.aversion,
        };
        if has_family || cversion != 0 || pzxid != czxid {
            self.put_counters(id, cversion, pzxid);
        }
        if changed != self.changed(&self.nodes[id]) || changed != plain {
            *self.changed_mut(id) = changed;
        }
    }
}
