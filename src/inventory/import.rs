//! Machines of an ssh configuration to an inventory, as a person would write it.
//!
//! How one gets in is never taken for the address by which the members know each other: behind a NAT
//! every machine is 127.0.0.1, with another port.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::inventory::address::Address;
use crate::inventory::scalar;
use crate::inventory::ssh_config::{Machine, SshConfig};

/// Where the connection data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'w> {
    /// In a file that the inventory refers to.
    File(&'w str),
    /// In the inventory itself.
    Carried,
}

/// One interface's address as a host tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub address: IpAddr,
    /// Bits of the network's part.
    pub prefix: u8,
}

/// The inventory's text. `discovered` are addresses the hosts have told, by name.
pub fn inventory(
    ensemble: &str,
    config: &SshConfig,
    way: Way<'_>,
    discovered: &BTreeMap<String, IpAddr>,
) -> String {
    let machines = config.machines();
    let from = match way {
        Way::File(file) => file,
        Way::Carried => "stdin",
    };
    let mut text =
        format!("# Made by `zkprov inventory from-ssh-config` from {}.\n", one_line(from));
    for remark in &config.remarks {
        let _ = writeln!(text, "# {}", one_line(remark));
    }
    if way == Way::Carried {
        not_carried(&mut text, &machines);
    }
    let _ = writeln!(text, "ensemble: {}", quoted(ensemble));
    if let Way::File(file) = way {
        let _ = writeln!(text, "ssh: {{ config: {} }}", quoted(file));
    }
    text.push_str("hosts:\n");
    let mut numbers = numbers(&machines);
    for machine in &machines {
        let Machine { name, .. } = machine;
        if scalar::name(name).is_err() {
            let _ = writeln!(
                text,
                "  # left out: {} cannot be the name of a host here",
                one_line(name)
            );
            continue;
        }
        let myid = numbers.remove(0);
        let ssh = match way {
            Way::File(_) => format!("ssh: {{ host: {} }}", quoted(name)),
            Way::Carried => carried(machine),
        };
        let root = machine.user.as_deref() == Some("root");
        let rights = if root && matches!(way, Way::File(_)) { ", become: none" } else { "" };
        match discovered
            .get(name)
            .map(ToString::to_string)
            .map_or_else(|| address(machine, &machines), Ok)
        {
            Ok(address) => {
                let address = quoted(&address);
                let _ = writeln!(
                    text,
                    "  {name}: {{ address: {address}, myid: {myid}, {ssh}{rights} }}"
                );
            }
            Err(why) => {
                let _ = writeln!(text, "  {name}:");
                let _ = writeln!(text, "    # address: {why}.");
                text.push_str(
                    "    # Write the address by which the other members reach this host, such as the one of its\n    \
                     # private network; --discover asks the host.\n",
                );
                let _ = writeln!(text, "    myid: {myid}\n    {ssh}");
                if !rights.is_empty() {
                    text.push_str("    become: none\n");
                }
            }
        }
    }
    text
}

/// The address by which others know the machine, if the configuration tells it.
fn address(machine: &Machine, machines: &[Machine]) -> Result<String, String> {
    let host_name = &machine.host_name;
    let Ok(address) = Address::parse(host_name) else {
        return Err(format!("{} is not an address", one_line(host_name)));
    };
    if address.is_loopback() || address.is_wildcard() {
        return Err(format!("{host_name} is only the way in"));
    }
    if address.is_virtualbox_nat() {
        return Err(format!("{host_name} is the same in every VirtualBox machine"));
    }
    let same = |other: &Machine| Address::parse(&other.host_name).as_ref() == Ok(&address);
    if machines.iter().filter(|other| same(other)).count() > 1 {
        return Err(format!("{host_name} is the way in to several machines"));
    }
    Ok(host_name.clone())
}

/// A number each: the one the name ends in if all have one of their own, else in order.
fn numbers(machines: &[Machine]) -> Vec<usize> {
    let good: Vec<&Machine> =
        machines.iter().filter(|machine| scalar::name(&machine.name).is_ok()).collect();
    let ending = |machine: &&Machine| {
        let name = machine.name.split('.').next().unwrap_or_default();
        let digits = name.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.parse::<usize>().ok().filter(|number| (1..=255).contains(number))
    };
    let own: Option<Vec<usize>> = good.iter().map(ending).collect();
    if let Some(own) = own {
        let mut sorted = own.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() == own.len() {
            return own;
        }
    }
    (1..=good.len()).collect()
}

