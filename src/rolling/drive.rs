//! Drives a roll: looks at the hosts, asks the machine, does what it says, writes it down. The same loop
//! for members and for brokers, for `restart`, where a process is only restarted, and for `apply` and
//! `rollback`, where what it reads is changed just before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::Link;
use crate::host::session::{self, HostSession, StepsError};
use crate::inventory::{Host, Inventory};
use crate::layout::{self, BINARY};
use crate::plan::Step;
use crate::plan::library;
use crate::plan::operation::Operation;
use crate::probe::{Observed, Reading};
use crate::report::event::{Event, RollStep};
use crate::rolling::gate::{Machine, Next};
use crate::rolling::journal::{Entry, Journal};
use crate::rolling::previous::{self, Switches};
use crate::rolling::service::{Harm, Service};
use crate::run::Run;
use crate::script::Script;
use crate::script::frame::{Frame, Kind};

/// Logging in anew that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(15);
/// So does a command of operators.
const ADMIN: Duration = Duration::from_secs(30);

/// How the driver looks at what a machine rolls.
pub(super) trait Rolled: Machine {
    fn service(inventory: &Inventory) -> Service;
    async fn look(drive: &Drive<'_>) -> Self::View;
    /// By which a process that was put back counts as well.
    fn awaited(drive: &Drive<'_>, host: &Host) -> Operation;
}

/// What one roll works with.
#[derive(Debug)]
pub struct Drive<'a> {
    pub run: &'a Run,
    /// Every host of the inventory that can be reached.
    pub sessions: &'a [HostSession<'a>],
    /// What is changed on a host just before its service is restarted.
    pub switches: Switches,
    /// Logins in the place of those that a boot of their host has ended.
    pub reconnects: Reconnects,
}

/// Logins made anew in the middle of a roll, by host.
#[derive(Debug, Default)]
pub struct Reconnects(Mutex<BTreeMap<String, Arc<Link>>>);

impl Reconnects {
    fn link(&self, host: &str) -> Option<Arc<Link>> {
        self.0.lock().expect("no panic while held").get(host).cloned()
    }

    /// Ends them.
    pub async fn close(self) {
        let links = self.0.into_inner().expect("no panic while held");
        join_all(links.into_values().filter_map(Arc::into_inner).map(Link::close)).await;
    }
}

/// Why a turn failed, and what it has left behind.
struct TurnError {
    failure: Failure,
    harm: Option<Harm>,
}

impl<'a> Drive<'a> {
    pub(super) fn new(run: &'a Run, sessions: &'a [HostSession<'a>], switches: Switches) -> Self {
        Self { run, sessions, switches, reconnects: Reconnects::default() }
    }

    /// The roll from its first look to its end; gives its journal.
    pub(super) async fn whole<M: Rolled>(
        self,
        mut machine: M,
        mut journal: Journal,
    ) -> Result<Journal, Failure> {
        self.run.reporter.aside(&format!("run {}", journal.run));
        let driven = self.drive(&mut machine, &mut journal).await;
        self.reconnects.close().await;
        driven.map(|()| journal)
    }

    async fn drive<M: Rolled>(
        &self,
        machine: &mut M,
        journal: &mut Journal,
    ) -> Result<(), Failure> {
        let service = M::service(&self.run.inventory);
        let began = Instant::now();
        let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut waits_for = String::new();
        loop {
            let view = M::look(self).await;
            let pending = machine.pending().len();
            if self.run.stopped() {
                return Err(service.stopped(pending, &journal.run));
            }
            let next = machine.next(&view, now_ms());
            let tell = || {
                if let Some((what, host, why)) = service.told(&next) {
                    self.tell(what, host, &why);
                }
            };
            match &next {
                Next::Wait { pause_ms, why } => {
                    if *why != waits_for {
                        tell();
                        waits_for.clone_from(why);
                    }
                    tokio::time::sleep(Duration::from_millis(*pause_ms)).await;
                }
                Next::Transfer { host } => {
                    tell();
                    let command = ["transfer-leadership".to_owned()];
                    if let Err(failure) = self.admin(host, "hand over", &command).await {
                        // The restart itself makes the others elect; it only takes them longer.
                        self.tell(RollStep::Transfer, host, &format!("failed: {}", failure.cause));
                    }
                    machine.transferred();
                }
                Next::Restart { host, .. } => {
                    tell();
                    journal.write(&Entry::Restart { host: host.clone() })?;
                    machine.restarted(host, &view, now_ms());
                    if let Err(error) = self.restart(host, &service).await {
                        return Err(self.put_back::<M>(host, error).await);
                    }
                }
                Next::Back { host, .. } => {
                    // Whoever reads that it is back may end the run: the journal knows it before.
                    journal.write(&Entry::Back { host: host.clone() })?;
                    tell();
                }
                Next::Finished => {
                    journal.write(&Entry::Finished)?;
                    return Ok(());
                }
                Next::Refused { why } => return Err(service.refused(why, pending, &journal.run)),
                Next::Failed { host, why } => {
                    let said = self.said(host, &service.unit).await;
                    let failure = service.failed(host, why, &said, pending, &journal.run);
                    let harm = self.switches(host).then_some(Harm::Restarted);
                    return Err(self.put_back::<M>(host, TurnError { failure, harm }).await);
                }
            }
        }
    }

    pub(super) fn tell(&self, what: RollStep, host: &str, why: &str) {
        let event = Event::Roll { what, host: host.to_owned(), why: why.to_owned() };
        self.run.reporter.event(event);
        let line = what.line(self.run.reporter.elapsed_s(), host, why);
        self.run.reporter.aside(&line);
    }

    pub(super) fn session(&self, host: &str) -> Result<&HostSession<'_>, Failure> {
        self.sessions
            .iter()
            .find(|session| session.host.name == host)
            .ok_or_else(|| Failure::new(Exit::Unreachable, "it cannot be reached").host(host))
    }

