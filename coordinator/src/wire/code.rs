//! Result codes, `KeeperException.Code`. Clients map part of this table only: invent none.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    SystemError = -1,
    /// In a multi: an operation after the one that failed.
    RuntimeInconsistency = -2,
    DataInconsistency = -3,
    /// Made by clients, never sent.
    ConnectionLoss = -4,
    MarshallingError = -5,
    Unimplemented = -6,
    OperationTimeout = -7,
    BadArguments = -8,
    UnknownSession = -12,
    NewConfigNoQuorum = -13,
    ReconfigInProgress = -14,
    ApiError = -100,
    NoNode = -101,
    NoAuth = -102,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    InvalidCallback = -113,
    InvalidAcl = -114,
    AuthFailed = -115,
    SessionMoved = -118,
    NotReadOnly = -119,
    EphemeralOnLocalSession = -120,
    NoWatcher = -121,
    RequestTimeout = -122,
    ReconfigDisabled = -123,
    SessionClosedRequireSaslAuth = -124,
    QuotaExceeded = -125,
    ThrottledOp = -127,
}

impl Code {
    pub fn as_i32(self) -> i32 {
        self as i32
    }

    pub fn from_i32(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Ok,
            -1 => Self::SystemError,
            -2 => Self::RuntimeInconsistency,
            -3 => Self::DataInconsistency,
            -4 => Self::ConnectionLoss,
            -5 => Self::MarshallingError,
            -6 => Self::Unimplemented,
            -7 => Self::OperationTimeout,
            -8 => Self::BadArguments,
            -12 => Self::UnknownSession,
            -13 => Self::NewConfigNoQuorum,
            -14 => Self::ReconfigInProgress,
            -100 => Self::ApiError,
            -101 => Self::NoNode,
            -102 => Self::NoAuth,
            -103 => Self::BadVersion,
            -108 => Self::NoChildrenForEphemerals,
            -110 => Self::NodeExists,
            -111 => Self::NotEmpty,
            -112 => Self::SessionExpired,
            -113 => Self::InvalidCallback,
            -114 => Self::InvalidAcl,
            -115 => Self::AuthFailed,
            -118 => Self::SessionMoved,
            -119 => Self::NotReadOnly,
            -120 => Self::EphemeralOnLocalSession,
            -121 => Self::NoWatcher,
            -122 => Self::RequestTimeout,
            -123 => Self::ReconfigDisabled,
            -124 => Self::SessionClosedRequireSaslAuth,
            -125 => Self::QuotaExceeded,
            -127 => Self::ThrottledOp,
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::SystemError => "system error",
            Self::RuntimeInconsistency => "rolled back with its multi",
            Self::DataInconsistency => "data inconsistency",
            Self::ConnectionLoss => "connection lost",
            Self::MarshallingError => "request cannot be decoded",
            Self::Unimplemented => "operation is not supported",
            Self::OperationTimeout => "operation timed out",
            Self::BadArguments => "bad arguments",
            Self::UnknownSession => "unknown session",
            Self::NewConfigNoQuorum => "no quorum of the new configuration",
            Self::ReconfigInProgress => "reconfiguration in progress",
            Self::ApiError => "API error",
            Self::NoNode => "node does not exist",
            Self::NoAuth => "insufficient permission",
            Self::BadVersion => "version does not match",
            Self::NoChildrenForEphemerals => "ephemerals cannot have children",
            Self::NodeExists => "node already exists",
            Self::NotEmpty => "node has children",
            Self::SessionExpired => "session expired",
            Self::InvalidCallback => "invalid callback",
            Self::InvalidAcl => "ACL is not valid",
            Self::AuthFailed => "authentication failed",
            Self::SessionMoved => "session moved to another server",
            Self::NotReadOnly => "server is read-only",
            Self::EphemeralOnLocalSession => "ephemeral on a local session",
            Self::NoWatcher => "no such watch",
            Self::RequestTimeout => "request timed out",
            Self::ReconfigDisabled => "reconfiguration is disabled",
            Self::SessionClosedRequireSaslAuth => "SASL authentication is required",
            Self::QuotaExceeded => "quota exceeded",
            Self::ThrottledOp => "operation throttled",
        })
    }
}
