//! `zkprov status`: health and drift of each host. Ends with 0 only when the ensemble is healthy and
//! every host matches the inventory.

use std::fmt::Write as _;
use std::time::Duration;

use crate::artifacts::build::Builds;
use crate::certificates::Why;
use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble::{self, Member, Mode, View};
use crate::health::kafka::{self, Cluster, Partition};
use crate::host::session;
use crate::inventory::{Host, Inventory};
use crate::layout::BINARY;
use crate::plan::reason::Reason;
use crate::plan::show;
use crate::plan::subject::Subject;
use crate::plan::{Only, Step};
use crate::probe::Reading;
use crate::report::event::{Event, HostStatus, Summary};
use crate::report::{self, printable};
use crate::run::{self, Planned, Run};

/// How often the watched table is made anew.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Partitions that are named to programs, at most; how many there are is told to people.
const PARTITIONS_TOLD: usize = 100;

pub async fn run(arguments: cli::Status) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let mut run =
        Run::new(inventory, &arguments.selection, &arguments.connection, &arguments.output_options)
            .await?;
    run.builds = Builds::Never;
    if !arguments.watch {
        let (text, exit) = once(&run).await?;
        run.reporter.text(&text);
        let title = format!("zkprov status {}", run.inventory.ensemble);
        run.reporter.reports(&title, &arguments.reports)?;
        return Ok(exit);
    }
    tokio::select! {
        ended = watch(&run) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

async fn watch(run: &Run) -> Outcome {
    loop {
        let (text, _) = once(run).await?;
        report::screen(&printable::text(&text));
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Asks everybody, tells programs, and gives the table for people.
async fn once(run: &Run) -> Result<(String, Exit), Failure> {
    let planned = run.probe_and_plan(&Only::default()).await?;
    let view = view(run, &planned);
    let mut text = table(run, &view, &planned);
    let (brokers, broken) = brokers(run, &planned).await;
    text.push_str(&brokers);
    let complaints = [view.complaints(), broken].concat();
    for member in &view.members {
        if asked_for(run, &member.host) {
            run.reporter.event(Event::Host(Box::new(host_status(&view, member, &planned))));
        }
    }
    let drifted = planned.plan.hosts.iter().filter(|host| !host.steps.is_empty()).count();
    for complaint in &complaints {
        let _ = writeln!(text, "! {complaint}");
    }
    for (host, store, why) in due(&planned) {
        let _ = writeln!(text, "! {host}: certificate {store}: {why}; `zkprov apply` renews it");
    }
    for refusal in planned.plan.hosts.iter().flat_map(|host| &host.refusals) {
        let _ = writeln!(text, "! {}: {}", refusal.resource, refusal.cause);
    }
    let healthy = complaints.is_empty();
    let converged = drifted == 0 && !planned.plan.refused();
    let word = if healthy { "healthy" } else { "unhealthy" };
    let drift = match drifted {
        0 if converged => "configuration matches".to_owned(),
        0 => "refused".to_owned(),
        1 => "1 host differs from the inventory".to_owned(),
        _ => format!("{drifted} hosts differ from the inventory"),
    };
    let ensemble = &run.inventory.ensemble;
    let _ = writeln!(text, "ensemble {ensemble}: {word}; {drift}");
    let exit = match (healthy && converged, planned.failures.is_empty()) {
        (true, true) => Exit::Done,
        (_, false) => run::worst(&planned.failures),
        (false, true) => Exit::Failed,
    };
    run.reporter.event(Event::Summary(Box::new(Summary {
        healthy: Some(healthy),
        converged: Some(converged),
        complaints: Some(complaints),
        exit: Some(exit.code()),
        ..Summary::default()
    })));
    run.fleet.close(planned.sessions).await;
    Ok((text, exit))
}

/// Certificates that an apply would renew.
fn due<'a>(planned: &'a Planned<'_>) -> impl Iterator<Item = (&'a str, &'a str, &'a Why)> {
    planned.plan.hosts.iter().flat_map(|host| {
        host.steps.iter().filter_map(|step| match (&step.subject, &step.change.reason) {
            (Subject::Certificate(store), Reason::Certificate(why)) => {
                Some((host.host.as_str(), store.as_str(), why))
            }
            _ => None,
        })
    })
}

/// The brokers' own table, and what is wrong with them and their partitions; both empty where the
/// inventory has none.
async fn brokers(run: &Run, planned: &Planned<'_>) -> (String, Vec<String>) {
    let mut cluster = cluster(run, planned).await;
    // Hosts that --limit leaves out are no complaint.
    cluster.brokers.retain(|broker| asked_for(run, &broker.host));
    if cluster.brokers.is_empty() {
        return (String::new(), Vec::new());
    }
    let mut rows =
        vec![["broker", "host", "unit", "registered", "controller"].map(str::to_owned).to_vec()];
    let yes = |is: bool| if is { "yes" } else { "-" }.to_owned();
    for broker in &cluster.brokers {
        let registered = broker.registered_ms.is_some();
        let controls = cluster.controller == Some(broker.id);
        run.reporter.event(Event::Broker {
            host: broker.host.clone(),
            id: broker.id,
            unit: broker.unit.clone(),
            registered,
            controller: controls,
        });
        let unit = if broker.unit.is_empty() { "-" } else { &broker.unit };
        rows.push(vec![
            broker.id.to_string(),
            broker.host.clone(),
            unit.to_owned(),
            yes(registered),
            yes(controls),
        ]);
    }
    let under: Vec<_> = cluster
        .under_replicated()
        .into_iter()
        .take(PARTITIONS_TOLD)
        .map(Partition::to_string)
        .collect();
    run.reporter
        .event(Event::Partitions { partitions: cluster.partitions.len(), under_replicated: under });
    (show::columns(&rows), cluster.complaints())
}

/// The cluster as its hosts say, and as Kafka itself keeps it with the coordinators: asked of one host
/// after the other, until one can say.
async fn cluster(run: &Run, planned: &Planned<'_>) -> Cluster {
    let inventory = &run.inventory;
    let connect = inventory.connect();
    let mut told = Err("no broker's host can be reached".to_owned());
    for session in
        planned.sessions.iter().filter(|session| inventory.broker_on(session.host).is_some())
    {
        let mut reading = Reading::default();
        reading.function("probe_brokers", [BINARY, &connect]);
        told = match session::observe(&session.link, session.host, reading).await {
            Ok((observed, _)) => Ok(observed.text("brokers")),
            Err(failure) => Err(failure.cause),
        };
        if told.as_ref().is_ok_and(|line| kafka::tells(line)) {
            break;
        }
    }
    let observed =
        |name: &str| match planned.sessions.iter().find(|session| session.host.name == name) {
            Some(session) => Ok(&session.observed),
            None => Err("it cannot be reached".to_owned()),
        };
    Cluster::of(inventory, observed, told.as_deref().map_err(Clone::clone))
}

fn asked_for(run: &Run, host: &str) -> bool {
    run.hosts().iter().any(|selected| selected.name == host)
}

/// The ensemble as the hosts that were asked see it.
fn view(run: &Run, planned: &Planned<'_>) -> View {
    let observed = |host: &Host| {
        planned
            .sessions
            .iter()
            .find(|session| session.host.name == host.name)
            .map(|session| &session.observed)
    };
    let why = |host: &Host| {
        let of_host = |failure: &&Failure| failure.host.as_deref() == Some(host.name.as_str());
        planned.failures.iter().find(of_host).map(|failure| failure.cause.clone())
    };
    let mut view = ensemble::view(&run.inventory, observed, why);
    // Hosts that --limit leaves out are no complaint.
    if run.hosts().len() < run.inventory.hosts.len() {
        view.members.retain(|member| asked_for(run, &member.host));
        view.partial = true;
    }
    view
}

fn host_status(view: &View, member: &Member, planned: &Planned<'_>) -> HostStatus {
    let plan = planned.plan.hosts.iter().find(|host| host.host == member.host);
    HostStatus {
        host: member.host.clone(),
        myid: member.myid,
        votes: member.votes,
        unreachable: member.unreachable.clone(),
        unit: member.unit.clone(),
        main_pid: member.main_pid,
        restarts: member.restarts,
        mode: member.mode.map(|mode| mode.word().to_owned()),
        error: member.error.clone(),
        zxid: member.zxid.map(|zxid| format!("{zxid:#x}")),
        lag: view.lag(member),
        sessions: member.sessions,
        connections: member.connections,
        nodes: member.nodes,
        server_version: member.version.clone(),
        synced: member.synced,
        electorate: member.electorate,
        drift: plan.map(|plan| plan.steps.iter().map(Step::name).collect()),
    }
}

fn table(run: &Run, view: &View, planned: &Planned<'_>) -> String {
    let head =
        ["host", "unit", "mode", "zxid", "lag", "sessions", "conns", "znodes", "drift", "version"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for member in view.members.iter().filter(|member| asked_for(run, &member.host)) {
        let number =
            |value: Option<i64>| value.map_or_else(|| "-".into(), |value| value.to_string());
        let mode = member.mode.map_or("-", Mode::word);
        let plan = planned.plan.hosts.iter().find(|host| host.host == member.host);
        let drift = match plan {
            None => "?".into(),
            Some(plan) if !plan.refusals.is_empty() => "refused".into(),
            Some(plan) => plan.steps.len().to_string(),
        };
        let unit = if member.unreachable.is_some() { "unreachable" } else { &member.unit };
        // `3.8.4-abc, built on …`: the number is what people look for.
        let version = member.version.as_deref().unwrap_or("-");
        let version = version.split([',', ' ']).next().unwrap_or("-");
        rows.push(vec![
            member.host.clone(),
            if unit.is_empty() { "-".into() } else { unit.to_owned() },
            mode.to_owned(),
            member.zxid.map_or_else(|| "-".into(), |zxid| format!("{zxid:#x}")),
            number(view.lag(member)),
            number(member.sessions),
            number(member.connections),
            number(member.nodes),
            drift,
            version.to_owned(),
        ]);
    }
    show::columns(&rows)
}
