//! A laboratory of real hosts on one machine: full Debian systems with systemd and sshd, on a
//! network of their own that leads nowhere. For the first try, for the tests, and for whoever wants
//! to see what an operation does before doing it in earnest.
//!
//! A lab has a name. Its bridge, namespaces, control groups and folder are made from that name, so
//! that labs live side by side and what a crashed run left is found again.

mod access;
mod base;
mod cgroup;
mod fault;
mod host;
mod mount;
mod needs;
mod network;
mod record;
mod relay;
mod seed;
mod tool;
mod vagrant;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

pub use self::base::Flavour;
use self::network::Network;
pub use self::record::{Condition, DEFAULT_NAME, Host, Lab, Options, Release, home};
use self::record::{DEFAULT_NETWORK, Record};
pub use self::relay::{Wire, carry};
pub use self::seed::USERS;
pub use self::vagrant::write_box;
use crate::failure::Failure;

/// What the hosts are called, with their number behind.
const HOST_PREFIX: &str = "kafka";

/// Names of network interfaces end after 15 bytes, and the lab's carry a suffix.
const NAME_LENGTH_MAX: usize = 10;

/// Whether this machine can boot hosts; if not, the first need it does not meet, with advice.
pub fn check_machine() -> Result<(), Failure> {
    needs::check(&home())
}

impl Lab {
    /// Boots `count` fresh hosts and waits until all let people in. What an earlier run of the same
    /// name left is cleared away first; a lab that is up is refused.
    pub fn up(name: &str, count: u8, options: Options) -> Result<Self, Failure> {
        check_name(name)?;
        let home = home();
        needs::check(&home)?;
        let _lock = lock(&home, name)?;
        if let Ok(lab) = Self::open(name) {
            let up = lab.hosts.iter().filter(|host| lab.leader(host).is_some()).count();
            if up > 0 {
                return Err(Failure::failed(format!(
                    "the lab `{name}` is up already: {up} of {} hosts run",
                    lab.hosts.len()
                ))
                .hint(format!(
                    "`zkprov lab --name {name} reset` makes them fresh, `down` takes them away"
                )));
            }
        }
        clear(&home, name)?;
        let bases = if options.releases.is_empty() {
            vec![base::find_or_build(&home, options.flavour, None)?]
        } else {
            let build =
                |release: &Release| base::find_or_build(&home, options.flavour, Some(*release));
            options.releases.iter().map(build).collect::<Result<_, _>>()?
        };
        let network = match &options.network {
            Some(network) => checked_network(network)?,
            None => free_network(&home, name),
        };
        let lab = Self::assemble(&home, name, Record { hosts: count, network, bases, options });
        lab.bring_up()?;
        Ok(lab)
    }

    /// The lab of this name, as it was written down when it came up.
    pub fn open(name: &str) -> Result<Self, Failure> {
        check_name(name)?;
        let home = home();
        let path = record_path(&home, name);
        let text = fs::read_to_string(&path).map_err(|_| {
            Failure::failed(format!("there is no lab `{name}`")).hint(match name {
                DEFAULT_NAME => "`zkprov lab up 3` boots one".to_owned(),
                _ => format!("`zkprov lab --name {name} up 3` boots one"),
            })
        })?;
        let record: Record = serde_json::from_str(&text).map_err(|error| {
            Failure::failed(format!("cannot read `{}`: {error}", path.display()))
                .hint(format!("`zkprov lab --name {name} down` clears it away"))
        })?;
        Ok(Self::assemble(&home, name, record))
    }

    fn assemble(home: &Path, name: &str, record: Record) -> Self {
        let network = Network { name: name.to_owned(), prefix: record.network };
        let hosts = (1..=record.hosts)
            .map(|number| Host {
                name: format!("{HOST_PREFIX}{number}"),
                number,
                address: network.address(number),
            })
            .collect();
        let (bases, options) = (record.bases, record.options);
        Self { home: home.to_owned(), network, hosts, bases, options }
    }

