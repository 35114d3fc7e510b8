//! `zkprov restart`: member after member, leader last, the quorum never lost.

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::host::lock::{self, Operator};
use crate::inventory::{Host, Inventory};
use crate::plan::change::Phase;
use crate::plan::{Only, Plan, Step};
use crate::report::event::Summary;
use crate::rolling::engine::{self, Recorded, RollOptions};
use crate::rolling::gate::Target;
use crate::rolling::journal::Journal;
use crate::rolling::previous::Switches;
use crate::rolling::service;
use crate::run::{self, Run, confirm, selection};

pub async fn run(arguments: cli::Restart) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    // Every member is looked at, whoever is to be restarted.
    let everybody = cli::Selection::default();
    let run =
        Run::new(inventory, &everybody, &arguments.connection, &arguments.output_options).await?;
    run::reported(&run, "restart", &arguments.reports, whole(&run, &arguments)).await
}

async fn whole(run: &Run, arguments: &cli::Restart) -> Outcome {
    let limit = selection::select(&run.inventory, arguments.selection.limit.as_deref())?;
    let limit: Vec<&str> = limit.iter().map(|host| host.name.as_str()).collect();
    let resumed = arguments
        .resume
        .as_ref()
        .map(|resumed| Journal::resume(resumed, &run.inventory.ensemble))
        .transpose()?;
    let planned = run.probe_and_plan(&Only::default()).await?;
    let outcome = Box::pin(async {
        let wanted = |role| arguments.role.is_none_or(|only| only == role);
        let chosen = |role, phase| {
            let all = arguments.all;
            if wanted(role) { targets(run, &planned.plan, phase, &limit, all) } else { Vec::new() }
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
            run.reporter
                .summary("0 to restart", Summary { restarted: Some(0), ..Summary::default() });
            return Ok(run::worst(&planned.failures));
        }
        run.reporter.text(&service::asked(&members, &brokers));
        let what = service::counted(members.len(), brokers.len());
        confirm::confirm(arguments.yes, &format!("Restart {what} one after the other?"))?;
        let operator = Operator::me();
        Box::pin(lock::holding(&operator, &planned.sessions, || run.lose_lock(), async {
            let options = RollOptions {
                allow_quorum_loss: arguments.allow_quorum_loss,
                settle_s: arguments.settle,
                patience_s: 0,
                changes: false,
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
                of_members = Some(
                    engine::roll(run, &planned.sessions, none, members, journal, options).await?,
                );
            }
            if !brokers.is_empty() {
                let none = Switches::default();
                let journal = (of_brokers, of_members);
                engine::roll_brokers(run, &planned.sessions, none, brokers, journal, options)
                    .await?;
            }
            Ok(())
        }))
        .await?;
        let text = format!("{what} restarted in {:.1} s", run.reporter.elapsed_s());
        run.reporter.summary(&text, Summary { restarted: Some(count), ..Summary::default() });
        Ok(Exit::Done)
    })
    .await;
    for failure in &planned.failures {
        run.reporter.failed(failure);
    }
    run.fleet.close(planned.sessions).await;
    outcome
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
            let mut of_phase = host.steps.iter().filter(|step| step.phase == phase);
            let why = match of_phase.find_map(Step::stale_now) {
                Some(stale) => stale.to_string(),
                None if all => "--all".to_owned(),
                None => return None,
            };
            Some(Target { host: host.host.clone(), why })
        })
        .collect()
}
