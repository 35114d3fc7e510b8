//! Access control lists as they stand on the wire.

use std::fmt;

use super::jute::{DecodeError, Reader, put_int, put_string};

/// Permission bits, `ZooDefs.Perms`.
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

/// One entry. A null scheme or id reads as empty: no scheme is called so, and no id of a scheme
/// that looks at its id is valid when empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acl<'a> {
    pub perms: i32,
    pub scheme: &'a str,
    pub id: &'a str,
}

impl<'a> Acl<'a> {
    /// world:anyone with every permission, `ZooDefs.Ids.OPEN_ACL_UNSAFE`.
    pub const OPEN: Acl<'static> = Acl { perms: perms::ALL, scheme: "world", id: "anyone" };

    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            perms: reader.int()?,
            scheme: reader.ustring()?.unwrap_or_default(),
            id: reader.ustring()?.unwrap_or_default(),
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.perms);
        put_string(out, self.scheme);
        put_string(out, self.id);
    }
}

/// A list, checked when decoded, read without allocating. Null and empty stay apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AclList<'a> {
    /// −1 is null.
    count: i32,
    bytes: &'a [u8],
}

impl<'a> AclList<'a> {
    pub const NULL: AclList<'static> = AclList { count: -1, bytes: &[] };
    pub const EMPTY: AclList<'static> = AclList { count: 0, bytes: &[] };
    /// One entry, world:anyone:cdrwa.
    pub const OPEN: AclList<'static> =
        AclList { count: 1, bytes: b"\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone" };

    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let Some(count) = reader.count(12)? else { return Ok(Self::NULL) };
        let start = reader.rest();
        for _ in 0..count {
            Acl::decode(reader)?;
        }
        Ok(Self { count: count as i32, bytes: &start[..start.len() - reader.remaining()] })
    }

    pub fn is_null(&self) -> bool {
        self.count < 0
    }

    /// Zero for null too.
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count <= 0
    }

    /// The entries as encoded, without the count: equal bytes are equal lists.
    pub fn entry_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = Acl<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || Acl::decode(&mut reader).ok())
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.count);
        out.extend_from_slice(self.bytes);
    }
}

impl fmt::Debug for AclList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("null");
        }
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Encodes entries that do not stand in a frame yet.
pub fn put_acls<'s>(out: &mut Vec<u8>, acls: impl ExactSizeIterator<Item = Acl<'s>>) {
    put_int(out, acls.len() as i32);
    for acl in acls {
        acl.encode(out);
    }
}
