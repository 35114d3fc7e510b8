//! The brokers' part of an apply: after the coordinators, when these serve. Brokers that do not run yet
//! are started everywhere at once, those that run are rolled.

use std::time::Duration;

use futures_util::future::join_all;

use super::{SERVING_S, change_hosts};
use crate::cli;
use crate::failure::Failure;
use crate::host::lock::{self, Operator};
use crate::host::session::{self, HostSession};
use crate::layout::{BROKER_UNIT, UNIT};
use crate::plan::change::Action;
use crate::plan::desired;
use crate::plan::operation::Operation;
use crate::plan::{HostPlan, Plan};
use crate::rolling::engine::{self, RollOptions};
use crate::rolling::gate::Target;
use crate::rolling::previous::{Keep, Switches};
use crate::run::{Planned, Run};
use crate::script::Script;

/// How long a broker may need until it has registered; it may have logs to recover.
const REGISTERED_S: u64 = 180;

/// Makes the brokers' changes; gives the failures.
pub(super) async fn change(
    run: &Run,
    arguments: &cli::Apply,
    plan: &Plan,
    planned: &Planned<'_>,
    name: &str,
) -> Vec<Failure> {
    let serving = awaited(&planned.sessions, SERVING_S, |session| {
        let server = desired::server(session.host);
        let operation = Operation::serving(UNIT, SERVING_S, &server);
        session.host.is_member().then_some(("ensemble serves", operation))
    })
    .await;
    if !serving.is_empty() {
        return serving;
    }
    let mut first = plan.clone();
    first.hosts.retain(|host| !host.restarts_broker());
    let failures = change_hosts(run, &first, &planned.sessions).await;
    if !failures.is_empty() || run.stopped() {
        return failures;
    }
    let started = |session: &HostSession<'_>| {
        first.hosts.iter().any(|host| host.host == session.host.name && host.starts_broker())
    };
    let connect = run.inventory.connect();
    let registered = awaited(&planned.sessions, REGISTERED_S, |session| {
        let id = run.inventory.broker_on(session.host)?.id;
        let operation = Operation::registered(BROKER_UNIT, REGISTERED_S, &connect, id);
        started(session).then_some(("broker registers", operation))
    })
    .await;
    let rolled: Vec<&HostPlan> = plan.hosts.iter().filter(|host| host.restarts_broker()).collect();
    if !registered.is_empty() || rolled.is_empty() {
        return registered;
    }
    let target = |host: &&HostPlan| {
        let restart = host.steps.iter().find(|step| step.change.action == Action::Restart);
        let why = restart.map_or_else(String::new, |step| step.change.reason.to_string());
        Target { host: host.host.clone(), why }
    };
    let targets = rolled.iter().map(target).collect();
    let hosts = rolled.iter().map(|host| (host.host.clone(), host.steps.clone())).collect();
    let switches = Switches { hosts, change: name.to_owned(), keep: Keep::Previous };
    let options = RollOptions {
        allow_quorum_loss: arguments.allow_quorum_loss,
        settle_s: arguments.settle,
        patience_s: 0,
        changes: true,
        leaving: None,
    };
    let operator = Operator::me();
    let rolled = lock::holding(&operator, &planned.sessions, || run.lose_lock(), async {
        engine::roll_brokers(run, &planned.sessions, switches, targets, (None, None), options).await
    });
    Box::pin(rolled).await.err().into_iter().collect()
}

/// Waits on all hosts at once, by one named step each.
async fn awaited(
    sessions: &[HostSession<'_>],
    seconds: u64,
    step: impl Fn(&HostSession<'_>) -> Option<(&'static str, Operation)>,
) -> Vec<Failure> {
    let steps = sessions.iter().filter_map(|session| Some((session, step(session)?)));
    let outcomes = join_all(steps.map(|(session, (name, operation))| async move {
        let limit = Duration::from_secs(2 * seconds);
        let mut script = Script::guarded(limit);
        operation.step(name, &mut script);
        let done = session::steps(&session.link, &script, limit).await;
        let failure = done.err()?.said();
        let step = failure.step.clone().unwrap_or_else(|| name.to_owned());
        Some(failure.step(step).host(&session.host.name))
    }))
    .await;
    outcomes.into_iter().flatten().collect()
}
