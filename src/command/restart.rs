//! `zkprov restart`: member after member, leader last, the quorum never lost.

use serde_json::json;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fleet::Asked;
use crate::inventory::Inventory;
use crate::journal::Journal;
use crate::lock::{self, Operator};
use crate::plan::{Only, Plan};
use crate::roll::drive::Drive;
use crate::roll::{Policy, Roll, Target};
use crate::run::{self, Run};
use crate::{report, selection, show};

pub async fn run(arguments: cli::Restart) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    // Every member is looked at, whoever is to be restarted.
    let everybody = cli::Selection::default();
    let run = Run::new(inventory, &everybody, &arguments.connection, &arguments.telling).await?;
    let outcome = tokio::select! {
        outcome = whole(&run, &arguments) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    };
    if let Err(failure) = &outcome {
        run.reporter.event(
            "failure",
            json!({"host": failure.host, "step": failure.step, "cause": failure.cause}),
        );
    }
    let title = format!("zkprov restart {}", run.inventory.ensemble);
    run.reporter.reports(&title, &arguments.reports)?;
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
        let targets = match &resumed {
            Some((_, left)) => left.clone(),
            None => targets(&drawn.plan, &limit, arguments.all),
        };
        if targets.is_empty() {
            run.reporter.summary("0 to restart", json!({"restarted": 0}));
            return Ok(run::worst(&drawn.failures));
        }
        for target in &targets {
            run.reporter.text(&format!("restart {}  ({})\n", target.host, target.why));
        }
        let count = targets.len();
        confirm(
            arguments.yes,
            &format!("Restart {} one after the other?", show::count(count, "member")),
        )?;
        let operator = Operator::me();
        Box::pin(lock::holding(&operator, &drawn.asked, async {
            let wish =
                Wish { allow_quorum_loss: arguments.allow_quorum_loss, settle_s: arguments.settle };
            let journal = resumed.map(|(journal, _)| journal);
            roll(run, &drawn.asked, Vec::new(), targets, journal, wish).await
        }))
        .await?;
        let text = format!(
            "{} restarted in {:.1} s",
            show::count(count, "member"),
            run.reporter.elapsed_s()
        );
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

/// Members whose process does not run what is on disk; with `--all`, every one.
fn targets(plan: &Plan, limit: &[&str], all: bool) -> Vec<Target> {
    plan.hosts
        .iter()
        .filter(|host| limit.contains(&host.host.as_str()))
        .filter_map(|host| {
            // What `apply` would change first is not this command's business: only what is stale now.
            let stale = host.steps.iter().find(|step| step.change.function == "do_restart");
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
}

/// One roll, from the preflight to its end.
pub(super) async fn roll(
    run: &Run,
    asked: &[Asked<'_>],
    switches: Vec<(String, Vec<crate::plan::Step>)>,
    targets: Vec<Target>,
    journal: Option<Journal>,
    wish: Wish,
) -> Result<(), Failure> {
    let coordinator = &run.inventory.coordinator;
    let drive = Drive { run, asked, switches };
    let settled_ms =
        (2 * u64::from(coordinator.tick_time_ms) * u64::from(coordinator.sync_limit)).max(10_000);
    let policy = Policy {
        gate_timeout_ms: 300_000,
        settle_ms: wish.settle_s.map_or(settled_ms, |seconds| u64::from(seconds) * 1000),
        allow_quorum_loss: wish.allow_quorum_loss,
        transfer: drive.transfers(),
    };
    let mut roll = Roll::new(policy, targets.clone());
    let reasons = roll.preflight(&drive.look().await);
    if !reasons.is_empty() {
        return Err(Failure::refused(format!(
            "no member may be taken down now: {}",
            reasons.join("; ")
        ))
        .hint("`zkprov status` shows the members; one or two voters need --allow-quorum-loss"));
    }
    let mut journal = match journal {
        Some(journal) => journal,
        None => Journal::begin(&run.inventory.ensemble, &targets)?,
    };
    run.reporter.aside(&format!("run {}", journal.run));
    drive.drive(&mut roll, &mut journal).await
}
