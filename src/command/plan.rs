//! `zkprov plan`: probe, plan, show. Nothing is changed anywhere.

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::execute;
use crate::host::lock::Operator;
use crate::plan::desired;
use crate::plan::show;
use crate::plan::{Only, Plan};
use crate::report;
use crate::report::event::Summary;
use crate::run::{self, Planned, Run};
use crate::script::Script;

pub async fn run(arguments: cli::Plan) -> Outcome {
    let run = Run::of(&arguments.planning).await?;
    dry(&run, &arguments.planning, arguments.out.as_deref()).await
}

/// The dry run, also for `apply --dry-run`.
pub(super) async fn dry(
    run: &Run,
    planning: &cli::Planning,
    out: Option<&std::path::Path>,
) -> Outcome {
    let only = only(planning)?;
    let planned = run.probe_and_plan(&only).await?;
    if planning.show_scripts {
        scripts(run, &planned)?;
    } else {
        tell(run, planning, &planned);
        if let Some(out) = out {
            save(&planned.plan, out)?;
        }
    }
    let Planned { plan, sessions, failures } = planned;
    run.fleet.close(sessions).await;
    Ok(if !failures.is_empty() {
        run::worst(&failures)
    } else if plan.refused() {
        Exit::Refused
    } else if planning.detailed_exitcode && plan.changes() > 0 {
        Exit::Changes
    } else {
        Exit::Done
    })
}

pub(super) fn only(planning: &cli::Planning) -> Result<Only, Failure> {
    let only = Only::new(&planning.only).map(|only| only.taking_over(planning.take_over));
    only.map_err(|unknown| {
        Failure::usage(format!("--only: there is no kind `{unknown}`"))
            .hint(format!("the kinds are {}", crate::plan::subject::KINDS.join(", ")))
    })
}

/// Shows the plan, and who could not be asked.
pub(super) fn tell(run: &Run, planning: &cli::Planning, planned: &Planned<'_>) {
    let reporter = &run.reporter;
    for host in &planned.plan.hosts {
        reporter.event(show::host_event(host, planning.diff));
    }
    let detail = show::Detail { diff: planning.diff, color: report::color() };
    reporter.painted(&show::plan(&planned.plan, detail));
    for failure in &planned.failures {
        reporter.failed(failure);
    }
    let summary = show::summary(&planned.plan);
    let silent = planned.failures.len();
    let summary = match silent {
        0 => summary,
        // No line that a script could take for "nothing to do".
        _ => format!("{} unreachable, {summary}", show::count(silent, "host")),
    };
    let summary = match (planned.plan.refused(), planned.plan.changes()) {
        (true, _) => format!("refused; {summary} would be made"),
        (false, 0) => summary,
        (false, _) => format!("{summary} to be made"),
    };
    reporter.summary(
        &summary,
        Summary {
            changes: Some(planned.plan.changes()),
            hosts: Some(planned.plan.hosts.len()),
            refused: Some(planned.plan.refused()),
            failed: Some(planned.failures.len()),
            ..Summary::default()
        },
    );
}

/// Prints what would run, secrets left out.
fn scripts(run: &Run, planned: &Planned<'_>) -> Result<(), Failure> {
    for session in &planned.sessions {
        let mut probe = Script::new("NONCE");
        desired::reading(&run.inventory, session.host, &run.artifacts)?.ask(&mut probe);
        run.reporter.text(&format!("# {}: probe\n{}\n", session.host.name, probe.render()));
        let Some(plan) = planned.plan.hosts.iter().find(|plan| plan.host == session.host.name)
        else {
            continue;
        };
        if plan.steps.is_empty() {
            continue;
        }
        let mut shown = plan.clone();
        for step in &mut shown.steps {
            step.change.operation = step.change.operation.shown();
        }
        let steps: Vec<_> = shown.steps.iter().collect();
        let program = execute::program("NONCE", &Operator::me(), &steps, session.host);
        run.reporter.text(&format!("# {}: apply\n{}\n", shown.host, program.script.render()));
        for payload in &program.payloads {
            run.reporter.text(&format!(
                "# followed by {} bytes of {}\n",
                payload.bytes,
                payload.path.display()
            ));
        }
    }
    Ok(())
}

/// Saves a plan. It holds what will be written to the hosts, so it is its owner's alone.
fn save(plan: &Plan, path: &std::path::Path) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut plan = plan.clone();
    for step in plan.hosts.iter_mut().flat_map(|host| &mut host.steps) {
        step.change.operation = step.change.operation.shown();
    }
    let text = serde_json::to_string_pretty(&plan)
        .map_err(|error| Failure::failed(format!("cannot write the plan: {error}")))?;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", path.display())))
}

/// Reads a saved plan.
pub(super) fn load(path: &std::path::Path) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))?;
    let plan: Plan = serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("`{}` is no plan of this version: {error}", path.display()))
            .hint("`zkprov plan --out FILE` makes one")
    })?;
    if plan.format != crate::plan::FORMAT {
        return Err(Failure::usage(format!(
            "`{}` has format {}, this zkprov knows {}",
            path.display(),
            plan.format,
            crate::plan::FORMAT
        )));
    }
    Ok(plan)
}
