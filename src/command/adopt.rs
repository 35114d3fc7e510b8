//! `zkprov adopt`: looks at living hosts, changes nothing, and writes the inventory that describes them.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;

use crate::artifacts::collect;
use crate::cli;
use crate::command::Outcome;
use crate::command::inventory::{login, machines};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::Connector;
use crate::host::session::gather;
use crate::inventory::import::quoted;
use crate::inventory::ssh_config::Machine;
use crate::inventory::{Become, Host, scalar};
use crate::migration;
use crate::migration::adoption::{self, Adoption, LookedAt};
use crate::migration::found_server::FoundServer;
use crate::probe::Observed;
use crate::report;
use crate::script::Script;

const LOOK: Duration = Duration::from_secs(45);
/// More hosts are no ensemble.
const HOSTS_MAX: usize = 64;

pub async fn run(arguments: cli::Adopt) -> Outcome {
    scalar::name(&arguments.ensemble)
        .map_err(|wrong| Failure::usage(wrong.message).hint(wrong.hint.unwrap_or_default()))?;
    if let Some(out) = arguments.out.as_deref().filter(|out| out.exists()) {
        return Err(Failure::usage(format!("`{}` exists already", out.display()))
            .hint("name a new file: an inventory is not replaced"));
    }
    let (machines, from) = named(&arguments)?;
    if machines.is_empty() || machines.len() > HOSTS_MAX {
        let cause =
            format!("{} hosts are named; an ensemble has from 1 to {HOSTS_MAX}", machines.len());
        return Err(Failure::usage(cause));
    }
    let password = collect::asked_password(arguments.connection.ask_become_pass)?;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let connector = Connector::new(arguments.connection.accept_new_host_keys, password, stopped)?;
    let answers =
        join_all(machines.iter().map(|machine| look(&connector, machine, from.as_ref()))).await;
    for notice in connector.notices() {
        report::talk(&notice);
    }
    let (mut hosts, mut failures) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(host) => hosts.push(host),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(failure) = failures.pop() {
        failures.iter().for_each(report::failure);
        // An inventory of some members would take the others' votes away.
        return Err(failure);
    }
    let from = from.map(|path| path.display().to_string());
    let adoption = adoption::adopt(&arguments.ensemble, from.as_deref(), &hosts).map_err(
        |(cause, hint)| Failure::refused(format!("nothing is adopted: {cause}")).hint(hint),
    )?;
    write(&arguments, &adoption)
}

fn write(arguments: &cli::Adopt, adoption: &Adoption) -> Outcome {
    match &arguments.out {
        None => report::data(&adoption.text),
        Some(path) => {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            options
                .open(path)
                .and_then(|mut file| file.write_all(adoption.text.as_bytes()))
                .map_err(|error| {
                    Failure::failed(format!("cannot write `{}`: {error}", path.display()))
                })?;
        }
    }
    for remark in &adoption.remarks {
        report::talk(&format!("note: {remark}"));
    }
    if let Some(path) = &arguments.out {
        let path = path.display();
        report::talk(&format!(
            "{path} describes what runs; `zkprov plan {path}` shows what differs"
        ));
    }
    Ok(Exit::Done)
}

/// The hosts that are meant, and the ssh configuration that knows them.
fn named(arguments: &cli::Adopt) -> Result<(Vec<Machine>, Option<PathBuf>), Failure> {
    if let Some(path) = &arguments.ssh_config {
        if !arguments.hosts.is_empty() {
            return Err(Failure::usage("hosts and --ssh-config cannot be named together"));
        }
        return Ok((machines(path)?, Some(path.clone())));
    }
    let mut named = Vec::new();
    for word in &arguments.hosts {
        // As a broker writes it: `zk1:2181,zk2:2181/kafka`.
        let servers = word.split_once('/').map_or(word.as_str(), |(servers, _)| servers);
        for server in servers.split(',').filter(|server| !server.is_empty()) {
            named.push(machine(server)?);
        }
    }
    Ok((named, None))
}

