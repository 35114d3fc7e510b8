//! What living hosts have shown, as the inventory that describes them: pure. What cannot be kept is a remark.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::inventory::import::{one_line, quoted};
use crate::inventory::{self, Engine, scalar};
use crate::migration::found_server::{FoundBroker, FoundServer, MemberLine};
use crate::plan::valid;

/// A host that was looked at.
#[derive(Clone, Debug)]
pub struct LookedAt {
    pub name: String,
    /// The way in, as a value of YAML; `None` where the name is all there is to it.
    pub ssh: Option<String>,
    /// The login is root's.
    pub root: bool,
    pub server: FoundServer,
}

/// The inventory, and what a person should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub text: String,
    pub remarks: Vec<String>,
}

/// Keys that an inventory has by another name, or that follow from it.
const WRITTEN: [&str; 8] = [
    "dataDir",
    "dataLogDir",
    "clientPort",
    "tickTime",
    "initLimit",
    "syncLimit",
    "maxClientCnxns",
    "peerType",
];
/// Only to hide what is no secret would be worse than to show it: these are the keys of stores and logins.
const SECRETS: [&str; 3] = ["password", "passwd", "secret"];
/// More of a value is no setting.
const VALUE_BYTES_MAX: usize = 2000;

/// The inventory of these hosts. An error is why there can be none, and what to do.
pub fn adopt(
    ensemble: &str,
    config: Option<&str>,
    hosts: &[LookedAt],
) -> Result<Adoption, (String, String)> {
    let first = hosts.first().ok_or_else(|| {
        (String::from("no host was looked at"), String::from("name the hosts of one ensemble"))
    })?;
    let members = members(hosts)?;
    alike(hosts)?;
    let mut remarks = Vec::new();
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let mut text = format!(
        "# Made by `zkprov adopt` from {}; nothing was changed there.\n",
        one_line(&names.join(", "))
    );
    about(&mut text, hosts);
    let _ = writeln!(text, "ensemble: {}", quoted(ensemble));
    if let Some(config) = config {
        let _ = writeln!(text, "ssh: {{ config: {} }}", quoted(config));
    }
    text.push_str("hosts:\n");
    let properties: Vec<BTreeMap<String, String>> =
        hosts.iter().map(|host| properties(host, &mut remarks)).collect();
    let common = common(&properties);
    for (host, properties) in hosts.iter().zip(&properties) {
        let own = properties.iter().filter(|(key, _)| !common.contains_key(*key));
        member(&mut text, host, first, &members, own)?;
    }
    text.push_str("kafka: { install: false }\n");
    coordinator(&mut text, hosts, first, &members, &mut remarks)?;
    if !common.is_empty() {
        text.push_str("properties:\n");
        for (key, value) in &common {
            let _ = writeln!(text, "  {}: {}", quoted(key), said(value));
        }
    }
    brokers(&mut text, hosts, &mut remarks);
    notes(hosts, &mut remarks);
    proven(&text, &mut remarks)?;
    let mut seen = BTreeSet::new();
    remarks.retain(|remark| seen.insert(remark.clone()));
    Ok(Adoption { text, remarks })
}

/// The members by id, as all hosts have them.
fn members(hosts: &[LookedAt]) -> Result<BTreeMap<u8, MemberLine>, (String, String)> {
    let mut members: BTreeMap<u8, (MemberLine, &str)> = BTreeMap::new();
    for host in hosts {
        for (id, line) in &host.server.members {
            match members.get_mut(id) {
                // One's own line may say where it listens.
                Some((known, _)) if known.is_wildcard() => known.address.clone_from(&line.address),
                Some((known, by)) if !line.is_wildcard() && known != line => {
                    return Err((
                        format!("{by} and {} do not agree on `server.{id}`", host.name),
                        "give all members the same list, and restart those that had another".into(),
                    ));
                }
                Some(_) => {}
                None => {
                    members.insert(*id, (line.clone(), &host.name));
                }
            }
        }
    }
    let members: BTreeMap<u8, MemberLine> =
        members.into_iter().map(|(id, (line, _))| (id, line)).collect();
    if members.is_empty() && hosts.len() > 1 {
        return Err((
            format!("{} servers that are alone, and no ensemble", hosts.len()),
            "adopt each into an inventory of its own".into(),
        ));
    }
    let mut taken: BTreeMap<u8, &str> = BTreeMap::new();
    for host in hosts.iter().filter(|_| !members.is_empty()) {
        let Some(id) = host.server.myid.filter(|id| members.contains_key(id)) else {
            return Err((
                format!("{}: its myid is none of the members it lists", host.name),
                "look at `myid` in its dataDir".into(),
            ));
        };
        if let Some(other) = taken.insert(id, &host.name) {
            return Err((
                format!("{other} and {} are both member {id}", host.name),
                "is one host named twice?".into(),
            ));
        }
    }
    let missing: Vec<String> = members
        .iter()
        .filter(|(id, _)| !taken.contains_key(id))
        .map(|(id, line)| format!("server.{id} at {}", one_line(&line.address)))
        .collect();
    if missing.is_empty() {
        return Ok(members);
    }
    Err((
        format!("{} was not looked at, and is a member", missing.join(", ")),
        "name every member's host: an inventory that lacks one would take its vote away".into(),
    ))
}

