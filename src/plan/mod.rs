//! The plan: what differs, host by host, in the order in which it will be changed. Pure: resources and
//! what was observed in, a value out; that value is what is shown, saved and applied.

pub mod desired;
pub mod resource;
pub mod show;
pub mod template;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::health::ensemble;
use crate::inventory::{Engine, Host, Inventory};
use crate::layout::{ACCOUNT, CONFIG_FILE, UNIT};
use crate::plan::resource::service::Running;
use crate::plan::resource::{Action, Change, Difference, Lane, Phase, Resource};
use crate::probe::Observed;

mod found;
mod only;
pub mod valid;

pub use only::Only;

/// The format of a saved plan; another one is refused.
pub const FORMAT: u32 = 1;

/// Room for a log and a snapshot of a small tree; a real one needs more, and says so itself.
const DATA_KB_LEAST: u64 = 16_000;

/// The oldest Java that Kafka's brokers run on without being told that its days are counted.
const JAVA_LEAST: u32 = 11;

/// What a run would change on all hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    pub ensemble: String,
    pub hosts: Vec<HostPlan>,
}

/// What it would change on one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    pub host: String,
    pub steps: Vec<Step>,
    /// Resources that are as they should be.
    pub same: Vec<String>,
    /// Resource and what a person should know about it.
    pub notes: Vec<(String, String)>,
    /// Why nothing may be done before a person has decided.
    pub refusals: Vec<Refusal>,
    /// The service runs already.
    pub running: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub resource: String,
    pub cause: String,
    pub hint: String,
}

/// One change of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique on its host.
    pub name: String,
    pub kind: String,
    pub phase: Phase,
    pub lane: Lane,
    pub change: Change,
}

impl HostPlan {
    /// Whether a serving process would have to be restarted.
    pub fn restarts(&self) -> bool {
        self.serves(Action::Restart, Phase::Serve)
    }

    /// Whether the service would be started.
    pub fn starts(&self) -> bool {
        self.serves(Action::Start, Phase::Serve)
    }

    /// Whether a running broker would have to be restarted.
    pub fn restarts_broker(&self) -> bool {
        self.serves(Action::Restart, Phase::BrokerServe)
    }

    /// Whether a broker would be started.
    pub fn starts_broker(&self) -> bool {
        self.serves(Action::Start, Phase::BrokerServe)
    }

    fn serves(&self, action: Action, phase: Phase) -> bool {
        self.steps.iter().any(|step| step.phase == phase && step.change.action == action)
    }
}

impl Plan {
    pub fn changes(&self) -> usize {
        self.hosts.iter().map(|host| host.steps.len()).sum()
    }

    /// Whether this saved plan is still what would be done. Not compared: where payloads lie on this
    /// machine, and sizes that only a download tells.
    pub fn still_holds(&self, now: &Self) -> Result<(), Failure> {
        let essence = |host: &HostPlan| -> Vec<(String, Action, String, Vec<String>)> {
            host.steps
                .iter()
                .map(|step| {
                    let mut arguments = step.change.arguments.clone();
                    if step.change.function == "do_archive" {
                        arguments.pop();
                    }
                    let change = &step.change;
                    (step.name.clone(), change.action, change.function.clone(), arguments)
                })
                .collect()
        };
        let hint = "look at it again: `zkprov plan`, and save it anew";
        if self.ensemble != now.ensemble {
            let cause =
                format!("the plan is for ensemble `{}`, not `{}`", self.ensemble, now.ensemble);
            return Err(Failure::refused(cause).hint(hint));
        }
        for host in &now.hosts {
            let Some(saved) = self.hosts.iter().find(|saved| saved.host == host.host) else {
                let cause = "the saved plan does not know this host";
                return Err(Failure::refused(cause).host(&host.host).hint(hint));
            };
            let (then, now) = (essence(saved), essence(host));
            if then != now {
                let differing = then
                    .iter()
                    .find(|step| !now.contains(step))
                    .or_else(|| now.iter().find(|step| !then.contains(step)))
                    .map_or("their order", |(name, ..)| name.as_str());
                let cause =
                    format!("what is to be done has changed since the plan was saved: {differing}");
                return Err(Failure::refused(cause).host(&host.host).hint(hint));
            }
        }
        Ok(())
    }

    pub fn refused(&self) -> bool {
        self.hosts.iter().any(|host| !host.refusals.is_empty())
    }
}

