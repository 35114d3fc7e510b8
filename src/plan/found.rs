//! What a host shows that stands against the plan, before anything is written to it: it is another machine
//! than the inventory means, names mean something else there, a disk is not there, or what lies there is
//! somebody else's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::inventory::{Engine, Host, Inventory};
use crate::layout::{
    ACCOUNT, BINARY, BROKER_CONFIG_FILE, BROKER_UNIT, BROKER_UNIT_FILE, CONFIG_FILE, UNIT,
    UNIT_FILE,
};
use crate::plan::account;
use crate::plan::change::Difference;
use crate::plan::model::Refusal;
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::plan::resource::archive::aside;
use crate::plan::resource::file::File;
use crate::probe::Observed;

fn refusal(resource: impl Into<String>, cause: String, hint: impl Into<String>) -> Refusal {
    Refusal { resource: resource.into(), cause, hint: hint.into() }
}

/// Whether this is the machine that is meant, and its names mean what they mean elsewhere.
pub(super) fn identity(inventory: &Inventory, host: &Host, observed: &Observed) -> Vec<Refusal> {
    let names = resolved(observed);
    let mut refusals: Vec<Refusal> =
        swapped(inventory, host, observed, &names).into_iter().collect();
    for member in inventory.members().filter(|_| host.is_member()) {
        let Some(addresses) = names.get(member.address.as_str()) else { continue };
        let own = member.name == host.name;
        let name = &member.address;
        if addresses.is_empty() {
            refusals.push(refusal(
                "address",
                format!("`{name}`, {}, means nothing on this host", whose(own, member)),
                "every member must find every other: by DNS, by a line in /etc/hosts, or by IP addresses in the inventory",
            ));
        } else if addresses.iter().all(IpAddr::is_loopback)
            && !(own && (inventory.coordinator.bind_any || inventory.members().count() == 1))
        {
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            refusals.push(refusal(
                "address",
                format!("`{name}`, {}, means {} on this host", whose(own, member), shown.join(", ")),
                if own {
                    "the other members could not reach it there: correct /etc/hosts, name its IP address, or set `bind_any: true`"
                } else {
                    "correct this host's /etc/hosts, or name IP addresses in the inventory"
                },
            ));
        }
    }
    refusals
}

/// Another server may run on this host than the inventory names, or none as long as a move is under way.
pub(super) fn moving(inventory: &Inventory, observed: &Observed) -> Option<Refusal> {
    let told = observed.text("move");
    let mut words = told.split_whitespace();
    let (side, id) = (words.next()?, words.next().unwrap_or_default());
    let (cause, hint) = match (side, inventory.coordinator.engine) {
        ("fenced", _) => (
            format!(
                "a move to the coordinator is under way ({id}): Apache ZooKeeper is stopped, and nothing may be started"
            ),
            "`zkprov migrate --to coordinator` goes on with it, `zkprov migrate --undo` ends it",
        ),
        ("sealed", _) => (
            format!(
                "a move to Apache ZooKeeper is under way ({id}): the coordinator is stopped, and nothing may be started"
            ),
            "`zkprov migrate --to zookeeper` goes on with it, `zkprov migrate --undo` ends it",
        ),
        ("coordinator", Engine::Zookeeper) => (
            format!(
                "this host has moved to the coordinator ({id}), and the inventory says Apache ZooKeeper"
            ),
            "say `engine: coordinator`; or go back: `zkprov migrate --to zookeeper`",
        ),
        ("zookeeper", Engine::Coordinator) => (
            "Apache ZooKeeper serves on this host, and the inventory says the coordinator".into(),
            "`zkprov migrate --to coordinator` moves a living ensemble; or say `engine: zookeeper`",
        ),
        _ => return None,
    };
    Some(refusal("migration", cause, hint))
}

fn whose(own: bool, member: &Host) -> String {
    if own { "its own address".into() } else { format!("the address of {}", member.name) }
}

