//! How far a stopped member of Apache ZooKeeper says that it has come. What it says is not taken at its word
//! where it goes on into a command.

use serde_json::Value;

use crate::failure::Failure;

/// How far one member has come, by which Apache's elections choose.
pub(super) struct Standing {
    pub(super) host: String,
    pub(super) vote: (u64, i64, u64),
    pub(super) epoch: u64,
    pub(super) snapshots: Vec<String>,
    pub(super) logs: Vec<String>,
}

impl Standing {
    pub(super) fn of(host: &str, told: &Value) -> Result<Self, Failure> {
        let unknown = || {
            Failure::failed(format!("it cannot be understood: {told}")).host(host).step("standing")
        };
        let number = |name: &str| told[name].as_u64().ok_or_else(unknown);
        let zxid = told["last_zxid"].as_i64().ok_or_else(unknown)?;
        let names = |name: &str, prefix: &str| -> Option<Vec<String>> {
            let all = told[name].as_array()?.iter();
            // They go into a command on that host: nothing is taken that is no file of a data directory.
            let plain = |text: &&str| {
                text.strip_prefix(prefix).is_some_and(|rest| {
                    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
                })
            };
            all.map(|name| name.as_str().filter(plain).map(str::to_owned)).collect()
        };
        Ok(Self {
            host: host.to_owned(),
            vote: (number("current_epoch")?, zxid, number("myid")?),
            epoch: number("epoch")?,
            snapshots: names("snapshots", "snapshot.").ok_or_else(unknown)?,
            logs: names("logs", "log.").ok_or_else(unknown)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_names_of_files() {
        let told = |snapshot: &str| {
            serde_json::json!({ "current_epoch": 3, "epoch": 4, "last_zxid": 12_884_901_890_i64, "myid": 2,
                "snapshots": [snapshot, "snapshot.0"], "logs": ["log.1"] })
        };
        let good = Standing::of("a", &told("snapshot.300000002.gz")).expect("a standing");
        assert_eq!((good.vote, good.epoch), ((3, 12_884_901_890, 2), 4));
        for bad in [
            "snapshot.1 -C /",
            "snapshot.../../etc/shadow",
            "--checkpoint-action=exec=sh",
            "snapshot.",
        ] {
            assert!(Standing::of("a", &told(bad)).is_err(), "{bad}");
        }
    }
}
