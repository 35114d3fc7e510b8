//! Kafka's brokers: what the inventory says of each, and the rules that only they have.

use std::collections::{BTreeSet, HashMap};

use crate::inventory::address::Address;
use crate::inventory::draft::{
    BrokerDraft, Draft, HostDraft, Placed, layered, place_of, properties, text,
};
use crate::inventory::finding::{Finding, Place};
use crate::inventory::listener::Listener;
use crate::inventory::model::{Broker, Role};
use crate::inventory::scalar;
use crate::inventory::yaml::{Key, Node, Value};

/// One entry under `brokers`.
pub fn draft(name: &Key, node: &Node) -> BrokerDraft {
    let log_dirs = match node.get("log_dirs").map(|node| &node.value) {
        Some(Value::Sequence(items)) => items
            .iter()
            .filter_map(|item| match &item.value {
                Value::Scalar { text, .. } => {
                    Some(Placed { value: text.clone(), place: item.place })
                }
                _ => None,
            })
            .collect(),
        _ => vec![Placed { value: "/data/kafka".to_owned(), place: name.place }],
    };
    BrokerDraft {
        host: Placed { value: name.text.clone(), place: name.place },
        id: text(node, "broker_id")
            .and_then(|id| Some(Placed { value: id.value.parse().ok()?, place: id.place })),
        listeners: text(node, "listeners").and_then(|line| {
            let value = Listener::parse_all(&line.value).ok()?;
            Some(Placed { value, place: line.place })
        }),
        log_dirs,
        heap: layered([Some(node), None], "heap").map(|heap| heap.value),
        java_home: layered([Some(node), None], "java_home").map(|home| home.value),
        properties: properties(node.get("properties")),
    }
}

impl BrokerDraft {
    /// A draft without errors has everything.
    pub fn finish(self) -> Option<Broker> {
        Some(Broker {
            host: self.host.value,
            id: self.id?.value,
            listeners: self.listeners?.value,
            log_dirs: self.log_dirs.into_iter().map(|folder| folder.value).collect(),
            heap: self.heap,
            java_home: self.java_home,
            properties: self.properties,
        })
    }
}

/// The rules across brokers, and between them and the hosts.
pub fn check(draft: &Draft, findings: &mut Vec<Finding>) {
    let mut ids: HashMap<u32, &Placed<u32>> = HashMap::new();
    let mut hosts: HashMap<&str, Place> = HashMap::new();
    for broker in &draft.brokers {
        let name = &broker.host.value;
        if let Some(id) = &broker.id
            && let Some(other) = ids.insert(id.value, id)
        {
            findings.push(
                Finding::error(id.place, format!("`broker_id` {} is used twice", id.value))
                    .also(other.place, "also here")
                    .hint("every broker has a number of its own, which never changes"),
            );
        }
        if let Some(other) = hosts.insert(name, broker.host.place) {
            findings.push(
                Finding::error(broker.host.place, format!("`{name}` has two brokers"))
                    .also(other, "also here")
                    .hint("one host runs one broker"),
            );
        }
        let Some(host) = draft.hosts.iter().find(|host| host.name.value == *name) else {
            let names: Vec<&str> = draft.hosts.iter().map(|h| h.name.value.as_str()).collect();
            findings.push(
                Finding::error(broker.host.place, format!("there is no host `{name}`"))
                    .hint(format!("`hosts` has {}", names.join(", "))),
            );
            continue;
        };
        folders(broker, host, findings);
        kafkas(draft, broker, findings);
        let ports = [
            ("client_port", host.ports.client),
            ("quorum_port", host.ports.quorum),
            ("election_port", host.ports.election),
        ];
        let listeners = broker.listeners.iter();
        for (place, listener) in listeners.flat_map(|l| l.value.iter().map(|x| (l.place, x))) {
            if host.role != Role::Broker
                && let Some((port, _)) = ports.iter().find(|(_, number)| *number == listener.port)
            {
                findings.push(
                    Finding::error(
                        place,
                        format!(
                            "port {} is the {port} of the coordinator on `{name}`",
                            listener.port
                        ),
                    )
                    .hint("take another, such as 9092"),
                );
            }
        }
    }
    without_broker(draft, findings);
    release(draft, findings);
}