/// `[USER@]HOST[:PORT]`: the port is ZooKeeper's, of no interest to a login.
fn machine(text: &str) -> Result<Machine, Failure> {
    let (user, host) = match text.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((six, _)) => six,
        None if host.matches(':').count() == 1 => host.split(':').next().unwrap_or(host),
        None => host,
    };
    let wrong =
        |wrong: scalar::Wrong| Failure::usage(wrong.message).hint(wrong.hint.unwrap_or_default());
    scalar::ssh_host(host).map_err(wrong)?;
    user.map(scalar::user).transpose().map_err(wrong)?;
    Ok(Machine {
        name: host.to_owned(),
        host_name: host.to_owned(),
        user: user.map(str::to_owned),
        ..Machine::default()
    })
}

async fn look(
    connector: &Connector,
    machine: &Machine,
    config: Option<&PathBuf>,
) -> Result<LookedAt, Failure> {
    let root = machine.user.as_deref() == Some("root");
    let host = Host {
        r#become: if root { Become::None } else { Become::Sudo },
        ..login(machine, config)?
    };
    let link = connector.connect(&host).await?;
    let mut script = Script::guarded(Duration::from_secs(40));
    script.library(migration::ADOPT);
    script.call("adopt_look", []);
    script.call("zk_frame", ["live", "whole", ""]);
    let heard = gather(&link, &script, LOOK).await;
    link.close().await;
    let (frames, said) = heard.map_err(|failure| failure.host(&machine.name))?;
    let observed = Observed::new(frames);
    if !observed.is_whole() {
        let said = said.lines().last().unwrap_or("the connection was lost").to_owned();
        return Err(Failure::new(
            Exit::Unreachable,
            format!("the look did not come to its end: {said}"),
        )
        .host(&machine.name));
    }
    let server = FoundServer::of(&observed).map_err(|why| {
        Failure::refused(crate::inventory::import::one_line(&why)).host(&machine.name)
    })?;
    let way = match config {
        Some(_) => Some(format!("{{ host: {} }}", quoted(&machine.name))),
        None => machine.user.as_ref().map(|user| format!("{{ user: {} }}", quoted(user))),
    };
    let name = short(&machine.name, server.myid);
    // The address is another one than the name where the name was made up for a number.
    let way = if name == machine.name || config.is_some() {
        way
    } else {
        let user =
            machine.user.as_ref().map_or(String::new(), |user| format!(", user: {}", quoted(user)));
        Some(format!("{{ host: {}{user} }}", quoted(&machine.name)))
    };
    Ok(LookedAt { name, ssh: way, root, server })
}

/// The host's name in the inventory: addresses are no names.
fn short(name: &str, myid: Option<u8>) -> String {
    let address = name.parse::<std::net::IpAddr>().is_ok();
    if !address && scalar::name(name).is_ok() {
        return name.to_owned();
    }
    format!("zk{}", myid.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_brokers_zookeeper_connect_names_hosts() {
        let adopt = |text: &str| cli::Adopt {
            hosts: vec![text.into()],
            ssh_config: None,
            ensemble: "zookeeper".into(),
            out: None,
            connection: cli::Connection {
                forks: 1,
                ask_become_pass: false,
                accept_new_host_keys: false,
            },
        };
        let arguments = adopt("zk1:2181,root@[fd00::2]:2181,10.0.0.3/kafka");
        let (machines, from) = named(&arguments).expect("hosts");
        let names: Vec<_> = machines
            .iter()
            .map(|machine| (machine.name.as_str(), machine.user.as_deref()))
            .collect();
        assert_eq!(names, [("zk1", None), ("fd00::2", Some("root")), ("10.0.0.3", None)]);
        assert_eq!(from.as_deref(), None::<&Path>);
        for bad in ["-oProxyCommand=x", "a b", "x;y", "u$er@h"] {
            let arguments = adopt(bad);
            assert!(named(&arguments).is_err(), "{bad}");
        }
        assert_eq!(short("10.0.0.3", Some(7)), "zk7");
    }
}
