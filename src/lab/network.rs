//! The lab's network: a bridge, one cable and one network namespace a host, and no way out.

use std::fmt::Write as _;
use std::fs;

use super::tool::{run, succeeds, tool};
use crate::failure::Failure;

/// Names and addresses that follow from a lab's name and its network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// The lab's name, and the bridge's.
    pub name: String,
    /// The first three octets.
    pub prefix: String,
}

impl Network {
    /// The address of the controller on the lab's bridge.
    pub(super) fn controller(&self) -> String {
        format!("{}.1", self.prefix)
    }

    /// The address of host number `number`, counted from 1.
    pub(super) fn address(&self, number: u8) -> String {
        format!("{}.{}", self.prefix, 10 + number)
    }

    pub(super) fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    /// The controller's end of a host's cable.
    fn cable(&self, number: u8) -> String {
        format!("{}v{number}", self.name)
    }

    /// The small bridge between a slow wire and its host's cable.
    fn socket(&self, number: u8) -> String {
        format!("{}w{number}", self.name)
    }

    /// Both ends of a host's slow wire: at the lab's bridge, and at the host's cable.
    pub(super) fn wire(&self, number: u8) -> [String; 2] {
        ["a", "b"].map(|end| format!("{}{end}{number}", self.name))
    }

    /// Puts a host's slow wire, whose ends are there already, between its cable and the bridge.
    pub(super) fn splice(&self, number: u8) -> Result<(), Failure> {
        let ([near, far], socket) = (self.wire(number), self.socket(number));
        run("ip", ["link", "add", &socket, "type", "bridge"])?;
        for (link, master) in [(&near, &self.name), (&far, &socket), (&self.cable(number), &socket)]
        {
            run("ip", ["link", "set", link, "master", master, "up"])?;
        }
        run("ip", ["link", "set", &socket, "up"]).map(drop)
    }

    /// Takes a host's slow wire away; the process that carries its frames ends with it.
    pub(super) fn unsplice(&self, number: u8) -> Result<(), Failure> {
        if !exists(&self.socket(number)) {
            return Ok(());
        }
        let [near, far] = self.wire(number);
        for link in [&self.socket(number), &near, &far] {
            let _ = run("ip", ["link", "del", link]);
        }
        self.plug(number, true)
    }

    /// Bridge and routes. What is meant for a host must never leave the machine, not even while
    /// the bridge is away: so the blackhole route comes first, and it stays.
    pub(super) fn raise(&self) -> Result<(), Failure> {
        let net = format!("{}.0/24", self.prefix);
        run("ip", ["route", "replace", "blackhole", &net, "metric", "4096"])?;
        if !succeeds("ip", ["link", "show", &self.name]) {
            run("ip", ["link", "add", &self.name, "type", "bridge"])?;
            let address = format!("{}/24", self.controller());
            run("ip", ["addr", "add", &address, "dev", &self.name])?;
            run("ip", ["link", "set", &self.name, "up"])?;
        }
        Ok(())
    }

    /// Namespace, cable and address of one host.
    pub(super) fn connect(&self, host: &str, number: u8) -> Result<(), Failure> {
        let namespace = self.namespace(host);
        if fs::exists(format!("/run/netns/{namespace}")).unwrap_or(false) {
            return Ok(());
        }
        let cable = self.cable(number);
        run("ip", ["netns", "add", &namespace])?;
        run(
            "ip",
            ["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &namespace],
        )?;
        run("ip", ["link", "set", &cable, "master", &self.name, "up"])?;
        let address = format!("{}/24", self.address(number));
        run("ip", ["-n", &namespace, "addr", "add", &address, "dev", "eth0"])?;
        run("ip", ["-n", &namespace, "link", "set", "eth0", "up"])?;
        run("ip", ["-n", &namespace, "link", "set", "lo", "up"]).map(drop)
    }

    /// Pulls a host's cable, or plugs it in again.
    pub(super) fn plug(&self, number: u8, plugged: bool) -> Result<(), Failure> {
        let cable = self.cable(number);
        let socket = self.socket(number);
        let master = if exists(&socket) { &socket } else { &self.name };
        if plugged {
            run("ip", ["link", "set", &cable, "master", master]).map(drop)
        } else {
            run("ip", ["link", "set", &cable, "nomaster"]).map(drop)
        }
    }

    /// Drops, silently and in both directions, what two addresses send each other.
    pub(super) fn drop_between(&self, one: &str, other: &str) -> Result<(), Failure> {
        if !succeeds("nft", ["list", "table", "bridge", &self.name]) {
            let hooks = ["forward", "input", "output"].map(|hook| {
                format!(
                    "add chain bridge {} {hook} {{ type filter hook {hook} priority 0; }}",
                    self.name
                )
            });
            let rules = format!("add table bridge {}\n{}\n", self.name, hooks.join("\n"));
            nft(&rules)?;
        }
        let mut rules = String::new();
        for hook in ["forward", "input", "output"] {
            for (from, to) in [(one, other), (other, one)] {
                let _ = writeln!(
                    rules,
                    "add rule bridge {} {hook} ip saddr {from} ip daddr {to} drop",
                    self.name
                );
            }
        }
        nft(&rules)
    }

    /// Forgets all that [`Self::drop_between`] has set up.
    pub(super) fn drop_nothing(&self) {
        let _ = run("nft", ["delete", "table", "bridge", &self.name]);
    }

    /// Takes all of it away, also what a crashed run left. The blackhole route stays.
    pub(super) fn clear(&self) {
        self.drop_nothing();
        for namespace in names_in("/run/netns", &format!("{}-", self.name)) {
            let _ = run("ip", ["netns", "del", &namespace]);
        }
        for kind in ["v", "w", "a", "b"] {
            for link in names_in("/sys/class/net", &format!("{}{kind}", self.name)) {
                if link[self.name.len() + 1..].bytes().all(|byte| byte.is_ascii_digit()) {
                    let _ = run("ip", ["link", "del", &link]);
                }
            }
        }
        if succeeds("ip", ["link", "show", &self.name]) {
            let _ = run("ip", ["link", "del", &self.name]);
        }
    }
}

/// Whether any route or address of this machine touches the network.
pub(super) fn is_used(prefix: &str) -> bool {
    let routes = run("ip", ["-4", "route", "show", "table", "all"]).unwrap_or_default();
    routes
        .lines()
        .filter(|line| !line.starts_with("blackhole"))
        .any(|line| line.split([' ', '/']).any(|word| word.starts_with(&format!("{prefix}."))))
}

/// Whether there is a network interface of this name.
pub(super) fn exists(link: &str) -> bool {
    fs::exists(format!("/sys/class/net/{link}")).unwrap_or(false)
}

fn names_in(folder: &str, prefix: &str) -> Vec<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect()
}

fn nft(rules: &str) -> Result<(), Failure> {
    super::tool::output(tool("nft").arg(rules)).map(drop)
}
