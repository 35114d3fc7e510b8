//! A multi while it is being put together.

use super::operations::{acl_list, encode_acls};
use super::{Client, Servers};
use crate::wire::multi::{put_end, put_op};
use crate::wire::reply::AclEntry;
use crate::wire::request::{Create, PathVersion, Request, SetData, create_mode};

/// Operations that take effect together or not at all.
#[derive(Debug)]
pub struct Transaction {
    servers: Servers,
    body: Vec<u8>,
    len: usize,
}

impl Client {
    /// An empty transaction for [`Client::commit`].
    pub fn transaction(&self) -> Transaction {
        Transaction { servers: self.servers().clone(), body: Vec::new(), len: 0 }
    }
}

impl Transaction {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, request: &Request<'_>) -> &mut Self {
        put_op(&mut self.body, request);
        self.len += 1;
        self
    }

    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        mode: i32,
        acl: Option<&[AclEntry]>,
    ) -> &mut Self {
        let path = self.servers.full_path(path);
        let acl_bytes = acl.map(encode_acls);
        let acl = acl_list(acl_bytes.as_deref());
        let create = Create { path: &path, data, acl, flags: mode, ttl_ms: 0 };
        self.push(&match mode {
            create_mode::CONTAINER => Request::CreateContainer(create),
            _ => Request::Create(create),
        })
    }

    pub fn delete(&mut self, path: &str, version: i32) -> &mut Self {
        let path = self.servers.full_path(path);
        self.push(&Request::Delete(PathVersion { path: &path, version }))
    }

    pub fn set_data(&mut self, path: &str, data: Option<&[u8]>, version: i32) -> &mut Self {
        let path = self.servers.full_path(path);
        self.push(&Request::SetData(SetData { path: &path, data, version }))
    }

    pub fn check(&mut self, path: &str, version: i32) -> &mut Self {
        let path = self.servers.full_path(path);
        self.push(&Request::Check(PathVersion { path: &path, version }))
    }

    pub(super) fn into_body(mut self) -> Vec<u8> {
        put_end(&mut self.body);
        self.body
    }
}
