//! The tree of nodes to typed drafts: defaults filled in, a host's own values over the ensemble's.
//!
//! Values that do not look as they should have been reported by `shape` and are left out here.

use crate::inventory::address::Address;
use crate::inventory::base::Base;
use crate::inventory::broker;
use crate::inventory::draft::{Draft, HostDraft, Placed, layered, place_of, properties, text};
use crate::inventory::finding::{Finding, Place};
use crate::inventory::keys;
use crate::inventory::model::{
    Apache, Become, Coordinator, Engine, FetchMode, Kafka, Ports, Role, SshTarget,
};
use crate::inventory::source::{Sha512, Source};
use crate::inventory::yaml::{Key, Node, Value};
use crate::inventory::{range, scalar, security, shape};

/// Checks every value by itself and gathers them; `None` only if there are no hosts to speak of.
pub fn draft(root: &Node, base: &Base, findings: &mut Vec<Finding>) -> Option<Draft> {
    shape::section(root, keys::INVENTORY, "the inventory", findings);
    let hosts_node = root.get("hosts")?;
    let kafka_node = root.get("kafka");
    let coordinator_node = root.get("coordinator");
    let kafka = kafka(kafka_node, base);
    let hosts = expand(hosts_node, keys::HOST, "", findings);
    let brokers = root.get("brokers").map(|node| expand(node, keys::BROKER, "broker ", findings));
    let hosts = hosts.iter().map(|(key, node)| host(key, node, root, base)).collect();
    let engine = layered([None, coordinator_node], "engine");
    Some(Draft {
        ensemble: text(root, "ensemble").map(|name| name.value).unwrap_or_default(),
        hosts_place: root
            .mapping()
            .iter()
            .find(|(key, _)| key.text == "hosts")
            .map_or(hosts_node.place, |(key, _)| key.place),
        hosts,
        kafka_version: Placed {
            value: kafka.version.clone(),
            place: place_of(kafka_node, "version").unwrap_or(root.place),
        },
        kafka_install: Placed {
            value: kafka.install,
            place: place_of(kafka_node, "install").unwrap_or(root.place),
        },
        engine: Placed {
            value: match &engine {
                Some(engine) if engine.value == "zookeeper" => Engine::Zookeeper,
                _ => Engine::Coordinator,
            },
            place: engine.map_or(root.place, |engine| engine.place),
        },
        account: place_of(coordinator_node, "account"),
        java_keys: ["java_home", "heap"]
            .into_iter()
            .filter_map(|key| Some((key, place_of(coordinator_node, key)?)))
            .collect(),
        kafka,
        coordinator: coordinator(coordinator_node, base),
        properties: properties(root.get("properties")),
        templates: text(root, "templates")
            .map(|path| Placed { value: base.join(&path.value), place: path.place }),
        become_password: root.get("become_password").and_then(|node| base.secret(node)),
        brokers: brokers.iter().flatten().map(|(key, node)| broker::draft(key, node)).collect(),
        brokers_place: broker::place(root),
        security: security::draft(root, base),
        property_places: security::property_places(root),
    })
}

/// Ranges expanded, each host's values checked; what is wrong in a range is said once.
fn expand(
    node: &Node,
    known: &'static [keys::Key],
    what: &str,
    findings: &mut Vec<Finding>,
) -> Vec<(Key, Node)> {
    let mut hosts: Vec<(Key, Node)> = Vec::new();
    for (name, node) in node.mapping() {
        let mut own = Vec::new();
        for (key, node) in range::expand(name, node, &mut own) {
            if let Err(wrong) = scalar::name(&key.text) {
                own.push(Finding { hint: wrong.hint, ..Finding::error(key.place, wrong.message) });
            }
            let mut shape = Vec::new();
            shape::section(&node, known, &format!("{what}`{}`", key.text), &mut shape);
            // Where a range is wrong, what was made of it is no second mistake.
            shape.retain(|finding| own.iter().all(|earlier| earlier.place != finding.place));
            own.extend(shape.into_iter().map(|finding| placed(finding, key.place)));
            hosts.push((key, node));
        }
        let mut seen = Vec::new();
        for finding in own {
            if !seen.contains(&(finding.place, finding.hint.clone())) {
                seen.push((finding.place, finding.hint.clone()));
                findings.push(finding);
            }
        }
    }
    hosts
}

/// An empty host has no place of its own that could be shown.
fn placed(finding: Finding, place: Place) -> Finding {
    if finding.place.length > 0 { finding } else { Finding { place, ..finding } }
}

