//! What can be done on a host: one variant a function of the shell libraries, its arguments as fields.
//! This value is planned, saved, shown, rolled and undone; the shell call is rendered from it here and
//! nowhere else.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layout::{BINARY, SWAP_LINE_PREFIX, TRUST_STORE};
use crate::plan::library;
use crate::plan::move_step::MoveStep;
use crate::script::Script;

/// Owner, group and mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Access {
    pub owner: String,
    pub group: String,
    /// Octal, without leading zero, as `stat` prints it.
    pub mode: String,
}

impl Access {
    pub fn new(owner: &str, group: &str, mode: &str) -> Self {
        Self { owner: owner.into(), group: group.into(), mode: mode.into() }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.owner, self.group, self.mode)
    }
}

/// A file on the controller whose bytes follow the script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Carried {
    pub path: PathBuf,
    pub bytes: u64,
}

/// A release and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The folder it is unpacked in.
    pub root: String,
    /// Its only top folder.
    pub name: String,
    /// Who owns the files.
    pub user: String,
    pub sha512: String,
    /// Where a foreign folder of the same name is kept.
    pub aside: Option<String>,
}

/// A kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    pub key: String,
    pub value: u64,
}

/// The tool's command that must succeed before a service counts as serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Awaited {
    pub unit: String,
    pub seconds: u64,
    /// The tool and its arguments.
    pub command: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Operation {
    CreateGroup {
        name: String,
    },
    CreateUser {
        name: String,
        group: String,
    },
    RemoveUser {
        name: String,
    },
    RemoveGroup {
        name: String,
    },

    SwapOff {
        areas: Vec<String>,
    },
    MaskSwapUnits {
        units: Vec<String>,
    },
    DisableZram,
    /// Puts the lines of these numbers out of action, if the file still has this digest.
    CommentSwapLines {
        sha256: String,
        lines: Vec<usize>,
    },
    RestoreSwapLines,
    SetSysctl {
        settings: Vec<Setting>,
    },

    MakeDirectory {
        path: String,
        access: Access,
    },
    /// Only when it is empty.
    RemoveDirectory {
        path: String,
    },
    /// With everything in it.
    PurgeDirectory {
        path: String,
    },
    /// A service's data, where its owner and its content show that it is.
    PurgeData {
        path: String,
        owner: String,
    },

    /// `tarball` is known once it has been fetched and verified.
    UnpackRelease {
        release: Release,
        bytes: u64,
        tarball: Option<Carried>,
    },
    /// The host downloads for itself.
    DownloadRelease {
        release: Release,
        urls: Vec<String>,
    },
    RemoveReleases {
        root: String,
    },

    MakeSymlink {
        path: String,
        target: String,
        aside: Option<String>,
    },
    RemoveSymlink {
        path: String,
    },
    WriteFile {
        path: String,
        access: Access,
        content: String,
        secret: bool,
        /// Where another installation's file is kept.
        aside: Option<String>,
    },
    RemoveFile {
        path: String,
    },

    /// Makes a key beside the store it is for, and tells the request for its certificate.
    RequestCertificate {
        tool: String,
        store: String,
    },
    /// Puts the key of the last request and what was issued for it into the store.
    InstallCertificate {
        store: String,
        access: Access,
        /// The subject as RFC 2253 writes it, and the names that the certificate holds for.
        subject: String,
        names: Vec<String>,
        /// PEM; empty until it has been issued.
        chain: String,
    },

    InstallBinary {
        path: String,
        sha256: String,
        source: Carried,
    },
    RemoveBinaries {
        paths: Vec<String>,
    },

    EnableUnit {
        unit: String,
        reload: bool,
    },
    ReloadUnits,
    /// `again`: systemd starts it again and again; it is stopped first, so that its restarts count anew.
    StartUnit {
        unit: String,
        again: bool,
    },
    StopUnit {
        unit: String,
    },
    /// `stop_s`: how long the old process may take to end, where that is not the usual time.
    RestartUnit {
        unit: String,
        stop_s: Option<u32>,
    },
    DisableUnit {
        unit: String,
    },

    AwaitService(Awaited),
    AwaitMajority {
        majority: usize,
        servers: Vec<String>,
        tool: String,
    },
    /// Waits for seconds until a leader counts so many others as synced; never fails.
    AwaitCounted {
        tool: String,
        server: String,
        others: usize,
    },
    /// What is written on one server is read on another, the first of some that answers.
    WriteAndRead {
        tool: String,
        znode: String,
        value: String,
        writer: String,
        readers: Vec<String>,
    },

    /// Copies what the unit runs now to `folder`.
    KeepPrevious {
        folder: String,
        change: String,
        unit: String,
        files: Vec<String>,
    },
    /// What was kept for this very change takes its place again.
    PutBack {
        folder: String,
        change: String,
        files: Vec<String>,
    },
    /// The same, whatever change it was kept for.
    RollBack {
        folder: String,
        files: Vec<String>,
    },

    /// Between Apache ZooKeeper and the coordinator.
    Move(MoveStep),

    /// A command of operators on a host's own server.
    Admin {
        tool: String,
        socket: String,
        command: Vec<String>,
    },
    LoadBackup {
        tool: String,
        config: String,
        bytes: u64,
        ensemble_id: String,
        epoch: u64,
    },
}

