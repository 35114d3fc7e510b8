//! What a call can come to besides success.

use std::fmt;

use crate::wire::code::Code;
use crate::wire::jute::DecodeError;
use crate::wire::opcode::OpCode;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server's answer.
    Code(Code),
    /// The server's answer, by a number no one knows.
    UnknownCode(i32),
    /// The text that should name servers does not.
    ConnectString { text: String, why: &'static str },
    /// No server took the session in the time there was; `last` says what the last one did.
    Unreachable { servers: String, last: String },
    /// The connection broke: whether requests in flight took effect is not known.
    ConnectionLost(String),
    /// The session and its ephemerals are gone; only a new client can go on.
    SessionExpired,
    /// The server refused these credentials and closed the connection.
    AuthFailed { scheme: String },
    /// The server sent something that is no answer.
    Protocol(String),
}

impl Error {
    pub(super) fn from_code(number: i32) -> Self {
        Code::from_i32(number).map_or(Self::UnknownCode(number), Self::Code)
    }

    pub(super) fn undecodable(op: OpCode, cause: DecodeError) -> Self {
        Self::Protocol(format!("reply to {op:?} cannot be decoded: {cause}"))
    }

    /// The code, if the server answered.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Code(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code} ({})", code.as_i32()),
            Self::UnknownCode(number) => write!(f, "server answered with unknown code {number}"),
            Self::ConnectString { text, why } => write!(f, "`{text}` names no servers: {why}"),
            Self::Unreachable { servers, last } => {
                write!(f, "no server of `{servers}` takes a session: {last}")
            }
            Self::ConnectionLost(why) => write!(f, "connection lost: {why}"),
            Self::SessionExpired => f.write_str("session expired"),
            Self::AuthFailed { scheme } => {
                write!(f, "server refused the credentials of scheme `{scheme}`")
            }
            Self::Protocol(what) => write!(f, "server broke the protocol: {what}"),
        }
    }
}

impl std::error::Error for Error {}