    fn bring_up(&self) -> Result<(), Failure> {
        seed::folder(&self.directory())?;
        let key = seed::key_pair(&self.directory().join("key"), "zkprov-lab")?;
        access::write_all(self)?;
        for base in &self.bases {
            seed::make(base, &self.seed(base), &key)?;
        }
        let record = Record {
            hosts: self.hosts.len() as u8,
            network: self.network.prefix.clone(),
            bases: self.bases.clone(),
            options: self.options.clone(),
        };
        let text = serde_json::to_string(&record)
            .map_err(|error| Failure::failed(format!("cannot write the lab down: {error}")))?;
        seed::write(&record_path(&self.home, self.name()), &text, 0o644)?;
        self.network.raise()?;
        for host in &self.hosts {
            self.network.connect(&host.name, host.number)?;
        }
        at_once(&self.hosts, |host| {
            self.prepare(host)?;
            self.boot(host)?;
            self.settle(host)
        })
    }

    /// Gives hosts a fresh disk and boots them; all of them when none is named.
    pub fn reset(&self, names: &[String]) -> Result<(), Failure> {
        let _lock = lock(&self.home, self.name())?;
        let hosts = if names.is_empty() {
            self.hosts.clone()
        } else {
            names.iter().map(|name| self.host(name).cloned()).collect::<Result<_, _>>()?
        };
        at_once(&hosts, |host| {
            self.cut_power(host)?;
            self.prepare(host)?;
            self.boot(host)?;
            self.settle(host)
        })
    }

    /// Takes the lab away with everything it made on this machine, whatever state it is in.
    pub fn down(name: &str) -> Result<(), Failure> {
        check_name(name)?;
        let home = home();
        if !needs::is_root() {
            return Err(Failure::failed("a lab can be taken away by root only").hint("use sudo"));
        }
        if !home.exists() {
            return Ok(());
        }
        let _lock = lock(&home, name)?;
        clear(&home, name)
    }

    /// Takes the base systems away, unless a lab still stands on them.
    pub fn prune() -> Result<(), Failure> {
        let home = home();
        if !names(&home).is_empty() {
            return Ok(());
        }
        mount::unmount(&home.join("cgroup2"));
        base::clear(&home)
    }

    pub fn name(&self) -> &str {
        &self.network.name
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Result<&Host, Failure> {
        self.hosts.iter().find(|host| host.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.hosts.iter().map(|host| host.name.as_str()).collect();
            Failure::usage(format!("the lab `{}` has no host `{name}`", self.name()))
                .hint(format!("its hosts are {}", names.join(", ")))
        })
    }

    /// The lab's folder.
    pub fn directory(&self) -> PathBuf {
        self.home.join(self.name())
    }

    /// An OpenSSH client configuration that reaches the hosts as one of [`USERS`].
    pub fn ssh_config(&self, user: &str) -> PathBuf {
        let suffix = if user == "root" { String::new() } else { format!(".{user}") };
        self.directory().join(format!("ssh_config{suffix}"))
    }

    /// The lab's inventory; its paths are relative to the lab's folder.
    pub fn inventory(&self) -> PathBuf {
        self.directory().join("inventory.yaml")
    }

    /// Writes the inventory to another place.
    pub fn write_inventory(&self, path: &Path) -> Result<(), Failure> {
        access::write_inventory(self, path)
    }

    /// An address of the lab's network at which there is no host, and never will be.
    pub fn unused_address(&self) -> String {
        format!("{}.250", self.network.prefix)
    }

    fn home(&self) -> &Path {
        &self.home
    }

    /// What a host stands on.
    fn base(&self, host: &Host) -> &Path {
        &self.bases[usize::from(host.number - 1) % self.bases.len()]
    }

    /// The layer over a base that makes it a host of this lab.
    fn seed(&self, base: &Path) -> PathBuf {
        let name = base.file_name().unwrap_or_default().to_string_lossy();
        self.directory().join(format!("seed-{name}"))
    }

    fn options(&self) -> &Options {
        &self.options
    }
}

