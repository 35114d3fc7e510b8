//! `zkprov destroy`: takes away what `apply` has put on the hosts. Data stays unless it is named.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::lock::{self, Operator};
use crate::host::session::{self, HostSession, gather};
use crate::inventory::{Host, Inventory};
use crate::layout::{
    ACCOUNT, BINARY_DIR, BROKER_CONFIG_FILE, BROKER_UNIT, BROKER_UNIT_FILE, CONFIG_DIR,
    CONFIG_FILE, SECRET_FILE, STATE_DIR, SYSCTL_FILE, UNIT, UNIT_FILE,
};
use crate::plan::Only;
use crate::plan::operation::Operation;
use crate::plan::show;
use crate::plan::subject::Subject;
use crate::report;
use crate::run::{self, Run};
use crate::script::frame::{self, Kind};
use crate::script::{self, Script};

const DEADLINE: Duration = Duration::from_mins(5);
/// A broker may take the 300 s its unit gives it.
const BROKERS_DEADLINE: Duration = Duration::from_mins(7);

pub async fn run(arguments: cli::Destroy) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let run = Run::new(inventory, &arguments.selection, &arguments.connection, &arguments.telling)
        .await?;
    for host in run.hosts() {
        let data = if arguments.purge_data { "and its DATA" } else { "its data is kept" };
        run.reporter.text(&format!(
            "{}: service, configuration, release, binary, account go; {data}\n",
            host.name
        ));
    }
    confirm(&run, &arguments)?;
    tokio::select! {
        outcome = whole(&run, &arguments) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    }
}

/// The ensemble's name must be typed: this cannot be undone.
fn confirm(run: &Run, arguments: &cli::Destroy) -> Result<(), Failure> {
    if arguments.yes {
        return Ok(());
    }
    if !report::interactive() {
        return Err(Failure::refused("there is no terminal to ask at, and nothing was changed")
            .hint("run again with --yes"));
    }
    let name = &run.inventory.ensemble;
    let answer = report::ask(&format!("Type the ensemble's name, {name}, to go on:"));
    if answer.as_deref() == Some(name) {
        return Ok(());
    }
    Err(Failure::refused("not confirmed, and nothing was changed"))
}

async fn whole(run: &Run, arguments: &cli::Destroy) -> Outcome {
    let drawn = run.draw(&Only::default()).await?;
    let mut failures = drawn.failures.clone();
    let destroyed = lock::holding(&Operator::me(), &drawn.asked, || run.lose_lock(), async {
        // A broker that stops asks the coordinators who shall lead its partitions: they go last.
        stop_brokers(run, &drawn.asked).await?;
        Ok(join_all(drawn.asked.iter().map(|asked| async {
            let script = program(run, asked.host, arguments.purge_data);
            let (frames, stderr) = gather(&asked.link, &script, DEADLINE).await?;
            for frame in frames.iter().filter(|frame| frame.kind == Kind::End) {
                let note = frame.text();
                let note = if note.trim().is_empty() {
                    String::new()
                } else {
                    format!(" ({})", note.trim())
                };
                run.reporter.event(
                    "step",
                    json!({"host": asked.host.name, "step": frame.name, "state": "done"}),
                );
                run.reporter.text(&format!("{}  gone  {}{note}\n", asked.host.name, frame.name));
            }
            if let Some(failed) = frame::failed(&frames) {
                return Err(Failure::failed(failed.said())
                    .step(&failed.step)
                    .host(&asked.host.name));
            }
            if frames.iter().any(|frame| frame.name == "finished") {
                return Ok(());
            }
            Err(Failure::failed(format!("it did not come to its end: {stderr}"))
                .host(&asked.host.name))
        }))
        .await)
    })
    .await?;
    failures.extend(destroyed.into_iter().filter_map(Result::err));
    for failure in &failures {
        run.reporter.failed(failure);
    }
    let exit = run::worst(&failures);
    let text = match exit {
        Exit::Done => format!("{} cleared", show::count(drawn.asked.len(), "host")),
        _ => format!("{} failed", show::count(failures.len(), "host")),
    };
    run.reporter.summary(&text, json!({"failed": failures.len(), "exit": exit.code()}));
    run.fleet.close(drawn.asked).await;
    Ok(exit)
}

