//! The first frame of a connection and its answer.

use super::jute::{DecodeError, Reader, put_bool, put_buffer, put_int, put_long};

pub const PASSWORD_BYTES: usize = 16;
/// No client needs more; a longer one is refused before it costs anything.
pub const CONNECT_REQUEST_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    pub protocol_version: i32,
    pub last_zxid_seen: i64,
    pub timeout_ms: i32,
    /// 0 asks for a new session.
    pub session: i64,
    /// Any length is legal with session 0.
    pub password: Option<&'a [u8]>,
    /// `None`: the client is of the kind that does not send the byte (older than 3.4, go-zk) and
    /// must not get it back either.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        Ok(Self {
            protocol_version: reader.int()?,
            last_zxid_seen: reader.long()?,
            timeout_ms: reader.int()?,
            session: reader.long()?,
            password: reader.buffer()?,
            read_only: if reader.remaining() == 0 { None } else { Some(reader.boolean()?) },
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.protocol_version);
        put_long(out, self.last_zxid_seen);
        put_int(out, self.timeout_ms);
        put_long(out, self.session);
        put_buffer(out, self.password);
        if let Some(read_only) = self.read_only {
            put_bool(out, read_only);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    pub protocol_version: i32,
    /// 0 together with session 0: the session is expired, or the password is wrong.
    pub timeout_ms: i32,
    pub session: i64,
    pub password: [u8; PASSWORD_BYTES],
    /// Present exactly if the request had it: strict clients check the length (36 or 37 bytes).
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The answer that makes a client give its session up. Never send it for want of a leader.
    pub fn expired(read_only: Option<bool>) -> Self {
        Self {
            protocol_version: 0,
            timeout_ms: 0,
            session: 0,
            password: [0; PASSWORD_BYTES],
            read_only,
        }
    }

    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let protocol_version = reader.int()?;
        let timeout_ms = reader.int()?;
        let session = reader.long()?;
        let password = reader.buffer()?.ok_or(DecodeError::Null)?;
        Ok(Self {
            protocol_version,
            timeout_ms,
            session,
            password: password
                .try_into()
                .map_err(|_| DecodeError::BadLength(password.len() as i32))?,
            read_only: if reader.remaining() == 0 { None } else { Some(reader.boolean()?) },
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.protocol_version);
        put_int(out, self.timeout_ms);
        put_long(out, self.session);
        put_buffer(out, Some(&self.password));
        if let Some(read_only) = self.read_only {
            put_bool(out, read_only);
        }
    }
}
