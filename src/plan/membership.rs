//! Which members join, leave or move, as the serving hosts and the inventory differ, and in which order
//! that is made.

use crate::health::ensemble;
use crate::inventory::{Host, Inventory};
use crate::layout::{CONFIG_FILE, UNIT};
use crate::plan::model::{HostPlan, Refusal};
use crate::probe::Observed;

/// A member that is not as the serving hosts know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MembershipChange {
    Remove(u8),
    /// To this address.
    Move(u8, String),
    Add(u8),
}

impl MembershipChange {
    pub(super) fn say(&self) -> String {
        match self {
            Self::Remove(id) => format!("remove member {id}"),
            Self::Move(id, address) => format!("move member {id} to {address}"),
            Self::Add(id) => format!("add member {id}"),
        }
    }

    /// In which order a change of members is made, for the person who looks at the plan.
    fn stages(&self) -> String {
        let what = self.say();
        match self {
            Self::Add(_) => format!(
                "{what}: it is started first and waits; then the others are restarted one after the \
                 other, the leader last; it follows without a vote, and votes when it has caught up"
            ),
            Self::Move(..) => format!(
                "{what}: started there with an empty directory, it votes when it has caught up; then \
                 the others are restarted one after the other, the leader last"
            ),
            Self::Remove(_) => format!(
                "{what}: its vote is taken away first; then the others are restarted one after the \
                 other, the leader last"
            ),
        }
    }
}

/// The member that the serving hosts still know and that the inventory does not list any more.
pub fn leaving(inventory: &Inventory, observed: &[(&Host, &Observed)]) -> Option<u8> {
    match membership_change(inventory, observed)[..] {
        [MembershipChange::Remove(id)] => Some(id),
        _ => None,
    }
}

/// Shows how the one change of members will be made, or refuses it where nobody can be spared.
pub(super) fn stage(
    inventory: &Inventory,
    hosts: &mut [HostPlan],
    observed: &[(&Host, &Observed)],
    change: &MembershipChange,
) {
    let of = |host: &Host| observed.iter().find(|(one, _)| one.name == host.name);
    let view = ensemble::view(inventory, |host| of(host).map(|(_, observed)| *observed), |_| None);
    for plan in hosts.iter_mut().filter(|plan| plan.restarts()) {
        plan.notes.push(("membership".into(), change.stages()));
    }
    if let MembershipChange::Remove(id) = change
        && view.unlisted_up() > 0
        && let Some(first) = hosts.iter_mut().find(|plan| plan.restarts())
    {
        first.refusals.push(Refusal {
            resource: "membership".into(),
            cause: format!("member {id} is to be removed, and its server still runs"),
            hint: format!(
                "stop it first: `zkprov destroy INVENTORY --limit HOST` with the inventory that \
                 still lists {id}; then apply this one at once, since until then one vote is missing"
            ),
        });
    }
    // Who comes has no vote before the others have been restarted: it cannot stand in for anybody.
    let comes = matches!(change, MembershipChange::Add(_)) && view.voters() > 2;
    if comes
        && view.voters_up() <= view.majority()
        && let Some(first) = hosts.iter_mut().find(|plan| plan.restarts())
    {
        let silent: Vec<&str> = inventory
            .members()
            .filter(|host| {
                let joins = matches!(change, MembershipChange::Add(id) if *id == host.myid);
                !joins && view.member(&host.name).is_none_or(|member| !member.serves())
            })
            .map(|host| host.name.as_str())
            .collect();
        first.refusals.push(Refusal {
            resource: "membership".into(),
            cause: format!(
                "{}, and {} of {} voters serve: without {} no other can be restarted",
                change.say(),
                view.voters_up(),
                view.voters(),
                silent.join(", ")
            ),
            hint: "bring it back first; or replace it: its `myid` for the new host, and its own \
                   host out of the inventory"
                .into(),
        });
    }
}

