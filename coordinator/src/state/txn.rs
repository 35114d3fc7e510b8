//! One write as it stands in the log.

use super::identity::Identity;
use crate::wire::opcode::OpCode;
use std::fmt;

/// When an operation happened, as its leader stamped it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub zxid: i64,
    pub time_ms: i64,
}

/// The client's own jute body, verbatim, with who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Txn<'a> {
    /// 0 is the server itself: no session is checked.
    pub session: i64,
    pub identity: Identity<'a>,
    pub op: OpCode,
    pub body: &'a [u8],
}

/// Bytes that this program did not write, or that something has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt(pub &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged {}", self.0)
    }
}

impl std::error::Error for Corrupt {}

impl<'a> Txn<'a> {
    /// Appends a form that ends by itself: session, op, lengths of identity and body, both.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let identity = self.identity.bytes();
        out.reserve(20 + identity.len() + self.body.len());
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.op.as_i32().to_le_bytes());
        out.extend_from_slice(&(identity.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        out.extend_from_slice(identity);
        out.extend_from_slice(self.body);
    }

    pub fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        Self::take(input).ok_or(Corrupt("operation in the log"))
    }

    fn take(input: &mut &'a [u8]) -> Option<Self> {
        let (session, rest) = input.split_first_chunk()?;
        let (op, rest) = rest.split_first_chunk()?;
        let (identity_len, rest) = rest.split_first_chunk()?;
        let (body_len, rest) = rest.split_first_chunk()?;
        let (identity, rest) = rest.split_at_checked(u32::from_le_bytes(*identity_len) as usize)?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*body_len) as usize)?;
        let op = OpCode::from_i32(i32::from_le_bytes(*op))?;
        *input = rest;
        Some(Self {
            session: i64::from_le_bytes(*session),
            identity: Identity::from_bytes(identity),
            op,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_ends_by_itself() {
        let txn = Txn {
            session: 5,
            identity: Identity::from_bytes(b"\x02ip\x01\x00x"),
            op: OpCode::SetData,
            body: b"body",
        };
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        txn.encode(&mut bytes);
        let mut input = &bytes[..];
        assert_eq!(Txn::decode(&mut input), Ok(txn));
        assert_eq!(Txn::decode(&mut input), Ok(txn));
        assert!(Txn::decode(&mut input).is_err());
        for cut in 0..bytes.len() / 2 {
            assert!(Txn::decode(&mut &bytes[..cut]).is_err());
        }
    }
}
