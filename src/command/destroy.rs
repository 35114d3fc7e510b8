//! `zkprov destroy`: takes away what `apply` has put on the hosts. Data stays unless it is named.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::lock::{self, Operator};
use crate::host::session::{self, HostSession, gather};
use crate::inventory::{Host, Inventory};
use crate::layout::{
    ACCOUNT, BINARY_DIR, BROKER_CONFIG_FILE, BROKER_KEY_STORE, BROKER_LOGIN_FILE, BROKER_UNIT,
    BROKER_UNIT_FILE, CLIENT_CONFIG, CONFIG_DIR, CONFIG_FILE, KEY_STORE, LOGIN_FILE, SECRET_FILE,
    STATE_DIR, SYSCTL_FILE, TRUST_STORE, UNIT, UNIT_FILE,
};
use crate::plan::operation::Operation;
use crate::plan::show;
use crate::plan::subject::Subject;
use crate::plan::{Only, account};
use crate::report::event::{Event, StepState, Summary};
use crate::run::{self, Run, confirm};
use crate::script::Script;
use crate::script::frame::{self, Kind};

const DEADLINE: Duration = Duration::from_mins(5);
/// A broker may take the 300 s its unit gives it.
const BROKERS_DEADLINE: Duration = Duration::from_mins(7);

pub async fn run(arguments: cli::Destroy) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    if let Some(apache) = inventory.adopted() {
        return Err(Failure::refused(format!(
            "{} was there before zkprov, which takes away nothing of others",
            apache.unit()
        ))
        .hint("what zkprov has put beside it is /usr/local/lib/zkprov alone: remove that folder"));
    }
    let run =
        Run::new(inventory, &arguments.selection, &arguments.connection, &arguments.output_options)
            .await?;
    for host in run.hosts() {
        let data = if arguments.purge_data { "and its DATA" } else { "its data is kept" };
        run.reporter.text(&format!(
            "{}: service, configuration, release, binary, account go; {data}\n",
            host.name
        ));
    }
    confirm::by_name(arguments.yes, &run.inventory.ensemble)?;
    tokio::select! {
        outcome = whole(&run, &arguments) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    }
}