/// What an inventory says once for all members.
fn alike(hosts: &[LookedAt]) -> Result<(), (String, String)> {
    let differing = |what: &str, of: fn(&FoundServer) -> &str| {
        let first = hosts.first()?;
        let other = hosts.iter().find(|host| of(&host.server) != of(&first.server))?;
        Some((
            format!(
                "{} of {} is {}, of {} {}",
                what,
                first.name,
                of(&first.server),
                other.name,
                of(&other.server)
            ),
            "members that were set up in different ways cannot be adopted together: make them alike".into(),
        ))
    };
    let apart = differing("the unit", |server| &server.unit_file)
        .or_else(|| differing("the configuration", |server| &server.config_path))
        .or_else(|| differing("the account", |server| &server.account));
    apart.map_or(Ok(()), Err)
}

/// What runs there, for the head of the file.
fn about(text: &mut String, hosts: &[LookedAt]) {
    for host in hosts {
        let server = &host.server;
        let version = server.version.as_deref().unwrap_or("of unknown release");
        let unit = server.unit_file.rsplit('/').next().unwrap_or_default();
        let data = server
            .data_kb
            .map_or(String::new(), |kb| format!(", {} MB of data", kb.div_ceil(1024)));
        let _ =
            writeln!(text, "# {}: Apache ZooKeeper {version}, {unit}{data}", one_line(&host.name));
    }
}

/// What is handed through to our own configuration as it stands.
fn properties(host: &LookedAt, remarks: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (key, value) in &host.server.config {
        let name = one_line(key);
        if WRITTEN.contains(&key.as_str()) || key.starts_with("server.") {
            continue;
        }
        if key == "dynamicConfigFile" {
            remarks.push(format!(
                "{}: its members stand in {}: the inventory has them now, and changes by clients' `reconfig` \
                 do not reach it",
                host.name,
                one_line(value)
            ));
            continue;
        }
        let lower = key.to_lowercase();
        if SECRETS.iter().any(|word| lower.contains(word)) && !lower.ends_with("path") {
            remarks.push(format!(
                "`{name}` holds a secret and is not copied: put it into a file that only the service's account \
                 reads ({name}Path), before the ensemble is moved"
            ));
            continue;
        }
        if value.len() > VALUE_BYTES_MAX || scalar_key(key).is_none() {
            remarks.push(format!(
                "{}: `{name}` cannot be a key of an inventory, and is left out",
                host.name
            ));
            continue;
        }
        kept.insert(key.clone(), value.clone());
    }
    kept
}

