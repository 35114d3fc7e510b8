//! Whether the servers would take what the inventory makes of them: the coordinator's own reader of its
//! configuration reads what would be written, and files that are named are there. No network.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use coordinator::config::Config;

use crate::failure::Failure;
use crate::inventory::{Engine, Inventory, SecretSource, Sha512, Source};
use crate::layout::{CONFIG_FILE, LOGIN_FILE, SECRET_FILE};
use crate::plan::desired::secured;
use crate::plan::template;

/// What a server or a run would stumble over, one text each; none where all is well.
pub fn problems(inventory: &Inventory) -> Vec<String> {
    let mut problems = missing(inventory);
    // The same mistake on many hosts is one.
    let mut by_host: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut add = |problem: String, host| {
        let hosts = by_host.entry(problem).or_default();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    };
    for host in &inventory.hosts {
        let mut pages = Vec::new();
        if host.is_member() && inventory.adopted().is_none() {
            pages.extend(["zookeeper.service", "myid"]);
            match template::render(inventory, host, "zookeeper.properties") {
                Ok(text) if inventory.coordinator.engine == Engine::Coordinator => {
                    if let Some(problem) = refused(&text, host.myid) {
                        add(problem, host.name.as_str());
                    }
                }
                Ok(_) => {}
                Err(failure) => add(told(&failure), &host.name),
            }
        }
        if inventory.broker_on(host).is_some() {
            pages.extend(["server.properties", "kafka.service"]);
        }
        for page in pages {
            if let Err(failure) = template::render(inventory, host, page) {
                add(told(&failure), &host.name);
            }
        }
    }
    problems.extend(
        by_host.into_iter().map(|(problem, hosts)| format!("{}: {problem}", hosts.join(", "))),
    );
    problems
}

fn told(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}\n  hint: {hint}", failure.cause),
        None => failure.cause.clone(),
    }
}

/// What the coordinator says of a configuration that it would not start with.
fn refused(text: &str, myid: u8) -> Option<String> {
    let mut elsewhere = false;
    let read = &mut |path: &Path| {
        if path.ends_with("myid") {
            return Ok(format!("{myid}\n").into_bytes());
        }
        if path == Path::new(SECRET_FILE) {
            return Ok(vec![b'x'; 32]);
        }
        if path == Path::new(LOGIN_FILE) {
            return Ok(secured::LOGIN_EXAMPLE.into());
        }
        // What else it names lies on the hosts: nothing can be said of it here.
        elsewhere = true;
        Err(io::Error::from(io::ErrorKind::NotFound))
    };
    let error = Config::parse(Path::new(CONFIG_FILE), text.as_bytes(), &[], read).err()?;
    if elsewhere {
        return None;
    }
    let line = error.line.and_then(|line| text.lines().nth(line - 1));
    let line = line.map(|line| format!("\n  {line}")).unwrap_or_default();
    let key = error.key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default();
    Some(format!(
        "the coordinator refuses its configuration: {key}{}{line}\n  hint: {}",
        error.message, error.hint
    ))
}

/// Files on this machine that are named and not there.
fn missing(inventory: &Inventory) -> Vec<String> {
    let mut named: Vec<(&str, &Path)> = Vec::new();
    let secret = |source: &'_ Option<SecretSource>| match source {
        Some(SecretSource::File(path)) => Some(path.clone()),
        _ => None,
    };
    let (ours, password) =
        (secret(&inventory.coordinator.secret), secret(&inventory.become_password));
    named.extend(ours.as_deref().map(|path| ("coordinator.secret", path)));
    named.extend(password.as_deref().map(|path| ("become_password", path)));
    named.extend(inventory.coordinator.binary.as_deref().map(|path| ("coordinator.binary", path)));
    if inventory.kafka.install
        && let Some(Sha512::File(Source::File(path))) = &inventory.kafka.sha512
    {
        named.push(("kafka.sha512", path));
    }
    let security = &inventory.security;
    let passwords: Vec<_> =
        security.users.iter().filter_map(|(user, source)| Some((user, secret(source)?))).collect();
    named.extend(passwords.iter().map(|(user, path)| (user.as_str(), path.as_path())));
    if let Some(ca) = &security.ca {
        named.extend([("ca.certificate", ca.certificate.as_path()), ("ca.key", ca.key.as_path())]);
    }
    for host in &inventory.hosts {
        named.extend(host.ssh.identity_file.as_deref().map(|path| ("ssh.identity_file", path)));
        named.extend(host.ssh.config.as_deref().map(|path| ("ssh.config", path)));
    }
    named.sort();
    named.dedup();
    let gone = named.into_iter().filter(|(_, path)| !path.exists());
    gone.map(|(key, path)| format!("`{key}`: there is no file {}", path.display())).collect()
}

/// The same as one failure, for what is about to work on hosts.
pub fn check(inventory: &Inventory) -> Result<(), Failure> {
    let problems = problems(inventory);
    if problems.is_empty() {
        return Ok(());
    }
    let name = inventory.path.display();
    Err(Failure::usage(format!("{name} would not work\n{}", problems.join("\n")))
        .hint("`zkprov validate` finds all of this without the hosts"))
}
