//! What a run tells, once: people, programs, JUnit and the HTML page are fed by these values. As JSON they
//! are the lines of `--output json`.

use coordinator::answers::{BackupReport, RestoreReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Version of the lines; a new field does not raise it.
pub const VERSION: u32 = 1;

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    #[serde(default = "version")]
    pub version: u32,
    /// Since the run began.
    pub elapsed_ms: u64,
    #[serde(flatten)]
    pub event: Event,
}

const fn version() -> u32 {
    VERSION
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// What would be changed on one host.
    Plan(PlannedHost),
    Step {
        host: String,
        step: String,
        state: StepState,
    },
    Roll {
        what: RollStep,
        host: String,
        #[serde(default)]
        why: String,
    },
    /// A member of the ensemble, by `zkprov status`.
    Host(Box<HostStatus>),
    Broker {
        host: String,
        id: u32,
        unit: String,
        registered: bool,
        controller: bool,
    },
    /// A certificate on a host, by `zkprov certs`.
    Certificate {
        host: String,
        store: String,
        /// As RFC 2253 writes it.
        subject: String,
        issuer: String,
        names: Vec<String>,
        /// Seconds since 1970.
        not_after: u64,
        /// Null: it has ended.
        days_left: Option<u64>,
    },
    Partitions {
        partitions: usize,
        under_replicated: Vec<String>,
    },
    Failure {
        /// None: of the run as a whole.
        host: Option<String>,
        step: Option<String>,
        cause: String,
        #[serde(default)]
        hint: Option<String>,
        #[serde(default)]
        exit: Option<u8>,
    },
    Summary(Box<Summary>),
}

impl Event {
    pub fn failure(failure: &Failure) -> Self {
        Self::Failure {
            host: failure.host.clone(),
            step: failure.step.clone(),
            cause: failure.cause.clone(),
            hint: failure.hint.clone(),
            exit: Some(failure.exit.code()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedHost {
    pub host: String,
    pub steps: Vec<PlannedStep>,
    /// Resources that are as they should be.
    #[serde(default)]
    pub same: Vec<String>,
    #[serde(default)]
    pub notes: Vec<Note>,
    #[serde(default)]
    pub refusals: Vec<Refusal>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    pub step: String,
    /// As `--only` names it.
    #[serde(default)]
    pub kind: String,
    pub action: String,
    pub why: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    pub resource: String,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub resource: String,
    pub cause: String,
    pub hint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    Begin,
    Done,
    Failed,
}

/// What happens in a roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RollStep {
    Wait,
    Transfer,
    Remove,
    Restart,
    Back,
    Rollback,
}

impl RollStep {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Transfer => "transfer",
            Self::Remove => "remove",
            Self::Restart => "restart",
            Self::Back => "back",
            Self::Rollback => "rollback",
        }
    }

    /// The line for people.
    pub fn line(self, elapsed_s: f64, host: &str, why: &str) -> String {
        let host = if host.is_empty() { String::new() } else { format!("{host}  ") };
        format!("{elapsed_s:7.1}s  {:<8}  {host}{why}", self.word())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostStatus {
    pub host: String,
    pub myid: u8,
    pub votes: bool,
    pub unreachable: Option<String>,
    /// As systemd says; empty when there is no unit.
    pub unit: String,
    pub main_pid: u32,
    pub restarts: u32,
    /// `leader`, `follower`, `observer` or `standalone`; null: it does not serve.
    pub mode: Option<String>,
    pub error: Option<String>,
    pub zxid: Option<String>,
    pub lag: Option<i64>,
    pub sessions: Option<i64>,
    pub connections: Option<i64>,
    pub nodes: Option<i64>,
    pub server_version: Option<String>,
    pub synced: Option<i64>,
    pub electorate: Option<i64>,
    /// Steps that would make it what the inventory says.
    pub drift: Option<Vec<String>>,
}

/// How the run ended, in numbers; each command fills what it has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaints: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
}

/// A backup that was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Backup {
    /// Of the last operation in it: `0x` and hexadecimal digits.
    pub zxid: String,
    pub znodes: u64,
    pub sessions: u64,
    /// Of the file.
    pub bytes: u64,
    /// Of the file.
    pub sha256: String,
    /// The id of the ensemble it comes from.
    pub ensemble: String,
}

impl From<&BackupReport> for Backup {
    fn from(report: &BackupReport) -> Self {
        let BackupReport { zxid, znodes, sessions, bytes, sha256, ensemble } = report.clone();
        Self { zxid: format!("{zxid:#x}"), znodes, sessions, bytes, sha256, ensemble }
    }
}

/// What a restore has done on one member; on the others the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Restored {
    /// The `myid` of that member.
    pub server: u8,
    /// The id of the ensemble that begins.
    pub ensemble: String,
    pub members: Vec<u64>,
    pub znodes: u64,
    pub sessions_ended: u64,
    pub ephemerals_removed: u64,
    /// All that come are higher: `0x` and hexadecimal digits.
    pub zxid: String,
    /// As `coordinator check BACKUP` shows it.
    pub digest: String,
    /// Where the member keeps what it held before.
    pub moved: Vec<String>,
}

impl From<&RestoreReport> for Restored {
    fn from(report: &RestoreReport) -> Self {
        let RestoreReport {
            server,
            ensemble,
            members,
            znodes,
            sessions_ended,
            ephemerals_removed,
            zxid,
            digest,
            moved,
        } = report.clone();
        Self {
            server,
            ensemble,
            members,
            znodes,
            sessions_ended,
            ephemerals_removed,
            zxid: format!("{zxid:#x}"),
            digest,
            moved,
        }
    }
}
