//! `zkprov apply`: probe, plan, show, ask, apply, verify.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::artifacts::collect;
use crate::cli;
use crate::command::{Outcome, plan as dry};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble::{self, Member, View};
use crate::host::fleet::StepEvent;
use crate::host::lock::{self, Ballot, Operator};
use crate::host::session::{HostSession, gather};
use crate::inventory::{Host, Role};
use crate::layout::BINARY;
use crate::plan::change::{Action, Phase};
use crate::plan::desired;
use crate::plan::operation::Operation;
use crate::plan::show;
use crate::plan::{self, HostPlan, Only, Plan, Refusal, Step};
use crate::probe::Observed;
use crate::report::HostLines;
use crate::report::event::{Event, StepState, Summary};
use crate::rolling::drive::{Drive, Reconnects};
use crate::rolling::drive_members;
use crate::rolling::engine::{self, Recorded, RollOptions};
use crate::rolling::gate::Target;
use crate::rolling::previous::{self, Keep, Switches};
use crate::run::{self, Planned, Run, confirm};
use crate::script::{self, Script, frame};

mod broker;
mod certificates;

/// How long a server may need until it serves in a quorum.
const SERVING_S: u64 = 60;
/// Servers on which the proof of an ensemble may be read: one of them may be down.
const READERS: usize = 3;
/// How long a member that was started may take to follow, where the roll cannot begin without it.
const PATIENCE_S: u32 = 60;

pub async fn run(arguments: cli::Apply) -> Outcome {
    let run = Run::of(&arguments.planning).await?;
    if arguments.dry_run || arguments.planning.show_scripts {
        return dry::dry(&run, &arguments.planning, None).await;
    }
    let outcome = tokio::select! {
        outcome = whole(&run, &arguments) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    };
    let title = format!("zkprov apply {}", run.inventory.ensemble);
    run.reporter.reports(&title, &arguments.reports)?;
    outcome
}

async fn whole(run: &Run, arguments: &cli::Apply) -> Outcome {
    let only = dry::only(&arguments.planning)?;
    let saved = arguments.plan.as_deref().map(dry::load).transpose()?;
    let planned = run.probe_and_plan(&only).await?;
    carry_out(run, arguments, &only, saved.as_ref(), planned).await
}

/// Makes the changes of a plan; where they are the first half of a change of secrets, the second half too.
pub(super) async fn carry_out(
    run: &Run,
    arguments: &cli::Apply,
    only: &Only,
    saved: Option<&Plan>,
    planned: Planned<'_>,
) -> Outcome {
    let first = run.secrets.stage().is_some_and(|stage| stage.first_of_two);
    let all = planned.failures.is_empty() && run.limit.is_none() && only.takes("file");
    let outcome = Box::pin(changes(run, arguments, only, saved, &planned, arguments.yes)).await;
    run.fleet.close(planned.sessions).await;
    let well = |outcome: &Outcome| matches!(outcome, Ok(Exit::Done | Exit::Changes));
    if !well(&outcome) || run.stopped() || !all {
        return outcome;
    }
    if !first {
        return run.end_change_of_secrets().and(outcome);
    }
    run.reporter.aside(
        "every member accepts the new secret; a second roll ends that they accept what was before it",
    );
    let planned = run.probe_and_plan(only).await?;
    if run.secrets.stage().is_none_or(|stage| stage.first_of_two) {
        run.fleet.close(planned.sessions).await;
        let cause = "some members do not accept the new secret yet: none may use it alone";
        return Err(Failure::refused(cause).hint("`zkprov apply` goes on from here"));
    }
    let outcome = Box::pin(changes(run, arguments, only, None, &planned, true)).await;
    run.fleet.close(planned.sessions).await;
    if !well(&outcome) || run.stopped() || !planned.failures.is_empty() {
        return outcome;
    }
    run.end_change_of_secrets().and(outcome)
}