/// Names of members and what they mean on the host; only names are asked for.
fn resolved(observed: &Observed) -> BTreeMap<String, Vec<IpAddr>> {
    let text = observed.text("names");
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let mut addresses: Vec<IpAddr> = words.filter_map(|word| word.parse().ok()).collect();
        addresses.dedup();
        Some((name, addresses))
    };
    text.lines().filter_map(line).collect()
}

/// A machine that has another member's address and not its own is that other member.
fn swapped(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
    names: &BTreeMap<String, Vec<IpAddr>>,
) -> Option<Refusal> {
    let own: Vec<IpAddr> =
        observed.addresses().iter().filter_map(|text| text.parse().ok()).collect();
    let means = |host: &Host| match host.address.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => names.get(&host.address).cloned().unwrap_or_default(),
    };
    let here = |host: &Host| means(host).into_iter().find(|address| own.contains(address));
    if here(host).is_some() {
        return None;
    }
    let (other, address) = inventory
        .hosts
        .iter()
        .filter(|other| other.name != host.name && other.address != host.address)
        .find_map(|other| Some((other, here(other)?)))?;
    Some(refusal(
        "host",
        format!(
            "this machine has {address}, the address of {}, and not {}",
            other.name, host.address
        ),
        format!(
            "is the way in (`ssh: {{ host: … }}`) of {} and {} the wrong way round?",
            host.name, other.name
        ),
    ))
}

/// Two names of the inventory for one machine: the host's name and why.
pub(super) fn one_machine(observed: &[(&Host, &Observed)]) -> Vec<(String, Refusal)> {
    let identity = |observed: &Observed| {
        let machine = observed.text("machine");
        let addresses = observed.addresses();
        // Machines that were copied share their id, and containers of one machine its boot.
        (machine.lines().all(|line| !line.is_empty())
            && machine.lines().count() == 2
            && !addresses.is_empty())
        .then_some((machine, addresses))
    };
    let mut first: BTreeMap<_, &str> = BTreeMap::new();
    let mut twice = Vec::new();
    for (host, observed) in observed {
        let Some(identity) = identity(observed) else { continue };
        match first.get(&identity) {
            Some(other) => twice.push((
                host.name.clone(),
                refusal(
                    "host",
                    format!("it is the same machine as {other}"),
                    "every member needs a host of its own: are two names or addresses of one machine in the inventory?",
                ),
            )),
            None => {
                first.insert(identity, &host.name);
            }
        }
    }
    twice
}

/// What lies on the host that zkprov must not touch, or that would make a service fail later.
pub(super) fn refusals(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
    running: bool,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let broker = inventory.broker_on(host);
    let log_dirs = broker.map(|broker| broker.log_dirs.as_slice()).unwrap_or_default();
    let of_member = [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten();
    let of_member: Vec<&String> = of_member.filter(|_| host.is_member()).collect();
    for folder in of_member.iter().copied().chain(log_dirs) {
        refusals.extend(unmounted(folder, observed));
    }
    if host.is_member() {
        let moved = moved(host, observed);
        let strange = of_member.iter().filter_map(|folder| strange(inventory, folder, observed));
        refusals.extend(strange.chain(moved));
    }
    refusals.extend(handed_over(inventory, host, observed));
    if !running {
        let foreign = foreign(inventory, host, observed).into_iter();
        refusals.extend(foreign.filter(|file| used(&file.path)).map(|file| unusable(&file)));
    }
    if let Some(broker) = broker {
        refusals.extend(broker_data(broker.id, &broker.log_dirs, observed));
    }
    refusals
}

/// What a person should know, and nobody need decide.
pub(super) fn notes(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
    running: bool,
) -> Vec<(String, String)> {
    let foreign = foreign(inventory, host, observed).into_iter();
    let told = foreign.filter(|file| running || !used(&file.path));
    told.map(|Foreign { path, owner, account }| {
        ("data".to_owned(), format!("{path} belongs to {owner}, not to {account}"))
    })
    .collect()
}

/// A disk of fstab under a folder that is not mounted: what is written would be hidden by it.
fn unmounted(folder: &str, observed: &Observed) -> Option<Refusal> {
    let fstab = String::from_utf8_lossy(observed.content("/etc/fstab")?).into_owned();
    let mounts = observed.text("mounts");
    if mounts.trim().is_empty() {
        return None;
    }
    let entries =
        fstab.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (device, point, _, options) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next());
            Some((device, point, options.unwrap_or_default()))
        });
    let (device, point) = entries
        .filter(|(_, point, options)| {
            let on_demand = options.split(',').any(|option| option == "noauto");
            let below = folder
                .strip_prefix(point)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            *point != "/" && below && !on_demand
        })
        .map(|(device, point, _)| (device.to_owned(), point.to_owned()))
        .find(|(_, point)| !mounts.lines().any(|mounted| mounted == point))?;
    Some(refusal(
        format!("directory {folder}"),
        format!(
            "{point} is a disk of /etc/fstab ({device}) and is not mounted: what is written now would be hidden by it"
        ),
        format!("`mount {point}`, or take its line out of /etc/fstab"),
    ))
}

