//! `zkprov rollback`: back to what members, and brokers, ran before the last change; through the same
//! gates as every roll.

use std::collections::BTreeMap;

use crate::cli::{self, Part};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::lock::{self, Operator};
use crate::host::session::HostSession;
use crate::inventory::{Host, Inventory};
use crate::layout;
use crate::plan::library;
use crate::plan::show;
use crate::plan::{FORMAT, HostPlan, Plan, Refusal, Step};
use crate::probe::Reading;
use crate::report;
use crate::report::event::Summary;
use crate::rolling::engine::{self, Recorded, RollOptions};
use crate::rolling::gate::Target;
use crate::rolling::previous::{self, Keep, PreviousState, Switches};
use crate::rolling::service;
use crate::run::selection;
use crate::run::{self, Run, confirm};
use crate::script;

pub async fn run(arguments: cli::Rollback) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    if let Some(apache) = inventory.adopted() {
        let cause =
            format!("{} was there before zkprov, which has changed nothing of it", apache.unit());
        return Err(Failure::refused(cause));
    }
    // The gates look at every member, whoever goes back.
    let everybody = cli::Selection::default();
    let run =
        Run::new(inventory, &everybody, &arguments.connection, &arguments.output_options).await?;
    run::reported(&run, "rollback", &arguments.reports, whole(&run, &arguments)).await
}

async fn whole(run: &Run, arguments: &cli::Rollback) -> Outcome {
    let limit = selection::select(&run.inventory, arguments.selection.limit.as_deref())?;
    let limit: Vec<&str> = limit.iter().map(|host| host.name.as_str()).collect();
    let hosts = run.hosts();
    let replies = run.fleet.probe(&hosts, |host| Ok(reading(&run.inventory, host))).await;
    let (mut sessions, mut failures) = (Vec::new(), Vec::new());
    for (_, reply) in replies {
        match reply {
            Ok(host) => sessions.push(host),
            Err(failure) => failures.push(failure),
        }
    }
    let wanted = |part| arguments.role.is_none_or(|only| only == part);
    let parts: Vec<Part> =
        [Part::Coordinator, Part::Broker].into_iter().filter(|part| wanted(*part)).collect();
    let back = Back::of(&run.inventory, &sessions, &parts, &limit);
    let outcome = Box::pin(go(run, arguments, &sessions, &failures, &back)).await;
    for failure in &failures {
        run.reporter.failed(failure);
    }
    run.fleet.close(sessions).await;
    outcome
}

