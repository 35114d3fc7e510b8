//! The inventory: which hosts, and what they shall be. A value of [`Inventory`] has passed every
//! check that needs no network.

pub mod address;
pub mod broker;
pub mod check;
pub mod finding;
pub mod import;
pub mod keys;
pub mod range;
pub mod read;
pub mod release;
pub mod scalar;
pub mod schema;
pub mod shape;
pub mod ssh_config;
pub mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::inventory::broker::{Broker, BrokerDraft};
use crate::inventory::finding::{Finding, Severity};
use crate::inventory::read::{Base, Draft, HostDraft};

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

/// Where a release may be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `http://` or `https://`, complete.
    Url(String),
    File(PathBuf),
}

/// What the inventory says about a release's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sha512 {
    /// 128 lower-case hex digits.
    Digest(String),
    /// A checksum file in one of Apache's shapes.
    File(Source),
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
    /// Only with `engine: zookeeper`: the `java` to run, when it is not the one in PATH.
    pub java_home: Option<String>,
    /// Only with `engine: zookeeper`: heap size as Java writes it, such as `512M`.
    pub heap: Option<String>,
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

/// What reading an inventory came to: all findings, and the inventory if none of them is an error.
#[derive(Debug)]
pub struct Reading {
    pub inventory: Option<Inventory>,
    pub findings: Vec<Finding>,
    /// The findings as people read them, with the lines they point at.
    pub shown: String,
    /// Hosts of which only the `address` is wrong because it is every host's own: they can be asked
    /// which one they have.
    pub adrift: Vec<Host>,
}

impl Reading {
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The inventory, or all errors as one failure.
    pub fn into_inventory(self, path: &Path) -> Result<Inventory, Failure> {
        let problems = if self.count(Severity::Error) == 1 { "a problem" } else { "problems" };
        let Self { inventory, shown, .. } = self;
        inventory.ok_or_else(|| {
            let name = path.display();
            Failure::usage(format!("{name} has {problems}\n{}", shown.trim_end()))
        })
    }
}

/// Bytes to an inventory, without looking at anything else: `path` is only for messages and for
/// what relative paths are joined to.
pub fn read(path: &Path, bytes: &[u8], home: Option<&Path>) -> Reading {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let base = Base { folder, home: home.map(Path::to_path_buf) };
    let mut findings = Vec::new();
    let text = match yaml::decode(bytes) {
        Ok(text) => text,
        Err(finding) => {
            findings.push(finding);
            ""
        }
    };
    let mut draft = None;
    if findings.is_empty() {
        draft = yaml::parse(text, &mut findings)
            .and_then(|root| read::draft(&root, &base, &mut findings));
    }
    if let Some(draft) = &draft {
        check::check(draft, &mut findings);
    }
    let shown = finding::render(&path.display().to_string(), text, &findings);
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    let adrift = draft.iter().flat_map(|draft| &draft.hosts).filter_map(adrift).collect();
    let inventory = draft.filter(|_| !wrong).and_then(|draft| Inventory::of(path, draft));
    Reading { inventory, findings, shown, adrift }
}

/// A host that has a way in, and an address that says nothing about where it is.
fn adrift(host: &HostDraft) -> Option<Host> {
    let lost = host.meaning.as_ref().is_some_and(|m| m.is_loopback() || m.is_wildcard());
    // Without a way in of its own, ssh would knock at this machine's own door.
    let elsewhere = host.address.as_ref().is_some_and(|address| address.value != host.ssh.host);
    (lost && (elsewhere || host.ssh.port.is_some())).then(|| Host::of(host.clone())).flatten()
}

/// [`read()`] from a file.
pub fn read_file(path: &Path) -> Result<Reading, Failure> {
    // One byte more than is allowed tells a file that is too long without reading all of it.
    let limit = yaml::BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| {
        let long = file.metadata()?.len();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes)?;
        Ok(long)
    });
    if let Err(error) = opened {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "`zkprov init` writes a starter inventory".to_owned(),
            _ => format!("is {} a file you may read?", path.display()),
        };
        return Err(Failure::usage(format!("cannot read {}: {error}", path.display())).hint(hint));
    }
    Ok(read(path, &bytes, std::env::home_dir().as_deref()))
}

impl Inventory {
    /// Reads and checks an inventory. Warnings are left to `zkprov validate`; errors are all in the
    /// failure's cause.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        read_file(path)?.into_inventory(path)
    }

    /// A draft without errors has everything; `None` would be a rule that is missing in `check`.
    fn of(path: &Path, draft: Draft) -> Option<Self> {
        Some(Self {
            path: path.to_path_buf(),
            ensemble: draft.ensemble,
            hosts: draft.hosts.into_iter().map(Host::of).collect::<Option<_>>()?,
            kafka: draft.kafka,
            coordinator: draft.coordinator,
            properties: draft.properties,
            templates: draft.templates.map(|templates| templates.value),
            become_password: draft.become_password,
            brokers: draft.brokers.into_iter().map(BrokerDraft::finish).collect::<Option<_>>()?,
        })
    }

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

    fn of(draft: HostDraft) -> Option<Self> {
        let myid = match draft.role {
            Role::Broker => 0,
            _ => draft.myid?.value,
        };
        Some(Self {
            name: draft.name.value,
            address: draft.address?.value,
            myid,
            role: draft.role,
            ssh: draft.ssh,
            r#become: draft.r#become,
            data_dir: draft.data_dir.value,
            data_log_dir: draft.data_log_dir.map(|folder| folder.value),
            ports: draft.ports,
            properties: draft.properties,
        })
    }
}
