//! What shall be on a host: the whole job on one page, in the order in which it is done.

mod broker;
pub mod secured;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::certificates::Trust;
use crate::failure::Failure;
use crate::inventory::{Apache, Engine, FetchMode, Host, Inventory, Secret};
use crate::layout::{
    ACCOUNT, BINARY, BINARY_DIR, CONFIG_DIR, CONFIG_FILE, LOGIN_FILE, SECRET_FILE, SYSCTL_FILE,
    UNIT, UNIT_FILE,
};
use crate::plan::change::Phase;
use crate::plan::library;
use crate::plan::operation::Access;
use crate::plan::resource::account::{Group, User};
use crate::plan::resource::archive::{Archive, Origin};
use crate::plan::resource::binary::{Binary, OldBinaries};
use crate::plan::resource::directory::Directory;
use crate::plan::resource::file::{File, Rule};
use crate::plan::resource::fstab::Fstab;
use crate::plan::resource::service::{self, Service};
use crate::plan::resource::swap::{Swap, SwapUnits, Zram};
use crate::plan::resource::symlink::Symlink;
use crate::plan::resource::sysctl::{Setting, Sysctl};
use crate::plan::resource::{self, Resource};
use crate::plan::subject::Subject;
use crate::plan::template::Page;
use crate::plan::{account, found};
use crate::probe::Reading;

/// Swap is off; should somebody bring it back, it is the last resort.
const SETTINGS: [Setting; 1] = [Setting { key: "vm.swappiness", value: 1 }];

/// What the controller has at hand for the hosts.
#[derive(Clone, Debug, Default)]
pub struct Artifacts {
    /// The coordinator for this host's architecture.
    pub binary: Option<Artifact>,
    /// Digest of the release, and its verified copy once it has been fetched.
    pub release: Option<Release>,
    /// By which members prove that they belong to the ensemble.
    pub secret: Option<Secret>,
    /// Whom hosts believe, and who issues their certificates.
    pub trust: Option<Trust>,
    /// Of the users of SASL.
    pub passwords: BTreeMap<String, Secret>,
    /// Of the host, once it has been asked: what a heap's size follows.
    pub memory_kb: Option<u64>,
    /// Whom the member there runs as, once the host has been asked; else as the inventory plans it.
    pub account: Option<String>,
}

/// A file of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub path: PathBuf,
    pub sha256: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub sha512: String,
    pub bytes: Option<u64>,
    /// `None`: not fetched yet.
    pub path: Option<PathBuf>,
    /// For hosts that download for themselves.
    pub urls: Vec<String>,
}

