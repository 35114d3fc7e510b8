//! Makes the plan: the resources of a host against what was observed there, then what only all hosts
//! together tell.

use crate::inventory::{Host, Inventory};
use crate::layout::UNIT;
use crate::plan::change::{Action, Change, Difference, Lane, Phase};
use crate::plan::membership::MembershipChange;
use crate::plan::model::{FORMAT, HostPlan, Plan, Refusal, Step};
use crate::plan::only::Only;
use crate::plan::operation::{Access, Operation};
use crate::plan::reason::Reason;
use crate::plan::resource::Resource;
use crate::plan::resource::service::Running;
use crate::plan::subject::Subject;
use crate::plan::{account, fitness, found, membership};
use crate::probe::Observed;

/// The plan of one host.
pub fn host(
    inventory: &Inventory,
    host: &Host,
    resources: &[Resource],
    observed: &Observed,
    only: &Only,
) -> HostPlan {
    let mut plan = HostPlan {
        refusals: fitness::fitness(inventory, host, observed),
        ..HostPlan::new(&host.name)
    };
    if plan.refusals.is_empty() {
        plan.refusals = found::identity(inventory, host, observed);
    }
    plan.refusals.extend(found::moving(inventory, observed));
    if !plan.refusals.is_empty() {
        return plan;
    }
    plan.notes.extend(fitness::address_note(host, observed));
    plan.notes.extend(fitness::java_note(inventory, host, observed));
    // What will have been changed before a resource's turn; `switched`: what the services read.
    let mut changed = Vec::new();
    let mut switched: Vec<(Phase, Subject)> = Vec::new();
    for resource in resources {
        let subject = resource.subject();
        let name = subject.to_string();
        let of_service: Vec<Subject>;
        let known = if let Resource::Service(service) = resource {
            if service.phase == Phase::Serve {
                plan.running = service.running(observed) == Running::Ours;
            }
            plan.notes.extend(service.notes(observed).into_iter().map(|note| (name.clone(), note)));
            let read = switched.iter().filter(|(phase, _)| phase.concerns(service.phase));
            of_service = read.map(|(_, subject)| subject.clone()).collect();
            &of_service
        } else {
            &changed
        };
        if !only.takes(subject.kind()) {
            continue;
        }
        let difference = match resource {
            Resource::File(file) => {
                found::others_file(inventory, file, observed, file.differ(observed), only.take_over)
            }
            _ => resource.differ(observed, known),
        };
        match difference {
            Difference::Same => plan.same.push(name),
            Difference::Noted(note) => {
                plan.notes.push((name.clone(), note));
                plan.same.push(name);
            }
            Difference::NotApplicable(why) => {
                plan.notes.push((name, format!("not applicable: {why}")));
            }
            Difference::Refused { cause, hint } => {
                plan.refusals.push(Refusal { resource: name, cause, hint });
            }
            Difference::Changes(changes) => {
                plan.steps.extend(changes.into_iter().map(|change| Step {
                    subject: match &change.operation {
                        Operation::RequestCertificate { store, .. } => Subject::Key(store.clone()),
                        _ => subject.clone(),
                    },
                    phase: resource.phase(),
                    lane: resource.lane(),
                    change,
                }));
                match resource.phase() {
                    Phase::Prepare if subject == Subject::Fstab => {
                        switched.push((Phase::Switch, subject.clone()));
                    }
                    phase @ (Phase::Switch | Phase::BrokerSwitch) => {
                        switched.push((phase, subject.clone()));
                    }
                    _ => {}
                }
                changed.push(subject);
            }
        }
    }
    plan.refusals.extend(fitness::room(host, observed).filter(|_| plan.starts()));
    let served = resources.iter().any(|resource| match resource {
        Resource::Service(service) => service.running(observed) == Running::Ours,
        _ => false,
    });
    plan.refusals.extend(found::refusals(inventory, host, observed, served));
    plan.notes.extend(found::notes(inventory, host, observed, served));
    plan
}

/// The plan of the ensemble: its hosts' plans, and what can only be known from all of them.
///
/// `observed` holds every host of the inventory that could be asked, in the plan or not.
pub fn ensemble(
    inventory: &Inventory,
    mut hosts: Vec<HostPlan>,
    observed: &[(&Host, &Observed)],
) -> Plan {
    let apart =
        found::one_machine(observed).into_iter().chain(found::clusters(inventory, observed));
    for (host, refusal) in apart {
        if let Some(plan) = hosts.iter_mut().find(|plan| plan.host == host) {
            plan.refusals.push(refusal);
        }
    }
    let moved = membership::membership_change(inventory, observed);
    let named: Vec<String> = moved.iter().map(MembershipChange::say).collect();
    if moved.len() > 1
        && let Some(first) = hosts.iter_mut().find(|plan| plan.running)
    {
        first.refusals.push(Refusal {
            resource: "membership".into(),
            cause: format!("{} members would change at once: {}", moved.len(), named.join(", ")),
            hint: "two halves of an ensemble that do not agree on the members can lose writes: \
                       add, remove or move one member, apply, then the next"
                .into(),
        });
    }

    membership::note_own_list(inventory, &mut hosts, observed);
    if let [change] = &moved[..] {
        membership::stage(inventory, &mut hosts, observed, change);
    }

    let members = observed.iter().filter(|(host, _)| host.is_member());
    let all_known = inventory.members().count() == members.clone().count();
    let blank = members.clone().all(|(host, observed)| !account::has_data(host, observed));
    if all_known && blank {
        for plan in &mut hosts {
            let sessions = observed.iter().find(|(host, _)| host.name == plan.host);
            if let Some((host, observed)) = sessions
                && plan.starts()
                && !observed.listing(&host.data_dir).contains(&"initialize".into())
            {
                initialize(host, account::of_member(inventory, host, observed), plan);
            }
        }
    }
    Plan { format: FORMAT, ensemble: inventory.ensemble.clone(), hosts }
}

/// Apache ZooKeeper's marker that an empty data directory is right: the server removes it.
fn initialize(host: &Host, account: &str, plan: &mut HostPlan) {
    let path = format!("{}/initialize", host.data_dir);
    let operation = Operation::WriteFile {
        path: path.clone(),
        access: Access::new(account, account, "644"),
        content: String::new(),
        secret: false,
        aside: None,
    };
    let step = Step {
        subject: Subject::File(path),
        phase: Phase::Switch,
        lane: Lane::Main,
        change: Change::new(Action::Create, Reason::FirstStart, operation),
    };
    let service = Subject::Unit(UNIT.into());
    let before = plan.steps.iter().position(|step| step.subject == service);
    plan.steps.insert(before.unwrap_or(plan.steps.len()), step);
}
