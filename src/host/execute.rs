//! A host's plan as one script with its payloads, and the script's answers as what was done.

use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::conversation::{Ended, Payload, Unsent};
use crate::host::lock::{Answer, Operator};
use crate::inventory::Host;
use crate::layout::CONFIG_DIR;
use crate::plan::change::{Lane, Phase};
use crate::plan::operation::Operation;
use crate::plan::subject::Subject;
use crate::plan::{HostPlan, Step};
use crate::script::Script;
use crate::script::frame::{Frame, Kind, StepFailure};

/// A host that has not finished by then has hung: each step is bounded well below it, and a release
/// of 100 MB needs a minute and a half at 10 Mbit/s.
pub const DEADLINE: Duration = Duration::from_mins(15);

/// Steps that a host can tell of; a plan has some tens.
const STEPS_MAX: usize = 10_000;

/// What is sent to a host.
#[derive(Debug)]
pub struct Program {
    pub script: Script,
    pub payloads: Vec<Payload>,
}

/// One script for `steps`, in the order in which it needs the payloads: accounts, which need none,
/// while the first one is on its way; then binaries, since they are small and the service waits for them;
/// then the archive, beside which all the rest goes on.
pub fn program(nonce: &str, operator: &Operator, steps: &[&Step], host: &Host) -> Program {
    let mut script = Script::new(nonce);
    operator.guard(&mut script);
    let folders = [Some(&host.data_dir), host.data_log_dir.as_ref()].into_iter().flatten();
    let folders = folders.filter(|_| host.is_member()).map(String::as_str);
    script.call("zk_leftovers", folders.chain([CONFIG_DIR]));
    let binary = |step: &&&Step| matches!(step.change.operation, Operation::InstallBinary { .. });
    let account = |step: &&&Step| matches!(step.subject, Subject::Group(_) | Subject::User(_));
    let archive = |step: &&&Step| step.lane == Lane::Archive;
    let payloads = steps.iter().filter(binary).chain(steps.iter().filter(archive));
    let payloads = payloads.filter_map(|step| payload(step)).collect();
    let add = |script: &mut Script, step: &Step| {
        step.change.operation.step(&step.name(), script);
    };
    for step in steps.iter().filter(account) {
        add(&mut script, step);
    }
    for step in steps.iter().filter(binary) {
        step.change.operation.take(&step.name(), &mut script);
    }
    let beside: Vec<&&Step> = steps.iter().filter(archive).collect();
    let deadline = DEADLINE.as_secs().to_string();
    if beside.is_empty() {
        script.call("zk_guard", [deadline.as_str()]);
    } else {
        script.line("(");
        for step in &beside {
            add(&mut script, step);
        }
        script.call("zk_guard", [deadline.as_str()]);
        script.line("[ -z \"$zk_bad\" ]");
        script.line(") &");
        script.line("zk_lane=$!");
    }
    for step in steps.iter().filter(binary) {
        step.change.operation.take_end(&step.name(), &mut script);
    }
    let rest = |step: &&&Step| !binary(step) && !account(step) && !archive(step);
    // Apache's engine is started out of the archive.
    let needs_archive = |step: &Step| matches!(step.phase, Phase::Serve | Phase::BrokerServe);
    let mut waited = beside.is_empty();
    for step in steps.iter().filter(rest) {
        if needs_archive(step) && !waited && beside.iter().any(|step| step.phase == Phase::Switch) {
            script.line("zk_wait \"$zk_lane\" || zk_bad=failed");
            waited = true;
        }
        add(&mut script, step);
    }
    if !waited {
        script.line("zk_wait \"$zk_lane\" || zk_bad=failed");
    }
    script.line("zk_frame live finished \"$zk_bad\"");
    script.line("[ -z \"$zk_bad\" ]");
    Program { script, payloads }
}

fn payload(step: &Step) -> Option<Payload> {
    let carried = step.change.operation.carried()?;
    Some(Payload { path: carried.path.clone(), bytes: carried.bytes })
}

/// What has happened to a host so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Steps that have begun and not ended; two at most.
    begun: Vec<String>,
    /// Steps that are done, in the order in which they ended.
    pub done: Vec<String>,
    failed: Option<StepFailure>,
    /// The script came to its end, in whichever way.
    finished: bool,
    /// Who holds the operator lock instead.
    locked: Option<String>,
}

impl Progress {
    /// Takes in one answer of the script.
    pub fn hear(&mut self, frame: &Frame) {
        if self.begun.len() + self.done.len() > STEPS_MAX {
            return;
        }
        let name = frame.name.clone();
        match frame.kind {
            Kind::Begin => self.begun.push(name),
            Kind::End => {
                self.begun.retain(|begun| *begun != name);
                self.done.push(name);
            }
            Kind::Fail => {
                self.begun.retain(|begun| *begun != name);
                // The first one is the cause; a second lane may fail because of it.
                self.failed = self.failed.take().or_else(|| StepFailure::of(frame));
            }
            Kind::Lock => {
                if let Some(Answer::Refused(holder)) = Answer::of(frame) {
                    self.locked = Some(holder);
                }
            }
            Kind::Live if name == "finished" => self.finished = true,
            _ => {}
        }
    }