/// The plan of one host.
pub fn host(
    inventory: &Inventory,
    host: &Host,
    resources: &[Resource],
    observed: &Observed,
    only: &Only,
) -> HostPlan {
    let mut plan = HostPlan {
        host: host.name.clone(),
        steps: Vec::new(),
        same: Vec::new(),
        notes: Vec::new(),
        refusals: fitness(inventory, host, observed),
        running: false,
    };
    if plan.refusals.is_empty() {
        plan.refusals = found::identity(inventory, host, observed);
    }
    if !plan.refusals.is_empty() {
        return plan;
    }
    plan.notes.extend(address_note(host, observed));
    plan.notes.extend(java_note(inventory, host, observed));
    // What will have been changed before a resource's turn; `switched`: what the services read.
    let mut changed = Vec::new();
    let mut switched: Vec<(Phase, String)> = Vec::new();
    for resource in resources {
        let name = resource.name();
        let of_service: Vec<String>;
        let known = if let Resource::Service(service) = resource {
            if service.phase == Phase::Serve {
                plan.running = service.running(observed) == Running::Ours;
            }
            plan.notes.extend(service.notes(observed).into_iter().map(|note| (name.clone(), note)));
            let read = switched.iter().filter(|(phase, _)| phase.concerns(service.phase));
            of_service = read.map(|(_, name)| name.clone()).collect();
            &of_service
        } else {
            &changed
        };
        if !only.takes(resource.kind()) {
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
                let several = matches!(resource, Resource::Service(_));
                for change in changes {
                    let name = if several {
                        let what = change.function.trim_start_matches("do_");
                        format!("{name} {what}")
                    } else {
                        name.clone()
                    };
                    plan.steps.push(Step {
                        name,
                        kind: resource.kind().into(),
                        phase: resource.phase(),
                        lane: resource.lane(),
                        change,
                    });
                }
                match resource.phase() {
                    Phase::Prepare if resource.kind() == "fstab" => {
                        switched.push((Phase::Switch, name.clone()));
                    }
                    phase @ (Phase::Switch | Phase::BrokerSwitch) => {
                        switched.push((phase, name.clone()));
                    }
                    _ => {}
                }
                changed.push(name);
            }
        }
    }
    plan.refusals.extend(room(host, observed).filter(|_| plan.starts()));
    let served = resources.iter().any(|resource| match resource {
        Resource::Service(service) => service.running(observed) == Running::Ours,
        _ => false,
    });
    plan.refusals.extend(found::refusals(inventory, host, observed, served));
    plan.notes.extend(found::notes(observed, served));
    plan
}

/// A server on a full disk would stop at its first write.
fn room(host: &Host, observed: &Observed) -> Option<Refusal> {
    let free_kb = observed.space_kb(&host.data_dir).filter(|_| host.is_member())?;
    (free_kb < DATA_KB_LEAST).then(|| Refusal {
        resource: format!("directory {}", host.data_dir),
        cause: format!(
            "{} has {} MB free, a coordinator needs at least {}",
            host.data_dir,
            free_kb / 1000,
            DATA_KB_LEAST / 1000
        ),
        hint: "make room, or set coordinator.data_dir".into(),
    })
}

/// Whether zkprov can work on this host at all.
fn fitness(inventory: &Inventory, host: &Host, observed: &Observed) -> Vec<Refusal> {
    let refuse = |cause: String, hint: &str| {
        vec![Refusal { resource: "host".into(), cause, hint: hint.into() }]
    };
    let kernel = observed.text("kernel");
    if !kernel.starts_with("Linux ") {
        return refuse(
            format!("it runs {}, not Linux", kernel.trim()),
            "the coordinator is run by systemd on Linux",
        );
    }
    if observed.text("systemd").trim() != "yes" {
        return refuse(
            format!("{} was not booted with systemd", observed.distribution()),
            "zkprov needs systemd to run the service; no other init is supported",
        );
    }
    if observed.text("uid").trim() != "0" {
        return refuse(
            format!("the login has uid {}, not root", observed.text("uid").trim()),
            "log in as root, or set `become: sudo` in the inventory",
        );
    }
    let missing = observed.text("missing");
    if !missing.trim().is_empty() {
        return refuse(
            format!("commands are missing: {}", missing.trim()),
            "install them; every ordinary Debian, Ubuntu or RHEL has them",
        );
    }
    let readonly = observed.text("readonly");
    let readonly: Vec<&str> = readonly.lines().filter(|line| !line.is_empty()).collect();
    if !readonly.is_empty() {
        return refuse(
            format!("root cannot write to {}: a read-only file system", readonly.join(", ")),
            "`mount -o remount,rw …` if that is right here; a disk with errors is remounted read-only \
             by the kernel, and `dmesg` tells",
        );
    }
    if let Some((cause, hint)) = java_missing(inventory, host, observed) {
        return refuse(cause, hint);
    }
    Vec::new()
}

