//! The ensemble's secret in one run: where it comes from, what the members hold of it, and what they get.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::artifacts::secret;
use crate::digest;
use crate::failure::Failure;
use crate::host::Link;
use crate::host::fleet::Fleet;
use crate::host::session::{self, HostSession};
use crate::inventory::{Engine, Host, Inventory, Secret};
use crate::layout::{CONFIG_FILE, SECRET_FILE, UNIT};
use crate::plan::library;
use crate::plan::secret::{self as rings, Held, Ring, Stage};
use crate::probe::{Observed, Reading};
use crate::script::{self, Script};

/// Reading one small file takes no longer.
const READ: Duration = Duration::from_secs(15);
/// With fewer voters a restart costs the quorum: no secret is added without being asked for.
const VOTERS_MIN: usize = 3;

/// What is known of the secret.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The inventory names it.
    named: Option<Ring>,
    /// An earlier run has kept it.
    kept: Option<Ring>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Made in this run, or learnt from the hosts.
    found: Option<Ring>,
    /// What the members held when they were asked last, in the order of the inventory.
    held: Vec<Held>,
    stage: Option<Stage>,
}

impl Secrets {
    /// `named` is the one that the inventory names.
    pub fn of(inventory: &Inventory, named: Option<&Secret>) -> Result<Self, Failure> {
        if inventory.coordinator.engine != Engine::Coordinator {
            return Ok(Self::default());
        }
        let named = named.map(|secret| Ring::of(secret.reveal()));
        let kept = if named.is_none() { secret::kept(inventory)? } else { None };
        let kept = kept.map(|kept| Ring::of(kept.reveal()));
        Ok(Self { named, kept, state: Mutex::default() })
    }

    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// What shall count in the end.
    fn wanted(&self) -> Option<Ring> {
        let kept = self.kept.as_ref().map(Ring::newest);
        self.state().found.clone().or_else(|| self.named.clone()).or(kept)
    }

    /// What the members get in this roll, if they are to have a secret.
    pub fn stage(&self) -> Option<Stage> {
        self.state().stage.clone()
    }

    /// Decides what the members get, by what they hold. `begin`: they are to get another one.
    pub async fn decide(
        &self,
        fleet: &Fleet,
        inventory: &Inventory,
        sessions: &[HostSession<'_>],
        begin: bool,
    ) -> Result<(), Failure> {
        if inventory.coordinator.engine != Engine::Coordinator {
            return Ok(());
        }
        let held = self.held(fleet, inventory, sessions).await;
        let members: Vec<&Host> = inventory.members().collect();
        self.check(&members, &held)?;
        let agreed = rings::agreed(&held).map_err(|(one, other)| {
            let (one, other) = (&members[one].name, &members[other].name);
            Failure::refused(format!("{one} and {other} hold different secrets")).hint(
                "name the right one as `coordinator: { secret: { file: … } }`; without it members refuse each other",
            )
        });
        let mut found = match self.wanted() {
            Some(_) => None,
            None => agreed?,
        };
        if begin || (found.is_none() && self.wanted().is_none() && gets_one(inventory, &held)) {
            found = Some(Ring::of(secret::make()?.reveal()));
        }
        let mut state = self.state();
        state.held = held;
        if found.is_some() {
            state.found = found;
        }
        drop(state);
        let stage = self.wanted().map(|wanted| {
            rings::next(&wanted, &self.state().held).map_err(|count| {
                Failure::refused(format!("the members hold {count} secrets between them")).hint(
                    "each takes eight at most: bring those with old secrets up to date one by one with --limit",
                )
            })
        });
        self.state().stage = stage.transpose()?;
        Ok(())
    }

    /// A secret that only hosts have was set by somebody else: it is not replaced by an older one.
    fn check(&self, members: &[&Host], held: &[Held]) -> Result<(), Failure> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let strange = members.iter().zip(held).find(|(_, held)| match held {
            Held::Ring { ring, .. } => *ring != Ring::none() && !ring.shares(kept),
            _ => false,
        });
        match strange {
            None => Ok(()),
            Some((host, _)) => {
                let cause = format!(
                    "{SECRET_FILE} holds another secret than the one kept beside the inventory"
                );
                Err(Failure::refused(cause).host(&host.name).hint(
                    "was it replaced from another machine? copy the folder `.zkprov` from there, or remove the \
                     `.secret` in yours: the hosts' secret is taken over",
                ))
            }
        }
    }

