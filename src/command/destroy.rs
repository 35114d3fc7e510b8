//! `zkprov destroy`: takes away what `apply` has put on the hosts. Data stays unless it is named.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::fleet::{Asked, gather};
use crate::host::lock::{self, Operator};
use crate::inventory::{Host, Inventory};
use crate::layout::{
    ACCOUNT, BINARY_DIR, BROKER_CONFIG_FILE, BROKER_UNIT, BROKER_UNIT_FILE, CONFIG_DIR,
    CONFIG_FILE, SECRET_FILE, UNIT, UNIT_FILE,
};
use crate::plan::Only;
use crate::plan::resource::{self, fstab, service};
use crate::plan::show;
use crate::report;
use crate::run::{self, Run};
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
            for frame in frames.iter().filter(|frame| frame.kind == "end") {
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
            if let Some(failed) = frames.iter().find(|frame| frame.kind == "fail") {
                return Err(Failure::failed(failed.text())
                    .step(&failed.name)
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
async fn stop_brokers(run: &Run, asked: &[Asked<'_>]) -> Result<(), Failure> {
    let hosts = asked.iter().filter(|asked| run.inventory.broker_on(asked.host).is_some());
    let outcomes = join_all(hosts.map(|asked| async move {
        let mut script = Script::new(&script::nonce());
        script.library(service::SHELL);
        script.call("zk_guard", [BROKERS_DEADLINE.as_secs().to_string().as_str()]);
        script.step(&format!("service {BROKER_UNIT}"), "undo_service", [BROKER_UNIT]);
        let (frames, stderr) = gather(&asked.link, &script, BROKERS_DEADLINE).await?;
        match frames.iter().find(|frame| frame.kind == "fail" || frame.kind == "end") {
            Some(frame) if frame.kind == "end" => {
                run.reporter.text(&format!("{}  gone  {}\n", asked.host.name, frame.name));
                Ok(())
            }
            Some(frame) => {
                Err(Failure::failed(frame.text()).step(&frame.name).host(&asked.host.name))
            }
            None => Err(Failure::failed(format!("it did not come to its end: {stderr}"))
                .host(&asked.host.name)),
        }
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
    let mut undo = |name: &str, function: &str, arguments: &[&str]| {
        script.library(resource::library(function));
        let words = [name, function].into_iter().chain(arguments.iter().copied());
        script.call("zk_step", words);
    };
    let broker = run.inventory.broker_on(host);
    if broker.is_some() {
        undo(&format!("file {BROKER_UNIT_FILE}"), "undo_file", &[BROKER_UNIT_FILE]);
        undo(&format!("file {BROKER_CONFIG_FILE}"), "undo_file", &[BROKER_CONFIG_FILE]);
    }
    undo(&format!("service {UNIT}"), "undo_service", &[UNIT]);
    undo(&format!("file {UNIT_FILE}"), "undo_file", &[UNIT_FILE]);
    undo("systemd's view", "do_reload", &[]);
    undo(&format!("file {CONFIG_FILE}"), "undo_file", &[CONFIG_FILE]);
    undo(&format!("file {SECRET_FILE}"), "undo_file", &[SECRET_FILE]);
    undo(&format!("directory {CONFIG_DIR}"), "undo_directory", &[CONFIG_DIR]);
    undo(&format!("symlink {link}"), "undo_symlink", &[&link]);
    undo(&format!("archives in {root}"), "undo_archives", &[&root]);
    undo(&format!("directory {BINARY_DIR}"), "purge_directory", &[BINARY_DIR]);
    undo("file /etc/sysctl.d/60-zkprov.conf", "undo_file", &["/etc/sysctl.d/60-zkprov.conf"]);
    undo(fstab::Fstab::NAME, "undo_fstab", &[fstab::PREFIX]);
    undo("kept state", "purge_directory", &["/var/lib/zkprov"]);
    if purge_data {
        let paths = [Some(&host.data_dir), host.data_log_dir.as_ref()];
        let logs = broker.iter().flat_map(|broker| &broker.log_dirs);
        for path in paths.into_iter().flatten().filter(|_| host.is_member()).chain(logs) {
            undo(&format!("directory {path}"), "purge_data", &[path, ACCOUNT]);
        }
        // What systemd has made for the units of brokers, and of Apache ZooKeeper.
        undo("directory /var/log/kafka", "purge_directory", &["/var/log/kafka"]);
        undo(&format!("user {ACCOUNT}"), "undo_user", &[ACCOUNT]);
        undo(&format!("group {ACCOUNT}"), "undo_group", &[ACCOUNT]);
    }
    script.line("zk_frame live finished \"$zk_bad\"");
    script
}