/// Does the same to several hosts at once; the first failure, in the order of the hosts.
fn at_once(
    hosts: &[Host],
    act: impl Fn(&Host) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let act = &act;
    thread::scope(|scope| {
        let running: Vec<_> = hosts.iter().map(|host| scope.spawn(move || act(host))).collect();
        let ended: Vec<_> = running.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended
            .into_iter()
            .try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Stops and removes all that bears the lab's name, by what the machine shows and not by what was
/// written down: a run that crashed half-way has written nothing.
fn clear(home: &Path, name: &str) -> Result<(), Failure> {
    let directory = home.join(name);
    for host in fs::read_dir(directory.join("h")).into_iter().flatten().flatten() {
        let swap = host.path().join("swapfile");
        if swap.exists() {
            tool::succeeds("swapoff", [&swap]);
        }
        let machine = format!("{name}-{}", host.file_name().to_string_lossy());
        let _ = fs::remove_dir_all(Path::new("/run/systemd/nspawn/propagate").join(machine));
    }
    let group = cgroup::Cgroup::new(home, name)?;
    group.kill();
    for target in mount::below(&directory) {
        mount::unmount(&target);
    }
    group.remove();
    Network { name: name.to_owned(), prefix: String::new() }.clear();
    // Last of all, and never while something is still mounted below.
    let left = mount::below(&directory);
    if let Some(target) = left.first() {
        return Err(Failure::failed(format!("`{}` is still mounted", target.display())));
    }
    base::clear(&directory)
}

fn record_path(home: &Path, name: &str) -> PathBuf {
    home.join(name).join("lab.json")
}

/// One command at a time may change a lab; others wait for it.
fn lock(home: &Path, name: &str) -> Result<File, Failure> {
    seed::folder(home)?;
    let lock = base::open_lock(&home.join(format!("{name}.lock")))?;
    lock.lock().map_err(|error| Failure::failed(format!("cannot lock the lab: {error}")))?;
    Ok(lock)
}

/// The labs that are written down.
pub fn names(home: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(home)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| record_path(home, name).exists())
        .collect();
    names.sort();
    names
}

fn check_name(name: &str) -> Result<(), Failure> {
    let fits = name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if fits && !name.starts_with("base") {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` cannot be a lab's name")).hint(format!(
        "up to {NAME_LENGTH_MAX} lower-case letters and digits, a letter first, not `base…`"
    )))
}

fn checked_network(network: &str) -> Result<String, Failure> {
    let address: Result<std::net::Ipv4Addr, _> = format!("{network}.0").parse();
    match address {
        Ok(address) if address.is_private() => Ok(network.to_owned()),
        _ => Err(Failure::usage(format!("`{network}` cannot be a lab's network"))
            .hint("three octets of a private network, such as 10.77.0")),
    }
}

/// The default lab has the default network; another takes the first that nobody here uses.
fn free_network(home: &Path, name: &str) -> String {
    if name == DEFAULT_NAME {
        return DEFAULT_NETWORK.to_owned();
    }
    let taken: Vec<String> = names(home)
        .iter()
        .filter_map(|name| Lab::open(name).ok())
        .map(|lab| lab.network.prefix)
        .collect();
    (1..=254)
        .map(|third| format!("10.77.{third}"))
        .find(|network| !taken.contains(network) && !network::is_used(network))
        .unwrap_or_else(|| DEFAULT_NETWORK.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_interfaces_and_must_fit() {
        for good in ["zkprov", "t1", "abcdefghij"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1lab", "Lab", "a-b", "a/b", "abcdefghijk", "base", ".."] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_private_and_three_octets() {
        for good in ["10.77.0", "192.168.3", "172.16.9"] {
            assert!(checked_network(good).is_ok(), "{good}");
        }
        for bad in ["10.77", "10.77.0.0", "8.8.8", "127.0.0", "10.077.0", "10.77.0 ", ""] {
            assert!(checked_network(bad).is_err(), "{bad}");
        }
    }
}
