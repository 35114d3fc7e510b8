//! What a command comes to: values, for [`super::show`] to print.

use crate::client::{Error, Event};
use crate::wire::code::Code;
use crate::wire::reply::AclEntry;
use crate::wire::stat::Stat;

use super::quota::Limits;

/// The result of a command that succeeded.
#[derive(Debug)]
pub(super) enum Outcome {
    Nothing,
    /// A line for people; JSON has it as `message`.
    Said(String),
    Created(String),
    Children(Vec<String>, Option<Stat>),
    Paths(Vec<String>),
    Data(Option<Vec<u8>>, Option<Stat>),
    Stat(Stat),
    Acl(Vec<AclEntry>, Option<Stat>),
    Quota {
        path: String,
        limits: Limits,
        used: Limits,
    },
    Count(i64),
    Ephemerals(Vec<String>),
    Identities(Vec<(String, String)>),
    Event(Event),
}

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The command line is wrong.
    Usage(String),
    /// Refused or failed by the server or on the way to it.
    Client { error: Error, path: String },
    /// Refused by the shell.
    Refused(String),
}

impl Trouble {
    /// For `map_err`: the path the operation was on.
    pub(super) fn on(path: &str) -> impl FnOnce(Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::Client { error, path }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Usage(text) | Self::Refused(text) => text.clone(),
            Self::Client { error, path } => told(error, path),
        }
    }

    pub(super) fn code(&self) -> Option<Code> {
        match self {
            Self::Client { error, .. } => error.code(),
            _ => None,
        }
    }
}

/// In `zkCli.sh`'s words where it has any, people search for them.
fn told(error: &Error, path: &str) -> String {
    let words = match error.code() {
        Some(Code::NoNode) => "Node does not exist: ",
        Some(Code::NoChildrenForEphemerals) => "Ephemerals cannot have children: ",
        Some(Code::NodeExists) => "Node already exists: ",
        Some(Code::NotEmpty) => "Node not empty: ",
        Some(Code::NotReadOnly) => "Not a read-only call: ",
        Some(Code::InvalidAcl) => "Acl is not valid : ",
        Some(Code::NoAuth) => "Insufficient permission : ",
        Some(Code::BadArguments) => "Arguments are not valid : ",
        Some(Code::BadVersion) => "version No is not valid : ",
        Some(Code::NoWatcher) => "No watch of this kind on ",
        Some(Code::Unimplemented) => "The server does not support this on ",
        Some(Code::QuotaExceeded) => "Quota has exceeded : ",
        Some(Code::ReconfigInProgress) => {
            return "Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)"
                .to_owned();
        }
        Some(Code::NewConfigNoQuorum) => {
            return "No quorum of new config is connected and up-to-date with the leader of last \
                    committed config - try invoking reconfiguration after new servers are connected \
                    and synced"
                .to_owned();
        }
        _ => return error.to_string(),
    };
    format!("{words}{path}")
}
