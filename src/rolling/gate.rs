//! What rolls of members and of brokers have in common: the gate before a turn, the way back of a
//! process that was restarted, and what the driver is to do next. Pure.

use serde::{Deserialize, Serialize};

/// Automatic restarts after which a member is not waited for any longer.
pub(super) const CRASHES_MAX: u32 = 3;
/// Pauses between two looks at an ensemble that has to become well first.
pub(super) const PAUSE_MS: u64 = 250;
const PAUSE_MS_MAX: u64 = 5_000;

/// One roll: the newest view and the time in, what to do next out.
pub trait Machine {
    /// What it decides by.
    type View;

    /// The reasons why this roll must not begin; none is good.
    fn preflight(&self, view: &Self::View) -> Vec<String>;
    /// What to do now.
    fn next(&mut self, view: &Self::View, now_ms: u64) -> Next;
    /// The process on `host` was restarted, seen from `before`.
    fn restarted(&mut self, host: &str, before: &Self::View, now_ms: u64);
    /// The leader was asked to hand over. Whether it did is seen in the next view; that it is not asked
    /// again is what matters.
    fn transferred(&mut self) {}
    /// Those whose turn has not come.
    fn pending(&self) -> &[Target];
}

/// What the driver shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look again after this long; why, for whoever watches.
    Wait { pause_ms: u64, why: String },
    /// Ask the leader to hand over; tell [`Machine::transferred`] how it went.
    Transfer { host: String },
    /// Restart this member, then tell [`Machine::restarted`].
    Restart { host: String, why: String },
    /// The member is back: for the journal. Ask again. One `alone` runs, and cannot serve before others do.
    Back { host: String, alone: bool },
    /// All are done.
    Finished,
    /// A gate did not open: nothing is wrong with what was done, and the rest is untouched.
    Refused { why: String },
    /// This member did not come back: the rest is untouched.
    Failed { host: String, why: String },
}

/// A member to be restarted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub host: String,
    pub why: String,
}

/// A gate before somebody's turn: since when it is closed, and the last pause between two looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    closed: Option<(u64, u64)>,
}

impl Gate {
    pub(super) fn open(&mut self) {
        self.closed = None;
    }

    /// Another look after a pause twice the last one, until the gate has been closed for too long.
    pub(super) fn wait(&mut self, timeout_ms: u64, now_ms: u64, why: String) -> Next {
        let (since, pause) = match self.closed {
            None => (now_ms, PAUSE_MS),
            Some((since, pause)) => (since, (pause * 2).min(PAUSE_MS_MAX)),
        };
        self.closed = Some((since, pause));
        if now_ms - since >= timeout_ms {
            return Next::Refused { why };
        }
        Next::Wait { pause_ms: pause, why }
    }
}

/// A process that was restarted, on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Restarted {
    pub(super) host: String,
    since_ms: u64,
    pub(super) old_pid: u32,
    well_since_ms: Option<u64>,
}

/// How a way back is watched.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "units stand in names")]
pub(super) struct Pace {
    /// How long it may take.
    pub(super) timeout_ms: u64,
    /// How long all must have stayed well at its end.
    pub(super) settle_ms: u64,
    /// Between two looks while something is lacking.
    pub(super) pause_ms: u64,
}

impl Restarted {
    pub(super) fn new(host: &str, old_pid: u32, now_ms: u64) -> Self {
        Self { host: host.to_owned(), since_ms: now_ms, old_pid, well_since_ms: None }
    }

    /// What the newest look means, by what is still `missing`; `back` says who is back.
    pub(super) fn judge(
        &mut self,
        missing: Option<String>,
        back: &str,
        pace: Pace,
        now_ms: u64,
    ) -> Next {
        let host = self.host.clone();
        let Some(why) = missing else {
            let since = *self.well_since_ms.get_or_insert(now_ms);
            if now_ms - since >= pace.settle_ms {
                return Next::Back { host, alone: false };
            }
            return Next::Wait {
                pause_ms: PAUSE_MS,
                why: format!("{back}; observing for {} s", pace.settle_ms / 1000),
            };
        };
        self.well_since_ms = None;
        if now_ms - self.since_ms >= pace.timeout_ms {
            let why = format!("not back within {} s: {why}", pace.timeout_ms / 1000);
            return Next::Failed { host, why };
        }
        Next::Wait { pause_ms: pace.pause_ms, why: format!("{host}: {why}") }
    }
}
