//! What shall be on a host. Every resource has the same parts, in the same order: what it reads
//! (`read`, shell beside the file), how the host differs from it (`differ`, pure), and the change
//! that makes it so (a call of a shell function). A new resource is one file and one arm here.

pub mod account;
pub mod archive;
pub mod binary;
pub mod directory;
pub mod file;
pub mod fstab;
pub mod service;
pub mod swap;
pub mod symlink;
pub mod sysctl;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::probe::{Observed, Reading};

/// One thing that shall be on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Group(account::Group),
    User(account::User),
    Swap(swap::Swap),
    SwapUnits(swap::SwapUnits),
    Zram(swap::Zram),
    Fstab(fstab::Fstab),
    Sysctl(sysctl::Sysctl),
    Directory(directory::Directory),
    Archive(archive::Archive),
    Symlink(symlink::Symlink),
    File(file::File),
    Binary(binary::Binary),
    OldBinaries(binary::OldBinaries),
    Service(service::Service),
}

/// All kinds, for `--only` and the help.
pub const KINDS: [&str; 11] = [
    "group",
    "user",
    "swap",
    "fstab",
    "sysctl",
    "directory",
    "archive",
    "symlink",
    "file",
    "binary",
    "service",
];

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
    fn change(change: Change) -> Self {
        Self::Changes(vec![change])
    }

    fn refused(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { cause: cause.into(), hint: hint.into() }
    }
}

/// What a change does, in one word for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Main,
    Archive,
}

/// Bytes a change needs behind the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub path: PathBuf,
    pub bytes: u64,
}

/// One change: what a person is told, and the call that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub action: Action,
    /// Why, in a few words.
    pub why: String,
    /// Old and new content, as a unified diff, for `--diff`.
    pub diff: Option<String>,
    /// The shell function, and the arguments it is called with.
    pub function: String,
    pub arguments: Vec<String>,
    /// Its arguments hold a secret: never shown.
    pub secret: bool,
    pub carried: Option<Carried>,
}

impl Change {
    fn new<A: Into<String>>(
        action: Action,
        why: impl Into<String>,
        function: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            action,
            why: why.into(),
            diff: None,
            function: function.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            secret: false,
            carried: None,
        }
    }
}

/// The `.sh` file in which a function of a change lives.
pub fn library(function: &str) -> &'static str {
    match function {
        "do_group" | "do_user" | "undo_group" | "undo_user" => account::SHELL,
        "do_swapoff" | "do_swap_units" | "do_zram" => swap::SHELL,
        "do_fstab" | "undo_fstab" => fstab::SHELL,
        "do_sysctl" => sysctl::SHELL,
        "do_directory" | "undo_directory" | "purge_directory" | "purge_data" => directory::SHELL,
        "do_archive" | "do_archive_fetched" | "undo_archives" => archive::SHELL,
        "do_symlink" | "undo_symlink" => symlink::SHELL,
        "do_file" | "undo_file" => file::SHELL,
        "do_binary" | "do_prune" => binary::SHELL,
        _ => service::SHELL,
    }
}

impl Resource {
    /// Its kind, as `--only` names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::User(_) => "user",
            Self::Swap(_) | Self::SwapUnits(_) | Self::Zram(_) => "swap",
            Self::Fstab(_) => "fstab",
            Self::Sysctl(_) => "sysctl",
            Self::Directory(_) => "directory",
            Self::Archive(_) => "archive",
            Self::Symlink(_) => "symlink",
            Self::File(_) => "file",
            Self::Binary(_) | Self::OldBinaries(_) => "binary",
            Self::Service(_) => "service",
        }
    }

    /// Kind and subject: how plans, progress and failures call it.
    pub fn name(&self) -> String {
        match self {
            Self::Group(group) => format!("group {}", group.name),
            Self::User(user) => format!("user {}", user.name),
            Self::Swap(_) => "swap now".into(),
            Self::SwapUnits(_) => "swap units".into(),
            Self::Zram(_) => "swap zram-generator".into(),
            Self::Fstab(_) => fstab::Fstab::NAME.into(),
            Self::Sysctl(_) => "sysctl values".into(),
            Self::Directory(directory) => format!("directory {}", directory.path),
            Self::Archive(archive) => format!("archive {}", archive.path()),
            Self::Symlink(symlink) => format!("symlink {}", symlink.path),
            Self::File(file) => format!("file {}", file.path),
            Self::Binary(binary) => format!("binary {}", binary.path),
            Self::OldBinaries(_) => "binary older ones".into(),
            Self::Service(service) => format!("service {}", service.unit),
        }
    }

    /// What the probe must read for it.
    pub fn read(&self, reading: &mut Reading) {
        match self {
            Self::Group(group) => group.read(reading),
            Self::User(user) => user.read(reading),
            Self::Swap(swap) => swap.read(reading),
            // Read by others: units by the service, zram by swap, the binary through its link.
            Self::SwapUnits(_) | Self::Zram(_) | Self::Binary(_) | Self::OldBinaries(_) => {}
            Self::Fstab(fstab) => fstab.read(reading),
            Self::Sysctl(sysctl) => sysctl.read(reading),
            Self::Directory(directory) => directory.read(reading),
            Self::Archive(archive) => archive.read(reading),
            Self::Symlink(symlink) => symlink.read(reading),
            Self::File(file) => file.read(reading),
            Self::Service(service) => service.read(reading),
        }
    }

    /// How the host differs from it, once the resources named in `changed` have been made so: what
    /// an earlier step does counts as done.
    pub fn differ(&self, observed: &Observed, changed: &[String]) -> Difference {
        match self {
            Self::Group(group) => group.differ(observed),
            Self::User(user) => user.differ(observed),
            Self::Swap(swap) => swap.differ(observed),
            Self::SwapUnits(units) => units.differ(observed),
            Self::Zram(zram) => zram.differ(observed),
            Self::Fstab(fstab) => fstab.differ(observed),
            Self::Sysctl(sysctl) => sysctl.differ(observed),
            Self::Directory(directory) => directory.differ(observed),
            Self::Archive(archive) => archive.differ(observed),
            Self::Symlink(symlink) => symlink.differ(observed, changed),
            Self::File(file) => file.differ(observed),
            Self::Binary(binary) => binary.differ(observed),
            Self::OldBinaries(old) => old.differ(observed),
            Self::Service(service) => service.differ(observed, changed),
        }
    }

    /// Whether its changes stand in line with the archive's bytes.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Archive(_) | Self::Symlink(symlink::Symlink { with_archive: true, .. }) => {
                Lane::Archive
            }
            _ => Lane::Main,
        }
    }

    /// When its changes may run.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Service(service) => service.phase,
            Self::File(file::File { phase, .. })
            | Self::Symlink(symlink::Symlink { phase, .. }) => *phase,
            _ => Phase::Prepare,
        }
    }
}
