//! How one gets in: the lab's key, its ssh configurations, the hosts' names and the inventory.

use std::fmt::Write as _;
use std::path::Path;

use super::record::Lab;
use super::seed::{USERS, key_pair, write};
use crate::failure::Failure;

/// Writes everything that names the hosts. Host keys stay the same for the life of the lab, so that
/// a reset host is no stranger.
pub(super) fn write_all(lab: &Lab) -> Result<(), Failure> {
    let mut names = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{}\tctl\n",
        lab.network.controller()
    );
    let mut known_hosts = String::new();
    for host in lab.hosts() {
        let _ = writeln!(names, "{}\t{}", host.address, host.name);
        super::seed::folder(&lab.host_directory(&host.name))?;
        let key = key_pair(&lab.host_directory(&host.name).join("hostkey"), &host.name)?;
        let mut words = key.split_whitespace();
        let (kind, key) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let _ = writeln!(known_hosts, "{},{} {kind} {key}", host.name, host.address);
    }
    let directory = lab.directory();
    write(&directory.join("hosts"), &names, 0o644)?;
    write(&directory.join("known_hosts"), &known_hosts, 0o644)?;
    for user in USERS {
        write(&lab.ssh_config(user), &ssh_config(lab, user), 0o644)?;
    }
    write(&lab.inventory(), &inventory(lab), 0o644)
}

/// An OpenSSH client configuration that reaches every host of the lab as `user`.
fn ssh_config(lab: &Lab, user: &str) -> String {
    let mut text = String::new();
    for host in lab.hosts() {
        let _ = writeln!(
            text,
            "Host {}\n  HostName {}\n  HostKeyAlias {}",
            host.name, host.address, host.name
        );
    }
    let directory = lab.directory();
    let directory = directory.display();
    let _ = write!(
        text,
        "Host *\n  User {user}\n  IdentityFile {directory}/key\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {directory}/known_hosts\n  StrictHostKeyChecking yes\n  \
         BatchMode yes\n  ConnectTimeout 10\n"
    );
    text
}

/// The inventory of the lab, as a person would write it.
fn inventory(lab: &Lab) -> String {
    let mut text = format!(
        "# The hosts of `zkprov lab up`: an ensemble on real Debian systems on this machine.\n\
         ensemble: {}\nssh: {{ user: root, config: ssh_config }}\nhosts:\n",
        lab.name()
    );
    for host in lab.hosts() {
        let _ = writeln!(
            text,
            "  {}: {{ address: {}, myid: {} }}",
            host.name, host.address, host.number
        );
    }
    text
}

/// The inventory as it stands outside the lab's folder: its paths are absolute.
pub(super) fn write_inventory(lab: &Lab, path: &Path) -> Result<(), Failure> {
    let config = format!("config: {}", lab.ssh_config("root").display());
    write(path, &inventory(lab).replace("config: ssh_config", &config), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::{DEFAULT_NAME, DEFAULT_NETWORK, Options, Record};

    #[test]
    fn the_inventory_of_the_sources_fits_the_lab_that_needs_no_name() {
        let network = DEFAULT_NETWORK.to_owned();
        let record = Record { hosts: 3, network, bases: Vec::new(), options: Options::default() };
        let lab = Lab::assemble(Path::new("/var/lib/zkprov/lab"), DEFAULT_NAME, record);
        let config = format!("config: {}", lab.ssh_config("root").display());
        let wanted = inventory(&lab).replace("config: ssh_config", &config);
        let text = include_str!("../../inventories/lab.yaml");
        for line in wanted.lines().filter(|line| !line.starts_with('#')) {
            assert!(text.lines().any(|there| there == line), "{line}");
        }
    }
}