/// Ends all brokers at once, before anything else goes.
async fn stop_brokers(run: &Run, asked: &[HostSession<'_>]) -> Result<(), Failure> {
    let hosts = asked.iter().filter(|asked| run.inventory.broker_on(asked.host).is_some());
    let outcomes = join_all(hosts.map(|asked| async move {
        let mut script = Script::new(&script::nonce());
        script.call("zk_guard", [BROKERS_DEADLINE.as_secs().to_string().as_str()]);
        let name = format!("service {BROKER_UNIT}");
        Operation::DisableUnit { unit: BROKER_UNIT.into() }.step(&name, &mut script);
        let done = session::steps(&asked.link, &script, BROKERS_DEADLINE).await;
        done.map_err(|error| error.said().host(&asked.host.name))?;
        run.reporter.text(&format!("{}  gone  {name}\n", asked.host.name));
        Ok(())
    }))
    .await;
    outcomes.into_iter().collect()
}

/// Everything back, in the opposite order of the making.
fn program(run: &Run, host: &Host, purge_data: bool) -> Script {
    let root = run.inventory.kafka.install_root.trim_end_matches('/').to_owned();
    let link = format!("{root}/kafka");
    let mut script = Script::new(&script::nonce());
    script.call("zk_guard", [DEADLINE.as_secs().to_string().as_str()]);
    let mut undo = |name: &dyn std::fmt::Display, operation: Operation| {
        operation.step(&name.to_string(), &mut script)
    };
    let file =
        |path: &str| (Subject::File(path.into()), Operation::RemoveFile { path: path.into() });
    let purge = |path: &str| {
        (Subject::Directory(path.into()), Operation::PurgeDirectory { path: path.into() })
    };
    let mut all = Vec::new();
    let broker = run.inventory.broker_on(host);
    if broker.is_some() {
        all.extend([file(BROKER_UNIT_FILE), file(BROKER_CONFIG_FILE)]);
    }
    all.push((Subject::Unit(UNIT.into()), Operation::DisableUnit { unit: UNIT.into() }));
    all.push(file(UNIT_FILE));
    for (subject, operation) in all {
        undo(&subject, operation);
    }
    undo(&"systemd's view", Operation::ReloadUnits);
    let mut all = vec![file(CONFIG_FILE), file(SECRET_FILE)];
    let path = CONFIG_DIR.to_owned();
    all.push((Subject::Directory(path.clone()), Operation::RemoveDirectory { path }));
    all.push((Subject::Symlink(link.clone()), Operation::RemoveSymlink { path: link }));
    for (subject, operation) in all {
        undo(&subject, operation);
    }
    undo(&format!("archives in {root}"), Operation::RemoveReleases { root });
    let mut all = vec![purge(BINARY_DIR), file(SYSCTL_FILE)];
    all.push((Subject::Fstab, Operation::RestoreSwapLines));
    for (subject, operation) in all {
        undo(&subject, operation);
    }
    undo(&"kept state", Operation::PurgeDirectory { path: STATE_DIR.into() });
    if purge_data {
        let paths = [Some(&host.data_dir), host.data_log_dir.as_ref()];
        let logs = broker.iter().flat_map(|broker| &broker.log_dirs);
        let data = paths.into_iter().flatten().filter(|_| host.is_member()).chain(logs);
        // What systemd has made for the units of brokers, and of Apache ZooKeeper, too.
        let mut all: Vec<_> = data
            .map(|path| {
                (
                    Subject::Directory(path.clone()),
                    Operation::PurgeData { path: path.clone(), owner: ACCOUNT.into() },
                )
            })
            .chain([purge("/var/log/kafka")])
            .collect();
        let name = ACCOUNT.to_owned();
        all.push((Subject::User(name.clone()), Operation::RemoveUser { name: name.clone() }));
        all.push((Subject::Group(name.clone()), Operation::RemoveGroup { name }));
        for (subject, operation) in all {
            undo(&subject, operation);
        }
    }
    script.line("zk_frame live finished \"$zk_bad\"");
    script
}
