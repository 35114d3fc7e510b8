//! Drives a roll: looks at the ensemble, asks the machine, does what it says, writes it down. The same
//! for `zkprov restart`, where a member is only restarted, and for `zkprov apply` on a serving
//! ensemble, where what it reads is changed just before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::cli::Part;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble::{self, View};
use crate::host::Link;
use crate::host::fleet::{Asked, gather};
use crate::inventory::{Engine, Host};
use crate::layout::{BINARY, UNIT};
use crate::plan::Step;
use crate::plan::desired;
use crate::plan::resource::{self, service};
use crate::probe::{Observed, Reading};
use crate::rolling::gate::Next;
use crate::rolling::journal::{Entry, Journal};
use crate::rolling::members::Roll;
use crate::rolling::previous::{self, Switches};
use crate::run::Run;
use crate::script::frame::Frame;
use crate::script::{self, Script};

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(15);
/// How often it is looked whether a member has lost its vote.
const REMOVAL_LOOKS: usize = 40;
/// The step before anything is changed.
const KEEP: &str = "keep what it runs";
/// How long a member that was put back may take to serve again.
const ROLLBACK_S: &str = "120";

/// A service that is changed and restarted.
#[derive(Debug)]
pub(super) struct Service {
    pub part: Part,
    pub unit: &'static str,
    /// How long its old process may take to end, where that is not the usual time.
    pub stops_s: Option<&'static str>,
    /// After so long the host ends a restart, and so does the controller.
    pub restart_s: u16,
}

const MEMBER: Service = Service {
    part: Part::Coordinator,
    unit: UNIT,
    stops_s: None,
    // The old process is ended in an orderly way first.
    restart_s: 150,
};

impl Service {
    /// The words of a restart.
    pub(super) fn restart(&self) -> impl Iterator<Item = &'static str> {
        [self.unit].into_iter().chain(self.stops_s)
    }
}

/// What one roll works with.
#[derive(Debug)]
pub struct Drive<'a> {
    pub run: &'a Run,
    /// Every host of the inventory that can be reached.
    pub asked: &'a [Asked<'a>],
    /// What is changed on a member just before it is restarted.
    pub switches: Switches,
    /// Logins in the place of those that a boot of their host has ended.
    pub again: Again,
}

/// Logins made anew in the middle of a roll, by host.
#[derive(Debug, Default)]
pub struct Again(Mutex<BTreeMap<String, Arc<Link>>>);

impl Again {
    fn link(&self, host: &str) -> Option<Arc<Link>> {
        self.0.lock().expect("no panic while held").get(host).cloned()
    }

    /// Ends them.
    pub async fn close(self) {
        let links = self.0.into_inner().expect("no panic while held");
        join_all(links.into_values().filter_map(Arc::into_inner).map(Link::close)).await;
    }
}