async fn changes(
    run: &Run,
    arguments: &cli::Apply,
    only: &Only,
    saved: Option<&Plan>,
    planned: &Planned<'_>,
    yes: bool,
) -> Outcome {
    let planning = &arguments.planning;
    dry::tell(run, planning, planned);
    if planned.plan.refused() {
        return Err(Failure::refused("nothing was changed: see the refusals above")
            .hint("fix what is named, or leave the host out with --limit"));
    }
    if let Some(saved) = saved {
        saved.still_holds(&planned.plan)?;
    }
    if planned.plan.changes() == 0 {
        run.keep_secret()?;
        let mut failures = planned.failures.clone();
        let silent = silent(run, planned);
        if !silent.is_empty() {
            run.reporter.aside(&format!(
                "nothing to change, and {} not serving: waiting for it",
                silent.join(", ")
            ));
            let failed = Box::pin(verify(run, &planned.plan, planned, &failures, only, true)).await;
            for failure in &failed {
                run.reporter.failed(failure);
            }
            failures.extend(failed);
        }
        return Ok(run::worst(&failures));
    }
    let question = format!("Make {}?", show::summary(&planned.plan));
    confirm::confirm(yes, &question)?;
    run.keep_secret()?;
    run.keep_security()?;
    let fetched = fetch(run, planned).await?;
    let plan = match &fetched {
        Some(artifacts) => run.plan(artifacts, &run::answers(&planned.sessions), only)?,
        None => planned.plan.clone(),
    };
    // Only a whole download tells its size, and a plan may be refused for that.
    if let Some((host, refusal)) = first_refusal(&plan) {
        let cause = format!("nothing was changed: {}", refusal.cause);
        return Err(Failure::refused(cause).host(host).hint(&refusal.hint));
    }
    let mut failures = planned.failures.clone();
    let (rest, refused) = certificates::issue(run, &plan, planned).await;
    let mut stopped = !refused.is_empty() || run.stopped();
    failures.extend(refused);
    // A roll that stopped leaves the rest untouched on purpose: there is nothing to verify there.
    let (members, brokers) = apart(&rest);
    let change = previous::change_name(&script::nonce());
    stopped = if stopped {
        true
    } else if members.hosts.iter().any(HostPlan::restarts) {
        failures.extend(Box::pin(roll(run, arguments, &members, planned, &change)).await);
        failures.len() > planned.failures.len()
    } else {
        failures.extend(change_hosts(run, &members, &planned.sessions).await);
        false
    };
    // Brokers come when the ensemble serves, and are not touched where anything has failed before.
    if brokers.changes() > 0 && failures.len() == planned.failures.len() && !run.stopped() {
        let failed = Box::pin(broker::change(run, arguments, &brokers, planned, &change)).await;
        stopped = !failed.is_empty();
        failures.extend(failed);
    }
    if !stopped && !run.stopped() {
        let serving = plan.hosts.iter().any(|host| host.starts() || host.restarts());
        failures.extend(verify(run, &plan, planned, &failures, only, serving).await);
    }
    for failure in failures.iter().skip(planned.failures.len()) {
        run.reporter.failed(failure);
    }
    let exit = run::worst(&failures);
    if let (Exit::Done, Some(note)) = (exit, run.security.note(&run.inventory)) {
        run.reporter.aside(&note);
    }
    let took = run.reporter.elapsed_s();
    let made = show::summary(&plan);
    let text = match exit {
        Exit::Done => format!("{made} made in {took:.1} s"),
        _ => format!("{} failed, of {made}", show::count(failures.len(), "host")),
    };
    run.reporter.summary(
        &text,
        Summary {
            changes: Some(plan.changes()),
            hosts: Some(plan.hosts.len()),
            failed: Some(failures.len()),
            exit: Some(exit.code()),
            ..Summary::default()
        },
    );
    Ok(if exit == Exit::Done && planning.detailed_exitcode { Exit::Changes } else { exit })
}

/// Members that run, and do not serve although nothing on them is to be changed.
fn silent(run: &Run, planned: &Planned<'_>) -> Vec<String> {
    let members = planned.sessions.iter().filter(|session| session.host.is_member());
    let silent = members.filter(|session| {
        let member = Member::of(run.inventory.unit(), session.host, &session.observed);
        let runs =
            planned.plan.hosts.iter().any(|plan| plan.host == session.host.name && plan.running);
        runs && !member.serves()
    });
    // One that is alone here cannot serve, and its ensemble is not looked at.
    let limited = run.hosts().len() < run.inventory.hosts.len();
    silent.filter(|_| !limited).map(|session| session.host.name.clone()).collect()
}

