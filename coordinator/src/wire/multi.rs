//! Multi: operations one after the other, each behind a `MultiHeader`, and their results.

use std::fmt;

use super::acl::AclList;
use super::code::Code;
use super::jute::{DecodeError, Reader, put_bool, put_int};
use super::opcode::OpCode;
use super::request::Request;
use super::stat::Stat;

/// Stands before each operation, each result, and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeader {
    pub op: i32,
    pub done: bool,
    pub err: i32,
}

impl MultiHeader {
    pub const END: Self = Self { op: -1, done: true, err: -1 };

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { op: reader.int()?, done: reader.boolean()?, err: reader.int()? })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.op);
        put_bool(out, self.done);
        put_int(out, self.err);
    }
}

/// Writes are for multi, reads for multiRead; mixing them is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    Read,
}

impl Kind {
    /// `MultiOperationRecord.deserialize` knows no other operations.
    fn allows(self, op: OpCode) -> bool {
        match self {
            Self::Write => matches!(
                op,
                OpCode::Create
                    | OpCode::Create2
                    | OpCode::CreateContainer
                    | OpCode::CreateTtl
                    | OpCode::Delete
                    | OpCode::SetData
                    | OpCode::Check
            ),
            Self::Read => matches!(op, OpCode::GetData | OpCode::GetChildren),
        }
    }
}

/// The operations of a multi, all of them checked when decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Multi<'a> {
    kind: Kind,
    len: usize,
    plain: bool,
    bytes: &'a [u8],
}

/// One operation, decoded and as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiOp<'a> {
    pub op: OpCode,
    pub body: &'a [u8],
    pub request: Request<'a>,
}

impl MultiOp<'_> {
    fn is_plain(&self) -> bool {
        match self.request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create) => create.acl == AclList::OPEN,
            Request::CreateTtl(_) => false,
            _ => true,
        }
    }
}

impl<'a> Multi<'a> {
    pub(super) fn read(kind: Kind, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.rest();
        let (mut len, mut plain) = (0, true);
        while let Some(part) = next_op(kind, reader)? {
            len += 1;
            plain &= part.is_plain();
        }
        Ok(Self { kind, len, plain, bytes: &start[..start.len() - reader.remaining()] })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No operation has a TTL, or an ACL list that says more than that all is allowed.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole record, end header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = MultiOp<'a>> + use<'a> {
        let kind = self.kind;
        let mut reader = Reader::new(self.bytes);
        // Checked in `read`, so the error arm is the end and nothing else.
        std::iter::from_fn(move || next_op(kind, &mut reader).ok().flatten())
    }
}

impl fmt::Debug for Multi<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|op| op.request)).finish()
    }
}

fn next_op<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Option<MultiOp<'a>>, DecodeError> {
    let header = MultiHeader::decode(reader)?;
    if header.done {
        return Ok(None);
    }
    let op = OpCode::from_i32(header.op)
        .filter(|op| kind.allows(*op))
        .ok_or(DecodeError::BadOp(header.op))?;
    let start = reader.rest();
    let request = Request::read(op, reader)?;
    Ok(Some(MultiOp { op, body: &start[..start.len() - reader.remaining()], request }))
}

/// Appends one operation to a multi that is being built; [`put_end`] closes it.
pub fn put_op(out: &mut Vec<u8>, request: &Request<'_>) {
    MultiHeader { op: request.op().as_i32(), done: false, err: -1 }.encode(out);
    request.encode(out);
}

pub fn put_end(out: &mut Vec<u8>) {
    MultiHeader::END.encode(out);
}

/// Header of a result that succeeded. The body follows: create a path; create2, container and
/// TTL a path and a [`Stat`]; setData a [`Stat`]; delete and check nothing.
pub fn put_result_header(out: &mut Vec<u8>, op: OpCode) {
    MultiHeader { op: op.as_i32(), done: false, err: 0 }.encode(out);
}

/// A result that failed: [`Code::Ok`] before the culprit, its own code, then
/// [`Code::RuntimeInconsistency`].
pub fn put_result_error(out: &mut Vec<u8>, code: Code) {
    MultiHeader { op: OpCode::Error.as_i32(), done: false, err: code.as_i32() }.encode(out);
    put_int(out, code.as_i32());
}

/// One result, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultiResult {
    Create(String),
    Create2(String, Stat),
    SetData(Stat),
    Delete,
    Check,
    GetData(Option<Vec<u8>>, Stat),
    GetChildren(Vec<String>),
    /// 0 before the operation that failed (rolled back), then its code, then −2.
    Error(i32),
}

impl MultiResult {
    /// All results up to the end header.
    pub fn decode_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut results = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(results);
            }
            results.push(match OpCode::from_i32(header.op) {
                Some(OpCode::Create) => Self::Create(reader.string()?.to_owned()),
                Some(OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl) => {
                    Self::Create2(reader.string()?.to_owned(), Stat::decode(reader)?)
                }
                Some(OpCode::SetData) => Self::SetData(Stat::decode(reader)?),
                Some(OpCode::Delete) => Self::Delete,
                Some(OpCode::Check) => Self::Check,
                Some(OpCode::GetData) => {
                    Self::GetData(reader.buffer()?.map(<[u8]>::to_vec), Stat::decode(reader)?)
                }
                Some(OpCode::GetChildren) => Self::GetChildren(super::reply::strings(reader)?),
                Some(OpCode::Error) => Self::Error(reader.int()?),
                _ => return Err(DecodeError::BadOp(header.op)),
            });
        }
    }
}
