//! The brokers' part of an apply: after the coordinators, when these serve. Brokers that do not run yet
//! are started everywhere at once, those that run are rolled.

use std::time::Duration;

use futures_util::future::join_all;

use super::{SERVING_S, change_hosts};
use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::fleet::{Asked, gather};
use crate::host::lock::{self, Operator};
use crate::layout::{BINARY, BROKER_UNIT, UNIT};
use crate::plan::desired;
use crate::plan::resource::{Action, service};
use crate::plan::{HostPlan, Plan};
use crate::rolling::engine::{self, Wish};
use crate::rolling::gate::Target;
use crate::rolling::previous::{Keep, Switches};
use crate::run::{Drawn, Run};
use crate::script::{self, Script};

/// How long a broker may need until it has registered; it may have logs to recover.
const REGISTERED_S: u64 = 180;

/// Makes the brokers' changes; gives the failures.
pub(super) async fn change(
    run: &Run,
    arguments: &cli::Apply,
    plan: &Plan,
    drawn: &Drawn<'_>,
    name: &str,
) -> Vec<Failure> {
    let serving = awaited(&drawn.asked, SERVING_S, |asked| {
        let server = desired::server(asked.host);
        asked.host.is_member().then(|| {
            ["ensemble serves", UNIT, "status", "--server", &server].map(str::to_owned).to_vec()
        })
    })
    .await;
    if !serving.is_empty() {
        return serving;
    }
    let mut first = plan.clone();
    first.hosts.retain(|host| !host.restarts_broker());
    let failures = change_hosts(run, &first, &drawn.asked).await;
    if !failures.is_empty() || run.stopped() {
        return failures;
    }
    let started = |asked: &Asked<'_>| {
        first.hosts.iter().any(|host| host.host == asked.host.name && host.starts_broker())
    };
    let connect = run.inventory.connect();
    let registered = awaited(&drawn.asked, REGISTERED_S, |asked| {
        let id = run.inventory.broker_on(asked.host)?.id.to_string();
        started(asked).then(|| {
            ["broker registers", BROKER_UNIT, "brokers", "--server", &connect, "--id", &id]
                .map(str::to_owned)
                .to_vec()
        })
    })
    .await;
    let rolled: Vec<&HostPlan> = plan.hosts.iter().filter(|host| host.restarts_broker()).collect();
    if !registered.is_empty() || rolled.is_empty() {
        return registered;
    }
    let target = |host: &&HostPlan| {
        let restart = host.steps.iter().find(|step| step.change.action == Action::Restart);
        let why = restart.map_or_else(String::new, |step| step.change.why.clone());
        Target { host: host.host.clone(), why }
    };
    let targets = rolled.iter().map(target).collect();
    let hosts = rolled.iter().map(|host| (host.host.clone(), host.steps.clone())).collect();
    let switches = Switches { hosts, change: name.to_owned(), keep: Keep::Previous };
    let wish = Wish {
        allow_quorum_loss: arguments.allow_quorum_loss,
        settle_s: arguments.settle,
        patience_s: 0,
        changes: true,
        leaving: None,
    };
    let operator = Operator::me();
    let rolled = lock::holding(&operator, &drawn.asked, || run.lose_lock(), async {
        engine::roll_brokers(run, &drawn.asked, switches, targets, (None, None), wish).await
    });
    Box::pin(rolled).await.err().into_iter().collect()
}

/// Waits on all hosts at once, by a step of `do_await`: its name, the unit, and the words behind the
/// tool's own name.
async fn awaited(
    asked: &[Asked<'_>],
    seconds: u64,
    words: impl Fn(&Asked<'_>) -> Option<Vec<String>>,
) -> Vec<Failure> {
    let seconds_text = seconds.to_string();
    let outcomes = join_all(asked.iter().filter_map(|asked| Some((asked, words(asked)?))).map(
        |(asked, words)| {
            let seconds_text = seconds_text.as_str();
            async move {
                let mut script = Script::new(&script::nonce());
                script.library(service::SHELL);
                script.call("zk_guard", [(2 * seconds).to_string().as_str()]);
                let (name, unit) = (words[0].as_str(), words[1].as_str());
                let rest = words[2..].iter().map(String::as_str);
                let call = [unit, seconds_text, BINARY].into_iter().chain(rest);
                script.step(name, "do_await", call);
                let deadline = Duration::from_secs(2 * seconds);
                let host = &asked.host.name;
                let (frames, stderr) = match gather(&asked.link, &script, deadline).await {
                    Ok(gathered) => gathered,
                    Err(failure) => return Some(failure.host(host)),
                };
                if let Some(failed) = frames.iter().find(|frame| frame.kind == "fail") {
                    let text = failed.text();
                    let output = text.split_once('\n').map_or("", |(_, output)| output);
                    let cause = output.trim().replace('\n', "\n    ");
                    return Some(Failure::failed(cause).step(name).host(host));
                }
                if frames.iter().any(|frame| frame.kind == "end") {
                    return None;
                }
                let said = stderr.lines().last().unwrap_or("the connection was lost").to_owned();
                Some(Failure::new(Exit::Unreachable, said).step(name).host(host))
            }
        },
    ))
    .await;
    outcomes.into_iter().flatten().collect()
}