fn host(name: &Key, node: &Node, root: &Node, base: &Base) -> HostDraft {
    let coordinator = [node.get("coordinator"), root.get("coordinator")];
    let address = text(node, "address");
    let meaning = address.as_ref().and_then(|address| Address::parse(&address.value).ok());
    let ssh = [node.get("ssh"), root.get("ssh")];
    let user = layered(ssh, "user").map(|user| user.value);
    let r#become = layered([Some(node), Some(root)], "become");
    let port = |key, default| {
        let written = layered(coordinator, key);
        let number = written.as_ref().and_then(|port| port.value.parse().ok()).unwrap_or(default);
        (number, written.map_or(name.place, |port| port.place))
    };
    let (client, quorum, election) =
        (port("client_port", 2181), port("quorum_port", 2888), port("election_port", 3888));
    HostDraft {
        name: Placed { value: name.text.clone(), place: name.place },
        myid: text(node, "myid")
            .and_then(|myid| Some(Placed { value: myid.value.parse().ok()?, place: myid.place })),
        myid_written: node.get("myid").is_some(),
        role: match text(node, "role") {
            Some(role) if role.value == "observer" => Role::Observer,
            Some(role) if role.value == "broker" => Role::Broker,
            _ => Role::Participant,
        },
        ssh_place: node
            .get("ssh")
            .and_then(|ssh| ssh.get("host").or(Some(ssh)))
            .map_or(name.place, |node| node.place),
        r#become: match (r#become, &user) {
            (Some(word), _) if word.value == "none" => Become::None,
            (None, Some(user)) if user == "root" => Become::None,
            _ => Become::Sudo,
        },
        ssh: SshTarget {
            host: layered([node.get("ssh"), None], "host")
                .or_else(|| address.clone())
                .map(|host| host.value)
                .unwrap_or_default(),
            port: layered(ssh, "port").and_then(|port| port.value.parse().ok()),
            user,
            identity_file: layered(ssh, "identity_file").map(|path| base.join(&path.value)),
            config: layered(ssh, "config").map(|path| base.join(&path.value)),
            connect_timeout_ms: layered(ssh, "connect_timeout")
                .and_then(|duration| scalar::duration_ms(&duration.value).ok())
                .unwrap_or(10_000),
        },
        data_dir: layered(coordinator, "data_dir")
            .unwrap_or_else(|| Placed { value: "/data/zookeeper".to_owned(), place: name.place }),
        data_log_dir: layered(coordinator, "data_log_dir"),
        ports: Ports { client: client.0, quorum: quorum.0, election: election.0 },
        port_places: [client.1, quorum.1, election.1],
        properties: properties(node.get("properties")),
        address,
        meaning,
    }
}

fn kafka(node: Option<&Node>, base: &Base) -> Kafka {
    let value = |key: &str| layered([None, node], key).map(|text| text.value);
    let mut kafka = Kafka {
        install: value("install").is_none_or(|install| install != "false"),
        version: value("version").unwrap_or_else(|| "3.3.1".to_owned()),
        scala: value("scala").unwrap_or_else(|| "2.13".to_owned()),
        sources: Vec::new(),
        sha512: value("sha512").and_then(|text| match scalar::sha512(&text).ok()? {
            Sha512::File(Source::File(_)) => Some(Sha512::File(base.source(&text, None))),
            other => Some(other),
        }),
        install_root: value("install_root").unwrap_or_else(|| "/opt".to_owned()),
        fetch: match value("fetch").as_deref() {
            Some("host") => FetchMode::Host,
            _ => FetchMode::Controller,
        },
    };
    let file_name = format!("{}.tgz", kafka.distribution());
    if let Some(Value::Sequence(items)) =
        node.and_then(|node| node.get("sources")).map(|node| &node.value)
    {
        kafka.sources = items
            .iter()
            .filter_map(|item| match &item.value {
                Value::Scalar { text, .. } => Some(base.source(text, Some(&file_name))),
                _ => None,
            })
            .collect();
    }
    if kafka.sources.is_empty() {
        kafka.sources = crate::inventory::release::default_sources(&kafka.version, &kafka.scala);
    }
    kafka
}

fn coordinator(node: Option<&Node>, base: &Base) -> Coordinator {
    let value = |key: &str| layered([None, node], key).map(|text| text.value);
    let number = |key, default| value(key).and_then(|text| text.parse().ok()).unwrap_or(default);
    Coordinator {
        engine: match value("engine").as_deref() {
            Some("zookeeper") => Engine::Zookeeper,
            _ => Engine::Coordinator,
        },
        tick_time_ms: number("tick_time", 2000),
        init_limit: number("init_limit", 10),
        sync_limit: number("sync_limit", 5),
        max_client_cnxns: number("max_client_cnxns", 0),
        bind_any: value("bind_any").is_some_and(|text| text == "true"),
        binary: value("binary").map(|path| base.join(&path)),
        secret: node.and_then(|node| node.get("secret")).and_then(|node| base.secret(node)),
        account: value("account"),
        java_home: value("java_home"),
        heap: value("heap"),
        apache: node.and_then(|node| apache(node.get("apache")?)),
    }
}

/// An Apache ZooKeeper that was found.
fn apache(node: &Node) -> Option<Apache> {
    let value = |key: &str| text(node, key).map(|text| text.value);
    Some(Apache {
        unit_file: value("unit_file")?,
        config: value("config")?,
        account: value("account")?,
    })
}
