//! `zkprov inventory`: inventories made from something else.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{FromSshConfig, InventoryCommand};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::{Connector, Event};
use crate::inventory::import::{self, Way};
use crate::inventory::ssh_config::{self, Machine, SshConfig};
use crate::inventory::{Become, Host, Ports, Role, SshTarget, scalar};
use crate::probe;
use crate::report;
use crate::script::{self, Script};

/// A configuration is a few pages.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const DISCOVER_DEADLINE: Duration = Duration::from_secs(20);

pub async fn run(command: InventoryCommand) -> Outcome {
    match command {
        InventoryCommand::FromSshConfig(arguments) => from_ssh_config(arguments).await,
    }
}

async fn from_ssh_config(arguments: FromSshConfig) -> Outcome {
    scalar::name(&arguments.ensemble)
        .map_err(|wrong| Failure::usage(wrong.message).hint(wrong.hint.unwrap_or_default()))?;
    let path = &arguments.file;
    let from_stdin = path.as_os_str() == "-";
    let shown = path.to_string_lossy();
    let (config, machines) = configured(path)?;
    let mut failures = Vec::new();
    let mut discovered = BTreeMap::new();
    if arguments.discover {
        (discovered, failures) = discover(&machines, (!from_stdin).then_some(path)).await?;
    }
    let way = if from_stdin { Way::Carried } else { Way::File(&shown) };
    report::data(&import::inventory(&arguments.ensemble, &config, way, &discovered));
    for failure in &failures {
        report::failure(failure);
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Unreachable })
}

/// The machines that an ssh configuration names.
pub(super) fn machines(path: &Path) -> Result<Vec<Machine>, Failure> {
    configured(path).map(|(_, machines)| machines)
}

fn configured(path: &Path) -> Result<(SshConfig, Vec<Machine>), Failure> {
    let from_stdin = path.as_os_str() == "-";
    let text = read(path, from_stdin)?;
    let shown = path.to_string_lossy();
    let home = std::env::home_dir();
    let config =
        SshConfig::parse(if from_stdin { "stdin" } else { &shown }, &text, &mut |pattern| {
            included(pattern, home.as_deref())
        });
    let machines = config.machines();
    if machines.is_empty() {
        return Err(Failure::usage(format!("{shown} names no host"))
            .hint("`vagrant ssh-config` prints one `Host` block for each running machine"));
    }
    Ok((config, machines))
}

fn read(path: &Path, from_stdin: bool) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if from_stdin {
        std::io::stdin().take(BYTES_MAX).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{} is not text", path.display())))
}

/// The files an `Include` means: relative ones start at `~/.ssh`, the last part may have wildcards.
fn included(pattern: &str, home: Option<&Path>) -> Vec<(String, String)> {
    let whole = match (pattern.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (None, Some(home)) => home.join(".ssh").join(pattern),
        _ => PathBuf::from(pattern),
    };
    let (Some(folder), Some(name)) =
        (whole.parent(), whole.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    if name.contains(['*', '?']) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        paths.extend(entries.map(|entry| entry.path()).filter(|path| {
            let entry = path.file_name().map(|entry| entry.to_string_lossy().into_owned());
            entry.is_some_and(|entry| !entry.starts_with('.') && ssh_config::fits(name, &entry))
        }));
        paths.sort();
    } else {
        paths.push(whole);
    }
    paths
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), read(&path, false).ok()?)))
        .collect()
}

/// Logs in to every machine and asks for its addresses.
async fn discover(
    machines: &[Machine],
    config: Option<&PathBuf>,
) -> Result<(BTreeMap<String, IpAddr>, Vec<Failure>), Failure> {
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let connector = std::sync::Arc::new(Connector::new(false, None, stopped)?);
    let mut tasks = tokio::task::JoinSet::new();
    for machine in machines {
        let (connector, host) = (std::sync::Arc::clone(&connector), login(machine, config)?);
        tasks.spawn(async move {
            let answer = ask(&connector, &host).await;
            (host.name, answer)
        });
    }
    let (mut interfaces, mut failures) = (BTreeMap::new(), Vec::new());
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((name, Ok(text))) => {
                interfaces.insert(name, import::interfaces(&text));
            }
            Ok((_, Err(failure))) => failures.push(failure),
            Err(error) => return Err(Failure::failed(format!("a task ended early: {error}"))),
        }
    }
    for notice in connector.notices() {
        report::talk(&notice);
    }
    failures.sort_by(|left, right| left.host.cmp(&right.host));
    Ok((import::choose(&interfaces), failures))
}

async fn ask(connector: &Connector, host: &Host) -> Result<String, Failure> {
    let link = connector.connect(host).await?;
    let mut script = Script::new(&script::nonce());
    script.library(probe::SHELL);
    script.call("probe_addresses", []);
    let mut text = String::new();
    let ended = link
        .run(&script, &[], DISCOVER_DEADLINE, |event| {
            if let Event::Frame(frame) = event
                && frame.name == "addresses"
            {
                text = frame.text();
            }
        })
        .await;
    link.close().await;
    ended.map_err(|failure| failure.host(&host.name))?;
    Ok(text)
}

/// A machine as far as a login goes.
pub(super) fn login(machine: &Machine, config: Option<&PathBuf>) -> Result<Host, Failure> {
    // With a file ssh itself knows the rest by the machine's name.
    let carried = config.is_none();
    let name = if carried { &machine.host_name } else { &machine.name };
    scalar::ssh_host(name).map_err(|wrong| Failure::usage(wrong.message).host(&machine.name))?;
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .map_err(|error| Failure::usage(format!("cannot find {}: {error}", path.display())))
    };
    Ok(Host {
        name: machine.name.clone(),
        address: machine.host_name.clone(),
        myid: 1,
        role: Role::Participant,
        ssh: SshTarget {
            host: name.clone(),
            port: machine.port.filter(|_| carried),
            user: machine.user.clone().filter(|_| carried),
            identity_file: machine.identity_files.first().filter(|_| carried).map(PathBuf::from),
            config: config.map(absolute).transpose()?,
            connect_timeout_ms: 10_000,
        },
        r#become: Become::None,
        data_dir: String::new(),
        data_log_dir: None,
        ports: Ports { client: 0, quorum: 0, election: 0 },
        properties: BTreeMap::new(),
    })
}
