//! A service that is rolled: its unit, its times, and what people are told of each step and of the end. Pure.

use crate::cli::Part;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::layout::BROKER_UNIT;
use crate::plan::operation::Operation;
use crate::plan::resource::service;
use crate::plan::show;
use crate::report::event::RollStep;
use crate::rolling::gate::{Next, Target};

/// A service that is changed and restarted, and the words for it.
#[derive(Debug)]
pub struct Service {
    pub part: Part,
    pub unit: String,
    pub noun: &'static str,
    /// Stands before each line about a broker; lines about members have none.
    prefix: &'static str,
    /// How long its old process may take to end, where that is not the usual time.
    stop_s: Option<u32>,
    /// The host and the controller each end a restart after this time.
    pub restart_s: u16,
    /// The same for putting back what it ran before.
    pub put_back_s: u16,
    /// What is true when it is back.
    back: &'static str,
    /// The same in the message of a failure.
    well: &'static str,
    /// What to do when the roll must not begin.
    hint: &'static str,
}

impl Service {
    /// The members of the ensemble, whose unit is the inventory's.
    pub fn members(unit: &str) -> Self {
        Self {
            part: Part::Coordinator,
            unit: unit.to_owned(),
            noun: "member",
            prefix: "",
            stop_s: None,
            // The old process is ended in an orderly way first.
            restart_s: 150,
            put_back_s: 240,
            back: "serves and has caught up",
            well: "serves",
            hint: "`zkprov status` shows the members; one or two voters need --allow-quorum-loss",
        }
    }

    /// Kafka's brokers.
    pub fn brokers() -> Self {
        Self {
            part: Part::Broker,
            unit: BROKER_UNIT.to_owned(),
            noun: "broker",
            prefix: "broker: ",
            stop_s: Some(service::BROKER_STOPS_S),
            // A broker hands its leaderships over and closes its logs first: the unit gives it 300 s.
            restart_s: 420,
            put_back_s: 720,
            back: "registered, no partition under-replicated",
            well: "is registered",
            hint: "`zkprov status` shows the brokers",
        }
    }

    pub fn restart(&self) -> Operation {
        Operation::RestartUnit { unit: self.unit.clone(), stop_s: self.stop_s }
    }

    /// Why the roll must not begin, if there is a reason.
    pub fn preflight(&self, reasons: &[String]) -> Result<(), Failure> {
        if reasons.is_empty() {
            return Ok(());
        }
        let cause = format!("no {} may be taken down now: {}", self.noun, reasons.join("; "));
        Err(Failure::refused(cause).hint(self.hint))
    }

    /// What people are told of a step; nothing of an end.
    pub fn told<'a>(&self, next: &'a Next) -> Option<(RollStep, &'a str, String)> {
        match next {
            Next::Wait { why, .. } => Some((RollStep::Wait, "", why.clone())),
            Next::Transfer { host } => {
                Some((RollStep::Transfer, host, "hands its leadership over".to_owned()))
            }
            Next::Restart { host, why } => {
                Some((RollStep::Restart, host, format!("{}{why}", self.prefix)))
            }
            Next::Back { host, alone: true } => {
                Some((RollStep::Back, host, "runs; it serves when a majority does".to_owned()))
            }
            Next::Back { host, .. } => {
                Some((RollStep::Back, host, format!("{}{}", self.prefix, self.back)))
            }
            Next::Finished | Next::Refused { .. } | Next::Failed { .. } => None,
        }
    }

    /// The roll of `run` was stopped by a person, `pending` processes before its end.
    pub fn stopped(&self, pending: usize, run: &str) -> Failure {
        let left = show::count(pending, self.noun);
        Failure::failed(format!("stopped between two {}s; {left} not begun", self.noun))
            .hint(format!("{} goes on", resume(run)))
    }

    /// A gate of the roll did not open.
    pub fn refused(&self, why: &str, pending: usize, run: &str) -> Failure {
        let left = self.untouched(pending);
        Failure::refused(format!("the roll stopped: {why}"))
            .hint(format!("{left}; fix the cause, then {}", resume(run)))
    }

    /// The process on `host` did not come back; `said` is the end of its journal.
    pub fn failed(&self, host: &str, why: &str, said: &str, pending: usize, run: &str) -> Failure {
        let left = self.untouched(pending);
        Failure::failed(format!("{why}\n    {}", said.replace('\n', "\n    ")))
            .host(host)
            .step(format!("restart {}", self.unit))
            .hint(format!("the roll stopped, {left}; {} goes on", resume(run)))
    }

    fn untouched(&self, pending: usize) -> String {
        match pending {
            0 => format!("no other {} was to be restarted", self.noun),
            _ => format!("{} untouched", show::count(pending, self.noun)),
        }
    }

    /// What is told before a process gets back what it ran before.
    pub(super) fn put_back(&self, harm: Harm) -> String {
        format!("{}{}", self.prefix, harm.word())
    }

    /// The failure of a process that was to get back what it ran before, and how that went.
    pub(super) fn was_put_back(&self, failure: Failure, back: Result<(), Failure>) -> Failure {
        let (noun, well) = (self.noun, self.well);
        let (exit, cause, hint) = match back {
            Ok(()) => (
                Exit::RolledBack,
                format!("{}\n    it was put back to what it ran before, and {well}", failure.cause),
                format!("the other {noun}s are untouched; correct the inventory, then apply again"),
            ),
            Err(second) => (
                Exit::RollbackFailed,
                format!("{}\n    putting it back failed too: {}", failure.cause, second.cause),
                format!("the other {noun}s are untouched and serve; look at this host first"),
            ),
        };
        Failure { exit, cause, hint: Some(hint), ..failure }
    }
}

/// What is to be restarted, before anybody is asked whether it may be.
pub fn asked(members: &[Target], brokers: &[Target]) -> String {
    let members = members.iter().map(|target| ("", target));
    let brokers = brokers.iter().map(|target| ("broker on ", target));
    let line = |(what, target): (&str, &Target)| {
        format!("restart {what}{}  ({})\n", target.host, target.why)
    };
    members.chain(brokers).map(line).collect()
}

/// How many members and brokers, for people.
pub fn counted(members: usize, brokers: usize) -> String {
    match (members, brokers) {
        (_, 0) => show::count(members, "member"),
        (0, _) => show::count(brokers, "broker"),
        _ => format!("{} and {}", show::count(members, "member"), show::count(brokers, "broker")),
    }
}

fn resume(run: &str) -> String {
    format!("`zkprov restart --resume {run}`")
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
    const fn word(self) -> &'static str {
        match self {
            Self::Written => "its files are put back; it was not restarted",
            Self::Restarted => "is put back to what it ran before",
        }
    }
}
