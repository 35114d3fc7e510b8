//! The steps by which one host moves between Apache ZooKeeper and the coordinator. Which of the two may run
//! stands on the host itself, with the name of the move; each step looks at it first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step on one host. `id` is the move's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum MoveStep {
    /// Apache's unit can be started by nobody any more; its process runs on.
    Bar {
        id: String,
        unit: String,
    },
    /// Its process is dead, and its data is out of the reach of a start.
    Fence {
        id: String,
        unit: String,
        account: String,
        data: String,
        log: Option<String>,
    },
    /// What a living member's files hold, read beside it.
    Check {
        tool: String,
        /// What the coordinator's configuration would be.
        properties: String,
        from: String,
        account: String,
    },
    /// How far the member has come.
    Standing {
        tool: String,
        data: String,
        log: Option<String>,
    },
    /// A member's files that follow the script become a folder.
    Unpack {
        folder: String,
        account: String,
        bytes: u64,
    },
    /// What another installation has there is kept for the way back.
    KeepFile {
        path: String,
    },
    /// The files that were brought become the coordinator's data.
    Import {
        tool: String,
        config: String,
        folder: String,
        id: String,
        epoch: u64,
        account: String,
        data: String,
    },
    /// The coordinator may run on this host.
    Allow {
        id: String,
    },
    /// And it is started.
    Open {
        id: String,
        unit: String,
    },
    /// The coordinator has ended, and is started by nobody any more.
    Seal {
        id: String,
        unit: String,
    },
    Unseal {
        id: String,
        unit: String,
    },
    /// What it holds, as a directory of Apache ZooKeeper's.
    Export {
        tool: String,
        config: String,
        id: String,
        folder: String,
        account: String,
    },
    /// Apache ZooKeeper may run, as it did before.
    Return {
        id: String,
        unit: String,
        own_unit: String,
        account: String,
        data: String,
        log: Option<String>,
        files: Vec<String>,
    },
    /// What is kept for the way back goes.
    Finish {
        account: String,
        data: String,
        log: Option<String>,
    },
}

impl MoveStep {
    pub(super) const fn function(&self) -> &'static str {
        match self {
            Self::Bar { .. } => "do_bar",
            Self::Fence { .. } => "do_fence",
            Self::Check { .. } => "do_check",
            Self::Standing { .. } => "do_standing",
            Self::Unpack { .. } => "do_unpack",
            Self::KeepFile { .. } => "do_keep_file",
            Self::Import { .. } => "do_import",
            Self::Allow { .. } => "do_allow",
            Self::Open { .. } => "do_open",
            Self::Seal { .. } => "do_seal",
            Self::Unseal { .. } => "do_unseal",
            Self::Export { .. } => "do_export",
            Self::Return { .. } => "do_return",
            Self::Finish { .. } => "do_finish",
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let or = |log: &Option<String>| log.clone().unwrap_or_default();
        match self {
            Self::Bar { id, unit }
            | Self::Open { id, unit }
            | Self::Seal { id, unit }
            | Self::Unseal { id, unit } => words(&[id, unit]),
            Self::Fence { id, unit, account, data, log } => {
                words(&[id, unit, account, data, &or(log)])
            }
            Self::Check { tool, properties, from, account } => {
                words(&[tool, properties, from, account])
            }
            Self::Standing { tool, data, log } => words(&[tool, data, &or(log)]),
            Self::Unpack { folder, account, bytes } => {
                words(&[folder, account, &bytes.to_string()])
            }
            Self::KeepFile { path: word } | Self::Allow { id: word } => words(&[word]),
            Self::Import { tool, config, folder, id, epoch, account, data } => {
                words(&[tool, config, folder, id, &epoch.to_string(), account, data])
            }
            Self::Export { tool, config, id, folder, account } => {
                words(&[tool, config, id, folder, account])
            }
            Self::Return { id, unit, own_unit, account, data, log, files } => {
                let mut all = words(&[id, unit, own_unit, account, data, &or(log)]);
                all.extend(files.iter().cloned());
                all
            }
            Self::Finish { account, data, log } => words(&[account, data, &or(log)]),
        }
    }

    /// One of each, for the test that looks for their functions.
    #[cfg(test)]
    pub(super) fn each() -> Vec<Self> {
        let text = || String::from("x");
        let log = || Some(text());
        let (id, unit, account, data) = (text, text, text, text);
        vec![
            Self::Bar { id: id(), unit: unit() },
            Self::Fence { id: id(), unit: unit(), account: account(), data: data(), log: log() },
            Self::Check { tool: text(), properties: text(), from: text(), account: account() },
            Self::Standing { tool: text(), data: data(), log: None },
            Self::Unpack { folder: text(), account: account(), bytes: 1 },
            Self::KeepFile { path: text() },
            Self::Import {
                tool: text(),
                config: text(),
                folder: text(),
                id: id(),
                epoch: 1,
                account: account(),
                data: data(),
            },
            Self::Allow { id: id() },
            Self::Open { id: id(), unit: unit() },
            Self::Seal { id: id(), unit: unit() },
            Self::Unseal { id: id(), unit: unit() },
            Self::Export {
                tool: text(),
                config: text(),
                id: id(),
                folder: text(),
                account: account(),
            },
            Self::Return {
                id: id(),
                unit: unit(),
                own_unit: text(),
                account: account(),
                data: data(),
                log: log(),
                files: vec![text()],
            },
            Self::Finish { account: account(), data: data(), log: log() },
        ]
    }
}
