//! `security:` of an inventory: what it means, and what goes together.

use crate::inventory::base::Base;
use crate::inventory::draft::{Draft, Placed, layered, text};
use crate::inventory::finding::{Finding, Place};
use crate::inventory::model::{Engine, GivenAuthority, Security, Transport};
use crate::inventory::yaml::Node;

/// How long a certificate holds where nothing is said.
const DAYS: u32 = 90;
/// Beginnings of properties that zkprov writes where it sees to TLS.
const WRITTEN: [&str; 8] = [
    "secureClientPort",
    "client.portUnification",
    "sslQuorum",
    "portUnification",
    "ssl.keyStore.",
    "ssl.trustStore.",
    "ssl.quorum.keyStore.",
    "ssl.quorum.trustStore.",
];

/// Values that do not look as they should have been reported by `shape` and are left out here.
pub(super) fn draft(root: &Node, base: &Base) -> Placed<Security> {
    let node = root.get("security");
    let tls = node.and_then(|node| node.get("tls"));
    let transport = |key| match layered([None, tls], key).map(|text| text.value).as_deref() {
        Some("optional") => Transport::Optional,
        Some("required") => Transport::Required,
        _ => Transport::Off,
    };
    let value = |key| layered([None, node], key).map(|text| text.value);
    let users = node.and_then(|node| node.get("users")).map(Node::mapping).unwrap_or_default();
    let users = users.iter().map(|(name, node)| {
        let source = if node.is_null() { None } else { base.secret(node) };
        (name.text.clone(), source)
    });
    let security = Security {
        clients: transport("clients"),
        members: transport("members"),
        brokers: transport("clients") != Transport::Off,
        ca: node.and_then(|node| node.get("ca")).and_then(|ca| {
            Some(GivenAuthority {
                certificate: base.join(&text(ca, "certificate")?.value),
                key: base.join(&text(ca, "key")?.value),
            })
        }),
        days: value("days").and_then(|days| days.parse().ok()).unwrap_or(DAYS),
        users: users.collect(),
        broker_user: value("broker_user"),
        acl: value("acl").is_some_and(|text| text == "true"),
    };
    Placed { value: security, place: node.map_or(root.place, |node| node.place) }
}

/// Where the ensemble's and hosts' properties stand.
pub(super) fn property_places(root: &Node) -> Vec<(String, Place)> {
    let hosts = root.get("hosts").map(Node::mapping).unwrap_or_default();
    let sections = hosts.iter().filter_map(|(_, host)| host.get("properties"));
    let properties = root.get("properties").into_iter().chain(sections).flat_map(Node::mapping);
    properties.map(|(key, _)| (key.text.clone(), key.place)).collect()
}

/// Rules across the section and the rest.
pub(super) fn check(draft: &Draft, findings: &mut Vec<Finding>) {
    let Placed { value: security, place } = &draft.security;
    let mut error = |message: String, hint: &str| {
        findings.push(Finding::error(*place, message).hint(hint.to_owned()));
    };
    let asked = security.tls() || !security.users.is_empty();
    if asked && draft.engine.value == Engine::Zookeeper {
        error(
            "`security` is for the coordinator that zkprov ships".into(),
            "Apache's engine takes its own keys under `properties`, and stores that you put there",
        );
    }
    if let Some(user) = &security.broker_user {
        if !security.users.contains_key(user) {
            error(
                format!("`broker_user` is `{user}`, who is none of the users"),
                "name the user under `users` as well",
            );
        }
        if draft.brokers.is_empty() {
            error("`broker_user` is named, and there are no brokers".into(), "take it away");
        }
    }
    if security.acl && security.broker_user.is_none() && security.clients == Transport::Off {
        error(
            "`acl` needs brokers that prove who they are".into(),
            "set `tls: { clients: optional }`, or name a `broker_user`",
        );
    }
    if security.tls() {
        let passed = draft.property_places.iter();
        for (name, place) in
            passed.filter(|(name, _)| WRITTEN.iter().any(|written| name.starts_with(written)))
        {
            findings.push(
                Finding::error(*place, format!("`{name}` is written by zkprov itself"))
                    .hint("set it under `security: tls`"),
            );
        }
    }
}