    /// What every member holds: those of this run by what they have said, the others where they have to be
    /// asked.
    async fn held(
        &self,
        fleet: &Fleet,
        inventory: &Inventory,
        sessions: &[HostSession<'_>],
    ) -> Vec<Held> {
        let known = self.named.iter().chain(&self.kept).cloned();
        let known = known.chain(self.state().found.clone());
        let mut read: BTreeMap<String, Ring> = known
            .flat_map(|ring| [ring.newest(), ring])
            .map(|ring| (digest::sha256(ring.text().reveal()), ring))
            .collect();
        for session in sessions.iter().filter(|session| session.host.is_member()) {
            learn(&session.link, &session.observed, &mut read).await;
        }
        let of = |observed: &Observed, read: &BTreeMap<String, Ring>| {
            Held::of(observed, |digest| read.get(digest).cloned())
        };
        let session = |host: &Host| sessions.iter().find(|session| session.host.name == host.name);
        let mut held: Vec<Held> = inventory
            .members()
            .map(|host| session(host).map_or(Held::Unknown, |s| of(&s.observed, &read)))
            .collect();
        let settled = self.wanted().is_some_and(|wanted| {
            let as_wanted = Held::Ring { ring: wanted, pending: false };
            held.iter().all(|held| *held == Held::Unknown || *held == as_wanted)
        });
        if settled || !held.contains(&Held::Unknown) {
            return held;
        }
        let others: Vec<&Host> =
            inventory.members().filter(|host| session(host).is_none()).collect();
        let replies = fleet.probe(&others, |_| Ok(reading())).await;
        let (mut asked, mut open) = (Vec::new(), Vec::new());
        for (host, reply) in replies {
            let Ok(other) = reply else { continue };
            learn(&other.link, &other.observed, &mut read).await;
            asked.push((host.name.as_str(), of(&other.observed, &read)));
            open.push(other);
        }
        fleet.close(open).await;
        for (host, held) in inventory.members().zip(&mut held) {
            if let Some((_, answer)) = asked.iter().find(|(name, _)| *name == host.name) {
                *held = answer.clone();
            }
        }
        held
    }

    /// What a person should know of it.
    pub fn note(&self, inventory: &Inventory) -> Option<String> {
        if inventory.coordinator.engine != Engine::Coordinator {
            return None;
        }
        match self.stage() {
            Some(Stage { first_of_two: true, .. }) => Some(
                "changed in two rolls: by the first one every member accepts the old and the new one, by the \
                 second one the new one alone"
                    .into(),
            ),
            Some(_) => None,
            None if inventory.members().count() < 2 => None,
            None if inventory.participants().count() < VOTERS_MIN => Some(
                "members do not prove who they are: `zkprov secret rotate` gives them a secret, and restarts them"
                    .into(),
            ),
            None => Some("none yet: not enough members can be asked whether they have one".into()),
        }
    }

    /// Whether every member holds what it should, and nothing older.
    pub fn settled(&self) -> bool {
        let Some(ring) = self.wanted() else { return true };
        let as_wanted = Held::Ring { ring, pending: false };
        self.state().held.iter().all(|held| *held == as_wanted)
    }

    /// A change of secrets has begun, here or elsewhere, and is not over.
    pub fn under_way(&self) -> bool {
        let kept = self.kept.as_ref().is_some_and(Ring::changes);
        kept || self.state().held.iter().any(|held| match held {
            Held::Ring { ring, pending } => ring.changes() || *pending,
            _ => false,
        })
    }

    /// What is to be kept beside the inventory, where that is not there already: with the old secrets, as
    /// long as members may hold them.
    pub fn to_keep(&self) -> Option<Secret> {
        if self.named.is_some() {
            return None;
        }
        let wanted = self.wanted()?;
        let state = self.state();
        let fresh = state.held.iter().all(|held| *held == Held::Blank);
        drop(state);
        let ring = if fresh || self.settled() {
            wanted
        } else {
            let stage = self.stage().map_or_else(Ring::none, |stage| stage.ring);
            let kept = self.kept.clone().unwrap_or_else(|| stage.clone());
            kept.and(&stage).and(&wanted)
        };
        (self.kept.as_ref() != Some(&ring)).then(|| ring.text())
    }

    /// What is kept when the last roll is over.
    pub fn newest(&self) -> Option<Secret> {
        if self.named.is_some() { None } else { self.wanted().map(|ring| ring.text()) }
    }
}

/// Whether members without a secret get one: where they begin, and where they serve and a restart does not
/// cost them their quorum.
fn gets_one(inventory: &Inventory, held: &[Held]) -> bool {
    let asked = held.iter().filter(|held| **held != Held::Unknown).count();
    let fresh = held.iter().all(|held| matches!(held, Held::Blank | Held::Unknown));
    if fresh {
        // Those that cannot be asked could be an ensemble that has one.
        return asked >= inventory.majority().min(held.len())
            || held.iter().all(|held| *held == Held::Blank);
    }
    inventory.participants().count() >= VOTERS_MIN && asked >= inventory.majority()
}

/// What is asked of a member that takes no part in a run.
fn reading() -> Reading {
    let mut reading = Reading::default();
    reading.library(library::SERVICE);
    reading.unit(UNIT);
    reading.path(SECRET_FILE);
    reading.digest(SECRET_FILE);
    reading.content(CONFIG_FILE);
    reading
}

/// Reads a member's secrets, where no other has shown the same ones.
async fn learn(link: &Link, observed: &Observed, read: &mut BTreeMap<String, Ring>) {
    let Some(digest) = observed.digest(SECRET_FILE) else { return };
    if read.contains_key(digest) {
        return;
    }
    let mut script = Script::new(&script::nonce());
    script.call("zk_guard", ["15"]);
    script.call("zk_frame_of", ["fact", "secret", "cat", SECRET_FILE]);
    // A host that does not answer counts as one that was not asked.
    let Ok((frames, _)) = session::gather(link, &script, READ).await else { return };
    let body = frames.into_iter().find(|frame| frame.name == "secret").map(|frame| frame.body);
    let ring = body.map(|body| Ring::of(&body)).filter(|ring| *ring != Ring::of(b""));
    read.extend(ring.map(|ring| (digest.to_owned(), ring)));
}
