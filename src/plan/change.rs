//! How a host differs from what it should be, and the change that makes it so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::operation::Operation;
use crate::plan::reason::Reason;

/// How a host differs from a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Same,
    /// As it should be, with something a person should know.
    Noted(String),
    /// Cannot be had on this host, and need not be.
    NotApplicable(String),
    /// One change, or several in order.
    Changes(Vec<Change>),
    /// Nothing may be done here before a person has decided.
    Refused {
        cause: String,
        hint: String,
    },
}

impl Difference {
    pub fn change(change: Change) -> Self {
        Self::Changes(vec![change])
    }

    pub fn refused(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { cause: cause.into(), hint: hint.into() }
    }
}

/// What a change does, in one word for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Create,
    Update,
    Delete,
    Enable,
    Start,
    Restart,
}

impl Action {
    /// As plans print it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Enable => "enable",
            Self::Start => "start",
            Self::Restart => "restart",
        }
    }
}

/// When a change may run, seen from a server that is serving already.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At any time: what runs does not notice.
    Prepare,
    /// What the server reads when it starts: on a serving ensemble only when it is its turn.
    Switch,
    /// The service itself.
    Serve,
    /// What the host's broker reads when it starts: after the coordinators, and in its own turn.
    BrokerSwitch,
    /// The broker itself.
    BrokerServe,
}

impl Phase {
    /// Whether it concerns the broker alone.
    pub const fn of_broker(self) -> bool {
        matches!(self, Self::BrokerSwitch | Self::BrokerServe)
    }

    /// Changes of this phase ask for a restart of the service whose own phase is `service`.
    pub fn concerns(self, service: Self) -> bool {
        matches!(
            (self, service),
            (Self::Switch, Self::Serve) | (Self::BrokerSwitch, Self::BrokerServe)
        )
    }
}

/// What runs beside what: the release is unpacked while everything else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Main,
    Archive,
}

/// One change: what a person reads of it, and the operation that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub action: Action,
    pub reason: Reason,
    /// Old and new content, as a unified diff, for `--diff`.
    pub diff: Option<String>,
    pub operation: Operation,
}

impl Change {
    pub const fn new(action: Action, reason: Reason, operation: Operation) -> Self {
        Self { action, reason, diff: None, operation }
    }
}
