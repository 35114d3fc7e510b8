//! The inventory as a value, after every check that needs no network.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::inventory::address;
use crate::inventory::listener::Listener;
use crate::inventory::source::{Sha512, Source};
use crate::layout::UNIT;

/// A whole inventory, checked. Relative paths are already joined to the inventory's folder.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The file it was read from, as the user named it.
    pub path: PathBuf,
    /// Names the operator lock, the reports and the ensemble itself.
    pub ensemble: String,
    /// In the order of the file; ranges expanded.
    pub hosts: Vec<Host>,
    pub kafka: Kafka,
    pub coordinator: Coordinator,
    /// Further lines of `zookeeper.properties`, passed through for every host.
    pub properties: BTreeMap<String, String>,
    /// Folder whose files override the built-in templates of the same name.
    pub templates: Option<PathBuf>,
    /// Where the sudo password comes from, when the user does not type it.
    pub become_password: Option<SecretSource>,
    /// In the order of the file; ranges expanded.
    pub brokers: Vec<Broker>,
    pub security: Security,
}

/// One host, with everything that may differ between hosts already settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The key in the inventory: a short name for people and reports.
    pub name: String,
    /// By which members and clients know it: an IP address or a host name.
    pub address: String,
    /// 1 to 255, unique in the ensemble; 0 on a host that is no member.
    pub myid: u8,
    pub role: Role,
    /// How the controller gets in.
    pub ssh: SshTarget,
    /// How it becomes root there.
    pub r#become: Become,
    /// Absolute path on the host.
    pub data_dir: String,
    /// Absolute path on the host; `None`: the log lives in `data_dir`.
    pub data_log_dir: Option<String>,
    pub ports: Ports,
    /// Lines of `zookeeper.properties` for this host alone; they win over the ensemble's.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub client: u16,
    pub quorum: u16,
    pub election: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes.
    Participant,
    /// Follows and serves reads, does not vote.
    Observer,
    /// No member at all: the host runs a broker and nothing else.
    Broker,
}

/// The way in, which need not be the address the ensemble uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshTarget {
    /// `ssh.host`, or the host's address.
    pub host: String,
    /// `None`: what the user's ssh configuration says, else 22.
    pub port: Option<u16>,
    /// `None`: what the user's ssh configuration says, else the local user.
    pub user: Option<String>,
    pub identity_file: Option<PathBuf>,
    /// A further ssh configuration file, read before the user's own.
    pub config: Option<PathBuf>,
    pub connect_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    /// The login is root already.
    None,
    /// `sudo`, with a password only if there is one; a login that turns out to be root needs none.
    Sudo,
}

/// The Kafka distribution on the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `false` leaves the tarball out.
    pub install: bool,
    /// Such as `3.3.1`.
    pub version: String,
    /// Such as `2.13`.
    pub scala: String,
    /// Tried in this order; never empty (the archive is the default).
    pub sources: Vec<Source>,
    /// `None`: from the table of known releases.
    pub sha512: Option<Sha512>,
    /// The folder under which releases are unpacked.
    pub install_root: String,
    pub fetch: FetchMode,
}

impl Kafka {
    /// The distribution's name without suffix, which is also its top folder: `kafka_2.13-3.3.1`.
    pub fn distribution(&self) -> String {
        format!("kafka_{}-{}", self.scala, self.version)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchMode {
    /// One download here, streamed to every host.
    Controller,
    /// Each host downloads and hashes for itself.
    Host,
}

/// The service that coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinator {
    pub engine: Engine,
    pub tick_time_ms: u32,
    /// In ticks.
    pub init_limit: u32,
    /// In ticks.
    pub sync_limit: u32,
    /// Per client address; 0 is no limit.
    pub max_client_cnxns: u32,
    /// One's own `server.N` line says `0.0.0.0`, as the tutorial does it, instead of the address.
    pub bind_any: bool,
    /// A coordinator binary to ship instead of the one found for the host's architecture.
    pub binary: Option<PathBuf>,
    /// By which members prove to each other that they belong to the ensemble.
    pub secret: Option<SecretSource>,
    /// Only with `engine: coordinator`: the account it runs as, when it is not the one that its data has, or the usual one.
    pub account: Option<String>,
    /// Only with `engine: zookeeper`: the `java` to run, when it is not the one in PATH.
    pub java_home: Option<String>,
    /// Only with `engine: zookeeper`: heap size as Java writes it, such as `512M`.
    pub heap: Option<String>,
    /// An Apache ZooKeeper that was there before zkprov.
    pub apache: Option<Apache>,
}

/// An Apache ZooKeeper that somebody else has set up, alike on all members: left as it is while it is the
/// engine, and the way back once the ensemble has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apache {
    /// Absolute path on the hosts.
    pub unit_file: String,
    /// Absolute path on the hosts.
    pub config: String,
    pub account: String,
}

