//! What commands print for programs, as one line of JSON: its form, for those who write it here and
//! for those who read it elsewhere (zkprov).
//!
//! A reader may be older or newer than the writer: unknown fields are passed over, missing ones are
//! not known. Absent values are null, so that readers need not tell missing from unknown.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// What a server is among the members, as `srvr` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    Standalone,
    /// Without a quorum: it serves clients that only read.
    ReadOnly,
}

impl Mode {
    pub const ALL: [Mode; 5] =
        [Mode::Leader, Mode::Follower, Mode::Observer, Mode::Standalone, Mode::ReadOnly];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Observer => "observer",
            Self::Standalone => "standalone",
            Self::ReadOnly => "read-only",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// In a quorum, or alone by design.
    pub const fn serves(self) -> bool {
        !matches!(self, Self::ReadOnly)
    }
}

/// One line of `coordinator status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// As it was asked: HOST:PORT.
    pub server: String,
    pub serving: bool,
    #[serde(deserialize_with = "mode")]
    pub mode: Option<Mode>,
    /// Why it does not serve.
    pub error: Option<String>,
    pub version: Option<String>,
    /// The last zxid: its epoch above, its counter below.
    #[serde(with = "hexadecimal")]
    pub zxid: Option<i64>,
    pub epoch: Option<i64>,
    pub counter: Option<i64>,
    /// Operations behind the newest of the servers asked; unknown across epochs.
    pub lag: Option<i64>,
    /// Of a leader.
    pub peers: Option<Peers>,
    /// Members prove to each other who they are.
    pub peers_authenticated: Option<bool>,
    /// Members to which everything goes in a form that can be read on the way.
    pub peers_unencrypted: Option<i64>,
    pub sessions: Option<i64>,
    pub connections: Option<i64>,
    pub outstanding: Option<i64>,
    pub node_count: Option<i64>,
    pub probe: Option<Probe>,
}

/// The other members, as their leader knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Peers {
    pub connected: Option<i64>,
    /// Those that follow closely, observers too.
    pub synced: Option<i64>,
    /// Votes besides the leader's own.
    pub voters_besides: Option<i64>,
}

/// A znode was written, read and deleted through the server, or could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    pub ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A mode of a later release is none that is known.
fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(word.and_then(|word| Mode::from_word(&word)))
}

/// A number as `0x` and hexadecimal digits.
mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        number: &Option<i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => serializer.serialize_str(&format!("{number:#x}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let number = u64::from_str_radix(digits, 16).map(u64::cast_signed);
        number.map(Some).map_err(|_| D::Error::custom(format!("`{text}` is no hexadecimal number")))
    }

    /// One that is never null.
    pub(super) mod known {
        use serde::de::Error as _;
        use serde::{Deserializer, Serializer};

        #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
        pub(in super::super) fn serialize<S: Serializer>(
            number: &i64,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            super::serialize(&Some(*number), serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<i64, D::Error> {
            super::deserialize(deserializer)?.ok_or_else(|| D::Error::custom("the number is null"))
        }
    }
}

/// The line of `coordinator brokers`: what Kafka keeps about its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Brokers {
    /// The broker that is the controller.
    pub controller: Option<u32>,
    pub brokers: Vec<Registration>,
    pub partitions: Vec<Partition>,
    /// `min.insync.replicas` of the cluster, where somebody has set it.
    pub min_insync: Option<u32>,
}

/// The line of `coordinator admin backup` on stderr: what is in the backup that it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupReport {
    /// Of the last operation in it.
    #[serde(with = "hexadecimal::known")]
    pub zxid: i64,
    /// As the server counts: the root twice.
    pub znodes: u64,
    pub sessions: u64,
    /// Of the file.
    pub bytes: u64,
    pub sha256: String,
    /// Of the ensemble it comes from.
    pub ensemble: String,
}

/// The line of `coordinator check BACKUP`: what is in a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupCheck {
    pub sound: bool,
    /// Of the last operation in it.
    #[serde(with = "hexadecimal::known")]
    pub zxid: i64,
    /// As the server counts: the root twice.
    pub znodes: u64,
    pub ephemerals: u64,
    pub sessions: u64,
    /// Of the file.
    pub bytes: u64,
    /// Over all znodes but ephemerals and `/zookeeper/config`: the same before and after a restore.
    pub digest: String,
    /// The ensemble it comes from.
    pub ensemble: String,
}

/// The line of `coordinator restore`: what a restore has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreReport {
    /// The restored member.
    pub server: u8,
    /// Of the ensemble that begins: the same on all members.
    pub ensemble: String,
    pub members: Vec<u64>,
    pub znodes: u64,
    pub sessions_ended: u64,
    pub ephemerals_removed: u64,
    /// All that come are higher.
    #[serde(with = "hexadecimal::known")]
    pub zxid: i64,
    /// As `coordinator check BACKUP` shows it.
    pub digest: String,
    /// Where data that was there is now.
    pub moved: Vec<String>,
}