fn scalar_key(key: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

/// A value of a property: always text, whatever YAML would make of it.
fn said(value: &str) -> String {
    serde_json::to_string(&one_line(value)).unwrap_or_default()
}

/// What all have alike.
fn common(all: &[BTreeMap<String, String>]) -> BTreeMap<String, String> {
    let Some((first, rest)) = all.split_first() else { return BTreeMap::new() };
    let everywhere = |(key, value): &(&String, &String)| {
        rest.iter().all(|other| other.get(*key) == Some(*value))
    };
    first.iter().filter(everywhere).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// One host's lines.
fn member<'a>(
    text: &mut String,
    host: &LookedAt,
    first: &LookedAt,
    members: &BTreeMap<u8, MemberLine>,
    own: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), (String, String)> {
    let id = host.server.myid.unwrap_or(1);
    let line = members.get(&id);
    let address = match line {
        Some(line) if !line.is_wildcard() => line.address.clone(),
        Some(_) if members.len() > 1 => {
            return Err((
                format!(
                    "no member says where {} is: `server.{id}` is a wildcard everywhere",
                    host.name
                ),
                "write its address into the configurations of the others".into(),
            ));
        }
        _ => host.name.clone(),
    };
    if scalar::name(&host.name).is_err() {
        return Err((
            format!("`{}` cannot be the name of a host", one_line(&host.name)),
            "name it by an ssh configuration (`--ssh-config FILE`)".into(),
        ));
    }
    let mut parts = vec![format!("address: {}", quoted(&address)), format!("myid: {id}")];
    if line.is_some_and(|line| line.observer) {
        parts.push("role: observer".into());
    }
    parts.extend(host.ssh.iter().map(|ssh| format!("ssh: {ssh}")));
    if host.root {
        parts.push("become: none".into());
    }
    let differing: Vec<String> = placed(host, members)?
        .into_iter()
        .zip(placed(first, members)?)
        .filter(|(own, of_first)| own.1 != of_first.1)
        .filter_map(|((key, value), _)| Some(format!("{key}: {}", value?)))
        .collect();
    if !differing.is_empty() {
        parts.push(format!("coordinator: {{ {} }}", differing.join(", ")));
    }
    let own: Vec<String> =
        own.map(|(key, value)| format!("{}: {}", quoted(key), said(value))).collect();
    if !own.is_empty() {
        parts.push(format!("properties: {{ {} }}", own.join(", ")));
    }
    let _ = writeln!(text, "  {}: {{ {} }}", host.name, parts.join(", "));
    Ok(())
}

type Placed = Vec<(&'static str, Option<String>)>;

/// Folders and ports, which may differ between hosts.
fn placed(host: &LookedAt, members: &BTreeMap<u8, MemberLine>) -> Result<Placed, (String, String)> {
    let server = &host.server;
    let folder = |key: &str| -> Result<Option<String>, (String, String)> {
        let Some(value) = server.value(key) else { return Ok(None) };
        let shortest = value.trim_end_matches('/');
        scalar::own_folder(shortest).map_err(|wrong| {
            let hint = wrong.hint.unwrap_or_else(|| "move it while the member is stopped".into());
            (format!("{}: {key} is `{}`: {}", host.name, one_line(value), wrong.message), hint)
        })?;
        Ok(Some(quoted(shortest)))
    };
    let data = folder("dataDir")?;
    let data = data.ok_or_else(|| {
        (format!("{}: its configuration has no dataDir", host.name), "is it the right file?".into())
    })?;
    let log = folder("dataLogDir")?.filter(|log| *log != data);
    let line = server.myid.and_then(|id| members.get(&id));
    let client = line.and_then(|line| line.client).map(|port| port.to_string());
    let client = server.value("clientPort").map(str::to_owned).or(client);
    let client = client.filter(|port| port.trim().parse::<u16>().is_ok_and(|port| port > 0));
    let client = client.ok_or_else(|| {
        (
            format!("{}: it has no port for clients without TLS", host.name),
            "zkprov asks members at `clientPort`: give it one, on the loopback address at least"
                .into(),
        )
    })?;
    let port = |of: fn(&MemberLine) -> u16| line.map(|line| of(line).to_string());
    Ok(vec![
        ("data_dir", Some(data)),
        ("data_log_dir", log),
        ("client_port", Some(client.trim().to_owned())),
        ("quorum_port", port(|line| line.quorum)),
        ("election_port", port(|line| line.election)),
    ])
}

/// The section for all of them.
fn coordinator(
    text: &mut String,
    hosts: &[LookedAt],
    first: &LookedAt,
    members: &BTreeMap<u8, MemberLine>,
    remarks: &mut Vec<String>,
) -> Result<(), (String, String)> {
    text.push_str("coordinator:\n  engine: zookeeper\n");
    let apache = &first.server;
    let _ = writeln!(
        text,
        "  apache: {{ unit_file: {}, config: {}, account: {} }}",
        quoted(&apache.unit_file),
        quoted(&apache.config_path),
        quoted(&apache.account)
    );
    for (key, value) in placed(first, members)? {
        if let Some(value) = value {
            let _ = writeln!(text, "  {key}: {value}");
        }
    }
    // What ZooKeeper does where its file says nothing.
    let numbers = [
        ("tick_time", "tickTime", Some("3000")),
        ("init_limit", "initLimit", None),
        ("sync_limit", "syncLimit", None),
        ("max_client_cnxns", "maxClientCnxns", Some("60")),
    ];
    for (key, theirs, otherwise) in numbers {
        let of = |host: &LookedAt| host.server.value(theirs).map(|value| value.trim().to_owned());
        let value = of(first).or_else(|| otherwise.map(str::to_owned));
        if let Some(value) = value {
            let _ = writeln!(
                text,
                "  {key}: {}",
                if value.parse::<u32>().is_ok() { value } else { said(&value) }
            );
        }
        if let Some(other) = hosts.iter().find(|host| of(host) != of(first)) {
            remarks.push(format!(
                "{theirs} of {} differs from that of {}, which is taken for all",
                other.name, first.name
            ));
        }
    }
    let any = hosts.iter().any(|host| {
        let own = host.server.myid.and_then(|id| host.server.members.get(&id));
        own.is_some_and(MemberLine::is_wildcard)
    });
    if any {
        text.push_str("  bind_any: true\n");
    }
    Ok(())
}

/// Brokers stay out of zkprov's hands: they are described beside.
fn brokers(text: &mut String, hosts: &[LookedAt], remarks: &mut Vec<String>) {
    let all: Vec<(&LookedAt, &FoundBroker)> = hosts
        .iter()
        .flat_map(|host| host.server.brokers.iter().map(move |broker| (host, broker)))
        .collect();
    if all.is_empty() {
        return;
    }
    text.push_str(
        "# Brokers that run there. They are not managed: `brokers:` would set them up anew, with a unit and a\n\
         # configuration of zkprov's. For a move of the ensemble they need not be known.\n",
    );
    for (host, broker) in all {
        let value = |key: &str| broker.values.get(key).map(|value| one_line(value));
        let _ = writeln!(
            text,
            "#   {}: broker {}, {} from {}; listeners {}; log.dirs {}; zookeeper.connect {}",
            host.name,
            value("broker.id").unwrap_or_else(|| "without an id of its own".into()),
            one_line(&broker.unit),
            one_line(&broker.file),
            value("listeners").unwrap_or_else(|| "by default".into()),
            value("log.dirs").or_else(|| value("log.dir")).unwrap_or_else(|| "by default".into()),
            value("zookeeper.connect").unwrap_or_else(|| "nowhere".into()),
        );
        if !broker.keys.is_empty() {
            let _ = writeln!(text, "#     and {}", one_line(&broker.keys.join(", ")));
        }
        if broker.values.contains_key("process.roles") {
            remarks.push(format!(
                "{}: a broker with `process.roles` needs no ZooKeeper: is this ensemble in use?",
                host.name
            ));
        }
    }
}

/// What an inventory cannot say.
fn notes(hosts: &[LookedAt], remarks: &mut Vec<String>) {
    for host in hosts {
        let server = &host.server;
        if !server.drop_ins.is_empty() {
            remarks.push(format!(
                "{}: its unit has drop-ins, which hold as long as it is the engine: {}",
                host.name,
                one_line(&server.drop_ins.join(" "))
            ));
        }
        if !server.flags.is_empty() {
            remarks.push(format!(
                "Java's own flags stay with the unit, and mean nothing to the coordinator: {}",
                one_line(&server.flags.join(" "))
            ));
        }
        if server.version.is_none() {
            remarks.push(format!("{}: its jar does not say which release it is", host.name));
        }
        if server.value("admin.enableServer").is_none() {
            remarks.push(
                "the HTTP port of ZooKeeper's AdminServer, open by default since 3.5, is closed in zkprov's \
                 configuration: `admin.enableServer: \"true\"` under `properties` keeps it after a move"
                    .into(),
            );
        }
    }
}

/// The text is an inventory; what the coordinator would refuse of it is said now, and not at a move.
fn proven(text: &str, remarks: &mut Vec<String>) -> Result<(), (String, String)> {
    let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
    let Some(mut inventory) = reading.inventory else {
        return Err((
            format!(
                "what runs there cannot be described by an inventory:\n{}",
                reading.shown.trim_end()
            ),
            "the place is that of the inventory that would have been written".into(),
        ));
    };
    inventory.coordinator.engine = Engine::Coordinator;
    let refused = valid::problems(&inventory);
    remarks.extend(refused.into_iter().map(|problem| {
        format!("the coordinator would refuse this configuration at a move: {problem}")
    }));
    Ok(())
}