/// What Kafka itself refuses when it starts (`KafkaConfig.validateValues`), or tells clients in vain.
fn kafkas(draft: &Draft, broker: &BrokerDraft, findings: &mut Vec<Finding>) {
    let property = |key: &str| broker.properties.get(key).map(|value| value.trim());
    let mut report = |finding: Finding| {
        // A range's value is every broker's: say it once.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    };
    if let Some(id) = &broker.id {
        let reserved =
            property("reserved.broker.max.id").and_then(|max| max.parse().ok()).unwrap_or(1000);
        let generated = property("broker.id.generation.enable") != Some("false");
        if generated && id.value > reserved {
            report(
                Finding::error(id.place, format!("`broker_id` {} is above {reserved}, where Kafka gives numbers itself", id.value))
                    .hint("set `reserved.broker.max.id` under `properties`, or `broker.id.generation.enable: \"false\"`"),
            );
        }
    }
    let Some(listeners) = &broker.listeners else { return };
    let place = listeners.place;
    if let Some(advertised) = property("advertised.listeners") {
        let wrong = Listener::parse_all(advertised)
            .map_or(true, |all| all.iter().any(Listener::everywhere));
        if wrong {
            report(
                Finding::error(place, format!("`advertised.listeners` {advertised} is no address for clients"))
                    .hint("what is advertised is where clients connect to: an address or a name of this host"),
            );
        }
    } else if draft.brokers.len() > 1 {
        let own = |host: &str| {
            let host = host.trim_matches(['[', ']']);
            host == "localhost" || Address::parse(host).is_ok_and(|address| address.is_loopback())
        };
        for listener in listeners.value.iter().filter(|listener| own(&listener.host)) {
            report(
                Finding::error(place, format!("{} is told to clients and other brokers, and means each of them itself", listener.host))
                    .hint("listen on the host's address, or say `advertised.listeners` under `properties`"),
            );
        }
    }
    let map = property("listener.security.protocol.map").unwrap_or_default();
    let protocol = |name: &str| {
        let mapped = map.split(',').find_map(|entry| {
            let (key, value) = entry.trim().split_once(':')?;
            (key == name).then(|| value.to_owned())
        });
        let named = PROTOCOLS.contains(&name.to_ascii_uppercase().as_str());
        mapped.or_else(|| (map.is_empty() && named).then(|| name.to_ascii_uppercase()))
    };
    let unknown = listeners.value.iter().find(|listener| protocol(&listener.name).is_none());
    if let Some(listener) = unknown {
        report(
            Finding::error(
                place,
                format!("Kafka does not know which protocol the listener {} speaks", listener.name),
            )
            .hint(format!(
                "say it under `properties`: `listener.security.protocol.map: \"{}:PLAINTEXT\"`",
                listener.name
            )),
        );
        return;
    }
    let between = property("inter.broker.listener.name");
    let wanted = property("security.inter.broker.protocol").unwrap_or("PLAINTEXT");
    let found = listeners.value.iter().any(|listener| match between {
        Some(name) => listener.name == name,
        None => protocol(&listener.name).as_deref() == Some(wanted),
    });
    if !found {
        let what = between.map_or_else(
            || {
                "no listener speaks PLAINTEXT, by which brokers talk unless they are told otherwise"
                    .to_owned()
            },
            |name| format!("`inter.broker.listener.name` is {name}, and there is no such listener"),
        );
        report(
            Finding::error(place, what)
                .hint("set `inter.broker.listener.name` to one of the listeners"),
        );
    }
}

/// Names of listeners that say themselves which protocol they speak.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// A host that is no member and no broker is there for nothing.
fn without_broker(draft: &Draft, findings: &mut Vec<Finding>) {
    let brokers: BTreeSet<&str> = draft.brokers.iter().map(|b| b.host.value.as_str()).collect();
    for host in draft.hosts.iter().filter(|host| host.role == Role::Broker) {
        let name = &host.name.value;
        if !brokers.contains(name.as_str()) {
            findings.push(
                Finding::error(
                    host.name.place,
                    format!("`{name}` has the role broker, and no broker"),
                )
                .hint(format!("add `{name}` under `brokers:`")),
            );
        }
    }
}

/// Each folder is the broker's own: no other's, not within another, not the coordinator's.
fn folders(broker: &BrokerDraft, host: &HostDraft, findings: &mut Vec<Finding>) {
    let inside = |inner: &str, outer: &str| {
        inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    let coordinators =
        [("data_dir", Some(&host.data_dir)), ("data_log_dir", host.data_log_dir.as_ref())];
    for (index, folder) in broker.log_dirs.iter().enumerate() {
        let path = &folder.value;
        let mut report = |finding: Finding| {
            // A range's value is every broker's: say it once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        };
        if let Err(wrong) = scalar::own_folder(path) {
            report(Finding { hint: wrong.hint, ..Finding::error(folder.place, wrong.message) });
        }
        for other in &broker.log_dirs[..index] {
            if inside(path, &other.value) || inside(&other.value, path) {
                report(
                    Finding::error(folder.place, format!("`{path}` and `{}` overlap", other.value))
                        .hint("each log dir is a folder, best a disk, of its own"),
                );
            }
        }
        if host.role == Role::Broker {
            continue;
        }
        for (key, theirs) in &coordinators {
            let Some(theirs) = theirs else { continue };
            if inside(path, &theirs.value) || inside(&theirs.value, path) {
                report(
                    Finding::error(
                        folder.place,
                        format!(
                            "log dir `{path}` and the coordinator's {key} `{}` overlap",
                            theirs.value
                        ),
                    )
                    .hint("Kafka takes strange folders in its own for damage; take one beside it"),
                );
            }
        }
    }
}

fn release(draft: &Draft, findings: &mut Vec<Finding>) {
    let Some(place) = draft.brokers_place.filter(|_| !draft.brokers.is_empty()) else { return };
    if !draft.kafka_install.value {
        findings.push(
            Finding::error(draft.kafka_install.place, "brokers run from Kafka's tarball")
                .also(place, "asked for here")
                .hint("take `install: false` away"),
        );
    }
    let major = draft.kafka.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 4) {
        findings.push(
            Finding::error(
                draft.kafka_version.place,
                format!(
                    "Kafka {} knows no ZooKeeper, with which these brokers are run",
                    draft.kafka.version
                ),
            )
            .also(place, "the brokers")
            .hint("use a 3.x release"),
        );
    }
}

/// Where the entry `brokers` stands.
pub fn place(root: &Node) -> Option<Place> {
    place_of(Some(root), "brokers")
        .and_then(|_| root.mapping().iter().find(|(key, _)| key.text == "brokers"))
        .map(|(key, _)| key.place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_what_kafka_reads() {
        let listeners =
            Listener::parse_all("PLAINTEXT://10.0.0.1:9092, SSL://[::1]:9093").expect("two");
        assert_eq!(listeners[1], Listener { name: "SSL".into(), host: "[::1]".into(), port: 9093 });
        for wrong in [
            "",
            "9092",
            "PLAINTEXT://a",
            "://a:1",
            "P://a:0",
            "P://a:70000",
            "P://a b:1",
            "P://[x]:1",
            "P://a:1,P://b:2",
            "P://a:1,Q://b:1",
            "P://a:01",
        ] {
            assert!(Listener::parse_all(wrong).is_err(), "{wrong}");
        }
    }
}