/// Members that a serving host knows and the inventory does not, or the other way round, or elsewhere.
pub(super) fn membership_change(
    inventory: &Inventory,
    observed: &[(&Host, &Observed)],
) -> Vec<MembershipChange> {
    let mut moved = std::collections::BTreeSet::new();
    for (_, observed) in observed {
        if inventory.adopted().is_some()
            || !matches!(observed.unit(UNIT).get("ActiveState"), "active" | "activating")
        {
            continue;
        }
        let config = String::from_utf8_lossy(observed.content(CONFIG_FILE).unwrap_or_default());
        let old: Vec<(u8, &str)> = config.lines().filter_map(server_line).collect();
        if old.is_empty() {
            continue;
        }
        for (id, address) in &old {
            match inventory.members().find(|host| host.myid == *id) {
                None => moved.insert(MembershipChange::Remove(*id)),
                // One's own line may say where it listens instead of where it is.
                Some(host) if host.address != *address && *address != "0.0.0.0" => {
                    moved.insert(MembershipChange::Move(*id, host.address.clone()))
                }
                Some(_) => false,
            };
        }
        let new = inventory.members().filter(|host| old.iter().all(|(id, _)| *id != host.myid));
        moved.extend(new.map(|host| MembershipChange::Add(host.myid)));
    }
    moved.into_iter().collect()
}

/// Tells how the list that the ensemble keeps itself (`reconfigEnabled`) differs from the inventory, and
/// both ways to make them alike. Clients may have changed it: nothing is done about it here.
pub(super) fn note_own_list(
    inventory: &Inventory,
    hosts: &mut [HostPlan],
    observed: &[(&Host, &Observed)],
) {
    // All of them have the same list, but for one that is behind: the newest counts.
    let told = observed.iter().filter_map(|(host, observed)| {
        let text = observed.text("members");
        let lines: Vec<String> =
            text.trim().strip_prefix("ok: ")?.split_whitespace().map(str::to_owned).collect();
        let version = lines.last()?.strip_prefix("version=")?;
        Some((i64::from_str_radix(version, 16).ok()?, host.name.as_str(), lines))
    });
    let Some((version, host, lines)) = told.max_by_key(|(version, ..)| *version) else { return };
    let Some(plan) = hosts.iter_mut().find(|plan| plan.host == host) else { return };
    let listed: Vec<(u8, &str, &str)> = lines
        .iter()
        .filter_map(|line| server_line(line).map(|(id, address)| (id, address, line.as_str())))
        .collect();
    let mut note = |text: String| {
        plan.notes
            .push((format!("members (version {version:x} of the ensemble's own list)"), text));
    };
    for (id, address, line) in &listed {
        match inventory.members().find(|host| host.myid == *id) {
            None => note(format!(
                "{line} is no host of the inventory: add it there with `myid: {id}`, or take it out of \
                 the ensemble by `reconfig -remove {id}` in `zkprov shell`"
            )),
            Some(host) if host.address != *address => note(format!(
                "server {id} is at {address}, the inventory has {} at {}: change the address there, \
                 or in the ensemble by `reconfig -add server.{id}=…` in `zkprov shell`",
                host.name, host.address
            )),
            Some(_) => {}
        }
    }
    for host in inventory.members().filter(|host| listed.iter().all(|(id, ..)| *id != host.myid)) {
        let id = host.myid;
        note(format!(
            "{} (server {id}) is not on it: take the host out of the inventory, or add it by \
             `reconfig -add server.{id}=…` in `zkprov shell`",
            host.name
        ));
    }
}

/// Id and address of a line `server.ID=ADDRESS:PORT:PORT`.
fn server_line(line: &str) -> Option<(u8, &str)> {
    let (id, rest) = line.trim().strip_prefix("server.")?.split_once('=')?;
    let address = match rest.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => rest.split(':').next()?,
    };
    Some((id.trim().parse().ok()?, address.trim()))
}

#[cfg(test)]
mod tests;