async fn whole(run: &Run, arguments: &cli::Destroy) -> Outcome {
    let planned = run.probe_and_plan(&Only::default()).await?;
    let mut failures = planned.failures.clone();
    let destroyed = lock::holding(&Operator::me(), &planned.sessions, || run.lose_lock(), async {
        // A broker that stops asks the coordinators who shall lead its partitions: they go last.
        stop_brokers(run, &planned.sessions).await?;
        Ok(join_all(planned.sessions.iter().map(|session| async {
            let account = account::of_member(&run.inventory, session.host, &session.observed);
            let script = program(run, session.host, account, arguments.purge_data);
            let (frames, stderr) = gather(&session.link, &script, DEADLINE).await?;
            for frame in frames.iter().filter(|frame| frame.kind == Kind::End) {
                let note = frame.text();
                let note = if note.trim().is_empty() {
                    String::new()
                } else {
                    format!(" ({})", note.trim())
                };
                run.reporter.event(Event::Step {
                    host: session.host.name.clone(),
                    step: frame.name.clone(),
                    state: StepState::Done,
                });
                run.reporter.text(&format!("{}  gone  {}{note}\n", session.host.name, frame.name));
            }
            if let Some(failed) = frame::failed(&frames) {
                return Err(Failure::failed(failed.said())
                    .step(&failed.step)
                    .host(&session.host.name));
            }
            if frames.iter().any(|frame| frame.name == "finished") {
                return Ok(());
            }
            Err(Failure::failed(format!("it did not come to its end: {stderr}"))
                .host(&session.host.name))
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
        Exit::Done => format!("{} cleared", show::count(planned.sessions.len(), "host")),
        _ => format!("{} failed", show::count(failures.len(), "host")),
    };
    run.reporter.summary(
        &text,
        Summary { failed: Some(failures.len()), exit: Some(exit.code()), ..Summary::default() },
    );
    run.fleet.close(planned.sessions).await;
    Ok(exit)
}

/// Ends all brokers at once, before anything else goes.
async fn stop_brokers(run: &Run, sessions: &[HostSession<'_>]) -> Result<(), Failure> {
    let hosts = sessions.iter().filter(|session| run.inventory.broker_on(session.host).is_some());
    let outcomes = join_all(hosts.map(|session| async move {
        let mut script = Script::guarded(BROKERS_DEADLINE);
        let name = format!("service {BROKER_UNIT}");
        Operation::DisableUnit { unit: BROKER_UNIT.into() }.step(&name, &mut script);
        let done = session::steps(&session.link, &script, BROKERS_DEADLINE).await;
        done.map_err(|error| error.said().host(&session.host.name))?;
        run.reporter.text(&format!("{}  gone  {name}\n", session.host.name));
        Ok(())
    }))
    .await;
    outcomes.into_iter().collect()
}

/// Everything back, as one script.
fn program(run: &Run, host: &Host, account: &str, purge_data: bool) -> Script {
    let mut script = Script::guarded(DEADLINE);
    for (name, operation) in undoing(run, host, account, purge_data) {
        operation.step(&name, &mut script);
    }
    script.line("zk_frame live finished \"$zk_bad\"");
    script
}

/// What undoes an apply, in the opposite order of the making, each by the name that a person reads.
fn undoing(run: &Run, host: &Host, account: &str, purge_data: bool) -> Vec<(String, Operation)> {
    let named = |subject: Subject, operation| (subject.to_string(), operation);
    let file =
        |path: &str| named(Subject::File(path.into()), Operation::RemoveFile { path: path.into() });
    let purge = |path: &str| Operation::PurgeDirectory { path: path.into() };
    let data = |path: &str, owner: &str| {
        let (path, owner) = (path.to_owned(), owner.to_owned());
        named(Subject::Directory(path.clone()), Operation::PurgeData { path, owner })
    };
    let root = run.inventory.kafka.install_root.trim_end_matches('/').to_owned();
    let link = format!("{root}/kafka");
    let broker = run.inventory.broker_on(host);
    let mut all = Vec::new();
    if broker.is_some() {
        all.extend([file(BROKER_UNIT_FILE), file(BROKER_CONFIG_FILE)]);
    }
    let unit = UNIT.to_owned();
    all.extend([
        named(Subject::Unit(unit.clone()), Operation::DisableUnit { unit }),
        file(UNIT_FILE),
        ("systemd's view".into(), Operation::ReloadUnits),
        file(CONFIG_FILE),
        file(SECRET_FILE),
        file(KEY_STORE),
        file(BROKER_KEY_STORE),
        file(LOGIN_FILE),
        file(BROKER_LOGIN_FILE),
        file(CLIENT_CONFIG),
        file(TRUST_STORE),
        named(
            Subject::Directory(CONFIG_DIR.into()),
            Operation::RemoveDirectory { path: CONFIG_DIR.into() },
        ),
        named(Subject::Symlink(link.clone()), Operation::RemoveSymlink { path: link }),
        (format!("archives in {root}"), Operation::RemoveReleases { root }),
        named(Subject::Directory(BINARY_DIR.into()), purge(BINARY_DIR)),
        file(SYSCTL_FILE),
        named(Subject::Fstab, Operation::RestoreSwapLines),
        ("kept state".into(), purge(STATE_DIR)),
    ]);
    if purge_data {
        let paths = [Some(&host.data_dir), host.data_log_dir.as_ref()];
        let logs = broker.iter().flat_map(|broker| &broker.log_dirs);
        let paths = paths.into_iter().flatten().filter(|_| host.is_member());
        all.extend(
            paths.map(|path| data(path, account)).chain(logs.map(|path| data(path, ACCOUNT))),
        );
        // What systemd has made for the units of brokers, and of Apache ZooKeeper.
        all.push((
            Subject::Directory("/var/log/kafka".into()).to_string(),
            purge("/var/log/kafka"),
        ));
        let mut accounts = vec![account, ACCOUNT];
        accounts.dedup();
        for name in accounts.into_iter().map(str::to_owned) {
            let user = Operation::RemoveUser { name: name.clone() };
            all.push(named(Subject::User(name.clone()), user));
            all.push(named(Subject::Group(name.clone()), Operation::RemoveGroup { name }));
        }
    }
    all
}