    /// What hosts say of themselves, all asked at the same time: those for which there is something to
    /// read, each within `limit`.
    pub(super) async fn ask(
        &self,
        reading: impl Fn(&Host) -> Option<Reading>,
        limit: Duration,
    ) -> Vec<(&'a str, Result<Observed, Failure>)> {
        let asked =
            self.sessions.iter().filter_map(|session| Some((session, reading(session.host)?)));
        join_all(asked.map(|(session, reading)| async move {
            (session.host.name.as_str(), self.observe(session, reading, limit).await)
        }))
        .await
    }

    /// What a host says of itself. One that says nothing may have been booted: the next look finds a login
    /// made anew, as soon as there can be one.
    async fn observe(
        &self,
        session: &HostSession<'_>,
        reading: Reading,
        limit: Duration,
    ) -> Result<Observed, Failure> {
        let mut script = Script::guarded(limit);
        script.library(library::SERVICE);
        reading.ask_only(&mut script);
        let failure = match self.gather(session, &script, limit).await {
            Ok((frames, stderr)) => {
                let observed = Observed::new(frames);
                if observed.is_whole() {
                    return Ok(observed);
                }
                let said = stderr.lines().last().unwrap_or("no answer").to_owned();
                Failure::new(Exit::Unreachable, said)
            }
            Err(failure) => failure,
        };
        let connected =
            tokio::time::timeout(LOOK, self.run.fleet.connector.connect(session.host)).await;
        if let Ok(Ok(link)) = connected {
            let mut reconnects = self.reconnects.0.lock().expect("no panic while held");
            reconnects.insert(session.host.name.clone(), Arc::new(link));
        }
        Err(failure)
    }

    /// Runs a script that answers with facts, through the newest login.
    async fn gather(
        &self,
        session: &HostSession<'_>,
        script: &Script,
        deadline: Duration,
    ) -> Result<(Vec<Frame>, String), Failure> {
        match self.reconnects.link(&session.host.name) {
            Some(link) => session::gather(&link, script, deadline).await,
            None => session::gather(&session.link, script, deadline).await,
        }
    }

    /// A command of operators on a host's own server.
    pub(super) async fn admin(
        &self,
        host: &str,
        step: &str,
        command: &[String],
    ) -> Result<(), Failure> {
        let session = self.session(host)?;
        let mut script = Script::guarded(ADMIN);
        Operation::Admin {
            tool: BINARY.into(),
            socket: layout::admin_socket(&session.host.data_dir),
            command: command.to_vec(),
        }
        .step(step, &mut script);
        let done = self.steps(session, &script, ADMIN).await;
        done.map_err(|error| error.with_status().host(host))
    }