/// Whether a name in a data directory is a coordinator's.
fn is_data(name: &str) -> bool {
    matches!(name, "coordinator" | "version-2")
}

/// A directory with something in it that is not what this engine keeps there.
fn strange(inventory: &Inventory, folder: &str, observed: &Observed) -> Option<Refusal> {
    let listing = observed.listing(folder);
    let has = |name: &str| listing.iter().any(|entry| entry == name);
    let (engine, theirs) = match inventory.coordinator.engine {
        Engine::Coordinator => ("coordinator", "version-2"),
        Engine::Zookeeper => ("version-2", "coordinator"),
    };
    let whose = if theirs == "version-2" {
        "Apache ZooKeeper"
    } else {
        "the coordinator that zkprov ships"
    };
    if has(theirs) && !has(engine) {
        return Some(refusal(
            format!("directory {folder}"),
            format!("{folder} holds data of {whose} ({theirs})"),
            "a server of the other engine would begin empty beside it: name another folder, or the other `engine`",
        ));
    }
    let known = |name: &String| {
        is_data(name)
            || name.starts_with("coordinator.")
            || matches!(
                name.as_str(),
                "myid" | "initialize" | "lost+found" | "zookeeper_server.pid"
            )
            || name.contains(".zkprov.")
    };
    if listing.is_empty() || listing.iter().any(|name| known(name) && name != "lost+found") {
        return None;
    }
    let other = listing.iter().find(|name| !known(name))?;
    Some(refusal(
        format!("directory {folder}"),
        format!("{folder} is not empty, and holds {other}: it is not a coordinator's"),
        "it would be given to the service: name a folder of its own, or move what is there away",
    ))
}

/// A configuration or unit that another installation has put there is not replaced without a word.
pub(super) fn others_file(
    inventory: &Inventory,
    file: &File,
    observed: &Observed,
    difference: Difference,
    take_over: bool,
) -> Difference {
    let Difference::Changes(mut changes) = difference else { return difference };
    let unit = match file.path.as_str() {
        CONFIG_FILE | BROKER_CONFIG_FILE => None,
        UNIT_FILE => Some(UNIT),
        BROKER_UNIT_FILE => Some(BROKER_UNIT),
        _ => return Difference::Changes(changes),
    };
    let Some(content) = observed.content(&file.path) else { return Difference::Changes(changes) };
    let text = String::from_utf8_lossy(content);
    // A template of the user's own need not say it; then it tells that zkprov was here before.
    let ours = text.lines().take(5).any(|line| line.contains("zkprov"))
        || (inventory.templates.is_some() && observed.path(BINARY).is_some());
    if ours || text.trim().is_empty() {
        return Difference::Changes(changes);
    }
    let (path, aside) = (&file.path, aside(&file.path));
    if let Some(unit) = unit
        && matches!(observed.unit(unit).get("ActiveState"), "active" | "activating" | "reloading")
    {
        return Difference::Refused {
            cause: format!("a foreign {unit} is running, from {path}"),
            hint: format!(
                "stop it and take care of its data: `systemctl disable --now {unit}`; then `--take-over` keeps its unit as {aside}"
            ),
        };
    }
    if !take_over {
        return Difference::Refused {
            cause: format!("{path} was not written by zkprov"),
            hint: format!(
                "is another installation at work here? `--take-over` keeps its file as {aside}"
            ),
        };
    }
    if observed.path(&aside).is_some() {
        return Difference::Refused {
            cause: format!("{path} was not written by zkprov, and {aside} exists already"),
            hint: "zkprov would keep what is there under that name; move one of them away".into(),
        };
    }
    if let [change] = &mut changes[..] {
        if let Operation::WriteFile { aside: kept, .. } = &mut change.operation {
            *kept = Some(aside.clone());
        }
        change.reason = Reason::TakenOver { reason: Box::new(change.reason.clone()), aside };
    }
    Difference::Changes(changes)
}