/// What on this host needs Java, as a person would say it.
fn needs_java(inventory: &Inventory, host: &Host) -> Option<&'static str> {
    if inventory.broker_on(host).is_some() {
        return Some("a broker");
    }
    let apache = inventory.coordinator.engine == Engine::Zookeeper && host.is_member();
    apache.then_some("`engine: zookeeper`")
}

/// Java is looked for, never installed: that is the operator's to decide.
fn java_missing(
    inventory: &Inventory,
    host: &Host,
    observed: &Observed,
) -> Option<(String, &'static str)> {
    let who = needs_java(inventory, host)?;
    let (java, version) = (observed.text("java"), observed.text("java_version"));
    let (java, version) = (java.trim(), version.trim());
    if java.is_empty() {
        return Some((
            format!("there is no Java, which {who} needs"),
            "install a JRE, 11 or later (Debian: openjdk-17-jre-headless), or set `java_home` to where one is",
        ));
    }
    // `17.0.15`, and `1.8.0_402` of the old way.
    let mut numbers = version.split(['.', '_', '-', '+']).map(|part| part.parse::<u32>().ok());
    let major = match numbers.next().flatten() {
        Some(1) => numbers.next().flatten(),
        major => major,
    };
    match major {
        Some(major) if major >= JAVA_LEAST => None,
        Some(_) => Some((
            format!(
                "Java {version} ({java}) is too old for {who}, which needs {JAVA_LEAST} or later"
            ),
            "install a newer JRE, or set `java_home` to where one is",
        )),
        None => Some((
            format!("{java} does not say which Java it is (`{version}`)"),
            "does `java -version` work there? Set `java_home` to where a JRE is, 11 or later",
        )),
    }
}

/// Which Java was found is a fact people want to see before anything runs on it.
fn java_note(inventory: &Inventory, host: &Host, observed: &Observed) -> Option<(String, String)> {
    needs_java(inventory, host)?;
    let (java, version) = (observed.text("java"), observed.text("java_version"));
    Some(("java".into(), format!("{} at {}", version.trim(), java.trim())))
}

/// An address that is not the host's own is right behind NAT and wrong nearly everywhere else.
fn address_note(host: &Host, observed: &Observed) -> Option<(String, String)> {
    let address: std::net::IpAddr = host.address.parse().ok()?;
    let own = observed.addresses();
    let known = own.iter().filter_map(|own| own.parse::<std::net::IpAddr>().ok());
    if own.is_empty() || address.is_loopback() || known.into_iter().any(|own| own == address) {
        return None;
    }
    let note = format!("{address} is not an address of this host, which has {}", own.join(", "));
    Some(("address".into(), note))
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
    let moved = membership_change(inventory, observed);
    let named: Vec<String> = moved.iter().map(Moved::say).collect();
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

    if let [change] = &moved[..] {
        stage(inventory, &mut hosts, observed, change);
    }

    let members = observed.iter().filter(|(host, _)| host.is_member());
    let all_known = inventory.members().count() == members.clone().count();
    let blank = members.clone().all(|(host, observed)| !has_data(host, observed));
    if all_known && blank {
        for plan in &mut hosts {
            let asked = observed.iter().find(|(host, _)| host.name == plan.host);
            if let Some((host, observed)) = asked
                && plan.starts()
                && !observed.listing(&host.data_dir).contains(&"initialize".into())
            {
                initialize(host, plan);
            }
        }
    }
    Plan { format: FORMAT, ensemble: inventory.ensemble.clone(), hosts }
}

/// A member that is not as the serving hosts know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moved {
    Goes(u8),
    /// To this address.
    Moves(u8, String),
    Comes(u8),
}

impl Moved {
    fn say(&self) -> String {
        match self {
            Self::Goes(id) => format!("{id} goes"),
            Self::Moves(id, address) => format!("{id} moves to {address}"),
            Self::Comes(id) => format!("{id} comes"),
        }
    }

