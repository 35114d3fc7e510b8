//! `zkprov status`: health and drift of each host. Ends with 0 only when the ensemble is healthy and
//! every host is as the inventory says.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli;
use crate::command::Outcome;
use crate::crossbuild::Builds;
use crate::desired::BROKER_UNIT;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::{self, Member, Mode, View};
use crate::inventory::{Host, Inventory};
use crate::plan::Only;
use crate::run::{self, Drawn, Run};
use crate::{report, show};

/// How often the watched table is made anew.
const WATCH_EVERY: Duration = Duration::from_secs(1);

pub async fn run(arguments: cli::Status) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let mut run =
        Run::new(inventory, &arguments.selection, &arguments.connection, &arguments.telling)
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
        report::screen(&text);
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Asks everybody, tells programs, and gives the table for people.
async fn once(run: &Run) -> Result<(String, Exit), Failure> {
    let drawn = run.draw(&Only::default()).await?;
    let view = view(run, &drawn);
    let mut text = table(run, &view, &drawn);
    let (brokers, broken) = brokers(run, &drawn);
    text.push_str(&brokers);
    let complaints = [view.complaints(), broken].concat();
    for member in &view.members {
        if asked_for(run, &member.host) {
            run.reporter.event("host", host_json(&view, member, &drawn));
        }
    }
    let drifted = drawn.plan.hosts.iter().filter(|host| !host.steps.is_empty()).count();
    for complaint in &complaints {
        let _ = writeln!(text, "! {complaint}");
    }
    for refusal in drawn.plan.hosts.iter().flat_map(|host| &host.refusals) {
        let _ = writeln!(text, "! {}: {}", refusal.resource, refusal.cause);
    }
    let healthy = complaints.is_empty();
    let converged = drifted == 0 && !drawn.plan.refused();
    let word = if healthy { "healthy" } else { "not healthy" };
    let drift = match drifted {
        0 if converged => "as the inventory says".to_owned(),
        0 => "refused".to_owned(),
        _ => format!("{} differ from the inventory", show::count(drifted, "host")),
    };
    let ensemble = &run.inventory.ensemble;
    let _ = writeln!(text, "ensemble {ensemble}: {word}, {drift}");
    let exit = match (healthy && converged, drawn.failures.is_empty()) {
        (true, true) => Exit::Done,
        (_, false) => run::worst(&drawn.failures),
        (false, true) => Exit::Failed,
    };
    run.reporter.event(
        "summary",
        json!({"healthy": healthy, "converged": converged, "complaints": complaints, "exit": exit.code()}),
    );
    run.fleet.close(drawn.asked).await;
    Ok((text, exit))
}

/// The brokers' own table, and what is wrong with them; both empty where the inventory has none.
fn brokers(run: &Run, drawn: &Drawn<'_>) -> (String, Vec<String>) {
    let mut rows =
        vec![["broker", "host", "unit", "registered", "controller"].map(str::to_owned).to_vec()];
    let mut complaints = Vec::new();
    let yes = |is: bool| if is { "yes" } else { "-" }.to_owned();
    for broker in run.inventory.brokers.iter().filter(|broker| asked_for(run, &broker.host)) {
        let (id, host) = (broker.id, broker.host.clone());
        let asked = drawn.asked.iter().find(|asked| asked.host.name == host);
        let told = asked.map(|asked| asked.observed.text("broker")).unwrap_or_default();
        let told: Value =
            serde_json::from_str(told.lines().next().unwrap_or_default()).unwrap_or_default();
        let state = asked.map(|a| a.observed.unit(BROKER_UNIT).get("ActiveState").to_owned());
        let registered = !told["registeredMs"].is_null();
        match (&state, registered) {
            (None, _) => complaints.push(format!("broker {id} on {host} is unreachable")),
            (Some(state), _) if state != "active" => {
                let state = if state.is_empty() { "not installed" } else { state };
                complaints.push(format!("broker {id} on {host} does not run ({state})"));
            }
            (_, false) => {
                complaints.push(format!("broker {id} on {host} runs and is not registered"));
            }
            _ => {}
        }
        let controls = told["controller"].as_u64() == Some(u64::from(id));
        run.reporter.event(
            "broker",
            json!({"host": host, "id": id, "unit": state, "registered": registered, "controller": controls}),
        );
        let state = state.filter(|state| !state.is_empty()).unwrap_or_else(|| "-".into());
        rows.push(vec![id.to_string(), host, state, yes(registered), yes(controls)]);
    }
    if rows.len() == 1 {
        return (String::new(), complaints);
    }
    (show::columns(&rows), complaints)
}

fn asked_for(run: &Run, host: &str) -> bool {
    run.hosts().iter().any(|selected| selected.name == host)
}

/// The ensemble as the hosts that were asked see it.
fn view(run: &Run, drawn: &Drawn<'_>) -> View {
    let observed = |host: &Host| {
        drawn.asked.iter().find(|asked| asked.host.name == host.name).map(|asked| &asked.observed)
    };
    let why = |host: &Host| {
        let of_host = |failure: &&Failure| failure.host.as_deref() == Some(host.name.as_str());
        drawn.failures.iter().find(of_host).map(|failure| failure.cause.clone())
    };
    let mut view = health::view(&run.inventory, observed, why);
    // Hosts that --limit leaves out are no complaint.
    if run.hosts().len() < run.inventory.hosts.len() {
        view.members.retain(|member| asked_for(run, &member.host));
    }
    view
}

fn host_json(view: &View, member: &Member, drawn: &Drawn<'_>) -> serde_json::Value {
    let mut value = json!(member);
    value["zxid"] = json!(member.zxid.map(|zxid| format!("{zxid:#x}")));
    value["lag"] = json!(view.lag(member));
    let plan = drawn.plan.hosts.iter().find(|host| host.host == member.host);
    let drift = plan.map(|plan| plan.steps.iter().map(|step| &step.name).collect::<Vec<_>>());
    value["drift"] = json!(drift);
    value
}

fn table(run: &Run, view: &View, drawn: &Drawn<'_>) -> String {
    let head =
        ["host", "unit", "mode", "zxid", "lag", "sessions", "conns", "znodes", "drift", "version"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for member in view.members.iter().filter(|member| asked_for(run, &member.host)) {
        let number =
            |value: Option<i64>| value.map_or_else(|| "-".into(), |value| value.to_string());
        let mode = match member.mode {
            Some(Mode::Leader) => "leader",
            Some(Mode::Follower) => "follower",
            Some(Mode::Observer) => "observer",
            Some(Mode::Standalone) => "standalone",
            None => "-",
        };
        let plan = drawn.plan.hosts.iter().find(|host| host.host == member.host);
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
