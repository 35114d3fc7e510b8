//! A plan as a value: what is shown, saved and applied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::plan::change::{Action, Change, Lane, Phase};
use crate::plan::operation::Operation;
use crate::plan::reason::{Reason, Stale};
use crate::plan::subject::Subject;

/// The format of a saved plan; another one is refused.
pub const FORMAT: u32 = 2;

/// What a run would change on all hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub format: u32,
    pub ensemble: String,
    pub hosts: Vec<HostPlan>,
}

/// What it would change on one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub resource: String,
    pub cause: String,
    pub hint: String,
}

/// One change of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub subject: Subject,
    pub phase: Phase,
    pub lane: Lane,
    pub change: Change,
}

impl Step {
    /// Unique on its host: the subject, and of a service what is done to it.
    pub fn name(&self) -> String {
        match &self.subject {
            Subject::Unit(_) => format!("{} {}", self.change.operation.word(), self.target()),
            subject => subject.to_string(),
        }
    }

    /// What the action is done to, as a plan shows it behind the action's word.
    pub fn target(&self) -> String {
        match (&self.subject, &self.change.operation) {
            (Subject::Unit(_), Operation::ReloadUnits) => "systemd's unit files".into(),
            (Subject::Unit(unit), _) => unit.clone(),
            (subject, _) => subject.to_string(),
        }
    }

    /// Whether a host gets a secret by it.
    const fn gives_secret(&self) -> bool {
        matches!(self.change.operation, Operation::WriteFile { secret: true, .. })
    }

    /// Whether a certificate must be issued before it can be taken.
    pub const fn awaits_certificate(&self) -> bool {
        matches!(self.change.operation, Operation::InstallCertificate { .. })
    }

    /// Whether its process runs something else than what is on disk already, whatever this plan changes.
    pub fn stale_now(&self) -> Option<&Stale> {
        match &self.change.reason {
            Reason::Stale(Stale::Pending(_)) => None,
            Reason::Stale(stale) => Some(stale),
            _ => None,
        }
    }
}

impl HostPlan {
    /// A host of which nothing is known yet.
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            steps: Vec::new(),
            same: Vec::new(),
            notes: Vec::new(),
            refusals: Vec::new(),
            running: false,
        }
    }

    /// Whether the host gets a secret.
    pub fn gets_secret(&self) -> bool {
        self.steps.iter().any(Step::gives_secret)
    }

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
        let essence = |host: &HostPlan| -> Vec<(String, Action, Operation)> {
            let essence =
                |step: &Step| (step.name(), step.change.action, step.change.operation.essence());
            host.steps.iter().map(essence).collect()
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