/// Data stays where it is: a member with another directory would begin empty, or without its log.
fn moved(host: &Host, observed: &Observed) -> Option<Refusal> {
    let config = String::from_utf8_lossy(observed.content(CONFIG_FILE)?).into_owned();
    let value = |key: &str| {
        let mut lines = config
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        lines.next_back().map(|value| value.trim().trim_end_matches('/').to_owned())
    };
    let old = value("dataDir")?;
    let holds = |folder: &str| observed.listing(folder).iter().any(|name| is_data(name));
    if old != host.data_dir && holds(&old) && !holds(&host.data_dir) {
        return Some(refusal(
            format!("directory {}", host.data_dir),
            format!("the member's data lies in {old}, and `data_dir` names {}", host.data_dir),
            format!(
                "data moves while its member is stopped, one member after the other: `systemctl stop zookeeper`, \
                 `mv {old} {}`, then apply with --limit {}",
                host.data_dir, host.name
            ),
        ));
    }
    let (old_log, new_log) = (
        value("dataLogDir").unwrap_or_else(|| old.clone()),
        host.data_log_dir.as_ref().unwrap_or(&host.data_dir),
    );
    (old_log != *new_log && holds(&old_log) && !holds(new_log)).then(|| {
        refusal(
            format!("directory {new_log}"),
            format!("the member's log lies in {old_log}, and would be looked for in {new_log}"),
            format!(
                "keep `data_log_dir` as it is; or replace the member: `zkprov destroy --limit {} --purge-data`, then apply",
                host.name
            ),
        )
    })
}

/// A file of somebody else's in a service's directory.
struct Foreign {
    path: String,
    owner: String,
    /// Whose it should be.
    account: String,
}

/// What a broker's folders hold of others, as a fact.
pub(super) const FOREIGN_TO_BROKER: &str = "foreign to the broker";

/// The same of a member's, were it to run as `account`.
pub(super) fn foreign_to(account: &str) -> String {
    format!("foreign to {account}")
}

/// The first of each service's directories.
fn foreign(inventory: &Inventory, host: &Host, observed: &Observed) -> Vec<Foreign> {
    let account = match inventory.adopted() {
        Some(apache) => &apache.account,
        None => account::of_member(inventory, host, observed),
    };
    let facts =
        [(foreign_to(account), account), (FOREIGN_TO_BROKER.to_owned(), ACCOUNT)].into_iter();
    let told = facts.filter_map(|(fact, account)| {
        let text = observed.text(&fact);
        let (owner, path) = text.lines().next()?.split_once(' ')?;
        Some(Foreign { path: path.into(), owner: owner.into(), account: account.into() })
    });
    told.collect()
}

