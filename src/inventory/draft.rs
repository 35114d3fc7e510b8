//! An inventory of which single values have been looked at, each with its place; and how values are picked
//! from the file's nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::inventory::address::Address;
use crate::inventory::finding::Place;
use crate::inventory::listener::Listener;
use crate::inventory::model::{
    Become, Coordinator, Engine, Kafka, Ports, Role, SecretSource, Security, SshTarget,
};
use crate::inventory::yaml::{Node, Value};

/// A value and where it was written; a default stands where it would be written.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// An inventory of which single values have been looked at, but not how they go together.
#[derive(Debug)]
pub struct Draft {
    pub ensemble: String,
    pub hosts_place: Place,
    pub hosts: Vec<HostDraft>,
    pub kafka: Kafka,
    pub kafka_version: Placed<String>,
    pub kafka_install: Placed<bool>,
    pub coordinator: Coordinator,
    pub engine: Placed<Engine>,
    /// Where the key `account` stands, which only means something to our own server.
    pub account: Option<Place>,
    /// Keys that only mean something to Java, and where they stand.
    pub java_keys: Vec<(&'static str, Place)>,
    pub properties: BTreeMap<String, String>,
    pub templates: Option<Placed<PathBuf>>,
    pub become_password: Option<SecretSource>,
    pub brokers: Vec<BrokerDraft>,
    pub brokers_place: Option<Place>,
    /// Placed where the section stands.
    pub security: Placed<Security>,
    /// Names of properties that are passed through, and where they stand.
    pub property_places: Vec<(String, Place)>,
}

#[derive(Clone, Debug)]
pub struct HostDraft {
    pub name: Placed<String>,
    pub address: Option<Placed<String>>,
    /// The address by meaning.
    pub meaning: Option<Address>,
    pub myid: Option<Placed<u8>>,
    /// Something stands there, right or wrong.
    pub myid_written: bool,
    pub role: Role,
    pub ssh: SshTarget,
    pub ssh_place: Place,
    pub r#become: Become,
    pub data_dir: Placed<String>,
    pub data_log_dir: Option<Placed<String>>,
    pub ports: Ports,
    /// Where client, quorum and election port stand.
    pub port_places: [Place; 3],
    pub properties: BTreeMap<String, String>,
}

/// A broker of which single values have been looked at.
#[derive(Clone, Debug)]
pub struct BrokerDraft {
    pub host: Placed<String>,
    pub id: Option<Placed<u32>>,
    pub listeners: Option<Placed<Vec<Listener>>>,
    pub log_dirs: Vec<Placed<String>>,
    pub heap: Option<String>,
    pub java_home: Option<String>,
    pub properties: BTreeMap<String, String>,
}

pub(super) fn properties(node: Option<&Node>) -> BTreeMap<String, String> {
    node.map(Node::mapping)
        .unwrap_or_default()
        .iter()
        .filter_map(|(key, value)| match &value.value {
            Value::Scalar { text, .. } => Some((key.text.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

/// What stands under `key`, as text.
pub(super) fn text(node: &Node, key: &str) -> Option<Placed<String>> {
    let node = node.get(key).filter(|node| !node.is_null())?;
    match &node.value {
        Value::Scalar { text, .. } => Some(Placed { value: text.clone(), place: node.place }),
        _ => None,
    }
}

/// The first section that says something about `key` decides.
pub(super) fn layered(sections: [Option<&Node>; 2], key: &str) -> Option<Placed<String>> {
    sections.into_iter().flatten().find_map(|section| text(section, key))
}

pub(super) fn place_of(section: Option<&Node>, key: &str) -> Option<Place> {
    section?.get(key).map(|node| node.place)
}
