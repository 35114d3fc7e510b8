//! Replies and notifications: headers and the bodies that are more than one field.

use super::acl::Acl;
use super::code::Code;
use super::jute::{DecodeError, Reader, put_int, put_long, put_string};
use super::multi::MultiResult;
use super::opcode::OpCode;
use super::request::xid;
use super::stat::Stat;

/// Stands before each reply. A body follows only if `err` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's own, whatever it was.
    pub xid: i32,
    /// Never below the zxid of any state the client has been shown.
    pub zxid: i64,
    pub err: i32,
}

impl ReplyHeader {
    pub const BYTES: usize = 16;

    pub fn new(xid: i32, zxid: i64, code: Code) -> Self {
        Self { xid, zxid, err: code.as_i32() }
    }

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.xid.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.zxid.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.err.to_be_bytes());
        bytes
    }

    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: reader.int()?, zxid: reader.long()?, err: reader.int()? })
    }
}

/// `Watcher.Event.EventType`, those a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum EventKind {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

impl EventKind {
    pub fn from_i32(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::NodeCreated,
            2 => Self::NodeDeleted,
            3 => Self::NodeDataChanged,
            4 => Self::NodeChildrenChanged,
            _ => return None,
        })
    }

    /// ZooKeeper's own name, as its shell prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeCreated => "NodeCreated",
            Self::NodeDeleted => "NodeDeleted",
            Self::NodeDataChanged => "NodeDataChanged",
            Self::NodeChildrenChanged => "NodeChildrenChanged",
        }
    }
}

/// `KeeperState.SyncConnected`, the only state a server sends.
pub const SYNC_CONNECTED: i32 = 3;

/// What a watch tells. Its header is fixed: xid −1, zxid −1, err 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    pub kind: i32,
    pub state: i32,
    pub path: &'a str,
}

impl<'a> WatcherEvent<'a> {
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { kind: reader.int()?, state: reader.int()?, path: reader.string()? })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.kind);
        put_int(out, self.state);
        put_string(out, self.path);
    }
}

/// Appends a whole notification frame, length included.
pub fn put_notification(out: &mut Vec<u8>, kind: EventKind, path: &str) {
    put_int(out, (ReplyHeader::BYTES + 12 + path.len()) as i32);
    put_int(out, xid::NOTIFICATION);
    put_long(out, -1);
    put_int(out, 0);
    WatcherEvent { kind: kind as i32, state: SYNC_CONNECTED, path }.encode(out);
}

/// Appends a whole frame that is nothing but a header.
pub fn put_header_only(out: &mut Vec<u8>, header: ReplyHeader) {
    put_int(out, ReplyHeader::BYTES as i32);
    header.encode(out);
}

/// Body of a successful addWatch. Java reads it: without it the client drops the connection.
pub fn put_error_response(out: &mut Vec<u8>, code: Code) {
    put_int(out, code.as_i32());
}

/// An ACL entry, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

impl AclEntry {
    pub fn as_acl(&self) -> Acl<'_> {
        Acl { perms: self.perms, scheme: &self.scheme, id: &self.id }
    }
}

/// The body of a reply, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Header only: delete, check, ping, auth, setWatches, removeWatches, closeSession …
    Done,
    /// create, sync.
    Path(String),
    /// create2, createContainer, createTTL.
    PathStat(String, Stat),
    /// exists, setData, setACL.
    Stat(Stat),
    /// getData, reconfig.
    DataStat(Option<Vec<u8>>, Stat),
    AclStat(Vec<AclEntry>, Stat),
    /// getChildren, getEphemerals.
    Strings(Vec<String>),
    StringsStat(Vec<String>, Stat),
    /// getAllChildrenNumber.
    Count(i32),
    Multi(Vec<MultiResult>),
    /// sasl.
    Token(Option<Vec<u8>>),
    /// whoAmI: (scheme, user).
    Identities(Vec<(String, String)>),
}

impl Reply {
    /// Decodes what follows a header with err 0.
    pub fn decode(op: OpCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Sync => Self::Path(reader.string()?.to_owned()),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::PathStat(reader.string()?.to_owned(), Stat::decode(reader)?)
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(Stat::decode(reader)?),
            OpCode::GetData | OpCode::Reconfig => {
                Self::DataStat(reader.buffer()?.map(<[u8]>::to_vec), Stat::decode(reader)?)
            }
            OpCode::GetAcl => Self::AclStat(acl_entries(reader)?, Stat::decode(reader)?),
            OpCode::GetChildren | OpCode::GetEphemerals => Self::Strings(strings(reader)?),
            OpCode::GetChildren2 => Self::StringsStat(strings(reader)?, Stat::decode(reader)?),
            OpCode::GetAllChildrenNumber => Self::Count(reader.int()?),
            OpCode::Multi | OpCode::MultiRead => Self::Multi(MultiResult::decode_all(reader)?),
            OpCode::Sasl => Self::Token(reader.buffer()?.map(<[u8]>::to_vec)),
            OpCode::WhoAmI => Self::Identities(identities(reader)?),
            OpCode::AddWatch => {
                reader.int()?;
                Self::Done
            }
            _ => Self::Done,
        })
    }
}

pub(super) fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(4)?.unwrap_or(0);
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(reader.string()?.to_owned());
    }
    Ok(items)
}

fn acl_entries(reader: &mut Reader<'_>) -> Result<Vec<AclEntry>, DecodeError> {
    let count = reader.count(12)?.unwrap_or(0);
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let Acl { perms, scheme, id } = Acl::decode(reader)?;
        items.push(AclEntry { perms, scheme: scheme.to_owned(), id: id.to_owned() });
    }
    Ok(items)
}

fn identities(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, DecodeError> {
    let count = reader.count(8)?.unwrap_or(0);
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push((reader.string()?.to_owned(), reader.string()?.to_owned()));
    }
    Ok(items)
}