fn first_refusal(plan: &Plan) -> Option<(&str, &Refusal)> {
    plan.hosts.iter().find_map(|host| Some((host.host.as_str(), host.refusals.first()?)))
}

/// The plan without what concerns brokers, and the plan of that alone.
fn apart(plan: &Plan) -> (Plan, Plan) {
    let (mut members, mut brokers) = (plan.clone(), plan.clone());
    for host in &mut members.hosts {
        host.steps.retain(|step| !step.phase.of_broker());
    }
    for host in &mut brokers.hosts {
        host.steps.retain(|step| step.phase.of_broker());
    }
    (members, brokers)
}

/// Downloads the release when a host of this plan needs it.
async fn fetch(run: &Run, planned: &Planned<'_>) -> Result<Option<desired::Artifacts>, Failure> {
    let needed = planned.plan.hosts.iter().flat_map(|host| &host.steps).any(|step| {
        matches!(step.change.operation, Operation::UnpackRelease { tarball: None, .. })
    });
    let (true, Some(release)) = (needed, &run.artifacts.release) else { return Ok(None) };
    let release = collect::fetched(&run.inventory, release).await?;
    Ok(Some(desired::Artifacts { release: Some(release), ..run.artifacts.clone() }))
}

/// A serving ensemble: what its members do not notice is done everywhere at once; what they read when
/// they start waits for each one's turn in the roll.
async fn roll(
    run: &Run,
    arguments: &cli::Apply,
    plan: &Plan,
    planned: &Planned<'_>,
    change: &str,
) -> Vec<Failure> {
    let rolled = |host: &HostPlan| host.restarts();
    let later = |host: &HostPlan, step: &Step| rolled(host) && step.phase != Phase::Prepare;
    let mut first = plan.clone();
    for host in &mut first.hosts {
        let whole = host.clone();
        host.steps.retain(|step| !later(&whole, step));
    }
    let failures = change_hosts(run, &first, &planned.sessions).await;
    if !failures.is_empty() || run.stopped() {
        return failures;
    }
    let members: Vec<&HostPlan> = plan.hosts.iter().filter(|host| rolled(host)).collect();
    let targets = members
        .iter()
        .map(|host| {
            let restart = host.steps.iter().find(|step| step.change.action == Action::Restart);
            let why = restart.map_or_else(String::new, |step| step.change.reason.to_string());
            Target { host: host.host.clone(), why }
        })
        .collect();
    let switched = |host: &&HostPlan| {
        let steps = host.steps.iter().filter(|step| later(host, step)).cloned().collect();
        (host.host.clone(), steps)
    };
    let hosts = members.iter().map(switched).collect();
    let switches = Switches { hosts, change: change.to_owned(), keep: Keep::Previous };
    let observed: Vec<_> =
        planned.sessions.iter().map(|session| (session.host, &session.observed)).collect();
    // A member that was started just now may be the one without which no other can be spared.
    let patience_s = if first.hosts.iter().any(HostPlan::starts) { PATIENCE_S } else { 0 };
    let options = RollOptions {
        allow_quorum_loss: arguments.allow_quorum_loss,
        settle_s: arguments.settle,
        patience_s,
        changes: true,
        leaving: plan::leaving(&run.inventory, &observed),
    };
    let operator = Operator::me();
    let rolled = lock::holding(&operator, &planned.sessions, || run.lose_lock(), async {
        let recorded = Recorded::default();
        engine::roll(run, &planned.sessions, switches, targets, recorded, options).await.map(drop)
    });
    Box::pin(rolled).await.err().into_iter().collect()
}

