//! Requests, decoded by borrowing from the frame, and encoded for the client.

use super::acl::AclList;
use super::jute::{
    DecodeError, Reader, Strings, put_bool, put_buffer, put_int, put_long, put_string, put_ustring,
};
use super::multi::{Kind, Multi};
use super::opcode::OpCode;

/// Reserved transaction ids of a client. Replies echo whatever the client sent.
pub mod xid {
    pub const NOTIFICATION: i32 = -1;
    pub const PING: i32 = -2;
    pub const AUTH: i32 = -4;
    pub const SET_WATCHES: i32 = -8;
}

/// Stands before each record but the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub xid: i32,
    /// As sent: [`OpCode::from_client`] tells whether anyone knows it.
    pub op: i32,
}

impl RequestHeader {
    pub const BYTES: usize = 8;

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: reader.int()?, op: reader.int()? })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.xid);
        put_int(out, self.op);
    }
}

/// create, create2, createContainer and createTTL: one shape, the last with a TTL behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: AclList<'a>,
    /// `CreateMode` as sent; unknown numbers are for apply to refuse.
    pub flags: i32,
    /// 0 unless the operation is createTTL.
    pub ttl_ms: i64,
}

/// `CreateMode.toFlag`.
pub mod create_mode {
    pub const PERSISTENT: i32 = 0;
    pub const EPHEMERAL: i32 = 1;
    pub const PERSISTENT_SEQUENTIAL: i32 = 2;
    pub const EPHEMERAL_SEQUENTIAL: i32 = 3;
    pub const CONTAINER: i32 = 4;
    pub const PERSISTENT_WITH_TTL: i32 = 5;
    pub const PERSISTENT_SEQUENTIAL_WITH_TTL: i32 = 6;
}

impl<'a> Create<'a> {
    fn decode(reader: &mut Reader<'a>, op: OpCode) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.string()?,
            data: reader.buffer()?,
            acl: AclList::decode(reader)?,
            flags: reader.int()?,
            ttl_ms: if op == OpCode::CreateTtl { reader.long()? } else { 0 },
        })
    }

    fn encode(&self, op: OpCode, out: &mut Vec<u8>) {
        put_string(out, self.path);
        put_buffer(out, self.data);
        self.acl.encode(out);
        put_int(out, self.flags);
        if op == OpCode::CreateTtl {
            put_long(out, self.ttl_ms);
        }
    }
}

/// delete and check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathVersion<'a> {
    pub path: &'a str,
    /// −1 is any.
    pub version: i32,
}

/// exists, getData, getChildren, getChildren2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read<'a> {
    pub path: &'a str,
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetData<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub version: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAcl<'a> {
    pub path: &'a str,
    pub acl: AclList<'a>,
    /// Compared with aversion, not with version.
    pub version: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconfig<'a> {
    pub joining: Option<&'a str>,
    pub leaving: Option<&'a str>,
    pub new_members: Option<&'a str>,
    pub config_id: i64,
}

/// checkWatches, removeWatches (kind 1 children, 2 data, 3 any) and addWatch (mode 0 persistent,
/// 1 recursive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMode<'a> {
    pub path: &'a str,
    pub mode: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    pub kind: i32,
    pub scheme: &'a str,
    pub auth: Option<&'a [u8]>,
}

/// setWatches (101) and setWatches2 (105); 101 has the last two empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWatches<'a> {
    pub relative_zxid: i64,
    pub data: Strings<'a>,
    pub exist: Strings<'a>,
    pub child: Strings<'a>,
    pub persistent: Strings<'a>,
    pub persistent_recursive: Strings<'a>,
}

/// A list of a setWatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchList {
    Data,
    Exist,
    Child,
    Persistent,
    PersistentRecursive,
}

impl WatchList {
    const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::PersistentRecursive];
}

/// Reads a setWatches path by path: it may be far longer than any other request.
#[derive(Clone, Copy, Debug)]
pub struct WatchCursor {
    /// Bytes read.
    at: usize,
    relative_zxid: i64,
    /// Lists begun, and how many there are.
    list: usize,
    lists: usize,
    /// Paths to come in the list at hand.
    left: usize,
}

impl WatchCursor {
    /// `second_form`: it is a setWatches2.
    pub fn new(second_form: bool) -> Self {
        let lists = if second_form { 5 } else { 3 };
        Self { at: 0, relative_zxid: 0, list: 0, lists, left: 0 }
    }

    /// The next path, with the zxid that the client has seen and what it watched.
    pub fn next<'b>(
        &mut self,
        body: &'b [u8],
    ) -> Result<Option<(i64, WatchList, &'b str)>, DecodeError> {
        let mut reader = Reader::new(body.get(self.at..).unwrap_or_default());
        if self.at == 0 {
            self.relative_zxid = reader.long()?;
        }
        while self.left == 0 && self.list < self.lists {
            self.left = reader.count(4)?.unwrap_or(0);
            self.list += 1;
        }
        let found = if self.left == 0 {
            None
        } else {
            self.left -= 1;
            Some((self.relative_zxid, WatchList::ALL[self.list - 1], reader.string()?))
        };
        self.at = body.len() - reader.remaining();
        Ok(found)
    }
}

