//! One run from the inventory to a plan: what `plan`, `apply` and `status` have in common.

pub mod confirm;
pub mod secrets;
pub mod security;
pub mod selection;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::join_all;

use crate::artifacts::build::Builds;
use crate::artifacts::{collect, secret};
use crate::cli::{self, Connection, OutputOptions, Planning, Selection};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::Connector;
use crate::host::fleet::Fleet;
use crate::host::session::{self, HostSession, Skew};
use crate::inventory::{self, Host, Inventory, SecretSource};
use crate::plan::desired::{self, Artifact, Artifacts};
use crate::plan::{self, HostPlan, Only, Plan, account, valid};
use crate::probe::Observed;
use crate::report::Reporter;
use crate::report::event::Event;
use crate::run::secrets::Secrets;
use crate::run::security::Security;

/// What every run has.
#[derive(Debug)]
pub struct Run {
    pub inventory: Inventory,
    pub limit: Option<String>,
    pub fleet: Fleet,
    pub reporter: Reporter,
    pub artifacts: Artifacts,
    /// Whether a missing coordinator may be built for the plan.
    pub builds: Builds,
    pub secrets: Secrets,
    pub security: Security,
    stop: tokio::sync::watch::Sender<bool>,
}

/// A plan, the hosts it is for, and those that gave no answer.
#[derive(Debug)]
pub struct Planned<'a> {
    pub plan: Plan,
    pub sessions: Vec<HostSession<'a>>,
    pub failures: Vec<Failure>,
}

/// What one host has said.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub host: &'a Host,
    pub observed: &'a Observed,
    pub skew: Skew,
}