/// One registered broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    pub id: u32,
    /// In milliseconds since 1970: another start is another registration.
    pub registered_ms: i64,
}

/// The line of `coordinator brokers --id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Broker {
    pub id: u32,
    /// `None`: it is not registered.
    pub registered_ms: Option<i64>,
    pub controller: Option<u32>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    pub topic: String,
    pub partition: u32,
    pub replicas: Vec<u32>,
    /// `None`: it has never had a leader; −1: it has none now.
    pub leader: Option<i64>,
    pub isr: Option<Vec<u32>>,
    /// The topic's own `min.insync.replicas`.
    pub min_insync: Option<u32>,
}

impl Partition {
    /// The replicas in sync.
    pub fn in_sync(&self) -> &[u32] {
        self.isr.as_deref().unwrap_or_default()
    }

    /// It lacks a replica in sync, or a leader.
    pub fn is_under_replicated(&self) -> bool {
        let in_sync = self.in_sync();
        self.leader.is_none_or(|leader| leader < 0)
            || self.replicas.iter().any(|replica| !in_sync.contains(replica))
    }
}

/// As people write it.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{} has {:?} of {:?} in sync",
            self.topic,
            self.partition,
            self.in_sync(),
            self.replicas
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_as_it_went_out() {
        let status = Status {
            server: "a:2181".to_owned(),
            serving: true,
            mode: Some(Mode::Leader),
            zxid: Some(0x1_0000_0002),
            peers: Some(Peers { synced: Some(2), ..Peers::default() }),
            probe: Some(Probe { ok: true, ms: Some(3), error: None }),
            ..Status::default()
        };
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.contains(r#""zxid":"0x100000002""#), "{text}");
        assert!(
            text.contains(r#""mode":"leader""#) && text.contains(r#""nodeCount":null"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
        let negative = Status { zxid: Some(-1), ..status };
        let text = serde_json::to_string(&negative).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap().zxid, Some(-1));
    }

    #[test]
    fn a_reader_takes_what_it_knows_of_other_releases() {
        let of_later = r#"{"mode":"witness","serving":true,"shoeSize":42}"#;
        let status: Status = serde_json::from_str(of_later).unwrap();
        assert_eq!((status.mode, status.serving, status.zxid), (None, true, None));
        assert!(serde_json::from_str::<Status>(r#"{"zxid":"many"}"#).is_err());
        assert_eq!(serde_json::from_str::<Brokers>("{}").unwrap(), Brokers::default());
    }

    #[test]
    fn a_backup_and_a_restore_come_back_as_they_went_out() {
        let backup = BackupReport {
            zxid: 0x1_0000_004b,
            znodes: 27,
            bytes: 1600,
            ..BackupReport::default()
        };
        let text = serde_json::to_string(&backup).unwrap();
        assert!(text.starts_with(r#"{"zxid":"0x10000004b","znodes":27,"#), "{text}");
        assert_eq!(serde_json::from_str::<BackupReport>(&text).unwrap(), backup);
        let restored =
            RestoreReport { moved: vec!["/d/old".to_owned()], ..RestoreReport::default() };
        let text = serde_json::to_string(&restored).unwrap();
        assert_eq!(serde_json::from_str::<RestoreReport>(&text).unwrap(), restored);
        // What is not said is not sound, and no zxid is none to go on from.
        assert!(!serde_json::from_str::<BackupCheck>("{}").unwrap().sound);
        assert!(serde_json::from_str::<BackupCheck>(r#"{"zxid":"many"}"#).is_err());
        assert!(serde_json::from_str::<BackupCheck>(r#"{"zxid":null}"#).is_err());
    }

    #[test]
    fn every_mode_is_read_as_it_is_written() {
        for mode in Mode::ALL {
            let text = serde_json::to_string(&mode).unwrap();
            assert_eq!(text, format!("\"{}\"", mode.word()));
            assert_eq!(Mode::from_word(mode.word()), Some(mode));
        }
    }

    #[test]
    fn a_partition_lacks_a_leader_or_a_replica() {
        let whole = Partition {
            topic: "t".to_owned(),
            partition: 0,
            replicas: vec![1, 2],
            leader: Some(1),
            isr: Some(vec![2, 1]),
            min_insync: None,
        };
        assert!(!whole.is_under_replicated());
        assert_eq!(whole.to_string(), "t-0 has [2, 1] of [1, 2] in sync");
        for lacking in [
            Partition { leader: Some(-1), ..whole.clone() },
            Partition { leader: None, ..whole.clone() },
            Partition { isr: Some(vec![1]), ..whole.clone() },
            Partition { isr: None, ..whole },
        ] {
            assert!(lacking.is_under_replicated(), "{lacking:?}");
        }
    }
}