    /// What is changed on a host's service just before its restart.
    fn switch(&self, host: &str) -> Option<&[Step]> {
        self.switches.hosts.iter().find(|(name, _)| name == host).map(|(_, steps)| &steps[..])
    }

    fn switches(&self, host: &str) -> bool {
        self.switch(host).is_some_and(|steps| !steps.is_empty())
    }

    /// Changes what the service reads, where there is something to change, and restarts it.
    async fn restart(&self, host: &str, service: &Service) -> Result<(), TurnError> {
        let session = self.session(host).map_err(|failure| TurnError { failure, harm: None })?;
        let deadline = Duration::from_secs(service.restart_s.into());
        let mut script = Script::guarded(deadline);
        // The steps' names, and what each has left behind when it fails.
        let mut steps: Vec<(String, Operation, Option<Harm>)> = Vec::new();
        let mut restarts = false;
        if let Some(switch) = self.switch(host) {
            let keep = Operation::KeepPrevious {
                folder: self.switches.keep.folder(service.part),
                change: self.switches.change.clone(),
                unit: service.unit.clone(),
                files: previous::reads(&self.run.inventory, service.part),
            };
            steps.push(("keep what it runs".into(), keep, None));
            for step in switch {
                let restart = matches!(step.change.operation, Operation::RestartUnit { .. });
                let harm = if restart { Harm::Restarted } else { Harm::Written };
                restarts |= restart;
                steps.push((step.name(), step.change.operation.clone(), Some(harm)));
            }
        }
        if !restarts {
            steps.push(("restart".into(), service.restart(), Some(Harm::Restarted)));
        }
        for (name, operation, _) in &steps {
            operation.step(name, &mut script);
        }
        let Err(error) = self.steps(session, &script, deadline).await else { return Ok(()) };
        let harm = match &error {
            StepsError::Step(failed) => steps
                .iter()
                .find(|(name, ..)| *name == failed.step)
                .map_or(Some(Harm::Restarted), |(.., harm)| *harm),
            // A lost connection may have got as far as the restart.
            StepsError::Lost(_) => Some(Harm::Restarted),
        };
        let harm = harm.filter(|_| self.switches(host));
        Err(TurnError { failure: error.with_status().host(host), harm })
    }

    /// Runs a script of steps through the newest login.
    async fn steps(
        &self,
        session: &HostSession<'_>,
        script: &Script,
        deadline: Duration,
    ) -> Result<(), StepsError> {
        let link = self.reconnects.link(&session.host.name);
        let link = link.as_deref().unwrap_or(&session.link);
        session::steps(link, script, deadline).await.map(drop)
    }

    /// The end of a unit's journal on a host.
    pub(super) async fn said(&self, host: &str, unit: &str) -> String {
        let Ok(session) = self.session(host) else { return String::new() };
        let mut script = Script::guarded(LOOK);
        script.library(library::SERVICE);
        script.call("zk_step", ["said", "service_said", unit]);
        let frames = self.gather(session, &script, LOOK).await;
        frames
            .ok()
            .and_then(|(frames, _)| frames.iter().find(|f| f.kind == Kind::End).map(Frame::text))
            .unwrap_or_default()
    }

    /// A service that was changed and did not come back gets what it ran before.
    async fn put_back<M: Rolled>(&self, host: &str, error: TurnError) -> Failure {
        let (TurnError { failure, harm }, service) = (error, M::service(&self.run.inventory));
        let Some(harm) = harm else { return failure };
        self.tell(RollStep::Rollback, host, &service.put_back(harm));
        let back = async {
            let session = self.session(host)?;
            let deadline = Duration::from_secs(service.put_back_s.into());
            let mut script = Script::guarded(deadline);
            Operation::PutBack {
                folder: self.switches.keep.folder(service.part),
                change: self.switches.change.clone(),
                files: previous::reads(&self.run.inventory, service.part),
            }
            .step("put back", &mut script);
            if harm == Harm::Restarted {
                service.restart().step("restart", &mut script);
            }
            M::awaited(self, session.host).step("serves again", &mut script);
            let done = self.steps(session, &script, deadline).await;
            done.map_err(|error| error.with_status().host(host))
        };
        service.was_put_back(failure, back.await)
    }
}
