//! What a host has for TLS and logins: whom it believes, its own certificates, users and passwords.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::certificates::{Trust, Wanted};
use crate::inventory::{Host, Inventory, Secret, Transport};
use crate::layout::{
    ACCOUNT, BROKER_KEY_STORE, BROKER_LOGIN_FILE, CLIENT_CONFIG, KEY_STORE, LOGIN_FILE, TRUST_STORE,
};
use crate::plan::change::Phase;
use crate::plan::operation::Access;
use crate::plan::resource::Resource;
use crate::plan::resource::certificate::Certificate;
use crate::plan::resource::file::{File, Rule};

/// The module of ZooKeeper's that logs in by DIGEST-MD5.
const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// For whoever checks what is written without the passwords.
pub const LOGIN_EXAMPLE: &str =
    "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_x=\"y\"; };";

/// What the certificate in this store says.
pub fn wanted(inventory: &Inventory, host: &Host, store: &str) -> Option<Wanted> {
    match store {
        KEY_STORE => Some(of_member(inventory, host)),
        BROKER_KEY_STORE => Some(of_broker(inventory, host)),
        _ => None,
    }
}

/// `account` is the member's, `tool` the coordinator's binary.
pub(super) fn resources(
    inventory: &Inventory,
    host: &Host,
    (trust, passwords): (Option<&Trust>, &BTreeMap<String, Secret>),
    (account, tool): (&str, &str),
    all: &mut Vec<Resource>,
) {
    let security = &inventory.security;
    let clients = security.clients != Transport::Off || security.brokers;
    let broker = inventory.broker_on(host).is_some();
    if let Some(trust) = trust.filter(|_| security.tls() || clients) {
        // Before anybody shows a certificate that it is to believe.
        all.push(Resource::File(File::plain(TRUST_STORE, trust.bundle.clone(), Phase::Prepare)));
        let certificate = |store: &str, account, wanted| {
            Resource::Certificate(Certificate {
                store: store.into(),
                access: Access::new(account, account, "600"),
                wanted,
                trust: Some(trust.clone()),
                tool: tool.into(),
            })
        };
        if host.is_member() {
            all.push(certificate(KEY_STORE, account, of_member(inventory, host)));
        }
        if broker && clients {
            all.push(certificate(BROKER_KEY_STORE, ACCOUNT, of_broker(inventory, host)));
        }
        if clients && (host.is_member() || broker) {
            let store = if host.is_member() { KEY_STORE } else { BROKER_KEY_STORE };
            let content = client_config(store, TRUST_STORE);
            all.push(Resource::File(File::plain(CLIENT_CONFIG, content, Phase::Prepare)));
        }
    }
    if host.is_member() && !security.users.is_empty() {
        all.push(login(LOGIN_FILE, account, server_login(passwords), Phase::Switch));
    }
    if let Some((user, password)) =
        security.broker_user.as_ref().and_then(|user| passwords.get_key_value(user))
        && broker
    {
        let content = client_login(user, password);
        all.push(login(BROKER_LOGIN_FILE, ACCOUNT, content, Phase::BrokerSwitch));
    }
}

fn login(path: &str, account: &str, content: String, phase: Phase) -> Resource {
    Resource::File(File {
        path: path.into(),
        access: Access::new(account, account, "600"),
        content,
        phase,
        rule: Rule::Secret,
    })
}

/// A member is known by its address and its name, and asked by its own tools on loopback.
fn of_member(inventory: &Inventory, host: &Host) -> Wanted {
    let mut names = names(host);
    names.extend(["localhost".into(), "127.0.0.1".into()]);
    Wanted {
        organization: inventory.ensemble.clone(),
        common_name: host.name.clone(),
        names,
        serves: true,
    }
}

/// All brokers are one to the servers: what one of them keeps to itself the others must be able to change.
fn of_broker(inventory: &Inventory, host: &Host) -> Wanted {
    Wanted {
        organization: inventory.ensemble.clone(),
        common_name: "broker".into(),
        names: names(host),
        serves: false,
    }
}

fn names(host: &Host) -> Vec<String> {
    let mut names = vec![host.address.clone()];
    // A name that no certificate can hold is for people alone.
    let fit = |name: &&String| !name.contains('_') && !name.ends_with(['.', '-']);
    names.extend(Some(&host.name).filter(fit).filter(|name| **name != host.address).cloned());
    names
}

/// Apache's own client properties, by which the tool speaks TLS.
pub fn client_config(key_store: &str, trust_store: &str) -> String {
    format!(
        "# Written by zkprov: how the coordinator's tools get in.\nzookeeper.client.secure=true\n\
         zookeeper.ssl.keyStore.location={key_store}\nzookeeper.ssl.trustStore.location={trust_store}\n"
    )
}

fn server_login(passwords: &BTreeMap<String, Secret>) -> String {
    let mut text = format!("Server {{\n    {MODULE} required");
    for (user, password) in passwords {
        let _ = write!(text, "\n    user_{user}=\"{}\"", quoted(password));
    }
    text + ";\n};\n"
}

fn client_login(user: &str, password: &Secret) -> String {
    let password = quoted(password);
    format!(
        "Client {{\n    {MODULE} required\n    username=\"{user}\"\n    password=\"{password}\";\n}};\n"
    )
}

/// As a JAAS file has it between quotes; what it cannot hold is refused where the password is read.
fn quoted(password: &Secret) -> String {
    let text = String::from_utf8_lossy(password.reveal());
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The server's own reader takes what is written, whatever stands in a password.
    #[test]
    fn passwords_come_through_the_login_files() {
        for password in ["plain", "a\"b", r"c\d", "e;}f", "# g//h", "ü"] {
            let secret = Secret::new(password.into());
            let passwords = BTreeMap::from([("kafka".to_owned(), secret.clone())]);
            let text = server_login(&passwords);
            let users = coordinator::sasl::server_users(text.as_bytes(), "Server");
            let users = users.expect("its grammar").expect("its section");
            let mut expected = coordinator::sasl::Users::default();
            expected.add("kafka", password);
            assert_eq!(users, expected, "{text}");
            assert!(client_login("kafka", &secret).contains("username=\"kafka\""));
        }
    }

    #[test]
    fn certificates_hold_for_what_the_inventory_calls_a_host() {
        let yaml = b"ensemble: t\nhosts:\n  zk_1: { address: 10.0.0.1, myid: 1 }\n  \
                     zk2: { address: \"fd00::2\", myid: 2 }\n";
        let reading = crate::inventory::read(Path::new("i.yaml"), yaml, None);
        let inventory = reading.inventory.expect("valid");
        let names = |at: usize| of_member(&inventory, &inventory.hosts[at]).names;
        assert_eq!(names(0), ["10.0.0.1", "localhost", "127.0.0.1"]);
        assert_eq!(names(1), ["fd00::2", "zk2", "localhost", "127.0.0.1"]);
        let broker = of_broker(&inventory, &inventory.hosts[1]);
        assert_eq!(broker.subject(), "CN=broker,O=t");
        assert!(!broker.serves);
    }
}
