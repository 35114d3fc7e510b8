//! What a run does about TLS and logins: what this machine has for it, the step that servers take in this run,
//! and what stands against it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::artifacts::kept::Kept;
use crate::artifacts::security::SecurityFiles;
use crate::failure::Failure;
use crate::inventory::{Host, Inventory};
use crate::layout::{LOGIN_FILE, TRUST_STORE};
use crate::plan::transport::{self, Stage};
use crate::plan::{Plan, Refusal};
use crate::probe::Observed;

/// A certificate holds from so long before it is made.
const CLOCK_BEHIND_MS_MAX: i64 = 3_600_000;

#[derive(Debug, Default)]
pub struct Security {
    pub files: SecurityFiles,
    /// Of the newest probe of all hosts: what comes after it is judged by the same step.
    stage: Mutex<Option<Stage>>,
    /// What was made for this run has been kept: hosts are changed from now on.
    kept: AtomicBool,
}

impl Security {
    pub fn gather(inventory: &Inventory) -> Result<Self, Failure> {
        Ok(Self { files: SecurityFiles::gather(inventory)?, ..Self::default() })
    }

    /// Settles the step of this run by what stands on the hosts. A run that has begun to change them takes no
    /// second step, whatever else it rolls them for: clients must come to move in between.
    pub fn decide(&self, inventory: &Inventory, observed: &[(&Host, &Observed)]) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        *self.stage.lock().expect("no panic while held") =
            Some(transport::stage(inventory, observed));
    }

    /// Keeps what was made for this run, before any host gets it; gives the place of each file.
    pub fn keep(&self, inventory: &Inventory) -> Result<Vec<PathBuf>, Failure> {
        let paths = self.files.keep(inventory)?;
        self.kept.store(true, Ordering::Relaxed);
        Ok(paths)
    }

    /// The step of this run; `None` before any host was asked.
    pub fn stage(&self) -> Option<Stage> {
        *self.stage.lock().expect("no panic while held")
    }

    /// What is left for later runs.
    pub fn note(&self, inventory: &Inventory) -> Option<String> {
        self.stage()?.note(inventory)
    }

    /// Adds to a plan what only this machine and the hosts together tell; each with the least that its clock
    /// is off.
    pub fn judge(
        &self,
        inventory: &Inventory,
        answers: &[(&Host, &Observed, i64)],
        plan: &mut Plan,
    ) {
        if let (Some(note), Some(first)) = (self.note(inventory), plan.hosts.first_mut()) {
            first.notes.push(("security".into(), note));
        }
        for (host, observed, skew_ms) in answers {
            let refusals = self.refusals(inventory, observed, *skew_ms);
            if let Some(plan) = plan.hosts.iter_mut().find(|plan| plan.host == host.name) {
                plan.refusals.extend(refusals);
            }
        }
    }

    fn refusals(&self, inventory: &Inventory, observed: &Observed, skew_ms: i64) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let place = Kept::of(inventory).path("");
        let mut refuse = |resource: &str, cause: String, hint: String| {
            refusals.push(Refusal { resource: resource.into(), cause, hint });
        };
        // Another machine has set this ensemble up: nothing of it is taken away by this one.
        let fresh =
            |of_authority| !self.kept.load(Ordering::Relaxed) && self.files.is_fresh(of_authority);
        if fresh(true) && observed.path(TRUST_STORE).is_some() {
            refuse(
                "certificate",
                format!("{TRUST_STORE} names an authority whose key is not on this machine"),
                format!(
                    "bring {} from the machine that has it, or name the authority by `security: ca`; to begin anew, \
                     remove {TRUST_STORE} on all hosts while nothing runs there",
                    place.display()
                ),
            );
        }
        if fresh(false) && observed.path(LOGIN_FILE).is_some() {
            refuse(
                "certificate",
                format!("{LOGIN_FILE} has passwords that are not on this machine"),
                format!(
                    "bring {} from the machine that has them, or name files of your own under `security: users`",
                    place.display()
                ),
            );
        }
        if inventory.security.tls() && skew_ms < -CLOCK_BEHIND_MS_MAX {
            refuse(
                "clock",
                format!(
                    "its clock is {} s behind this machine's: a certificate that is issued now would not hold there",
                    -skew_ms / 1000
                ),
                "set the clock, and let it be kept: `timedatectl set-ntp true`".into(),
            );
        }
        refusals
    }
}
