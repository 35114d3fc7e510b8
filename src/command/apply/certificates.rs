//! Certificates in an apply: hosts make keys and ask, the authority here answers. What leaves a host is its
//! request, and what goes there is no secret.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;

use super::tell;
use crate::artifacts::security::now_s;
use crate::failure::Failure;
use crate::host::fleet::StepEvent;
use crate::host::lock::{Ballot, Operator};
use crate::plan::change::{Lane, Phase};
use crate::plan::desired::secured;
use crate::plan::operation::Operation;
use crate::plan::subject::Subject;
use crate::plan::{HostPlan, Plan, Step};
use crate::report::HostLines;
use crate::run::{Planned, Run};

/// Requests by host and by the step that told them.
type Requests = Mutex<BTreeMap<(String, String), String>>;

/// Has hosts make their keys, and issues what they ask for. Gives what is left of the plan, with the
/// certificates in it, and the failures; after one nothing else is to be done.
pub(super) async fn issue(run: &Run, plan: &Plan, planned: &Planned<'_>) -> (Plan, Vec<Failure>) {
    let mut rest = plan.clone();
    let asking: Vec<HostPlan> = plan.hosts.iter().filter_map(asking).collect();
    if asking.is_empty() {
        return (rest, Vec::new());
    }
    let requests = Requests::default();
    let failures = request(run, &asking, planned, &requests).await;
    if !failures.is_empty() || run.stopped() {
        return (rest, failures);
    }
    let requests = requests.into_inner().expect("no panic while held");
    let mut failures = Vec::new();
    for host in &mut rest.hosts {
        if let Some(asked) = asking.iter().find(|asked| asked.host == host.host) {
            host.steps.retain(|step| !asked.steps.contains(step));
        }
        for step in &mut host.steps {
            if let Err(failure) = fill(run, &host.host, step, &requests) {
                failures.push(failure.host(&host.host).step(step.name()));
            }
        }
    }
    (rest, failures)
}

/// What a host does until it has asked: the tool that makes keys comes first, and what runs there does not
/// notice any of it.
fn asking(host: &HostPlan) -> Option<HostPlan> {
    let last = host.steps.iter().rposition(|step| matches!(step.subject, Subject::Key(_)))?;
    let early = |step: &&Step| {
        step.phase == Phase::Prepare && step.lane == Lane::Main && !step.awaits_certificate()
    };
    let steps = host.steps[..=last].iter().filter(early).cloned().collect();
    Some(HostPlan { steps, ..host.clone() })
}

async fn request(
    run: &Run,
    asking: &[HostPlan],
    planned: &Planned<'_>,
    requests: &Requests,
) -> Vec<Failure> {
    let steps: Vec<(&str, usize)> =
        asking.iter().map(|host| (host.host.as_str(), host.steps.len())).collect();
    let lines = HostLines::new(&steps);
    let (operator, ballot) = (Operator::me(), Ballot::new(asking.len()));
    let outcomes = join_all(asking.iter().map(|host| {
        let (lines, lock) = (&lines, (&operator, &ballot));
        async move {
            let session = planned.sessions.iter().find(|session| session.host.name == host.host)?;
            let steps: Vec<&Step> = host.steps.iter().collect();
            let heard = |news: StepEvent<'_>| {
                if let StepEvent::Done { step, output } = &news {
                    let told = ((host.host.clone(), (*step).to_owned()), (*output).to_owned());
                    requests.lock().expect("no panic while held").extend([told]);
                }
                tell(run, lines, &host.host, &news);
            };
            let (_, outcome) = run.fleet.change(session, host, &steps, lock, heard).await;
            lines.close(&host.host, if outcome.is_ok() { "asked" } else { "failed" });
            outcome.err()
        }
    }))
    .await;
    outcomes.into_iter().flatten().collect()
}

/// Issues the certificate that this step installs.
fn fill(
    run: &Run,
    host: &str,
    step: &mut Step,
    requests: &BTreeMap<(String, String), String>,
) -> Result<(), Failure> {
    let Operation::InstallCertificate { store, chain, .. } = &mut step.change.operation else {
        return Ok(());
    };
    let authority = run.security.files.authority.as_ref();
    let authority =
        authority.ok_or_else(|| Failure::failed("there is no authority to issue it"))?;
    let named = run.inventory.hosts.iter().find(|known| known.name == host);
    let wanted = named.and_then(|named| secured::wanted(&run.inventory, named, store));
    let wanted =
        wanted.ok_or_else(|| Failure::failed("the inventory knows no such certificate"))?;
    let asked = Subject::Key(store.clone()).to_string();
    let request = requests.get(&(host.to_owned(), asked)).map(String::as_str).unwrap_or_default();
    *chain = wanted.issue(authority, request, run.inventory.security.days, now_s())?;
    Ok(())
}