    /// In which order a change of members is made, for the person who looks at the plan.
    fn stages(&self) -> String {
        let what = self.say();
        match self {
            Self::Comes(_) => format!(
                "{what}: it is started first and waits; then the others are restarted one after the \
                 other, the leader last; it follows without a vote, and votes when it has caught up"
            ),
            Self::Moves(..) => format!(
                "{what}: started there with an empty directory, it votes when it has caught up; then \
                 the others are restarted one after the other, the leader last"
            ),
            Self::Goes(_) => format!(
                "{what}: its vote is taken away first; then the others are restarted one after the \
                 other, the leader last"
            ),
        }
    }
}

/// The member that the serving hosts still know and that the inventory does not list any more.
pub fn leaving(inventory: &Inventory, observed: &[(&Host, &Observed)]) -> Option<u8> {
    match membership_change(inventory, observed)[..] {
        [Moved::Goes(id)] => Some(id),
        _ => None,
    }
}

/// Shows how the one change of members will be made, or refuses it where nobody can be spared.
fn stage(
    inventory: &Inventory,
    hosts: &mut [HostPlan],
    observed: &[(&Host, &Observed)],
    change: &Moved,
) {
    let of = |host: &Host| observed.iter().find(|(one, _)| one.name == host.name);
    let view = ensemble::view(inventory, |host| of(host).map(|(_, observed)| *observed), |_| None);
    for plan in hosts.iter_mut().filter(|plan| plan.restarts()) {
        plan.notes.push(("membership".into(), change.stages()));
    }
    if let Moved::Goes(id) = change
        && view.unlisted_up() > 0
        && let Some(first) = hosts.iter_mut().find(|plan| plan.restarts())
    {
        first.refusals.push(Refusal {
            resource: "membership".into(),
            cause: format!("{id} goes, and its server still runs"),
            hint: format!(
                "stop it first: `zkprov destroy INVENTORY --limit HOST` with the inventory that \
                 still lists {id}; then apply this one at once, since until then one vote is missing"
            ),
        });
    }
    // Who comes has no vote before the others have been restarted: it cannot stand in for anybody.
    let comes = matches!(change, Moved::Comes(_)) && view.voters() > 2;
    if comes
        && view.voters_up() <= view.majority()
        && let Some(first) = hosts.iter_mut().find(|plan| plan.restarts())
    {
        let silent: Vec<&str> = inventory
            .members()
            .filter(|host| {
                let joins = matches!(change, Moved::Comes(id) if *id == host.myid);
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
fn membership_change(inventory: &Inventory, observed: &[(&Host, &Observed)]) -> Vec<Moved> {
    let mut moved = std::collections::BTreeSet::new();
    for (_, observed) in observed {
        if !matches!(observed.unit(UNIT).get("ActiveState"), "active" | "activating") {
            continue;
        }
        let config = String::from_utf8_lossy(observed.content(CONFIG_FILE).unwrap_or_default());
        let old: Vec<(u8, &str)> = config.lines().filter_map(server_line).collect();
        if old.is_empty() {
            continue;
        }
        for (id, address) in &old {
            match inventory.members().find(|host| host.myid == *id) {
                None => moved.insert(Moved::Goes(*id)),
                // One's own line may say where it listens instead of where it is.
                Some(host) if host.address != *address && *address != "0.0.0.0" => {
                    moved.insert(Moved::Moves(*id, host.address.clone()))
                }
                Some(_) => false,
            };
        }
        let new = inventory.members().filter(|host| old.iter().all(|(id, _)| *id != host.myid));
        moved.extend(new.map(|host| Moved::Comes(host.myid)));
    }
    moved.into_iter().collect()
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

/// A directory that a server has written to is never to be started as if it were new.
fn has_data(host: &Host, observed: &Observed) -> bool {
    observed.listing(&host.data_dir).iter().any(|name| name == "coordinator" || name == "version-2")
}

/// Apache ZooKeeper's marker that an empty data directory is right: the server removes it.
fn initialize(host: &Host, plan: &mut HostPlan) {
    let path = format!("{}/initialize", host.data_dir);
    let change = Change {
        action: Action::Create,
        why: "first start of a new ensemble: no host holds data".into(),
        diff: None,
        function: "do_file".into(),
        arguments: [path.as_str(), ACCOUNT, ACCOUNT, "644", "0", ""].map(str::to_owned).to_vec(),
        secret: false,
        carried: None,
    };
    let step = Step {
        name: format!("file {path}"),
        kind: "file".into(),
        phase: Phase::Switch,
        lane: Lane::Main,
        change,
    };
    let before =
        plan.steps.iter().position(|step| step.name.starts_with(&format!("service {UNIT}")));
    plan.steps.insert(before.unwrap_or(plan.steps.len()), step);
}

#[cfg(test)]
mod tests;
