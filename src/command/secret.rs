//! `zkprov secret rotate`: another secret for the ensemble, by two rolls between which every member accepts
//! the old one and the new one.

use crate::cli::{self, SecretCommand};
use crate::command::{Outcome, apply};
use crate::failure::Failure;
use crate::inventory::Engine;
use crate::plan::Only;
use crate::run::{self, Planned, Run};

pub async fn run(command: SecretCommand) -> Outcome {
    let SecretCommand::Rotate(arguments) = command;
    let apply = cli::Apply::from(arguments);
    let run = Run::of(&apply.planning).await?;
    run::reported(&run, "secret rotate", &apply.reports, rotate(&run, &apply)).await
}

async fn rotate(run: &Run, arguments: &cli::Apply) -> Outcome {
    if run.inventory.coordinator.engine != Engine::Coordinator {
        return Err(Failure::usage("Apache ZooKeeper's members have no secret to rotate"));
    }
    if run.secrets.is_named() {
        return Err(Failure::usage("the inventory names the secret: zkprov does not replace it").hint(
            "put another one there, then `zkprov apply`: it is rolled out in two rolls, as this command does",
        ));
    }
    let only = Only::default();
    let mut planned = run.probe_and_plan(&only).await?;
    let begun = begin(run, &only, &mut planned).await;
    if let Err(failure) = begun {
        run.fleet.close(planned.sessions).await;
        return Err(failure);
    }
    apply::carry_out(run, arguments, &only, None, planned).await
}

/// Makes the new secret, unless the hosts are on their way to one already.
async fn begin(run: &Run, only: &Only, planned: &mut Planned<'_>) -> Result<(), Failure> {
    if let Some(failure) = planned.failures.first() {
        let failure = failure.clone();
        let cause = format!("every member has to be reached: {}", failure.cause);
        return Err(Failure { cause, ..failure });
    }
    if run.secrets.under_way() {
        run.reporter
            .aside("a change of the secret was begun and is not over: this run goes on with it");
        return Ok(());
    }
    if run.secrets.settled() && (planned.plan.changes() > 0 || planned.plan.refused()) {
        let cause = "the hosts are not as the inventory says: their secret is not replaced with it";
        return Err(
            Failure::refused(cause).hint("`zkprov plan` shows how they differ; apply first")
        );
    }
    if run.secrets.settled() || run.secrets.stage().is_none() {
        run.secrets.decide(&run.fleet, &run.inventory, &planned.sessions, true).await?;
        planned.plan = run.plan(&run.artifacts, &run::answers(&planned.sessions), only)?;
    }
    Ok(())
}