impl Operation {
    /// The shell function, as its library names it.
    const fn function(&self) -> &'static str {
        match self {
            Self::CreateGroup { .. } => "do_group",
            Self::CreateUser { .. } => "do_user",
            Self::RemoveUser { .. } => "undo_user",
            Self::RemoveGroup { .. } => "undo_group",
            Self::SwapOff { .. } => "do_swapoff",
            Self::MaskSwapUnits { .. } => "do_swap_units",
            Self::DisableZram => "do_zram",
            Self::CommentSwapLines { .. } => "do_fstab",
            Self::RestoreSwapLines => "undo_fstab",
            Self::SetSysctl { .. } => "do_sysctl",
            Self::MakeDirectory { .. } => "do_directory",
            Self::RemoveDirectory { .. } => "undo_directory",
            Self::PurgeDirectory { .. } => "purge_directory",
            Self::PurgeData { .. } => "purge_data",
            Self::UnpackRelease { .. } => "do_archive",
            Self::DownloadRelease { .. } => "do_archive_fetched",
            Self::RemoveReleases { .. } => "undo_archives",
            Self::MakeSymlink { .. } => "do_symlink",
            Self::RemoveSymlink { .. } => "undo_symlink",
            Self::WriteFile { .. } => "do_file",
            Self::RequestCertificate { .. } => "do_request",
            Self::InstallCertificate { .. } => "do_certificate",
            Self::RemoveFile { .. } => "undo_file",
            Self::InstallBinary { .. } => "do_binary",
            Self::RemoveBinaries { .. } => "do_prune",
            Self::EnableUnit { .. } => "do_enable",
            Self::ReloadUnits => "do_reload",
            Self::StartUnit { .. } => "do_start",
            Self::StopUnit { .. } => "do_stop",
            Self::RestartUnit { .. } => "do_restart",
            Self::DisableUnit { .. } => "undo_service",
            Self::AwaitService(_) => "do_await",
            Self::AwaitMajority { .. } => "do_majority",
            Self::AwaitCounted { .. } => "await_counted",
            Self::WriteAndRead { .. } => "do_verify",
            Self::KeepPrevious { .. } => "do_keep",
            Self::PutBack { .. } => "undo_switch",
            Self::RollBack { .. } => "do_back",
            Self::Move(step) => step.function(),
            Self::Admin { .. } => "zk_run",
            Self::LoadBackup { .. } => "do_restore",
        }
    }

    /// The `.sh` file in which it lives; `None`: the prelude.
    const fn library(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateGroup { .. }
            | Self::CreateUser { .. }
            | Self::RemoveUser { .. }
            | Self::RemoveGroup { .. } => library::ACCOUNT,
            Self::SwapOff { .. } | Self::MaskSwapUnits { .. } | Self::DisableZram => library::SWAP,
            Self::CommentSwapLines { .. } | Self::RestoreSwapLines => library::FSTAB,
            Self::SetSysctl { .. } => library::SYSCTL,
            Self::MakeDirectory { .. }
            | Self::RemoveDirectory { .. }
            | Self::PurgeDirectory { .. }
            | Self::PurgeData { .. } => library::DIRECTORY,
            Self::UnpackRelease { .. }
            | Self::DownloadRelease { .. }
            | Self::RemoveReleases { .. } => library::ARCHIVE,
            Self::MakeSymlink { .. } | Self::RemoveSymlink { .. } => library::SYMLINK,
            Self::WriteFile { .. } | Self::RemoveFile { .. } => library::FILE,
            Self::InstallBinary { .. } | Self::RemoveBinaries { .. } => library::BINARY,
            Self::RequestCertificate { .. } | Self::InstallCertificate { .. } => {
                library::CERTIFICATE
            }
            Self::EnableUnit { .. }
            | Self::ReloadUnits
            | Self::StartUnit { .. }
            | Self::StopUnit { .. }
            | Self::RestartUnit { .. }
            | Self::DisableUnit { .. }
            | Self::AwaitService(_)
            | Self::AwaitMajority { .. }
            | Self::AwaitCounted { .. }
            | Self::WriteAndRead { .. }
            | Self::KeepPrevious { .. }
            | Self::PutBack { .. }
            | Self::RollBack { .. } => library::SERVICE,
            Self::LoadBackup { .. } => library::RESTORE,
            Self::Move(_) => library::MOVE,
            Self::Admin { .. } => return None,
        })
    }

    /// The arguments, in the order in which the function reads them.
    fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let and = |first: &[&str], rest: &[String]| {
            first.iter().map(|&word| word.to_owned()).chain(rest.iter().cloned()).collect()
        };
        let option = |aside: &Option<String>| aside.clone().unwrap_or_default();
        let release = |release: &Release| {
            let Release { root, name, user, sha512, aside } = release;
            vec![root.clone(), name.clone(), user.clone(), sha512.clone(), option(aside)]
        };
        match self {
            Self::DisableZram | Self::ReloadUnits => Vec::new(),
            Self::CreateGroup { name } | Self::RemoveUser { name } | Self::RemoveGroup { name } => {
                vec![name.clone()]
            }
            Self::CreateUser { name, group } => words(&[name, group]),
            Self::SwapOff { areas: all }
            | Self::MaskSwapUnits { units: all }
            | Self::RemoveBinaries { paths: all } => all.clone(),
            Self::CommentSwapLines { sha256, lines } => {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                and(&[sha256, SWAP_LINE_PREFIX], &lines)
            }
            Self::RestoreSwapLines => words(&[SWAP_LINE_PREFIX]),
            Self::SetSysctl { settings } => settings
                .iter()
                .flat_map(|setting| [setting.key.clone(), setting.value.to_string()])
                .collect(),
            Self::MakeDirectory { path, access } => {
                words(&[path, &access.owner, &access.group, &access.mode])
            }
            Self::RemoveDirectory { path }
            | Self::PurgeDirectory { path }
            | Self::RemoveReleases { root: path }
            | Self::RemoveSymlink { path }
            | Self::RemoveFile { path } => vec![path.clone()],
            Self::UnpackRelease { release: of, bytes, .. } => {
                release(of).into_iter().chain([bytes.to_string()]).collect()
            }
            Self::DownloadRelease { release: of, urls } => {
                release(of).into_iter().chain(urls.iter().cloned()).collect()
            }
            Self::MakeSymlink { path, target, aside } => words(&[path, target, &option(aside)]),
            Self::PurgeData { path, owner } => words(&[path, owner]),
            Self::WriteFile { path, access, content, aside, .. } => {
                let Access { owner, group, mode } = access;
                let size = content.len().to_string();
                let words = [path, owner, group, mode, &size, content].into_iter();
                words.chain(aside).cloned().collect()
            }
            Self::RequestCertificate { tool, store } => words(&[tool, store]),
            Self::InstallCertificate { store, access, chain, .. } => {
                words(&[store, &access.owner, &access.group, &access.mode, chain])
            }
            Self::InstallBinary { path, sha256, source } => {
                words(&[path, sha256, &source.bytes.to_string()])
            }
            Self::EnableUnit { unit, reload } => {
                let option = if *reload { None } else { Some("--no-reload") };
                [unit.as_str()].into_iter().chain(option).map(str::to_owned).collect()
            }
            Self::StartUnit { unit, again } => {
                let again = if *again { Some("again") } else { None };
                [unit.as_str()].into_iter().chain(again).map(str::to_owned).collect()
            }
            Self::StopUnit { unit } | Self::DisableUnit { unit } => {
                vec![unit.clone()]
            }
            Self::RestartUnit { unit, stop_s } => {
                [unit.clone()].into_iter().chain(stop_s.map(|s| s.to_string())).collect()
            }
            Self::AwaitService(Awaited { unit, seconds, command }) => {
                and(&[unit, &seconds.to_string()], command)
            }
            Self::AwaitMajority { majority, servers, tool } => {
                and(&[tool, &majority.to_string()], servers)
            }
            Self::AwaitCounted { tool, server, others } => {
                words(&[tool, server, &others.to_string()])
            }
            Self::WriteAndRead { tool, znode, value, writer, readers } => {
                and(&[tool, znode, value, writer], readers)
            }
            Self::KeepPrevious { folder, change, unit, files } => {
                and(&[folder, change, unit], files)
            }
            Self::PutBack { folder, change, files } => and(&[folder, change], files),
            Self::RollBack { folder, files } => and(&[folder], files),
            Self::Move(step) => step.arguments(),
            Self::Admin { tool, socket, command } => {
                and(&[tool, "admin", "--socket", socket], command)
            }
            Self::LoadBackup { tool, config, bytes, ensemble_id, epoch } => {
                words(&[tool, config, &bytes.to_string(), ensemble_id, &epoch.to_string()])
            }
        }
    }

    /// Waits until the coordinator behind `server` serves in a quorum.
    pub fn serving(unit: &str, seconds: u64, server: &str) -> Self {
        Self::awaiting(unit, seconds, &["status", "--server", server])
    }

    /// Waits until a broker has registered.
    pub fn registered(unit: &str, seconds: u64, connect: &str, id: u32) -> Self {
        Self::awaiting(unit, seconds, &["brokers", "--server", connect, "--id", &id.to_string()])
    }

    fn awaiting(unit: &str, seconds: u64, arguments: &[&str]) -> Self {
        let words = [BINARY].into_iter().chain(arguments.iter().copied());
        let command = words.map(str::to_owned).collect();
        Self::AwaitService(Awaited { unit: unit.to_owned(), seconds, command })
    }

    /// Appends it to a script as one step.
    pub fn step(&self, name: &str, script: &mut Script) {
        self.call("zk_step", name, script);
    }

    /// Appends it to a script between two steps: nothing is told of it.
    pub fn between(&self, script: &mut Script) {
        if let Some(library) = self.library() {
            script.library(library);
        }
        let arguments = self.arguments();
        script.call(self.function(), arguments.iter().map(String::as_str));
    }

    /// Appends the beginning of a binary's step: its bytes are taken off the stream, so that what is sent
    /// behind them need not wait for digests and disks.
    pub fn take(&self, name: &str, script: &mut Script) {
        if let Self::InstallBinary { path, source, .. } = self {
            script.library(library::BINARY);
            script.call("binary_take", [name, path.as_str(), source.bytes.to_string().as_str()]);
        }
    }

    /// Appends the end of that step.
    pub fn take_end(&self, name: &str, script: &mut Script) {
        if let Self::InstallBinary { path, .. } = self {
            self.call("zk_conclude", name, script);
            script.call("binary_drop", [path.as_str()]);
        }
    }

    fn call(&self, through: &str, name: &str, script: &mut Script) {
        if let Some(library) = self.library() {
            script.library(library);
        }
        let arguments = self.arguments();
        let words = [name, self.function()].into_iter();
        script.call(through, words.chain(arguments.iter().map(String::as_str)));
    }

    /// Bytes that follow the script for it.
    pub const fn carried(&self) -> Option<&Carried> {
        match self {
            Self::InstallBinary { source, .. } => Some(source),
            Self::UnpackRelease { tarball, .. } => tarball.as_ref(),
            _ => None,
        }
    }

    /// Without what only this machine, or a download, tells: where bytes lie here, and how many.
    #[must_use]
    pub fn essence(&self) -> Self {
        match self.clone() {
            Self::UnpackRelease { release, .. } => {
                Self::UnpackRelease { release, bytes: 0, tarball: None }
            }
            Self::InstallBinary { path, sha256, source } => {
                let source = Carried { path: PathBuf::new(), bytes: source.bytes };
                Self::InstallBinary { path, sha256, source }
            }
            // So is an authority, before any host knows it.
            Self::WriteFile { path, access, secret, aside, .. } if path == TRUST_STORE => {
                Self::WriteFile { path, access, content: String::new(), secret, aside }
            }
            // A secret that is made for the first apply is another one by then.
            other => other.shown(),
        }
    }

    /// Fit to be shown: a secret's content is left out.
    #[must_use]
    pub fn shown(&self) -> Self {
        match self.clone() {
            Self::WriteFile { path, access, secret: true, aside, .. } => {
                let content = "(secret)".into();
                Self::WriteFile { path, access, content, secret: true, aside }
            }
            other => other,
        }
    }

    /// What a service's step is called behind the service's own name.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::EnableUnit { .. } => "enable",
            Self::ReloadUnits => "reload",
            Self::StartUnit { .. } => "start",
            Self::StopUnit { .. } => "stop",
            Self::RestartUnit { .. } => "restart",
            Self::DisableUnit { .. } => "disable",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests;
