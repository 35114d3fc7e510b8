//! `zkprov restart`: member after member, leader last, the quorum never lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fleet::Asked;
use crate::inventory::{Host, Inventory};
use crate::journal::{Entry, Journal};
use crate::kept::Switches;
use crate::lock::{self, Operator};
use crate::plan::{Only, Plan, Step};
use crate::resource::Phase;
use crate::roll::brokers::{self, BrokerRoll};
use crate::roll::drive::{Again, Drive};
use crate::roll::{Policy, Roll, Target, drive_brokers};
use crate::run::{self, Run};
use crate::{report, selection, show};

pub async fn run(arguments: cli::Restart) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    // Every member is looked at, whoever is to be restarted.
    let everybody = cli::Selection::default();
    let run = Run::new(inventory, &everybody, &arguments.connection, &arguments.telling).await?;
    reported(&run, "restart", &arguments.reports, whole(&run, &arguments)).await
}

/// A roll to its end or to an interrupt; its failure told, and the reports written.
pub(super) async fn reported(
    run: &Run,
    command: &str,
    reports: &cli::Reports,
    rolled: impl Future<Output = Outcome>,
) -> Outcome {
    let outcome = tokio::select! {
        outcome = rolled => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    };
    if let Err(failure) = &outcome {
        run.reporter.event(
            "failure",
            json!({"host": failure.host, "step": failure.step, "cause": failure.cause}),
        );
    }
    let title = format!("zkprov {command} {}", run.inventory.ensemble);
    run.reporter.reports(&title, reports)?;
    outcome
}

async fn whole(run: &Run, arguments: &cli::Restart) -> Outcome {
    let limit = selection::select(&run.inventory, arguments.selection.limit.as_deref())?;
    let limit: Vec<&str> = limit.iter().map(|host| host.name.as_str()).collect();
    let resumed = arguments
        .resume
        .as_ref()
        .map(|resumed| Journal::resume(resumed, &run.inventory.ensemble))
        .transpose()?;
    let drawn = run.draw(&Only::default()).await?;
    let outcome = Box::pin(async {
        let wanted = |role| arguments.role.is_none_or(|only| only == role);
        let chosen = |role, phase| {
            let all = arguments.all;
            if wanted(role) { targets(run, &drawn.plan, phase, &limit, all) } else { Vec::new() }
        };
        let (members, brokers) = match &resumed {
            Some((_, left)) => (left.members.clone(), left.brokers.clone()),
            None => (
                chosen(cli::Part::Coordinator, Phase::Serve),
                chosen(cli::Part::Broker, Phase::BrokerServe),
            ),
        };
        let count = members.len() + brokers.len();
        if count == 0 {
            run.reporter.summary("0 to restart", json!({"restarted": 0}));
            return Ok(run::worst(&drawn.failures));
        }
        for target in &members {
            run.reporter.text(&format!("restart {}  ({})\n", target.host, target.why));
        }
        for target in &brokers {
            run.reporter.text(&format!("restart broker on {}  ({})\n", target.host, target.why));
        }
        let what = restarted(members.len(), brokers.len());
        confirm(arguments.yes, &format!("Restart {what} one after the other?"))?;
        let operator = Operator::me();
        Box::pin(lock::holding(&operator, &drawn.asked, || run.lose_lock(), async {
            let wish = Wish {
                allow_quorum_loss: arguments.allow_quorum_loss,
                settle_s: arguments.settle,
                patience_s: 0,
                leaving: None,
            };
            let (of_brokers, mut of_members) = match resumed {
                Some((journal, _)) if journal.of_brokers => (Some(journal), None),
                resumed => (None, resumed.map(|(journal, _)| journal)),
            };
            // Never both at once: every broker is touched only when all members serve again.
            if !members.is_empty() {
                let journal = Recorded { journal: of_members, then: &brokers };
                let none = Switches::default();
                of_members = Some(roll(run, &drawn.asked, none, members, journal, wish).await?);
            }
            if !brokers.is_empty() {
                let none = Switches::default();
                let journal = (of_brokers, of_members);
                roll_brokers(run, &drawn.asked, none, brokers, journal, wish).await?;
            }
            Ok(())
        }))
        .await?;
        let text = format!("{what} restarted in {:.1} s", run.reporter.elapsed_s());
        run.reporter.summary(&text, json!({"restarted": count}));
        Ok(Exit::Done)
    })
    .await;
    for failure in &drawn.failures {
        run.reporter.failed(failure);
    }
    run.fleet.close(drawn.asked).await;
    outcome
}

/// A person says yes, or `--yes` has said it.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !report::interactive() {
        return Err(Failure::refused("there is no terminal to ask at, and nothing was changed")
            .hint("run again with --yes"));
    }
    match report::ask(&format!("{question} [y/N]")).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::refused("not confirmed, and nothing was changed")),
    }
}

pub(super) fn restarted(members: usize, brokers: usize) -> String {
    match (members, brokers) {
        (_, 0) => show::count(members, "member"),
        (0, _) => show::count(brokers, "broker"),
        _ => format!("{} and {}", show::count(members, "member"), show::count(brokers, "broker")),
    }
}

