//! The operations by name, with paths relative to the chroot.

use super::{Client, Error, Transaction};
use crate::wire::acl::{Acl, AclList, put_acls};
use crate::wire::jute::Reader;
use crate::wire::multi::MultiResult;
use crate::wire::reply::{AclEntry, Reply};
use crate::wire::request::{Create, PathMode, PathVersion, Read, Request, SetAcl, SetData};
use crate::wire::request::{Reconfig, create_mode};
use crate::wire::stat::Stat;

/// How a znode is created; [`CreateOptions::default`] is a plain persistent one open to all.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateOptions<'a> {
    /// [`create_mode`].
    pub mode: i32,
    /// For the two TTL modes.
    pub ttl_ms: i64,
    /// `None` is world:anyone:cdrwa.
    pub acl: Option<&'a [AclEntry]>,
}

impl Client {
    /// Creates and returns the actual path and the Stat. Asks by the operation the mode needs.
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        options: CreateOptions<'_>,
    ) -> Result<(String, Option<Stat>), Error> {
        let path = self.servers().full_path(path);
        let acl_bytes = options.acl.map(encode_acls);
        let acl = acl_list(acl_bytes.as_deref());
        let create = Create { path: &path, data, acl, flags: options.mode, ttl_ms: options.ttl_ms };
        let request = match options.mode {
            create_mode::CONTAINER => Request::CreateContainer(create),
            create_mode::PERSISTENT_WITH_TTL | create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL => {
                Request::CreateTtl(create)
            }
            _ => Request::Create(create),
        };
        match self.call(&request)? {
            Reply::Path(path) => Ok((self.servers().local_path(&path).to_owned(), None)),
            Reply::PathStat(path, stat) => {
                Ok((self.servers().local_path(&path).to_owned(), Some(stat)))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub fn delete(&mut self, path: &str, version: i32) -> Result<(), Error> {
        let path = self.servers().full_path(path);
        self.call(&Request::Delete(PathVersion { path: &path, version })).map(drop)
    }

    /// `None` if there is no such node; with `watch`, its creation is then an event.
    pub fn exists(&mut self, path: &str, watch: bool) -> Result<Option<Stat>, Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::Exists(Read { path: &path, watch })) {
            Ok(Reply::Stat(stat)) => Ok(Some(stat)),
            Ok(other) => Err(unexpected(&other)),
            Err(Error::Code(crate::wire::code::Code::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn get_data(&mut self, path: &str, watch: bool) -> Result<(Option<Vec<u8>>, Stat), Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::GetData(Read { path: &path, watch }))? {
            Reply::DataStat(data, stat) => Ok((data, stat)),
            other => Err(unexpected(&other)),
        }
    }

    pub fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Stat, Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::SetData(SetData { path: &path, data, version }))? {
            Reply::Stat(stat) => Ok(stat),
            other => Err(unexpected(&other)),
        }
    }

    pub fn get_acl(&mut self, path: &str) -> Result<(Vec<AclEntry>, Stat), Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::GetAcl(&path))? {
            Reply::AclStat(acl, stat) => Ok((acl, stat)),
            other => Err(unexpected(&other)),
        }
    }

    pub fn set_acl(&mut self, path: &str, acl: &[AclEntry], version: i32) -> Result<Stat, Error> {
        let path = self.servers().full_path(path);
        let bytes = encode_acls(acl);
        let acl = acl_list(Some(&bytes));
        match self.call(&Request::SetAcl(SetAcl { path: &path, acl, version }))? {
            Reply::Stat(stat) => Ok(stat),
            other => Err(unexpected(&other)),
        }
    }

    /// Names in the server's order, which is none.
    pub fn get_children(&mut self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::GetChildren2(Read { path: &path, watch }))? {
            Reply::StringsStat(names, stat) => Ok((names, stat)),
            other => Err(unexpected(&other)),
        }
    }

    /// After it, reads show everything that was committed before it.
    pub fn sync(&mut self, path: &str) -> Result<(), Error> {
        let path = self.servers().full_path(path);
        self.call(&Request::Sync(&path)).map(drop)
    }

    /// Paths of this session's ephemerals that start with `prefix`.
    pub fn get_ephemerals(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let prefix = self.servers().full_path(prefix);
        match self.call(&Request::GetEphemerals(&prefix))? {
            Reply::Strings(paths) => {
                Ok(paths.iter().map(|path| self.servers().local_path(path).to_owned()).collect())
            }
            other => Err(unexpected(&other)),
        }
    }

    /// All descendants, not only children.
    pub fn get_all_children_number(&mut self, path: &str) -> Result<i32, Error> {
        let path = self.servers().full_path(path);
        match self.call(&Request::GetAllChildrenNumber(&path))? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    pub fn add_watch(&mut self, path: &str, recursive: bool) -> Result<(), Error> {
        let path = self.servers().full_path(path);
        let mode = i32::from(recursive);
        self.call(&Request::AddWatch(PathMode { path: &path, mode })).map(drop)
    }

    /// `kind`: 1 children, 2 data, 3 any.
    pub fn remove_watches(&mut self, path: &str, kind: i32) -> Result<(), Error> {
        let path = self.servers().full_path(path);
        self.call(&Request::RemoveWatches(PathMode { path: &path, mode: kind })).map(drop)
    }

    pub fn check_watches(&mut self, path: &str, kind: i32) -> Result<(), Error> {
        let path = self.servers().full_path(path);
        self.call(&Request::CheckWatches(PathMode { path: &path, mode: kind })).map(drop)
    }

    /// (scheme, user) of everyone this connection is to the server.
    pub fn who_am_i(&mut self) -> Result<Vec<(String, String)>, Error> {
        match self.call(&Request::WhoAmI)? {
            Reply::Identities(identities) => Ok(identities),
            other => Err(unexpected(&other)),
        }
    }

    /// The new list of members, and the Stat of `/zookeeper/config`.
    pub fn reconfig(&mut self, request: Reconfig<'_>) -> Result<(Option<Vec<u8>>, Stat), Error> {
        match self.call(&Request::Reconfig(request))? {
            Reply::DataStat(config, stat) => Ok((config, stat)),
            other => Err(unexpected(&other)),
        }
    }

    /// All or nothing. A failed transaction is `Ok` too: its results say which operation failed.
    pub fn commit(&mut self, transaction: Transaction) -> Result<Vec<MultiResult>, Error> {
        let body = transaction.into_body();
        let request = Request::decode(crate::wire::opcode::OpCode::Multi, &body)
            .map_err(|cause| Error::Protocol(format!("transaction: {cause}")))?;
        match self.call(&request)? {
            Reply::Multi(results) => Ok(results),
            other => Err(unexpected(&other)),
        }
    }
}

/// The bytes of a list for the borrowed form.
pub(super) fn encode_acls(acl: &[AclEntry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_acls(&mut bytes, acl.iter().map(AclEntry::as_acl));
    bytes
}

/// Of what [`encode_acls`] made; nothing is open to all.
pub(super) fn acl_list(bytes: Option<&[u8]>) -> AclList<'_> {
    bytes.map_or(AclList::OPEN, |bytes| {
        AclList::decode(&mut Reader::new(bytes)).unwrap_or(AclList::EMPTY)
    })
}

fn unexpected(reply: &Reply) -> Error {
    Error::Protocol(format!("reply of another shape: {reply:?}"))
}

/// world:anyone with these permissions, the list most znodes have.
pub fn world(perms: i32) -> AclEntry {
    let Acl { scheme, id, .. } = Acl::OPEN;
    AclEntry { perms, scheme: scheme.to_owned(), id: id.to_owned() }
}