fn carried(machine: &Machine) -> String {
    let mut parts = vec![format!("host: {}", quoted(&machine.host_name))];
    parts.extend(machine.port.map(|port| format!("port: {port}")));
    parts.extend(machine.user.as_deref().map(|user| format!("user: {}", quoted(user))));
    parts.extend(
        machine
            .identity_files
            .first()
            .filter(|path| !path.contains('%'))
            .map(|path| format!("identity_file: {}", quoted(path))),
    );
    format!("ssh: {{ {} }}", parts.join(", "))
}

/// What an inventory has no key for must not be lost unsaid.
fn not_carried(text: &mut String, machines: &[Machine]) {
    // These are what zkprov does anyway, or do not matter to it.
    let harmless =
        ["passwordauthentication", "identitiesonly", "loglevel", "forwardagent", "forwardx11"];
    let mut lost: Vec<&str> = machines
        .iter()
        .flat_map(|machine| &machine.others)
        .map(String::as_str)
        .filter(|keyword| !harmless.contains(keyword))
        .collect();
    if machines.iter().any(|machine| machine.identity_files.len() > 1) {
        lost.push("identityfile (all but the first)");
    }
    lost.sort_unstable();
    lost.dedup();
    if !lost.is_empty() {
        let _ = writeln!(text, "# Not carried over: {}.", one_line(&lost.join(", ")));
        text.push_str(
            "# Save the configuration to a file and name that instead, if they matter.\n",
        );
    }
}

/// A word as YAML reads it back.
pub(crate) fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-/~@+".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || "/~".contains(c))
        && text.chars().all(safe);
    let address = text.parse::<std::net::Ipv4Addr>().is_ok();
    // A tilde alone is nothing to YAML.
    if (plain || address) && text != "~" && !["null", "true", "false"].contains(&text) {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
}

pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What `ip -o addr show` prints, without what no other machine can reach.
pub fn interfaces(text: &str) -> Vec<Interface> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, name, "inet" | "inet6", address, ..] = words.as_slice() else { continue };
        let Some((address, prefix)) = address.split_once('/') else { continue };
        let (Ok(ip), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse()) else { continue };
        let bridge = ["docker", "br-", "virbr", "veth", "cni", "lxcbr"]
            .iter()
            .any(|own| name.starts_with(own));
        let Ok(meaning) = Address::parse(address) else { continue };
        let useless =
            meaning.is_loopback() || meaning.is_link_local() || meaning.is_virtualbox_nat();
        if !bridge && !useless {
            found.push(Interface { address: ip, prefix });
        }
    }
    found
}

/// One address each, on a network that as many hosts as possible share and none of them doubly.
pub fn choose(hosts: &BTreeMap<String, Vec<Interface>>) -> BTreeMap<String, IpAddr> {
    let mut networks: BTreeMap<(IpAddr, u8), BTreeMap<&str, IpAddr>> = BTreeMap::new();
    for (name, interfaces) in hosts {
        for interface in interfaces {
            let members = networks.entry((network(interface), interface.prefix)).or_default();
            members.entry(name).or_insert(interface.address);
        }
    }
    let distinct = |members: &BTreeMap<&str, IpAddr>| {
        let addresses: std::collections::BTreeSet<&IpAddr> = members.values().collect();
        addresses.len() == members.len()
    };
    let private = |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if ip.is_private());
    let mut ranked: Vec<_> = networks.iter().filter(|(_, members)| distinct(members)).collect();
    ranked.sort_by_key(|((ip, _), members)| (members.len(), private(ip), ip.is_ipv4()));
    let mut chosen = BTreeMap::new();
    for (_, members) in ranked.into_iter().rev() {
        for (name, address) in members {
            chosen.entry((*name).to_owned()).or_insert(*address);
        }
    }
    chosen
}

fn network(interface: &Interface) -> IpAddr {
    match interface.address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(interface.prefix.min(32))).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask =
                u128::MAX.checked_shl(128 - u32::from(interface.prefix.min(128))).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}