/// Everything that shall be on `host`, in order.
pub fn resources(
    inventory: &Inventory,
    host: &Host,
    artifacts: &Artifacts,
) -> Result<Vec<Resource>, Failure> {
    if let Some(apache) = inventory.adopted() {
        return Ok(adopted(inventory, apache, host, artifacts));
    }
    let account = artifacts.account.as_deref().unwrap_or_else(|| account::planned(inventory));
    let broker = inventory.broker_on(host);
    // The release is not the coordinator's: who runs what lies there must not be able to change it.
    let released = inventory.kafka.install && artifacts.release.is_some();
    let of_kafka = broker.is_some() || released || !host.is_member();
    let mut accounts = vec![account];
    accounts.retain(|_| host.is_member());
    accounts.extend(Some(ACCOUNT).filter(|kafka| of_kafka && !accounts.contains(kafka)));
    let account_of = |name: &&str| {
        let name = (*name).to_owned();
        [
            Resource::Group(Group { name: name.clone() }),
            Resource::User(User { name: name.clone(), group: name }),
        ]
    };
    let mut all: Vec<Resource> = accounts.iter().flat_map(account_of).collect();
    all.extend([
        Resource::Swap(Swap),
        Resource::SwapUnits(SwapUnits),
        Resource::Zram(Zram),
        Resource::Fstab(Fstab),
        Resource::File(File::plain(SYSCTL_FILE, sysctl_file(), Phase::Prepare)),
        Resource::Sysctl(Sysctl { settings: SETTINGS.to_vec() }),
    ]);
    if host.is_member() {
        let folders = [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten();
        all.extend(folders.map(|path| Resource::Directory(Directory::owned(path, account))));
    }
    for folder in broker.iter().flat_map(|broker| &broker.log_dirs) {
        all.push(Resource::Directory(Directory::owned(folder, ACCOUNT)));
    }
    // The second holds what the services run: it must be where only root can put something.
    all.extend([CONFIG_DIR, BINARY_DIR].map(root_folder));
    release(inventory, artifacts, &mut all);
    let binary = binary(inventory, host, artifacts, &mut all);
    let tool = binary.as_deref().unwrap_or(BINARY);
    let given = (artifacts.trust.as_ref(), &artifacts.passwords);
    secured::resources(inventory, host, given, (account, tool), &mut all);
    let page = Page::new(inventory, host, account, artifacts.memory_kb);
    if host.is_member() {
        member(inventory, host, artifacts, (account, &page), binary, &mut all)?;
    }
    if let Some(on) = broker {
        broker::resources(on, &page, &mut all)?;
    }
    Ok(all)
}

/// What somebody else has set up stays as it is: what is put beside it is the tool that looks at it, and what
/// is seen to is that its unit runs.
fn adopted(
    inventory: &Inventory,
    apache: &Apache,
    host: &Host,
    artifacts: &Artifacts,
) -> Vec<Resource> {
    let mut all = vec![root_folder(BINARY_DIR)];
    binary(inventory, host, artifacts, &mut all);
    if host.is_member() {
        all.push(Resource::Service(Service {
            unit: apache.unit().to_owned(),
            fragment: apache.unit_file.clone(),
            reads: vec![apache.unit_file.clone(), apache.config.clone()],
            exe: None,
            ports: vec![host.ports.client, host.ports.quorum, host.ports.election],
            reload_after: Vec::new(),
            phase: Phase::Serve,
            settings: Vec::new(),
        }));
    }
    all
}

/// A folder where only root can put something.
fn root_folder(path: &str) -> Resource {
    Resource::Directory(Directory { path: path.into(), access: Access::new("root", "root", "755") })
}

/// A member of the ensemble: its configuration, its identity, its service.
fn member(
    inventory: &Inventory,
    host: &Host,
    artifacts: &Artifacts,
    (account, page): (&str, &Page<'_>),
    exe: Option<String>,
    all: &mut Vec<Resource>,
) -> Result<(), Failure> {
    let config = page.render("zookeeper.properties")?;
    // What is passed through may hold digests and passwords.
    all.push(Resource::File(File {
        access: Access::new("root", account, "640"),
        ..File::plain(CONFIG_FILE, config, Phase::Switch)
    }));
    if let Some(secret) = &artifacts.secret {
        all.push(Resource::File(File {
            path: SECRET_FILE.into(),
            access: Access::new(account, account, "600"),
            content: String::from_utf8_lossy(secret.reveal()).into_owned(),
            phase: Phase::Switch,
            rule: Rule::Secret,
        }));
    }
    all.push(Resource::File(File {
        path: format!("{}/myid", host.data_dir),
        access: Access::new(account, account, "644"),
        content: page.render("myid")?,
        phase: Phase::Switch,
        rule: Rule::Once,
    }));

    let unit = page.render("zookeeper.service")?;
    let settings = service::settings(&unit);
    let secret = artifacts.secret.as_ref().map(|_| SECRET_FILE);
    let login = (!inventory.security.users.is_empty()).then_some(LOGIN_FILE);
    let reads = [UNIT_FILE, CONFIG_FILE].into_iter().chain(secret).chain(login);
    let reads = reads.map(str::to_owned).collect();
    all.push(Resource::File(File::plain(UNIT_FILE, unit, Phase::Switch)));
    all.push(Resource::Service(Service {
        unit: UNIT.into(),
        fragment: UNIT_FILE.into(),
        reads,
        exe: exe.filter(|_| inventory.coordinator.engine == Engine::Coordinator),
        ports: vec![host.ports.client, host.ports.quorum, host.ports.election],
        reload_after: vec![Subject::File(UNIT_FILE.into()), Subject::Fstab],
        phase: Phase::Serve,
        settings,
    }));
    Ok(())
}

/// The coordinator of this host's architecture; where no server is to run it, it is the tool that
/// `status` asks with. Gives the path it will be run by.
fn binary(
    inventory: &Inventory,
    host: &Host,
    artifacts: &Artifacts,
    all: &mut Vec<Resource>,
) -> Option<String> {
    let artifact = artifacts.binary.as_ref()?;
    let binary = Binary {
        path: format!("{BINARY}-{}", &artifact.sha256[..16]),
        source: artifact.path.clone(),
        sha256: artifact.sha256.clone(),
        bytes: artifact.bytes,
    };
    let path = binary.path.clone();
    let serves = host.is_member() && inventory.coordinator.engine == Engine::Coordinator;
    all.push(Resource::Binary(binary));
    all.push(Resource::Symlink(Symlink {
        path: BINARY.into(),
        target: path.rsplit('/').next().unwrap_or_default().to_owned(),
        with_archive: false,
        // Where it is a tool beside another server, it is no reason for a restart.
        phase: if serves { Phase::Switch } else { Phase::Prepare },
        inside: None,
    }));
    all.push(Resource::OldBinaries(OldBinaries { wanted: path.clone(), link: BINARY.into() }));
    Some(path)
}

/// Everything the probe has to read on `host`. The binary is not among the supplies yet: which one it
/// is depends on the architecture that the probe finds.
pub fn reading(
    inventory: &Inventory,
    host: &Host,
    artifacts: &Artifacts,
) -> Result<Reading, Failure> {
    let mut reading = resource::reading(&resources(inventory, host, artifacts)?);
    reading.path(BINARY);
    reading.digest(BINARY);
    let adopted = inventory.adopted();
    let mut written = vec!["/etc", "/etc/systemd/system", BINARY_DIR];
    if inventory.kafka.install && adopted.is_none() {
        written.push(&inventory.kafka.install_root);
    }
    if host.is_member() {
        written.push(&host.data_dir);
    }
    reading.function("probe_writable", written);
    let folders = [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten();
    let folders: Vec<&str> = folders.filter(|_| host.is_member()).map(String::as_str).collect();
    let broker = inventory.broker_on(host);
    let log_dirs = broker.map(|broker| broker.log_dirs.as_slice()).unwrap_or_default();
    // Whom the member runs as is known by the answer.
    let accounts = adopted
        .map_or_else(|| account::possible(inventory), |apache| vec![apache.account.as_str()]);
    for account in accounts {
        reading.account(account);
        let fact = found::foreign_to(account);
        reading
            .function("probe_foreign", [fact.as_str(), account].into_iter().chain(folders.clone()));
    }
    let log_dirs_of = log_dirs.iter().map(String::as_str);
    reading.function(
        "probe_foreign",
        [found::FOREIGN_TO_BROKER, ACCOUNT].into_iter().chain(log_dirs_of),
    );
    for folder in log_dirs {
        reading.content(&format!("{folder}/meta.properties"));
        reading.path(&format!("{folder}/lost+found"));
    }
    // Names are a question to who answers for them; most inventories have addresses.
    let named = |address: &&str| address.parse::<std::net::IpAddr>().is_err();
    let names: Vec<&str> =
        inventory.hosts.iter().map(|host| host.address.as_str()).filter(named).collect();
    if !names.is_empty() {
        reading.function("probe_names", names);
    }
    if host.is_member() && inventory.coordinator.apache.is_some() {
        reading.library(library::MOVE);
        reading.function("move_tell", []);
    }
    if host.is_member() {
        // Whether there is one, also where the inventory names none.
        reading.path(SECRET_FILE);
        reading.digest(SECRET_FILE);
        reading.function("probe_former", [CONFIG_FILE]);
        for folder in &folders {
            reading.function("probe_listing", [*folder]);
        }
        reading.space(&host.data_dir);
        reading.function("probe_status", [BINARY, &server(host)]);
        let socket = format!("{}/coordinator/admin.sock", host.data_dir.trim_end_matches('/'));
        reading.function("probe_members", [BINARY, &socket, CONFIG_FILE]);
    }
    if let Some(broker) = inventory.broker_on(host) {
        reading.function("probe_memory", []);
        reading.function("probe_java", [broker.java_home.as_deref().unwrap_or_default()]);
    } else if inventory.coordinator.engine == Engine::Zookeeper
        && adopted.is_none()
        && host.is_member()
    {
        let home = inventory.coordinator.java_home.as_deref().unwrap_or_default();
        reading.function("probe_java", [home]);
    }
    Ok(reading)
}

/// Where a host's own tools find its server.
pub fn server(host: &Host) -> String {
    format!("127.0.0.1:{}", host.ports.client)
}

/// Kafka's distribution, the link by which everybody knows it, and the tutorial's way to the
/// configuration.
fn release(inventory: &Inventory, artifacts: &Artifacts, all: &mut Vec<Resource>) {
    let kafka = &inventory.kafka;
    let (true, Some(release)) = (kafka.install, &artifacts.release) else { return };
    let root = kafka.install_root.trim_end_matches('/').to_owned();
    let archive = Archive {
        root: root.clone(),
        name: kafka.distribution(),
        user: ACCOUNT.into(),
        sha512: release.sha512.clone(),
        bytes: release.bytes,
        origin: match kafka.fetch {
            FetchMode::Controller => Origin::Controller(release.path.clone()),
            FetchMode::Host => Origin::Host(release.urls.clone()),
        },
    };
    let home = archive.path();
    let release = Subject::Archive(home.clone());
    all.push(Resource::Archive(archive));
    all.push(Resource::Symlink(Symlink {
        path: format!("{root}/kafka"),
        target: kafka.distribution(),
        with_archive: true,
        phase: match inventory.coordinator.engine {
            Engine::Coordinator => Phase::Prepare,
            Engine::Zookeeper => Phase::Switch,
        },
        inside: None,
    }));
    all.push(Resource::Symlink(Symlink {
        path: format!("{home}/config/zookeeper.properties"),
        target: CONFIG_FILE.into(),
        with_archive: true,
        phase: Phase::Prepare,
        inside: Some(release),
    }));
}

fn sysctl_file() -> String {
    SETTINGS.iter().fold("# Written by zkprov.\n".to_owned(), |text, setting| {
        format!("{text}{} = {}\n", setting.key, setting.value)
    })
}