    /// Steps that are under way.
    pub fn begun(&self) -> &[String] {
        &self.begun
    }

    /// How it ended: every step done, or why not.
    pub fn conclude(&self, plan: &HostPlan, steps: usize, ended: &Ended) -> Result<(), Failure> {
        let at = |failure: Failure| failure.host(&plan.host);
        let again = "fix the cause, then run `zkprov apply` again: it continues from here";
        if let Some(holder) = &self.locked {
            return Err(at(Failure::refused(format!("another run is at work: {holder}")).hint(
                "wait for it; should it be dead for good, `zkprov unlock` ends it on the hosts",
            )));
        }
        if ended.unsent == Some(Unsent::NotGranted) {
            return Err(at(Failure::refused("another run holds the lock on the other hosts")));
        }
        if self.finished && self.done.len() == steps && ended.status == Some(0) {
            return Ok(());
        }
        if ended.unsent == Some(Unsent::Stopped) {
            // What a step says that gets no more bytes is no trouble of its own.
            let during = self.begun.first().or(self.failed.as_ref().map(|failed| &failed.step));
            let during = during.map(|step| format!(", in step `{step}`")).unwrap_or_default();
            let cause = format!("stopped after {} of {steps} steps{during}", self.done.len());
            return Err(at(Failure::failed(cause).hint("run `zkprov apply` again to go on")));
        }
        if let Some(failed) = &self.failed {
            // A payload that could not be read here explains what the host saw.
            let unread = match &ended.unsent {
                Some(Unsent::Unreadable(why)) => format!("; {why}"),
                _ => String::new(),
            };
            let cause =
                format!("ended with status {}{unread}\n    {}", failed.status, failed.said());
            return Err(at(Failure::failed(cause).step(&failed.step).hint(again)));
        }
        if self.finished && ended.unsent.is_some() {
            let cause = format!("stopped after {} of {steps} steps", self.done.len());
            return Err(at(Failure::failed(cause).hint("run `zkprov apply` again to go on")));
        }
        let during = match self.begun.first() {
            Some(step) => format!("in step `{step}`"),
            None => format!("after {} of {steps} steps", self.done.len()),
        };
        let why = match (ended.status, ended.stderr.lines().last()) {
            (None, _) => "the connection was lost, or the host went away".to_owned(),
            (Some(status), Some(line)) => format!("the shell ended with status {status}: {line}"),
            (Some(status), None) => format!("the shell ended with status {status}"),
        };
        Err(at(Failure::new(Exit::Failed, format!("{why}, {during}")).hint(again)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, name: &str, body: &str) -> Frame {
        Frame { kind, name: name.into(), body: body.into() }
    }

    fn plan() -> HostPlan {
        HostPlan::new("kafka1")
    }

    fn ended(status: Option<i32>) -> Ended {
        Ended { status, stderr: String::new(), unsent: None }
    }

    #[test]
    fn a_failure_names_step_status_and_output() {
        let mut progress = Progress::default();
        progress.hear(&frame(Kind::Begin, "user kafka", ""));
        progress.hear(&frame(Kind::Fail, "user kafka", "9\nuseradd: no space\n"));
        let failure = progress.conclude(&plan(), 3, &ended(Some(1))).expect_err("it failed");
        let text = failure.to_string();
        assert!(text.contains("kafka1: user kafka: ended with status 9"), "{text}");
        assert!(text.contains("useradd: no space"), "{text}");
    }

    #[test]
    fn a_cut_connection_names_the_step_it_reached() {
        let mut progress = Progress::default();
        progress.hear(&frame(Kind::Begin, "group kafka", ""));
        progress.hear(&frame(Kind::End, "group kafka", ""));
        progress.hear(&frame(Kind::Begin, "archive /opt/kafka_2.13-3.3.1", ""));
        let failure = progress.conclude(&plan(), 3, &ended(None)).expect_err("it was cut");
        assert!(failure.cause.contains("in step `archive /opt/kafka_2.13-3.3.1`"), "{failure}");
    }

    #[test]
    fn silence_is_not_success() {
        assert!(Progress::default().conclude(&plan(), 0, &ended(Some(0))).is_err());
        let mut progress = Progress::default();
        progress.hear(&frame(Kind::Live, "finished", ""));
        assert!(progress.conclude(&plan(), 0, &ended(Some(0))).is_ok());
        assert!(progress.conclude(&plan(), 1, &ended(Some(0))).is_err());
    }
}