/// Data of one of the accounts that a coordinator may run as, and the inventory names another.
fn handed_over(inventory: &Inventory, host: &Host, observed: &Observed) -> Option<Refusal> {
    if inventory.adopted().is_some() || !host.is_member() {
        return None;
    }
    let account = account::of_member(inventory, host, observed);
    let owner = account::owner_of_data(host, observed)?;
    let other = owner != account && account::possible(inventory).contains(&owner.as_str());
    let folders = [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten();
    let folders: Vec<&str> = folders.map(String::as_str).collect();
    other.then(|| {
        refusal(
            format!("directory {}", host.data_dir),
            format!(
                "{} belongs to {owner}, and the service would run as {account}",
                host.data_dir
            ),
            format!(
                "data changes hands while its member is stopped, one member after the other: `systemctl stop zookeeper`, \
                 `chown -R {account}: {}`, then apply with --limit {} (docs/operations.md, \"Accounts\")",
                folders.join(" "),
                host.name
            ),
        )
    })
}

/// Whether the service itself works with it, as far as names tell.
fn used(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let folder = parts.next().unwrap_or_default();
    is_data(name)
        || is_data(folder)
        || matches!(name, "meta.properties" | ".lock")
        || name.ends_with("-checkpoint")
}

fn unusable(Foreign { path, owner, account }: &Foreign) -> Refusal {
    let folder = path.rsplit_once('/').map_or(path.as_str(), |(folder, _)| folder);
    refusal(
        format!("directory {folder}"),
        format!("{path} belongs to {owner}: the service, which is {account}, would fail on it"),
        format!("`chown -R {account}: {folder}` on that host, if it is this service's data"),
    )
}

/// What the folders of a broker say of whose they are.
fn broker_data(id: u32, log_dirs: &[String], observed: &Observed) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut cluster: Option<(&str, String)> = None;
    for folder in log_dirs {
        let resource = format!("directory {folder}");
        if observed.path(&format!("{folder}/lost+found")).is_some() {
            refusals.push(refusal(
                resource.clone(),
                format!("{folder} is a disk's own folder (lost+found): Kafka takes every folder in it for a partition's"),
                format!("name a folder on it: `log_dirs: [ {folder}/kafka ]`"),
            ));
        }
        let Some(content) = observed.content(&format!("{folder}/meta.properties")) else {
            continue;
        };
        let meta = String::from_utf8_lossy(content).into_owned();
        let value = |key: &str| {
            let mut lines = meta.lines();
            lines
                .find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.trim().to_owned()))
        };
        if value("node.id").is_some() && value("broker.id").is_none() {
            refusals.push(refusal(
                resource.clone(),
                format!("{folder} holds the data of a KRaft broker"),
                "this broker works with the coordinators: name another folder",
            ));
        }
        if let Some(there) = value("broker.id").filter(|there| *there != id.to_string()) {
            refusals.push(refusal(
                resource.clone(),
                format!("{folder} holds the data of broker {there}, the inventory says {id}"),
                "the number belongs to the data: correct `broker_id`, or name an empty folder",
            ));
        }
        match (value("cluster.id"), &cluster) {
            (Some(there), Some((other, known))) if there != *known => refusals.push(refusal(
                resource,
                format!("{folder} is of cluster {there}, {other} of {known}"),
                "a broker has data of one cluster: one of the folders is another's",
            )),
            (Some(there), None) => cluster = Some((folder, there)),
            _ => {}
        }
    }
    refusals
}

/// Brokers whose data is of different clusters: the host's name and why.
pub(super) fn clusters(
    inventory: &Inventory,
    observed: &[(&Host, &Observed)],
) -> Vec<(String, Refusal)> {
    let mut first: Option<(String, String)> = None;
    let mut apart = Vec::new();
    for (host, observed) in observed {
        let folders =
            inventory.broker_on(host).map(|broker| broker.log_dirs.as_slice()).unwrap_or_default();
        let of = |folder: &String| {
            let meta =
                String::from_utf8_lossy(observed.content(&format!("{folder}/meta.properties"))?)
                    .into_owned();
            meta.lines().find_map(|line| {
                Some((folder.clone(), line.strip_prefix("cluster.id=")?.trim().to_owned()))
            })
        };
        let Some((folder, cluster)) = folders.iter().find_map(of) else { continue };
        match &first {
            Some((other, known)) if *known != cluster => apart.push((
                host.name.clone(),
                refusal(
                    format!("directory {folder}"),
                    format!("{folder} is of cluster {cluster}, the broker on {other} of {known}"),
                    "a broker with another cluster's data restarts for ever: name an empty folder, or take it out of the inventory",
                ),
            )),
            Some(_) => {}
            None => first = Some((host.name.clone(), cluster)),
        }
    }
    apart
}
