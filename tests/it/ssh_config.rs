//! Inventories made from ssh configurations, and held against `validate` and `ssh -G`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use zkprov::inventory::import::{self, Way};
use zkprov::inventory::ssh_config::SshConfig;
use zkprov::inventory::{self, finding::Severity};

use crate::cases;

fn parse(text: &str) -> SshConfig {
    SshConfig::parse("ssh-config", text, &mut |pattern| match pattern {
        "more" => {
            vec![("more".to_owned(), "Host included\n  HostName 10.9.9.9\nUser late\n".to_owned())]
        }
        "loop" => vec![("loop".to_owned(), "Include loop\n".to_owned())],
        _ => Vec::new(),
    })
}

/// Each case both ways, and what `validate` says to the first.
#[test]
fn each_configuration_becomes_an_inventory() {
    cases("ssh-config", |_, input| {
        let config = parse(input);
        let none = BTreeMap::new();
        let file = import::inventory("demo", &config, Way::File("ssh-config"), &none);
        let carried = import::inventory("demo", &config, Way::Carried, &none);
        let reading = inventory::read(Path::new("inventory.yaml"), file.as_bytes(), None);
        let other = inventory::read(Path::new("inventory.yaml"), carried.as_bytes(), None);
        assert_eq!(reading.count(Severity::Error), other.count(Severity::Error), "{}", other.shown);
        format!("--- with the file\n{file}--- carried\n{carried}--- validate\n{}", reading.shown)
    });
}

const VAGRANT: &str = include_str!("../cases/ssh-config/vagrant-virtualbox.case");

#[test]
fn discovered_addresses_make_it_valid() {
    let (input, _) = VAGRANT.split_once("%%%\n").expect("a case");
    let told = |own: &str| {
        let text = format!(
            "1: lo    inet 127.0.0.1/8 scope host lo\n\
             2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic eth0\\       valid_lft 86000sec\n\
             3: eth1    inet {own}/24 brd 192.168.56.255 scope global eth1\\       valid_lft forever\n\
             3: eth1    inet6 fe80::1/64 scope link\n\
             4: docker0    inet 172.17.0.1/16 scope global docker0\n\
             5: eth2    inet 10.0.3.15/24 scope global eth2\n"
        );
        import::interfaces(&text)
    };
    let hosts: BTreeMap<_, _> =
        [("kafka1", "192.168.56.11"), ("kafka2", "192.168.56.12"), ("kafka3", "192.168.56.13")]
            .map(|(name, own)| (name.to_owned(), told(own)))
            .into();
    let chosen = import::choose(&hosts);
    assert_eq!(chosen["kafka2"], "192.168.56.12".parse::<IpAddr>().expect("an address"));
    let text = import::inventory("demo", &parse(input), Way::File("ssh-config"), &chosen);
    let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
    let inventory = reading.inventory.unwrap_or_else(|| panic!("{}\n{text}", reading.shown));
    assert_eq!(inventory.hosts[1].ssh.host, "kafka2");
    assert_eq!(inventory.hosts[1].address, "192.168.56.12");
}

/// OpenSSH itself is the judge of what its grammar means.
#[test]
fn ssh_reads_the_cases_as_we_do() {
    if std::process::Command::new("ssh").arg("-V").output().is_err() {
        crate::skipped("ssh_config::ssh_reads_the_cases_as_we_do", "ssh is not installed");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ssh-config");
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["vagrant-virtualbox", "vagrant-libvirt", "grammar"] {
        let case = crate::root().join(format!("tests/cases/ssh-config/{name}.case"));
        let text = std::fs::read_to_string(case).expect("a case");
        let (input, _) = text.split_once("%%%\n").unwrap_or((&text, ""));
        let file = folder.join(name);
        std::fs::write(&file, input).expect("a configuration");
        for machine in parse(input).machines() {
            let answer = std::process::Command::new("ssh")
                .args(["-G", "-F"])
                .arg(&file)
                .arg(&machine.name)
                .output()
                .expect("ssh runs");
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            let said = |key: &str| {
                answer
                    .lines()
                    .find_map(|line| line.strip_prefix(&format!("{key} ")))
                    .map(ToOwned::to_owned)
            };
            let at = format!("{name}: {}\n{answer}", machine.name);
            assert_eq!(said("hostname").as_ref(), Some(&machine.host_name.to_lowercase()), "{at}");
            assert_eq!(said("port"), Some(machine.port.unwrap_or(22).to_string()), "{at}");
            if machine.user.is_some() {
                assert_eq!(said("user"), machine.user, "{at}");
            }
            if let Some(identity) = machine.identity_files.first() {
                assert_eq!(said("identityfile").as_ref(), Some(identity), "{at}");
            }
        }
    }
}

#[test]
fn an_endless_include_ends() {
    let config = parse("Include loop\nHost a\n");
    assert_eq!(config.machines().len(), 1);
    assert!(
        config.remarks.iter().any(|remark| remark.contains("too deep")),
        "{:?}",
        config.remarks
    );
}