/// The body of a request, by operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Create(Create<'a>),
    Create2(Create<'a>),
    CreateContainer(Create<'a>),
    CreateTtl(Create<'a>),
    Delete(PathVersion<'a>),
    /// The whole body is the path, without a length, as in ZooKeeper.
    DeleteContainer(&'a str),
    SetData(SetData<'a>),
    SetAcl(SetAcl<'a>),
    Check(PathVersion<'a>),
    Multi(Multi<'a>),
    Reconfig(Reconfig<'a>),
    CreateSession {
        timeout_ms: i32,
    },
    AttachSession {
        timeout_ms: i32,
    },
    CloseSession,
    Exists(Read<'a>),
    GetData(Read<'a>),
    GetChildren(Read<'a>),
    GetChildren2(Read<'a>),
    GetAcl(&'a str),
    GetEphemerals(&'a str),
    GetAllChildrenNumber(&'a str),
    MultiRead(Multi<'a>),
    WhoAmI,
    Sync(&'a str),
    Ping,
    Auth(Auth<'a>),
    Sasl(Option<&'a [u8]>),
    SetWatches(SetWatches<'a>),
    SetWatches2(SetWatches<'a>),
    CheckWatches(PathMode<'a>),
    RemoveWatches(PathMode<'a>),
    AddWatch(PathMode<'a>),
}

impl<'a> Request<'a> {
    /// Decodes what follows the header. Bytes behind the record are ignored, as ZooKeeper does.
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, DecodeError> {
        Self::read(op, &mut Reader::new(body))
    }

    pub(super) fn read(op: OpCode, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create => Self::Create(Create::decode(reader, op)?),
            OpCode::Create2 => Self::Create2(Create::decode(reader, op)?),
            OpCode::CreateContainer => Self::CreateContainer(Create::decode(reader, op)?),
            OpCode::CreateTtl => Self::CreateTtl(Create::decode(reader, op)?),
            OpCode::Delete => Self::Delete(path_version(reader)?),
            OpCode::DeleteContainer => {
                let path = reader.bytes(reader.remaining())?;
                Self::DeleteContainer(std::str::from_utf8(path).map_err(|_| DecodeError::BadUtf8)?)
            }
            OpCode::SetData => Self::SetData(SetData {
                path: reader.string()?,
                data: reader.buffer()?,
                version: reader.int()?,
            }),
            OpCode::SetAcl => Self::SetAcl(SetAcl {
                path: reader.string()?,
                acl: AclList::decode(reader)?,
                version: reader.int()?,
            }),
            OpCode::Check => Self::Check(path_version(reader)?),
            OpCode::Multi => Self::Multi(Multi::read(Kind::Write, reader)?),
            OpCode::MultiRead => Self::MultiRead(Multi::read(Kind::Read, reader)?),
            OpCode::Reconfig => Self::Reconfig(Reconfig {
                joining: reader.ustring()?,
                leaving: reader.ustring()?,
                new_members: reader.ustring()?,
                config_id: reader.long()?,
            }),
            OpCode::CreateSession => Self::CreateSession { timeout_ms: reader.int()? },
            OpCode::AttachSession => Self::AttachSession { timeout_ms: reader.int()? },
            OpCode::CloseSession => Self::CloseSession,
            OpCode::Exists => Self::Exists(read(reader)?),
            OpCode::GetData => Self::GetData(read(reader)?),
            OpCode::GetChildren => Self::GetChildren(read(reader)?),
            OpCode::GetChildren2 => Self::GetChildren2(read(reader)?),
            OpCode::GetAcl => Self::GetAcl(reader.string()?),
            // A null prefix is every ephemeral of the session.
            OpCode::GetEphemerals => Self::GetEphemerals(reader.ustring()?.unwrap_or_default()),
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber(reader.string()?),
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::Sync => Self::Sync(reader.string()?),
            OpCode::Ping => Self::Ping,
            OpCode::Auth => Self::Auth(Auth {
                kind: reader.int()?,
                scheme: reader.ustring()?.unwrap_or_default(),
                auth: reader.buffer()?,
            }),
            OpCode::Sasl => Self::Sasl(reader.buffer()?),
            OpCode::SetWatches => Self::SetWatches(set_watches(reader, false)?),
            OpCode::SetWatches2 => Self::SetWatches2(set_watches(reader, true)?),
            OpCode::CheckWatches => Self::CheckWatches(path_mode(reader)?),
            OpCode::RemoveWatches => Self::RemoveWatches(path_mode(reader)?),
            OpCode::AddWatch => Self::AddWatch(path_mode(reader)?),
            OpCode::Error | OpCode::Notification => return Err(DecodeError::BadOp(op.as_i32())),
        })
    }

    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::DeleteContainer(_) => OpCode::DeleteContainer,
            Self::SetData(_) => OpCode::SetData,
            Self::SetAcl(_) => OpCode::SetAcl,
            Self::Check(_) => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::AttachSession { .. } => OpCode::AttachSession,
            Self::CloseSession => OpCode::CloseSession,
            Self::Exists(_) => OpCode::Exists,
            Self::GetData(_) => OpCode::GetData,
            Self::GetChildren(_) => OpCode::GetChildren,
            Self::GetChildren2(_) => OpCode::GetChildren2,
            Self::GetAcl(_) => OpCode::GetAcl,
            Self::GetEphemerals(_) => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber(_) => OpCode::GetAllChildrenNumber,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::Sync(_) => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Auth(_) => OpCode::Auth,
            Self::Sasl(_) => OpCode::Sasl,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::CheckWatches(_) => OpCode::CheckWatches,
            Self::RemoveWatches(_) => OpCode::RemoveWatches,
            Self::AddWatch(_) => OpCode::AddWatch,
        }
    }

    /// Appends the body, without a header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(r) | Self::Create2(r) | Self::CreateContainer(r) | Self::CreateTtl(r) => {
                r.encode(self.op(), out);
            }
            Self::Delete(r) | Self::Check(r) => {
                put_string(out, r.path);
                put_int(out, r.version);
            }
            Self::DeleteContainer(path) => out.extend_from_slice(path.as_bytes()),
            Self::SetData(r) => {
                put_string(out, r.path);
                put_buffer(out, r.data);
                put_int(out, r.version);
            }
            Self::SetAcl(r) => {
                put_string(out, r.path);
                r.acl.encode(out);
                put_int(out, r.version);
            }
            Self::Multi(multi) | Self::MultiRead(multi) => out.extend_from_slice(multi.bytes()),
            Self::Reconfig(r) => {
                put_ustring(out, r.joining);
                put_ustring(out, r.leaving);
                put_ustring(out, r.new_members);
                put_long(out, r.config_id);
            }
            Self::CreateSession { timeout_ms } | Self::AttachSession { timeout_ms } => {
                put_int(out, *timeout_ms);
            }
            Self::Exists(r) | Self::GetData(r) | Self::GetChildren(r) | Self::GetChildren2(r) => {
                put_string(out, r.path);
                put_bool(out, r.watch);
            }
            Self::GetAcl(path)
            | Self::GetEphemerals(path)
            | Self::GetAllChildrenNumber(path)
            | Self::Sync(path) => put_string(out, path),
            Self::CloseSession | Self::WhoAmI | Self::Ping => {}
            Self::Auth(r) => {
                put_int(out, r.kind);
                put_string(out, r.scheme);
                put_buffer(out, r.auth);
            }
            Self::Sasl(token) => put_buffer(out, *token),
            Self::SetWatches(r) => {
                put_long(out, r.relative_zxid);
                for paths in [r.data, r.exist, r.child] {
                    paths.encode(out);
                }
            }
            Self::SetWatches2(r) => {
                put_long(out, r.relative_zxid);
                for paths in [r.data, r.exist, r.child, r.persistent, r.persistent_recursive] {
                    paths.encode(out);
                }
            }
            Self::CheckWatches(r) | Self::RemoveWatches(r) | Self::AddWatch(r) => {
                put_string(out, r.path);
                put_int(out, r.mode);
            }
        }
    }
}

fn path_version<'a>(reader: &mut Reader<'a>) -> Result<PathVersion<'a>, DecodeError> {
    Ok(PathVersion { path: reader.string()?, version: reader.int()? })
}

fn path_mode<'a>(reader: &mut Reader<'a>) -> Result<PathMode<'a>, DecodeError> {
    Ok(PathMode { path: reader.string()?, mode: reader.int()? })
}

fn read<'a>(reader: &mut Reader<'a>) -> Result<Read<'a>, DecodeError> {
    Ok(Read { path: reader.string()?, watch: reader.boolean()? })
}

fn set_watches<'a>(
    reader: &mut Reader<'a>,
    second_form: bool,
) -> Result<SetWatches<'a>, DecodeError> {
    Ok(SetWatches {
        relative_zxid: reader.long()?,
        data: Strings::decode(reader)?,
        exist: Strings::decode(reader)?,
        child: Strings::decode(reader)?,
        persistent: if second_form { Strings::decode(reader)? } else { Strings::EMPTY },
        persistent_recursive: if second_form { Strings::decode(reader)? } else { Strings::EMPTY },
    })
}