impl Apache {
    /// As systemd calls it.
    pub fn unit(&self) -> &str {
        self.unit_file.rsplit('/').next().unwrap_or_default()
    }
}

/// Who may talk to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// What the members' client ports take.
    pub clients: Transport,
    /// What members take from each other.
    pub members: Transport,
    /// Brokers speak TLS to the members.
    pub brokers: bool,
    /// `None`: zkprov makes one.
    pub ca: Option<GivenAuthority>,
    pub days: u32,
    /// Users of SASL; `None`: zkprov makes the password.
    pub users: BTreeMap<String, Option<SecretSource>>,
    /// One of the users.
    pub broker_user: Option<String>,
    /// Brokers keep what they write to themselves.
    pub acl: bool,
}

impl Security {
    /// Whether any connection is encrypted.
    pub fn tls(&self) -> bool {
        self.clients != Transport::Off || self.members != Transport::Off
    }
}

/// How encrypted connections are asked for, from nowhere to everywhere: neighbours in this order can talk to
/// each other, whichever of the two a server has and its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    #[default]
    Off,
    /// TLS is taken and never asked for: a step on members' way, which no inventory names.
    Accepted,
    /// TLS is asked for, and plain connections are taken as well.
    Optional,
    /// Nothing else is taken.
    Required,
}

impl Transport {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accepted => "accepted",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// An authority that the operator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenAuthority {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The one zkprov ships.
    Coordinator,
    /// Apache ZooKeeper from Kafka's tarball; needs Java on the host.
    Zookeeper,
}

/// Where a secret is read from when it is needed. The secret itself is never in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the zkprov process.
    Env(String),
    File(PathBuf),
}

/// A secret that has been read; does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A broker and the host it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// A name under `hosts`.
    pub host: String,
    pub id: u32,
    /// One at least.
    pub listeners: Vec<Listener>,
    /// Absolute paths on the host; one at least.
    pub log_dirs: Vec<String>,
    /// As Java writes it; `None`: by the host's memory.
    pub heap: Option<String>,
    /// `None`: the `java` in PATH.
    pub java_home: Option<String>,
    /// Further lines of `server.properties`.
    pub properties: BTreeMap<String, String>,
}

impl Inventory {
    /// The hosts that belong to the ensemble.
    pub fn members(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.is_member())
    }

    /// The broker on `host`.
    pub fn broker_on(&self, host: &Host) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.host == host.name)
    }

    /// Where clients connect: every member, observers too.
    pub fn connect(&self) -> String {
        let servers: Vec<String> = self.members().map(Host::connect).collect();
        servers.join(",")
    }

    pub fn participants(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.role == Role::Participant)
    }

    /// How many participants must be up for the ensemble to serve.
    pub fn majority(&self) -> usize {
        self.participants().count() / 2 + 1
    }

    /// The Apache ZooKeeper that runs as somebody else has set it up.
    pub fn adopted(&self) -> Option<&Apache> {
        self.coordinator.apache.as_ref().filter(|_| self.coordinator.engine == Engine::Zookeeper)
    }

    /// The members' unit.
    pub fn unit(&self) -> &str {
        self.adopted().map_or(UNIT, Apache::unit)
    }

    /// The lines of `zookeeper.properties` that are passed through for `host`.
    pub fn properties_of(&self, host: &Host) -> BTreeMap<String, String> {
        let mut properties = self.properties.clone();
        properties.extend(host.properties.clone());
        properties
    }
}

impl Host {
    /// Whether it belongs to the ensemble.
    pub fn is_member(&self) -> bool {
        self.role != Role::Broker
    }

    /// Where clients connect to it.
    pub fn connect(&self) -> String {
        format!("{}:{}", address::in_url(&self.address), self.ports.client)
    }
}

impl Broker {
    pub fn listeners_line(&self) -> String {
        let lines: Vec<String> = self.listeners.iter().map(|l| l.at(&l.host)).collect();
        lines.join(",")
    }

    /// What clients are told, where it is not what the listeners say: one that listens everywhere is
    /// known by the host's address.
    pub fn advertised_line(&self, host: &Host) -> Option<String> {
        let given = self.properties.contains_key("advertised.listeners");
        if given || !self.listeners.iter().any(Listener::everywhere) {
            return None;
        }
        let address = address::in_url(&host.address);
        let lines: Vec<String> = self
            .listeners
            .iter()
            .map(|l| l.at(if l.everywhere() { &address } else { &l.host }))
            .collect();
        Some(lines.join(","))
    }
}
