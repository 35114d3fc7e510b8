//! Jute, the encoding of ZooKeeper's records: big-endian, no padding, no type tags.
//!
//! Null is not empty: a length of −1 is null, and stays null from end to end.

use std::fmt;

/// Why bytes are no record. On the wire all of them answer `MARSHALLINGERROR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The record goes on where the bytes end.
    Truncated,
    /// A length or count below −1, or a count that the remaining bytes cannot hold.
    BadLength(i32),
    /// A string is not UTF-8.
    BadUtf8,
    /// Null where the operation has no meaning for it (a path).
    Null,
    /// An operation that has no place here: unknown, or not allowed inside a multi.
    BadOp(i32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("record is cut short"),
            Self::BadLength(length) => write!(f, "impossible length {length}"),
            Self::BadUtf8 => f.write_str("string is not UTF-8"),
            Self::Null => f.write_str("null where a value is required"),
            Self::BadOp(op) => write!(f, "operation {op} is not allowed here"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads jute from the front of a slice; what it returns borrows from that slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Any byte but zero is true, as in Java's `DataInput.readBoolean`.
    pub fn boolean(&mut self) -> Result<bool, DecodeError> {
        self.array::<1>().map(|[byte]| byte != 0)
    }

    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let count = usize::try_from(length).map_err(|_| DecodeError::BadLength(length))?;
                self.bytes(count).map(Some)
            }
        }
    }

    pub fn ustring(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let Some(bytes) = self.buffer()? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| DecodeError::BadUtf8)
    }

    /// A string that must be there.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        self.ustring()?.ok_or(DecodeError::Null)
    }

    /// The count of a vector; `None` is a null vector. `item_bytes_min` is the size of the
    /// smallest item, so that a count never promises more than the frame can hold.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<Option<usize>, DecodeError> {
        match self.int()? {
            -1 => Ok(None),
            count => match usize::try_from(count) {
                Ok(items) if items <= self.rest.len() / item_bytes_min.max(1) => Ok(Some(items)),
                _ => Err(DecodeError::BadLength(count)),
            },
        }
    }
}

/// A vector of strings, checked when decoded, read without allocating.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Strings<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    pub const EMPTY: Strings<'static> = Strings { count: 0, bytes: &[] };

    /// A null vector reads as an empty one; null items are refused.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.count(4)?.unwrap_or(0);
        let start = reader.rest;
        for _ in 0..count {
            reader.string()?;
        }
        Ok(Self { count, bytes: &start[..start.len() - reader.rest.len()] })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || reader.string().ok())
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.count as i32);
        out.extend_from_slice(self.bytes);
    }
}

impl fmt::Debug for Strings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

pub fn put_int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub fn put_buffer(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_int(out, -1),
        Some(bytes) => {
            put_int(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}

pub fn put_string(out: &mut Vec<u8>, value: &str) {
    put_buffer(out, Some(value.as_bytes()));
}

pub fn put_ustring(out: &mut Vec<u8>, value: Option<&str>) {
    put_buffer(out, value.map(str::as_bytes));
}

pub fn put_strings<'s>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = &'s str>) {
    put_int(out, values.len() as i32);
    for value in values {
        put_string(out, value);
    }
}
