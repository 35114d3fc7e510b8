//! Commands run against a client. One function a command; nothing is printed here.

use crate::client::{Client, CreateOptions};
use crate::wire::request::create_mode;

use super::acl;
use super::command::{Command, Kind, Spec, TABLE};
use super::outcome::{Outcome, Trouble};
use super::quota::{self, Limits};
use super::reconfig;
use super::subtree;

/// Operations of one transaction of deleteall, as in `zkCli.sh`.
const DELETE_BATCH: usize = 1000;

/// Commands that need no server.
pub(super) fn without_server(command: &Command) -> Option<Result<Outcome, Trouble>> {
    match command.spec.kind {
        Kind::Help => Some(help(command)),
        Kind::Version => {
            Some(Ok(Outcome::Said(format!("coordinator CLI version: {}", crate::exit::VERSION))))
        }
        _ => None,
    }
}

/// Everything but what belongs to the interactive session alone.
pub(super) fn execute(zk: &mut Client, command: &Command) -> Result<Outcome, Trouble> {
    let path = command.arguments.first().map_or("/", String::as_str);
    if !path.starts_with('/') && !matches!(command.spec.kind, Kind::AddAuth | Kind::Reconfig) {
        return Err(Trouble::Usage(format!("Path must start with / character: `{path}`")));
    }
    match command.spec.kind {
        Kind::AddAuth => add_auth(zk, command),
        Kind::AddWatch => add_watch(zk, command, path),
        Kind::Config => zk.outside_chroot(|zk| config(zk, command)),
        Kind::Create => create(zk, command, path),
        Kind::Delete => {
            let version = version(command)?;
            zk.delete(path, version).map_err(Trouble::on(path))?;
            Ok(Outcome::Nothing)
        }
        Kind::DeleteAll => {
            let batch = command.number('b').map_err(Trouble::Usage)?.unwrap_or(DELETE_BATCH);
            subtree::delete(zk, path, batch).map(|()| Outcome::Nothing)
        }
        Kind::DelQuota => {
            let names: Vec<&str> = Limits::LETTERS
                .iter()
                .filter(|(letter, _)| command.has(*letter))
                .map(|(_, name)| *name)
                .collect();
            let full = zk.servers().full_path(path);
            zk.outside_chroot(|zk| quota::delete(zk, &full, &names)).map(|()| Outcome::Nothing)
        }
        Kind::Get => get(zk, command, path),
        Kind::GetAcl => {
            let (acl, stat) = zk.get_acl(path).map_err(Trouble::on(path))?;
            Ok(Outcome::Acl(acl, command.has('s').then_some(stat)))
        }
        Kind::GetAllChildrenNumber => {
            let count = zk.get_all_children_number(path).map_err(Trouble::on(path))?;
            Ok(Outcome::Count(i64::from(count)))
        }
        Kind::GetEphemerals => {
            let mut paths = zk.get_ephemerals(path).map_err(Trouble::on(path))?;
            paths.sort_unstable();
            Ok(Outcome::Ephemerals(paths))
        }
        Kind::ListQuota => {
            let full = zk.servers().full_path(path);
            let (limits, used) = zk.outside_chroot(|zk| quota::list(zk, &full))?;
            Ok(Outcome::Quota { path: full, limits, used })
        }
        Kind::Ls => ls(zk, command, path),
        Kind::Reconfig => reconfig::reconfig(zk, command),
        Kind::RemoveWatches => remove_watches(zk, command, path),
        Kind::Set => {
            let data = command.arguments[1].as_bytes();
            let version = version(command)?;
            let stat = zk.set_data(path, Some(data), version).map_err(Trouble::on(path))?;
            Ok(if command.has('s') { Outcome::Stat(stat) } else { Outcome::Nothing })
        }
        Kind::SetAcl => set_acl(zk, command, path),
        Kind::SetQuota => set_quota(zk, command, path),
        Kind::Stat => match zk.exists(path, command.has('w')).map_err(Trouble::on(path))? {
            Some(stat) => Ok(Outcome::Stat(stat)),
            None => Err(Trouble::Client {
                error: crate::client::Error::Code(crate::wire::code::Code::NoNode),
                path: path.to_owned(),
            }),
        },
        Kind::Sync => {
            zk.sync(path).map_err(Trouble::on(path))?;
            Ok(Outcome::Said("Sync is OK".to_owned()))
        }
        Kind::WhoAmI => {
            let mut identities = zk.who_am_i().map_err(Trouble::on(path))?;
            // A set to the server: in no order there.
            identities.sort_unstable();
            Ok(Outcome::Identities(identities))
        }
        Kind::Connect
        | Kind::Help
        | Kind::Close
        | Kind::Redo
        | Kind::History
        | Kind::PrintWatches
        | Kind::Quit
        | Kind::Version => {
            Err(Trouble::Usage(format!("`{}` is for the interactive shell", command.spec.name)))
        }
    }
}

fn version(command: &Command) -> Result<i32, Trouble> {
    Ok(command.number('v').map_err(Trouble::Usage)?.unwrap_or(-1))
}

