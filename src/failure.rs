//! What went wrong, for the person who has to fix it: where, in which step, why, and what to do.

use std::fmt;

use crate::exit::Exit;

/// One failure as a person reads it, with the exit code it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends because of this.
    pub exit: Exit,
    /// The host it happened on; `None` on the controller.
    pub host: Option<String>,
    /// The step that failed, in the words of the plan.
    pub step: Option<String>,
    /// What happened, with the value it happened to. No final period.
    pub cause: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, cause: impl Into<String>) -> Self {
        Self { exit, host: None, step: None, cause: cause.into(), hint: None }
    }

    /// A step that failed ([`Exit::Failed`]).
    pub fn failed(cause: impl Into<String>) -> Self {
        Self::new(Exit::Failed, cause)
    }

    /// Wrong inventory or usage ([`Exit::Usage`]).
    pub fn usage(cause: impl Into<String>) -> Self {
        Self::new(Exit::Usage, cause)
    }

    /// A safety gate's refusal ([`Exit::Refused`]).
    pub fn refused(cause: impl Into<String>) -> Self {
        Self::new(Exit::Refused, cause)
    }

    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.step = Some(step.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if let Some(host) = &self.host {
            write!(f, "{host}: ")?;
        }
        if let Some(step) = &self.step {
            write!(f, "{step}: ")?;
        }
        f.write_str(&self.cause)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