/// Members, or brokers, whose process does not run what is on disk; with `--all`, every one.
fn targets(run: &Run, plan: &Plan, phase: Phase, limit: &[&str], all: bool) -> Vec<Target> {
    let has = |host: &&Host| match phase {
        Phase::BrokerServe => run.inventory.broker_on(host).is_some(),
        _ => host.is_member(),
    };
    let hosts: Vec<&str> =
        run.inventory.hosts.iter().filter(has).map(|host| host.name.as_str()).collect();
    plan.hosts
        .iter()
        .filter(|host| limit.contains(&host.host.as_str()) && hosts.contains(&host.host.as_str()))
        .filter_map(|host| {
            // What `apply` would change first is not this command's business: only what is stale now.
            let restarts =
                |step: &&Step| step.phase == phase && step.change.function == "do_restart";
            let stale = host.steps.iter().find(restarts);
            let stale = stale.filter(|step| !step.change.why.starts_with("it runs without"));
            let why = match stale {
                Some(step) => step.change.why.clone(),
                None if all => "--all".to_owned(),
                None => return None,
            };
            Some(Target { host: host.host.clone(), why })
        })
        .collect()
}

/// What the person says about the roll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) allow_quorum_loss: bool,
    pub(super) settle_s: Option<u32>,
    /// How long what was started just now may take before the first one's turn.
    pub(super) patience_s: u32,
    /// A member whose vote is taken away before the first one's turn.
    pub(super) leaving: Option<u8>,
}

/// Where a roll of members is recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded<'a> {
    /// Of an earlier run that goes on here; a new one otherwise.
    pub(super) journal: Option<Journal>,
    /// Brokers whose turn comes afterwards.
    pub(super) then: &'a [Target],
}

/// One roll, from the preflight to its end; gives its journal.
pub(super) async fn roll(
    run: &Run,
    asked: &[Asked<'_>],
    switches: Switches,
    targets: Vec<Target>,
    recorded: Recorded<'_>,
    wish: Wish,
) -> Result<Journal, Failure> {
    let coordinator = &run.inventory.coordinator;
    let drive = Drive { run, asked, switches, again: Again::default() };
    let settled_ms =
        (2 * u64::from(coordinator.tick_time_ms) * u64::from(coordinator.sync_limit)).max(10_000);
    let policy = Policy {
        gate_timeout_ms: 300_000,
        settle_ms: wish.settle_s.map_or(settled_ms, |seconds| u64::from(seconds) * 1000),
        allow_quorum_loss: wish.allow_quorum_loss,
        transfer: drive.transfers(),
    };
    let mut roll = Roll::new(policy, targets.clone());
    if let Some(id) = wish.leaving {
        drive.remove(id).await?;
    }
    let begun = Instant::now();
    let reasons = loop {
        let reasons = roll.preflight(&drive.look().await);
        let waited = begun.elapsed() >= Duration::from_secs(wish.patience_s.into());
        if reasons.is_empty() || waited || run.stopped() {
            break reasons;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    if !reasons.is_empty() {
        return Err(Failure::refused(format!(
            "no member may be taken down now: {}",
            reasons.join("; ")
        ))
        .hint("`zkprov status` shows the members; one or two voters need --allow-quorum-loss"));
    }
    let mut journal = match recorded.journal {
        Some(journal) => journal,
        None => Journal::members(&run.inventory.ensemble, &targets, recorded.then)?,
    };
    run.reporter.aside(&format!("run {}", journal.run));
    let driven = drive.drive(&mut roll, &mut journal).await;
    drive.again.close().await;
    driven.map(|()| journal)
}

/// One roll of brokers, from the preflight to its end; `before` is the journal of the members that
/// it follows.
pub(super) async fn roll_brokers(
    run: &Run,
    asked: &[Asked<'_>],
    switches: Switches,
    targets: Vec<Target>,
    (journal, before): (Option<Journal>, Option<Journal>),
    wish: Wish,
) -> Result<(), Failure> {
    let drive = Drive { run, asked, switches, again: Again::default() };
    let policy = brokers::Policy {
        gate_timeout_ms: 300_000,
        back_timeout_ms: 600_000,
        settle_ms: wish.settle_s.map_or(10_000, |seconds| u64::from(seconds) * 1000),
    };
    let mut roll = BrokerRoll::new(policy, targets.clone());
    let cluster = drive_brokers::look(&drive).await;
    let reasons = roll.preflight(&cluster);
    if !reasons.is_empty() {
        let cause = format!("no broker may be taken down now: {}", reasons.join("; "));
        return Err(Failure::refused(cause).hint("`zkprov status` shows the brokers"));
    }
    let bare = cluster.without_spare();
    if !bare.is_empty() {
        let names: Vec<&str> = bare.iter().map(String::as_str).collect();
        run.reporter.aside(&format!(
            "without a spare replica, not to be written to while a broker of theirs restarts: {}",
            names.join(", ")
        ));
    }
    let mut journal = match journal {
        Some(journal) => journal,
        None => Journal::brokers(&run.inventory.ensemble, &targets)?,
    };
    if let Some(mut before) = before {
        before.write(&Entry::Handed { run: journal.run.clone() })?;
    }
    run.reporter.aside(&format!("run {}", journal.run));
    let driven = drive_brokers::drive(&drive, &mut roll, &mut journal).await;
    drive.again.close().await;
    driven
}