fn help(command: &Command) -> Result<Outcome, Trouble> {
    let specs: Vec<&Spec> = match command.arguments.first() {
        None => TABLE.iter().collect(),
        Some(name) => vec![
            Spec::find(name).ok_or_else(|| Trouble::Usage(format!("Command not found: {name}")))?,
        ],
    };
    let lines: Vec<String> =
        specs.iter().map(|spec| format!("{}\n\t{}", spec.usage_line(), spec.about)).collect();
    Ok(Outcome::Said(lines.join("\n")))
}

fn add_auth(zk: &mut Client, command: &Command) -> Result<Outcome, Trouble> {
    let scheme = &command.arguments[0];
    zk.add_auth(scheme, command.arguments[1].as_bytes()).map_err(Trouble::on(scheme))?;
    Ok(Outcome::Nothing)
}

fn add_watch(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let recursive = match command.value('m') {
        None | Some("PERSISTENT_RECURSIVE") => true,
        Some("PERSISTENT") => false,
        Some(mode) => {
            return Err(Trouble::Usage(format!(
                "-m `{mode}` is neither PERSISTENT nor PERSISTENT_RECURSIVE"
            )));
        }
    };
    zk.add_watch(path, recursive).map_err(Trouble::on(path))?;
    Ok(Outcome::Nothing)
}

fn remove_watches(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let kind = if command.has('c') {
        1
    } else if command.has('d') {
        2
    } else {
        3
    };
    zk.remove_watches(path, kind).map_err(Trouble::on(path))?;
    Ok(Outcome::Nothing)
}

fn create(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let (sequential, ephemeral, container) = (command.has('s'), command.has('e'), command.has('c'));
    let ttl_ms: Option<i64> = command.number('t').map_err(Trouble::Usage)?;
    let mode = match (ephemeral, sequential, container, ttl_ms) {
        (false, false, false, None) => create_mode::PERSISTENT,
        (true, false, false, None) => create_mode::EPHEMERAL,
        (false, true, false, None) => create_mode::PERSISTENT_SEQUENTIAL,
        (true, true, false, None) => create_mode::EPHEMERAL_SEQUENTIAL,
        (false, false, true, None) => create_mode::CONTAINER,
        (false, false, false, Some(_)) => create_mode::PERSISTENT_WITH_TTL,
        (false, true, false, Some(_)) => create_mode::PERSISTENT_SEQUENTIAL_WITH_TTL,
        _ => {
            return Err(Trouble::Usage(
                "-c cannot be combined with other options, nor -t with -e".to_owned(),
            ));
        }
    };
    let data = command.arguments.get(1).map(String::as_bytes);
    let acl = command
        .arguments
        .get(2)
        .map(|text| acl::parse(text).map_err(Trouble::Usage))
        .transpose()?;
    let options = CreateOptions { mode, ttl_ms: ttl_ms.unwrap_or(0), acl: acl.as_deref() };
    let (created, _) = zk.create(path, data, options).map_err(Trouble::on(path))?;
    Ok(Outcome::Created(created))
}

fn get(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let (data, stat) = zk.get_data(path, command.has('w')).map_err(Trouble::on(path))?;
    Ok(Outcome::Data(data, command.has('s').then_some(stat)))
}

fn config(zk: &mut Client, command: &Command) -> Result<Outcome, Trouble> {
    let outcome = get(zk, command, "/zookeeper/config")?;
    Ok(match outcome {
        Outcome::Data(list, stat) if command.has('c') => {
            let clients = reconfig::clients(&list.unwrap_or_default());
            Outcome::Data(Some(clients.into_bytes()), stat)
        }
        other => other,
    })
}

fn ls(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let watch = command.has('w');
    if command.has('R') {
        return subtree::list(zk, path, watch).map(Outcome::Paths);
    }
    let (mut names, stat) = zk.get_children(path, watch).map_err(Trouble::on(path))?;
    names.sort_unstable();
    Ok(Outcome::Children(names, command.has('s').then_some(stat)))
}

fn set_acl(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let acl = acl::parse(&command.arguments[1]).map_err(Trouble::Usage)?;
    let version = version(command)?;
    if command.has('R') {
        for path in subtree::list(zk, path, false)? {
            zk.set_acl(&path, &acl, version).map_err(Trouble::on(&path))?;
        }
        return Ok(Outcome::Nothing);
    }
    let stat = zk.set_acl(path, &acl, version).map_err(Trouble::on(path))?;
    Ok(if command.has('s') { Outcome::Stat(stat) } else { Outcome::Nothing })
}

fn set_quota(zk: &mut Client, command: &Command, path: &str) -> Result<Outcome, Trouble> {
    let mut changes = Vec::new();
    for (letter, name) in Limits::LETTERS {
        if let Some(value) = command.number::<i64>(letter).map_err(Trouble::Usage)? {
            changes.push((name, value));
        }
    }
    if changes.is_empty() {
        return Err(Trouble::Usage(command.spec.usage_line()));
    }
    let full = zk.servers().full_path(path);
    zk.outside_chroot(|zk| quota::set(zk, &full, &changes)).map(|()| Outcome::Nothing)
}
