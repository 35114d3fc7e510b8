//! Inventories: what is said about wrong ones, what becomes of right ones.

use std::fmt::Write as _;
use std::path::Path;

use zkprov::inventory::{self, Inventory, finding::Severity};

use crate::cases;
use crate::root;

#[test]
fn each_case_is_explained() {
    cases("inventory", |_, input| answer(input.as_bytes()));
}

/// The findings, and the inventory if there is one.
fn answer(bytes: &[u8]) -> String {
    let home = Path::new("/home/me");
    let reading = inventory::read(Path::new("lab/inventory.yaml"), bytes, Some(home));
    let mut text = reading.shown;
    if let Some(inventory) = &reading.inventory {
        describe(&mut text, inventory);
    }
    text
}

fn describe(text: &mut String, inventory: &Inventory) {
    let _ = writeln!(text, "ensemble {} (majority {})", inventory.ensemble, inventory.majority());
    for host in &inventory.hosts {
        let _ = writeln!(
            text,
            "{}: {} myid {} {:?} {:?} ports {}/{}/{} {}",
            host.name,
            host.address,
            host.myid,
            host.role,
            host.r#become,
            host.ports.client,
            host.ports.quorum,
            host.ports.election,
            host.data_dir,
        );
        let ssh = &host.ssh;
        let _ = writeln!(
            text,
            "  ssh {:?}@{}:{:?} key {:?} config {:?} within {} ms",
            ssh.user, ssh.host, ssh.port, ssh.identity_file, ssh.config, ssh.connect_timeout_ms,
        );
        let properties = inventory.properties_of(host);
        if !properties.is_empty() {
            let _ = writeln!(text, "  properties {properties:?}");
        }
    }
    for broker in &inventory.brokers {
        let _ = writeln!(
            text,
            "broker {} on {}: {} in {:?} heap {:?} java {:?} {:?}",
            broker.id,
            broker.host,
            broker.listeners_line(),
            broker.log_dirs,
            broker.heap,
            broker.java_home,
            broker.properties,
        );
    }
    let _ = writeln!(text, "{:?}", inventory.kafka);
    let _ = writeln!(text, "{:?}", inventory.coordinator);
    let security = &inventory.security;
    if security.tls() || !security.users.is_empty() {
        let _ = writeln!(text, "{security:?}");
    }
}

#[test]
fn a_byte_order_mark_changes_no_line_or_column() {
    let text = "ensemble: demo\nhosts:\n  a: { address: 10.0.0.1, myid: 0 }\n";
    assert_eq!(answer(format!("\u{feff}{text}").as_bytes()), answer(text.as_bytes()));
    assert!(
        answer(text.as_bytes()).contains("inventory.yaml:3:33: error: `myid`: 0 is out of range")
    );
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let text = "ensemble: demo\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\nproperties: { a: b }\nno: 1\n";
    assert_eq!(answer(text.replace('\n', "\r\n").as_bytes()), answer(text.as_bytes()));
}

#[test]
fn other_encodings_are_named() {
    let utf16: Vec<u8> = "\u{feff}ensemble: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(answer(&utf16).contains(":1:1: error: the file is UTF-16 (little endian), not UTF-8"));
    let utf16: Vec<u8> = "\u{feff}ensemble: x".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(answer(&utf16).contains("UTF-16 (big endian)"));
    let utf16: Vec<u8> = "ensemble: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(answer(&utf16).contains("not UTF-8"));
    let latin1 = b"ensemble: demo\nhosts:\n  \xe4: { address: 10.0.0.1, myid: 1 }\n";
    assert!(answer(latin1).contains("inventory.yaml:3:3: error: byte 0xe4 is not UTF-8 text"));
}

#[test]
fn what_is_too_much_is_refused_and_not_read() {
    assert!(
        answer(&vec![b'#'; 10 * 1024 * 1024])
            .contains("10485760 bytes; an inventory may have 1048576")
    );
    assert!(
        answer("[".repeat(100_000).as_bytes())
            .contains("error: not YAML: recursion limit exceeded")
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let _ = writeln!(
            bomb,
            "a{level}: &a{level} [{}]",
            vec![format!("*a{}", level - 1); 9].join(", ")
        );
    }
    assert!(answer(bomb.as_bytes()).contains("more than 100000 values once aliases are expanded"));
}

#[test]
fn no_control_character_of_the_file_reaches_the_terminal() {
    let shown = answer("ensemble: \"\\e[31m\"\nkey\u{9b}: 1\nhosts: {}\n".as_bytes());
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

#[test]
fn a_thousand_hosts_are_read() {
    let mut text = "ensemble: large\nhosts:\n".to_owned();
    for host in 0..1000 {
        let role = if host < 5 { "participant" } else { "observer" };
        let (high, low) = (host / 250, host % 250 + 1);
        let _ = writeln!(
            text,
            "  h{host}: {{ address: 10.0.{high}.{low}, myid: {}, role: {role} }}",
            host % 255 + 1
        );
    }
    let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
    // Of a thousand, 745 must share a number with an earlier one.
    assert_eq!(reading.count(Severity::Error), 745);
}

#[test]
fn the_examples_are_valid() {
    let folder = root().join("inventories");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let bytes = std::fs::read(&path).expect("an example");
            let reading = inventory::read(&path, &bytes, None);
            assert_eq!(reading.count(Severity::Error), 0, "{}", reading.shown);
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn the_full_example_has_every_key_once() {
    let text = std::fs::read_to_string(root().join("inventories/full.yaml")).expect("the example");
    every_key(inventory::keys::INVENTORY, &mut |key| {
        let written = text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("# ");
            line.starts_with(&format!("{key}:"))
                || line.contains(&format!(" {key}:"))
                || line.contains(&format!("{{ {key}:"))
        });
        assert!(written, "`{key}` is not in full.yaml");
    });
}

#[test]
fn the_documentation_has_every_key() {
    let text = std::fs::read_to_string(root().join("docs/inventory.md")).expect("the page");
    every_key(inventory::keys::INVENTORY, &mut |key| {
        assert!(text.contains(&format!("`{key}`")), "`{key}` is not in docs/inventory.md");
    });
}

fn every_key(section: &'static [inventory::keys::Key], visit: &mut impl FnMut(&'static str)) {
    use inventory::keys::Kind;
    for key in section {
        visit(key.name);
        if let Kind::Section(inner) | Kind::Hosts(inner) | Kind::Brokers(inner) = key.kind {
            every_key(inner, visit);
        }
    }
}