impl Drive<'_> {
    /// The roll from its first look to its end.
    pub async fn drive(&self, roll: &mut Roll, journal: &mut Journal) -> Result<(), Failure> {
        let began = Instant::now();
        let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut told = String::new();
        loop {
            let view = self.look().await;
            if self.run.stopped() {
                return Err(Self::interrupted(roll, journal));
            }
            match roll.next(&view, now_ms()) {
                Next::Wait { pause_ms, why } => {
                    if why != told {
                        self.tell("wait", "", &why);
                        told = why;
                    }
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Next::Transfer { host } => {
                    self.tell("transfer", &host, "hands its leadership over");
                    if let Err(failure) = self.transfer(&host).await {
                        // The restart itself makes the others elect; it only takes them longer.
                        self.tell("transfer", &host, &format!("did not: {}", failure.cause));
                    }
                    roll.transferred();
                }
                Next::Restart { host, why } => {
                    self.tell("restart", &host, &why);
                    journal.write(&Entry::Restart { host: host.clone() })?;
                    roll.restarted(&host, &view, now_ms());
                    if let Err(failure) = self.restart(&host, &MEMBER).await {
                        return Err(self.failed(&host, failure).await);
                    }
                }
                Next::Back { host } => {
                    journal.write(&Entry::Back { host: host.clone() })?;
                    self.tell("back", &host, "serves and has caught up");
                }
                Next::Finished => {
                    journal.write(&Entry::Finished)?;
                    return Ok(());
                }
                Next::Refused { why } => {
                    return Err(Failure::refused(format!("the roll was stopped: {why}")).hint(
                        format!(
                            "{} members are untouched; mend it, then `zkprov restart --resume {}`",
                            roll.pending().len(),
                            journal.run
                        ),
                    ));
                }
                Next::Failed { host, why } => {
                    let said = self.said(&host, UNIT).await;
                    let failure = Failure::failed(format!("{why}\n    {}", said.replace('\n', "\n    ")))
                        .host(&host)
                        .step("restart")
                        .hint(format!(
                            "the roll stopped, {} members are untouched; `zkprov restart --resume {}` goes on",
                            roll.pending().len(),
                            journal.run
                        ));
                    return Err(self.failed(&host, failure).await);
                }
            }
        }
    }

    fn interrupted(roll: &Roll, journal: &Journal) -> Failure {
        let left = roll.pending().len();
        Failure::failed(format!("stopped between two members; {left} were not begun"))
            .hint(format!("`zkprov restart --resume {}` goes on", journal.run))
    }

    pub(super) fn tell(&self, what: &str, host: &str, why: &str) {
        self.run.reporter.event("roll", json!({"what": what, "host": host, "why": why}));
        let elapsed = self.run.reporter.elapsed_s();
        self.run.reporter.aside(&format!("{elapsed:7.1}s  {what:<8}  {host}  {why}"));
    }

    /// The ensemble now, every host asked at the same time.
    pub async fn look(&self) -> View {
        let answers: Vec<(String, Result<Observed, Failure>)> = join_all(
            self.asked
                .iter()
                .map(|asked| async move { (asked.host.name.clone(), self.look_at(asked).await) }),
        )
        .await;
        let find = |host: &Host| answers.iter().find(|(name, _)| *name == host.name);
        ensemble::view(
            &self.run.inventory,
            |host| find(host).and_then(|(_, answer)| answer.as_ref().ok()),
            |host| {
                find(host).and_then(|(_, answer)| answer.as_ref().err()).map(|f| f.cause.clone())
            },
        )
    }

    pub(super) fn asked(&self, host: &str) -> Result<&Asked<'_>, Failure> {
        self.asked
            .iter()
            .find(|asked| asked.host.name == host)
            .ok_or_else(|| Failure::new(Exit::Unreachable, "it cannot be reached").host(host))
    }

    async fn look_at(&self, asked: &Asked<'_>) -> Result<Observed, Failure> {
        let mut script = Script::new(&script::nonce());
        script.library(service::SHELL);
        script.call("zk_guard", ["15"]);
        let mut reading = Reading::default();
        reading.function("read_service", [UNIT]);
        reading.function("probe_status", [BINARY, &desired::server(asked.host)]);
        reading.ask_only(&mut script);
        self.observe(asked, &script, LOOK).await
    }

    /// What a script answers. A host that gives none may have been booted: the next look finds a login
    /// made anew, as soon as there can be one.
    pub(super) async fn observe(
        &self,
        asked: &Asked<'_>,
        script: &Script,
        deadline: Duration,
    ) -> Result<Observed, Failure> {
        let failure = match self.gather(asked, script, deadline).await {
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
            tokio::time::timeout(LOOK, self.run.fleet.connector.connect(asked.host)).await;
        if let Ok(Ok(link)) = connected {
            let mut again = self.again.0.lock().expect("no panic while held");
            again.insert(asked.host.name.clone(), Arc::new(link));
        }
        Err(failure)
    }

    /// Runs a script that answers with facts, through the newest login.
    async fn gather(
        &self,
        asked: &Asked<'_>,
        script: &Script,
        deadline: Duration,
    ) -> Result<(Vec<Frame>, String), Failure> {
        match self.again.link(&asked.host.name) {
            Some(link) => gather(&link, script, deadline).await,
            None => gather(&asked.link, script, deadline).await,
        }
    }

    async fn transfer(&self, host: &str) -> Result<(), Failure> {
        self.admin(host, "hand over", &["transfer-leadership"]).await
    }

    /// A command of operators on a host's own server.
    async fn admin(&self, host: &str, step: &str, words: &[&str]) -> Result<(), Failure> {
        let asked = self.asked(host)?;
        let socket = format!("{}/coordinator/admin.sock", asked.host.data_dir);
        let mut script = Script::new(&script::nonce());
        script.call("zk_guard", ["30"]);
        let command = ["zk_run", BINARY, "admin", "--socket", &socket];
        script.call("zk_step", [step].into_iter().chain(command).chain(words.iter().copied()));
        self.done(asked, &script, Duration::from_secs(30)).await
    }

    /// Takes the vote from a member that is stopped and not in the inventory any more: with more votes
    /// than servers nobody could be spared for a restart.
    pub async fn remove(&self, id: u8) -> Result<(), Failure> {
        let unlisted = |view: &View| view.unlisted() > 0 && view.unlisted_up() == 0;
        let view = self.look().await;
        let Some(leader) = view.leader().filter(|_| self.transfers() && unlisted(&view)) else {
            return Ok(());
        };
        self.tell("remove", &leader.host, &format!("takes the vote from member {id}"));
        self.admin(&leader.host, "remove a member", &["remove-member", &id.to_string()]).await?;
        for _ in 0..REMOVAL_LOOKS {
            if !unlisted(&self.look().await) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Err(Failure::failed(format!("member {id} still has its vote"))
            .host(&leader.host)
            .hint("the leader's journal says why: `zkprov logs`; apply again when it is mended"))
    }

    /// What is changed on a host's service just before its restart; `None` where nothing is.
    pub(super) fn switch(&self, host: &str) -> Option<&[Step]> {
        self.switches.hosts.iter().find(|(name, _)| name == host).map(|(_, steps)| &steps[..])
    }

    /// The words of the step that keeps what a service runs, and of the one that puts it back.
    pub(super) fn keep(&self, service: &Service) -> (Vec<String>, Vec<String>) {
        let folder = self.switches.keep.folder(service.part);
        let reads = previous::reads(&self.run.inventory, service.part);
        let change = self.switches.change.clone();
        let undo = [folder.clone(), change.clone()].into_iter().chain(reads.clone()).collect();
        let keep = [folder, change, service.unit.to_owned()].into_iter().chain(reads).collect();
        (keep, undo)
    }

    /// Changes what the service reads, where there is something to change, and restarts it.
    pub(super) async fn restart(&self, host: &str, service: &Service) -> Result<(), Failure> {
        let asked = self.asked(host)?;
        let mut script = Script::new(&script::nonce());
        script.library(service::SHELL);
        script.call("zk_guard", [service.restart_s.to_string().as_str()]);
        let switch = self.switch(host);
        if let Some(steps) = switch {
            let (keep, _) = self.keep(service);
            script.step(KEEP, "do_keep", keep.iter().map(String::as_str));
            for step in steps {
                script.library(resource::library(&step.change.function));
                let arguments = step.change.arguments.iter().map(String::as_str);
                script.step(&step.name, &step.change.function, arguments);
            }
        }
        if switch.is_none_or(|steps| steps.iter().all(|s| s.change.function != "do_restart")) {
            script.step("restart", "do_restart", service.restart());
        }
        self.done(asked, &script, Duration::from_secs(service.restart_s.into())).await
    }

    /// Runs a script of steps; the first that fails is the failure.
    pub(super) async fn done(
        &self,
        asked: &Asked<'_>,
        script: &Script,
        deadline: Duration,
    ) -> Result<(), Failure> {
        let host = &asked.host.name;
        let (frames, stderr) =
            self.gather(asked, script, deadline).await.map_err(|failure| failure.host(host))?;
        if let Some(failed) = frames.iter().find(|frame| frame.kind == "fail") {
            let text = failed.text();
            let (status, output) = text.split_once('\n').unwrap_or((text.as_str(), ""));
            let output = output.trim().replace('\n', "\n    ");
            let cause = format!("ended with status {}\n    {output}", status.trim());
            return Err(Failure::failed(cause).host(host).step(&failed.name));
        }
        if frames.iter().any(|frame| frame.kind == "end") {
            return Ok(());
        }
        let said = stderr.lines().last().unwrap_or("the connection was lost").to_owned();
        Err(Failure::failed(said).host(host))
    }

    /// The end of a unit's journal on a host.
    pub(super) async fn said(&self, host: &str, unit: &str) -> String {
        let Ok(asked) = self.asked(host) else { return String::new() };
        let mut script = Script::new(&script::nonce());
        script.library(service::SHELL);
        script.call("zk_guard", ["15"]);
        script.call("zk_step", ["said", "service_said", unit]);
        let frames = self.gather(asked, &script, LOOK).await;
        frames
            .ok()
            .and_then(|(frames, _)| frames.iter().find(|f| f.kind == "end").map(Frame::text))
            .unwrap_or_default()
    }

    /// A member that was changed and did not come back gets what it ran before.
    async fn failed(&self, host: &str, failure: Failure) -> Failure {
        let Some(harm) = self.harm(host, &failure) else { return failure };
        self.tell("rollback", host, harm.word());
        let back = async {
            let asked = self.asked(host)?;
            let mut script = Script::new(&script::nonce());
            script.library(service::SHELL);
            script.call("zk_guard", ["240"]);
            let (_, undo) = self.keep(&MEMBER);
            script.step("put back", "undo_switch", undo.iter().map(String::as_str));
            if harm == Harm::Restarted {
                script.step("restart", "do_restart", MEMBER.restart());
            }
            let server = desired::server(asked.host);
            let words = [UNIT, ROLLBACK_S, BINARY, "status", "--server", &server];
            script.step("serves again", "do_await", words);
            self.done(asked, &script, Duration::from_mins(4)).await
        };
        put_back(failure, back.await, "serves", "members")
    }

    /// What a failed turn has left to be undone on a host; `None`: nothing.
    pub(super) fn harm(&self, host: &str, failure: &Failure) -> Option<Harm> {
        if self.switch(host).is_none_or(<[Step]>::is_empty) {
            return None;
        }
        match failure.step.as_deref() {
            Some(KEEP) => None,
            Some(step) if !step.contains("restart") => Some(Harm::Written),
            // A lost connection may have got as far as the restart.
            _ => Some(Harm::Restarted),
        }
    }

    /// Whether the engine can hand its leadership over.
    pub fn transfers(&self) -> bool {
        self.run.inventory.coordinator.engine == Engine::Coordinator
    }
}

/// What a turn that failed has done to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Files were changed; the process is still the one from before.
    Written,
    /// The process may be another one.
    Restarted,
}

impl Harm {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Written => "its files are put back; it was not restarted",
            Self::Restarted => "is put back to what it ran before",
        }
    }
}

/// The failure of a service that was to be put back to what it ran before, and how that went.
pub(super) fn put_back(
    failure: Failure,
    back: Result<(), Failure>,
    well: &str,
    others: &str,
) -> Failure {
    let (exit, cause, hint) = match back {
        Ok(()) => (
            Exit::RolledBack,
            format!("{}\n    it was put back to what it ran before, and {well}", failure.cause),
            format!("the other {others} are untouched; correct the inventory, then apply again"),
        ),
        Err(second) => (
            Exit::RollbackFailed,
            format!("{}\n    putting it back failed too: {}", failure.cause, second.cause),
            format!("the other {others} are untouched and serve; look at this host first"),
        ),
    };
    Failure { exit, cause, hint: Some(hint), ..failure }
}