async fn go(
    run: &Run,
    arguments: &cli::Rollback,
    sessions: &[HostSession<'_>],
    failures: &[Failure],
    back: &Back,
) -> Outcome {
    let plan = back.plan(&run.inventory);
    for host in &plan.hosts {
        run.reporter.event(show::host_event(host, arguments.diff));
    }
    let detail = show::Detail { diff: arguments.diff, color: report::color() };
    run.reporter.painted(&show::plan(&plan, detail));
    for (host, why) in &back.left {
        run.reporter.aside(&format!("{host}: {why}"));
    }
    if plan.refused() {
        return Err(Failure::refused("nothing was changed: see the refusals above"));
    }
    let (members, brokers) = (back.targets(Part::Coordinator), back.targets(Part::Broker));
    let count = members.len() + brokers.len();
    if count == 0 {
        run.reporter
            .summary(back.nothing(), Summary { rolled_back: Some(0), ..Summary::default() });
        return Ok(run::worst(failures));
    }
    let what = service::counted(members.len(), brokers.len());
    if arguments.dry_run {
        let text = format!("{what} would go back");
        run.reporter.summary(
            &text,
            Summary { rolled_back: Some(0), pending: Some(count), ..Summary::default() },
        );
        return Ok(run::worst(failures));
    }
    confirm::confirm(arguments.yes, &format!("Put {what} back, one after the other?"))?;
    let change = previous::change_name(&script::nonce());
    let switches =
        |part| Switches { hosts: back.switches(part), change: change.clone(), keep: Keep::Undone };
    let options = RollOptions {
        allow_quorum_loss: arguments.allow_quorum_loss,
        settle_s: arguments.settle,
        patience_s: 0,
        changes: true,
        leaving: None,
    };
    Box::pin(lock::holding(&Operator::me(), sessions, || run.lose_lock(), async {
        if !members.is_empty() {
            let switches = switches(Part::Coordinator);
            engine::roll(run, sessions, switches, members, Recorded::default(), options).await?;
        }
        if !brokers.is_empty() {
            let switches = switches(Part::Broker);
            let rolled = engine::roll_brokers(run, sessions, switches, brokers, (None, None), options);
            rolled.await.map_err(|failure| match failure.exit {
                Exit::RolledBack => failure.hint(
                    "it runs on as it did; after a whole upgrade an older broker follows only where \
                     `inter.broker.protocol.version` was pinned to its version under `properties`",
                ),
                _ => failure,
            })?;
        }
        Ok(())
    }))
    .await?;
    let text = format!("{what} put back in {:.1} s", run.reporter.elapsed_s());
    run.reporter.summary(&text, Summary { rolled_back: Some(count), ..Summary::default() });
    run.reporter.aside(
        "the inventory is as it was: the next apply goes forward again unless you correct it",
    );
    Ok(run::worst(failures))
}

fn reading(inventory: &Inventory, host: &Host) -> Reading {
    let mut reading = Reading::default();
    reading.library(library::SERVICE);
    if host.is_member() {
        reading.unit(layout::UNIT);
        PreviousState::read(inventory, Part::Coordinator, &mut reading);
    }
    if inventory.broker_on(host).is_some() {
        reading.unit(layout::BROKER_UNIT);
        PreviousState::read(inventory, Part::Broker, &mut reading);
    }
    reading
}

/// What goes back.
#[derive(Debug, Default)]
struct Back {
    /// By host, in the order of the inventory, and by service: what it had before the last change.
    hosts: Vec<(String, Part, PreviousState)>,
    /// Hosts that do not take part, and why.
    left: Vec<(String, String)>,
    /// Whether anything was ever changed here.
    known: bool,
}

impl Back {
    fn of(
        inventory: &Inventory,
        sessions: &[HostSession<'_>],
        parts: &[Part],
        limit: &[&str],
    ) -> Self {
        let mut all = Vec::new();
        for session in sessions {
            for &part in parts {
                let has = match part {
                    Part::Coordinator => session.host.is_member(),
                    Part::Broker => inventory.broker_on(session.host).is_some(),
                };
                if let Some(kept) =
                    has.then(|| PreviousState::of(inventory, part, &session.observed)).flatten()
                {
                    all.push((session.host.name.clone(), part, kept));
                }
            }
        }
        Self::last(all, limit)
    }

    /// What belongs to the last change of all. A host that it has not come to has kept what it ran
    /// before an earlier one: it stays.
    fn last(all: Vec<(String, Part, PreviousState)>, limit: &[&str]) -> Self {
        let mut back = Self { known: !all.is_empty(), ..Self::default() };
        let Some(last) =
            all.iter().map(|(_, _, kept)| (kept.changed_s(), kept.change.clone())).max()
        else {
            return back;
        };
        for (host, part, kept) in all {
            if kept.change != last.1 {
                if !kept.steps.is_empty() {
                    let why = "was not part of the last change, and stays as it is".to_owned();
                    back.left.push((host, why));
                }
            } else if limit.contains(&host.as_str()) && (!kept.steps.is_empty() || kept.stale) {
                back.hosts.push((host, part, kept));
            }
        }
        back.left.dedup();
        back
    }

    fn nothing(&self) -> &'static str {
        if self.known {
            "0 to roll back: what the last change has replaced runs again already"
        } else {
            "0 to roll back: nothing was changed since these hosts were set up"
        }
    }

    /// As `zkprov plan` would show it.
    fn plan(&self, inventory: &Inventory) -> Plan {
        let mut hosts: BTreeMap<usize, HostPlan> = BTreeMap::new();
        for (host, part, kept) in &self.hosts {
            let place = inventory.hosts.iter().position(|one| one.name == *host).unwrap_or(0);
            let plan = hosts
                .entry(place)
                .or_insert_with(|| HostPlan { running: true, ..HostPlan::new(host) });
            plan.steps.extend(kept.steps.iter().cloned());
            let unit = match part {
                Part::Coordinator => layout::UNIT,
                Part::Broker => layout::BROKER_UNIT,
            };
            let why = if kept.steps.is_empty() {
                "put back before, not yet restarted"
            } else {
                "it then runs what it ran before"
            };
            plan.notes.push((unit.into(), format!("is restarted in its turn: {why}")));
            if let Some((cause, hint)) = &kept.refused {
                plan.refusals.push(Refusal {
                    resource: unit.into(),
                    cause: cause.clone(),
                    hint: hint.clone(),
                });
            }
        }
        Plan {
            format: FORMAT,
            ensemble: inventory.ensemble.clone(),
            hosts: hosts.into_values().collect(),
        }
    }

    fn targets(&self, part: Part) -> Vec<Target> {
        let why = "back to what it ran before the last change".to_owned();
        let of = self.hosts.iter().filter(|(_, of, _)| *of == part);
        of.map(|(host, _, _)| Target { host: host.clone(), why: why.clone() }).collect()
    }

    fn switches(&self, part: Part) -> Vec<(String, Vec<Step>)> {
        let of = self.hosts.iter().filter(|(_, of, _)| *of == part);
        of.map(|(host, _, kept)| (host.clone(), kept.steps.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::change::{Action, Change, Lane, Phase};
    use crate::plan::operation::Operation;
    use crate::plan::reason::Reason;
    use crate::plan::subject::Subject;

    fn kept(host: &str, change: &str, differs: bool) -> (String, Part, PreviousState) {
        let operation = Operation::RollBack { folder: String::new(), files: Vec::new() };
        let step = Step {
            subject: Subject::File("x".into()),
            phase: Phase::Switch,
            lane: Lane::Main,
            change: Change::new(Action::Update, Reason::Previous, operation),
        };
        let steps = if differs { vec![step] } else { Vec::new() };
        let kept = PreviousState { change: change.into(), steps, stale: false, refused: None };
        (host.to_owned(), Part::Coordinator, kept)
    }

    fn back(all: &[(&str, &str, bool)]) -> (Vec<String>, Vec<String>) {
        let all = all.iter().map(|(host, change, differs)| kept(host, change, *differs)).collect();
        let back = Back::last(all, &["a", "b", "c"]);
        let left = back.left.into_iter().map(|(host, _)| host).collect();
        (back.hosts.into_iter().map(|(host, _, _)| host).collect(), left)
    }

    #[test]
    fn only_the_last_change_goes_back() {
        let (gone, left) = back(&[("a", "20 x", true), ("b", "20 x", true), ("c", "3 y", true)]);
        assert_eq!((gone.join(" "), left.join(" ")), ("a b".into(), "c".into()));
        // b was put back when the last change failed on it; c it has not come to.
        let (gone, left) = back(&[("a", "20 x", true), ("b", "20 x", false), ("c", "3 y", true)]);
        assert_eq!((gone.join(" "), left.join(" ")), ("a".into(), "c".into()));
        // Going back once more would mix the states of two changes: nothing goes.
        let (gone, _) = back(&[("a", "20 x", false), ("b", "3 y", true)]);
        assert!(gone.is_empty());
        assert!(back(&[]).0.is_empty());
    }
}