/// Changes all hosts, each apart from the others; gives the failures.
async fn change_hosts(run: &Run, plan: &Plan, sessions: &[HostSession<'_>]) -> Vec<Failure> {
    let changed: Vec<&HostPlan> = plan.hosts.iter().filter(|host| !host.steps.is_empty()).collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let steps: Vec<(&str, usize)> =
        changed.iter().map(|host| (host.host.as_str(), host.steps.len())).collect();
    let lines = HostLines::new(&steps);
    let (operator, ballot) = (Operator::me(), Ballot::new(changed.len()));
    let outcomes = join_all(changed.iter().map(|host| {
        let (lines, lock) = (&lines, (&operator, &ballot));
        async move {
            let sessions = sessions.iter().find(|session| session.host.name == host.host)?;
            let steps: Vec<_> = host.steps.iter().collect();
            let (_, outcome) = run
                .fleet
                .change(sessions, host, &steps, lock, |news| tell(run, lines, &host.host, &news))
                .await;
            lines.close(&host.host, if outcome.is_ok() { "changed" } else { "failed" });
            outcome.err()
        }
    }))
    .await;
    outcomes.into_iter().flatten().collect()
}

fn tell(run: &Run, lines: &HostLines, host: &str, news: &StepEvent<'_>) {
    let event = |step: &str, state| {
        let (host, step) = (host.to_owned(), step.to_owned());
        run.reporter.event(Event::Step { host, step, state });
    };
    match news {
        StepEvent::Begin(step) => {
            event(step, StepState::Begin);
            lines.begin(host, step);
        }
        StepEvent::Done { step, .. } => {
            event(step, StepState::Done);
            lines.end(host, step, "done");
        }
        StepEvent::Failed(step) => {
            event(step, StepState::Failed);
            lines.end(host, step, "FAILED");
        }
        StepEvent::Sent(bytes, total) => lines.sent(host, *bytes, *total),
    }
}

/// The proof: every host that was changed is asked again and must be as planned, the ensemble must
/// serve, and a write on one server must be read on another.
async fn verify(
    run: &Run,
    plan: &Plan,
    planned: &Planned<'_>,
    failed: &[Failure],
    only: &Only,
    serving: bool,
) -> Vec<Failure> {
    let sessions = &planned.sessions;
    let has_failed =
        |host: &str| failed.iter().any(|failure| failure.host.as_deref() == Some(host));
    let whole: Vec<&HostSession<'_>> =
        sessions.iter().filter(|session| !has_failed(&session.host.name)).collect();
    // Hosts that are no members have nothing to serve and nothing to wait for.
    let members: Vec<&HostSession<'_>> =
        whole.iter().filter(|session| session.host.is_member()).copied().collect();
    let voters = run.inventory.participants().count();
    let up = whole.iter().filter(|session| session.host.role == Role::Participant).count();
    // A limited run changes a part of an ensemble whose rest is not looked at.
    let limited = run.hosts().len() < run.inventory.hosts.len();
    let quorum = up >= run.inventory.majority() || limited;
    if !quorum {
        run.reporter
            .aside(&format!("not waiting for a quorum: {up} of {voters} participants are left"));
    }
    let serving = quorum && serving;
    let writer = members.first().map(|session| session.host.name.clone());
    // Voters are asked before those who only follow.
    let mut readers: Vec<&HostSession<'_>> = members.iter().skip(1).rev().copied().collect();
    readers.sort_by_key(|session| session.host.role != Role::Participant);
    readers.truncate(READERS);
    let mut readers: Vec<String> = readers.iter().map(|session| session.host.connect()).collect();
    if readers.is_empty() {
        readers.extend(members.first().map(|session| session.host.connect()));
    }
    let outcomes = join_all(whole.iter().map(|&session| {
        let (writer, readers) = (writer.as_deref(), readers.clone());
        let others = members.len().saturating_sub(1);
        async move {
            let host_plan = plan.hosts.iter().find(|host| host.host == session.host.name)?;
            if host_plan.steps.is_empty() && !serving {
                return None;
            }
            let mut script = Script::guarded(Duration::from_mins(2));
            let server = desired::server(session.host);
            if serving && session.host.is_member() {
                if limited {
                    let servers = run.inventory.participants().map(Host::connect).collect();
                    let majority = run.inventory.majority();
                    Operation::AwaitMajority { majority, servers, tool: BINARY.into() }
                        .step("a majority is up", &mut script);
                }
                Operation::serving(run.inventory.unit(), SERVING_S, &server)
                    .step("ensemble serves", &mut script);
                if !limited {
                    let (tool, server) = (BINARY.into(), server.clone());
                    Operation::AwaitCounted { tool, server, others }.between(&mut script);
                }
                if writer == Some(session.host.name.as_str()) {
                    Operation::WriteAndRead {
                        tool: BINARY.into(),
                        znode: format!("/zkprov-{}", script.nonce()),
                        value: "written by zkprov".into(),
                        readers,
                        writer: server,
                    }
                    .step("write here, read there", &mut script);
                }
            }
            let verified = verify_host(run, session, script, only).await;
            Some((session.host, verified.map_err(|failure| failure.host(&session.host.name))))
        }
    }))
    .await;
    let (mut seen, mut failures) = (BTreeMap::new(), Vec::new());
    for (host, outcome) in outcomes.into_iter().flatten() {
        match outcome {
            Ok(observed) => {
                seen.insert(host.name.clone(), observed);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if serving && !limited && failures.is_empty() {
        let touched = members.iter().filter(|session| seen.contains_key(&session.host.name));
        let touched: Vec<&str> = touched.map(|session| session.host.name.as_str()).collect();
        let view = ensemble::view(&run.inventory, |host| seen.get(&host.name), |_| None);
        failures.extend(all_back(run, sessions, view, &touched).await);
    }
    failures
}

/// Every member that was looked at serves, has caught up, and is counted by the leader. The first view is
/// what the hosts said when they were verified; where that was too early, it is looked again.
async fn all_back(
    run: &Run,
    sessions: &[HostSession<'_>],
    mut view: View,
    touched: &[&str],
) -> Vec<Failure> {
    let drive =
        Drive { run, sessions, switches: Switches::default(), reconnects: Reconnects::default() };
    let begun = Instant::now();
    let lacking = loop {
        let lacking: Vec<(&str, String)> =
            touched.iter().filter_map(|host| Some((*host, view.lacks(host)?))).collect();
        if lacking.is_empty() || run.stopped() || begun.elapsed() >= Duration::from_secs(SERVING_S)
        {
            break lacking;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        view = drive_members::look(&drive).await;
    };
    drive.reconnects.close().await;
    let failure = |(host, why): (&str, String)| {
        Failure::failed(why).host(host).step("verify").hint(format!(
            "it was changed as planned, and is not a member that counts: `zkprov logs` shows {}'s journal",
            run.inventory.unit()
        ))
    };
    lacking.into_iter().map(failure).collect()
}

async fn verify_host(
    run: &Run,
    session: &HostSession<'_>,
    mut script: Script,
    only: &Only,
) -> Result<Observed, Failure> {
    desired::reading(&run.inventory, session.host, &run.artifacts)?.ask(&mut script);
    let lost = |failure: Failure| {
        failure.step("verify").hint("run `zkprov apply` again once the host answers")
    };
    let deadline = Duration::from_secs(2 * SERVING_S);
    let (frames, stderr) = gather(&session.link, &script, deadline).await.map_err(lost)?;
    if let Some(failed) = frame::failed(&frames) {
        let unit = run.inventory.unit();
        return Err(Failure::failed(failed.said()).step(&failed.step).hint(match &run.limit {
            Some(limit) => format!(
                "--limit {limit} leaves the rest of the ensemble as it is: is a majority up? \
                 `zkprov logs` shows more of {unit}'s journal"
            ),
            None => format!("`zkprov logs` shows more of {unit}'s journal"),
        }));
    }
    let observed = Observed::new(frames);
    if !observed.is_whole() {
        let said = stderr.lines().last().unwrap_or("the connection was lost").to_owned();
        return Err(Failure::failed(said).step("verify"));
    }
    let now = run::Answer { host: session.host, observed: &observed, skew: session.skew };
    let again = run.plan(&run.artifacts, &[now], only)?;
    let left: Vec<String> =
        again.hosts.iter().flat_map(|host| &host.steps).map(Step::name).collect();
    let refused: Vec<String> =
        again.hosts.iter().flat_map(|host| &host.refusals).map(|r| r.cause.clone()).collect();
    if left.is_empty() && refused.is_empty() {
        return Ok(observed);
    }
    Err(Failure::failed(format!(
        "still not as it should be after the change: {}",
        [left, refused].concat().join(", ")
    ))
    .step("verify")
    .hint("something else on this host undoes it: another tool, a drop-in, a mount?"))
}