/// What hosts have said, without their logins.
pub fn answers<'a>(sessions: &'a [HostSession<'_>]) -> Vec<Answer<'a>> {
    sessions
        .iter()
        .map(|session| Answer {
            host: session.host,
            observed: &session.observed,
            skew: session.skew,
        })
        .collect()
}

impl Run {
    pub async fn new(
        inventory: Inventory,
        selection: &Selection,
        connection: &Connection,
        output_options: &OutputOptions,
    ) -> Result<Self, Failure> {
        // A misspelt --limit is told before anything is asked or typed.
        selection::select(&inventory, selection.limit.as_deref())?;
        let mut artifacts = collect::gather(&inventory).await?;
        let secrets = Secrets::of(&inventory, artifacts.secret.as_ref())?;
        let security = Security::gather(&inventory)?;
        artifacts.trust = security.files.trust(&inventory);
        artifacts.passwords.clone_from(&security.files.passwords);
        let password = collect::become_password(&inventory, connection.ask_become_pass)?;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let connector = Connector::new(connection.accept_new_host_keys, password, stopped)?;
        Ok(Self {
            inventory,
            limit: selection.limit.clone(),
            fleet: Fleet::new(connector, usize::from(connection.forks)),
            reporter: Reporter::new(output_options.output),
            artifacts,
            builds: Builds::WhenStale,
            secrets,
            security,
            stop,
        })
    }

    pub async fn of(planning: &Planning) -> Result<Self, Failure> {
        let inventory = Self::load(&planning.inventory.inventory, &planning.connection).await?;
        valid::check(&inventory)?;
        Self::new(inventory, &planning.selection, &planning.connection, &planning.output_options)
            .await
    }

    /// Reads the inventory. Hosts whose `address` is a loopback or wildcard one are asked which they
    /// have, so that the error can say it.
    async fn load(path: &Path, connection: &Connection) -> Result<Inventory, Failure> {
        let mut reading = inventory::read_file(path)?;
        let adrift = std::mem::take(&mut reading.adrift);
        let failure = match reading.into_inventory(path) {
            Ok(inventory) => return Ok(inventory),
            Err(failure) => failure,
        };
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let connector = Connector::new(connection.accept_new_host_keys, None, stopped)?;
        let answers =
            join_all(adrift.iter().map(|host| session::addresses(&connector, host))).await;
        let told = adrift.iter().zip(answers).filter_map(|(host, addresses)| {
            let addresses = addresses.ok().filter(|addresses| !addresses.is_empty())?;
            Some(format!("{} has {}", host.name, addresses.join(", ")))
        });
        let told: Vec<String> = told.collect();
        Err(if told.is_empty() { failure } else { failure.hint(told.join("; ")) })
    }

    pub fn hosts(&self) -> Vec<&Host> {
        selection::select(&self.inventory, self.limit.as_deref()).unwrap_or_default()
    }

    /// The first Ctrl-C ends the run at the next step's boundary, the second one at once.
    pub fn heed_interrupts(&self) -> impl Future<Output = Failure> + use<> {
        let stop = self.stop.clone();
        async move {
            let interrupted = tokio::signal::ctrl_c().await;
            crate::report::talk(
                "stopping after the steps that are running; Ctrl-C again ends at once",
            );
            let _ = stop.send(true);
            let again = tokio::signal::ctrl_c().await;
            let told = interrupted.and(again).err().map(|e| format!(": {e}")).unwrap_or_default();
            Failure::failed(format!("interrupted{told}")).hint(
                "the hosts finish or abandon what they were at; `zkprov apply` goes on from there",
            )
        }
    }

    /// The lock is no longer held on a majority of the hosts: ends the run as a Ctrl-C does.
    pub fn lose_lock(&self) {
        crate::report::talk(
            "the operator lock is not held on a majority of the hosts any more: they have died, or \
             somebody has run `zkprov unlock`; stopping after the steps that are running",
        );
        let _ = self.stop.send(true);
    }

    /// Whether Ctrl-C was pressed, or the lock was lost.
    pub fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Asks the hosts and makes the plan. Logins stay open.
    pub async fn probe_and_plan(&self, only: &Only) -> Result<Planned<'_>, Failure> {
        let hosts = self.hosts();
        let explicit = self.inventory.coordinator.binary.clone();
        tokio::task::spawn_blocking(move || collect::foresee(explicit.as_deref()));
        let replies = self
            .fleet
            .probe(&hosts, |host| desired::reading(&self.inventory, host, &self.artifacts))
            .await;
        for notice in self.fleet.connector.notices() {
            self.reporter.aside(&notice);
        }
        let mut sessions = Vec::new();
        let mut failures = Vec::new();
        for (_, answer) in replies {
            match answer {
                Ok(answer) => sessions.push(answer),
                Err(failure) => failures.push(failure),
            }
        }
        self.secrets.decide(&self.fleet, &self.inventory, &sessions, false).await?;
        let observed: Vec<_> =
            sessions.iter().map(|session| (session.host, &session.observed)).collect();
        self.security.decide(&self.inventory, &observed);
        let plan = self.plan(&self.artifacts, &answers(&sessions), only)?;
        Ok(Planned { plan, sessions, failures })
    }

    /// Keeps the secret of a plan beside the inventory, before hosts get it.
    pub fn keep_secret(&self) -> Result<(), Failure> {
        let Some(kept) = self.secrets.to_keep() else { return Ok(()) };
        let first = !secret::place(&self.inventory).exists();
        let path = secret::keep(&self.inventory, &kept)?;
        if first {
            self.reporter.aside(&format!(
                "the secret by which members know each other is kept in {}: whoever works on this ensemble needs it",
                path.display()
            ));
        }
        Ok(())
    }

    /// Every member holds the newest secret alone: no other one is kept.
    pub fn end_change_of_secrets(&self) -> Result<(), Failure> {
        match self.secrets.newest() {
            Some(newest) if self.secrets.under_way() => {
                secret::keep(&self.inventory, &newest).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Keeps the authority and the passwords that were made for this run, before any host gets them.
    pub fn keep_security(&self) -> Result<(), Failure> {
        let kept = self.security.keep(&self.inventory)?;
        if let Some(first) = kept.first().and_then(|path| path.parent()) {
            self.reporter.aside(&format!(
                "keys and passwords of this ensemble are kept in {}: whoever works on it needs them",
                first.display()
            ));
        }
        Ok(())
    }

    /// The plan for what has been observed; `supplies` may hold more than at the run's beginning.
    pub fn plan(
        &self,
        artifacts: &Artifacts,
        answers: &[Answer<'_>],
        only: &Only,
    ) -> Result<Plan, Failure> {
        let mut binaries = BTreeMap::new();
        let mut plans = Vec::new();
        let (mut inventory, mut artifacts) =
            (Cow::Borrowed(&self.inventory), Cow::Borrowed(artifacts));
        let stage = self.secrets.stage();
        if let Some(stage) = &stage {
            let kept = || SecretSource::File(secret::place(&self.inventory));
            inventory.to_mut().coordinator.secret.get_or_insert_with(kept);
            artifacts.to_mut().secret = Some(stage.ring.text());
        }
        if let Some(stage) = self.security.stage() {
            stage.apply(inventory.to_mut());
        }
        for answer in answers {
            plans.push(self.host_plan(&inventory, &artifacts, *answer, only, &mut binaries)?);
        }
        let observed: Vec<_> =
            answers.iter().map(|answer| (answer.host, answer.observed)).collect();
        let mut plan = plan::ensemble(&inventory, plans, &observed);
        if let Some(note) = self.secrets.note(&inventory)
            && let Some(first) =
                plan.hosts.iter_mut().find(|host| host.gets_secret() || stage.is_none())
        {
            first.notes.push(("secret".into(), note));
        }
        let judged: Vec<_> = answers
            .iter()
            .map(|answer| (answer.host, answer.observed, answer.skew.certain_ms()))
            .collect();
        self.security.judge(&self.inventory, &judged, &mut plan);
        Ok(plan)
    }

    fn host_plan(
        &self,
        inventory: &Inventory,
        artifacts: &Artifacts,
        answer: Answer<'_>,
        only: &Only,
        binaries: &mut BTreeMap<String, Option<Artifact>>,
    ) -> Result<HostPlan, Failure> {
        let architecture = answer.observed.architecture();
        let mut artifacts = artifacts.clone();
        // A host that is refused for other reasons may have an architecture nobody can build for.
        if answer.observed.text("kernel").starts_with("Linux ") {
            artifacts.binary = if let Some(binary) = binaries.get(&architecture) {
                binary.clone()
            } else {
                let binary = self.binary(&architecture).map_err(|f| f.host(&answer.host.name))?;
                binaries.insert(architecture, binary.clone());
                binary
            };
        }
        artifacts.memory_kb = answer.observed.memory_kb();
        artifacts.account =
            Some(account::of_member(inventory, answer.host, answer.observed).to_owned());
        let resources = desired::resources(inventory, answer.host, &artifacts)?;
        let mut plan = plan::host(inventory, answer.host, &resources, answer.observed, only);
        let skew_ms = answer.skew.certain_ms();
        if skew_ms.unsigned_abs() > u64::from(self.inventory.coordinator.tick_time_ms) {
            let (seconds, way) =
                (skew_ms.abs() / 1000, if skew_ms > 0 { "ahead" } else { "behind" });
            plan.notes.push((
                "clock".into(),
                format!("{seconds} s {way} of this machine's: session times and logs will mislead"),
            ));
        }
        Ok(plan)
    }

    /// The coordinator for an architecture. Whoever only looks goes without where there is none.
    fn binary(&self, architecture: &str) -> Result<Option<Artifact>, Failure> {
        let binary = collect::binary(&self.inventory, architecture, self.builds);
        match self.builds {
            Builds::WhenStale => binary.map(Some),
            Builds::Never => Ok(binary.ok()),
        }
    }
}

/// A roll to its end or to an interrupt; its failure told, and the reports written.
pub async fn reported(
    run: &Run,
    command: &str,
    reports: &cli::Reports,
    rolled: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let outcome = tokio::select! {
        outcome = rolled => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    };
    if let Err(failure) = &outcome {
        run.reporter.event(Event::failure(failure));
    }
    let title = format!("zkprov {command} {}", run.inventory.ensemble);
    run.reporter.reports(&title, reports)?;
    outcome
}

/// The exit code of a run in which some hosts failed: the gravest of them.
pub fn worst(failures: &[Failure]) -> Exit {
    failures.iter().map(|failure| failure.exit).fold(Exit::Done, |worst, exit| {
        match (worst, exit) {
            // Unreachable only when nothing worse than that has happened.
            (Exit::Done, exit) | (exit, Exit::Done) => exit,
            (Exit::Failed, Exit::Unreachable) | (Exit::Unreachable, Exit::Failed) => Exit::Failed,
            (a, b) => a.max(b),
        }
    })
}
