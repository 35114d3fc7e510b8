//! The exit codes: one enum, shown in the help text and in the README.

use std::fmt::Write as _;
use std::process::ExitCode;

/// How a run ended, as scripts and CI see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// A step failed.
    Failed = 1,
    /// Only with `--detailed-exitcode`: changes are pending, or were made.
    Changes = 2,
    /// The inventory or the command line is wrong; nothing was touched.
    Usage = 3,
    /// A safety gate refused, or stopped the run.
    Refused = 4,
    /// Some host could not be reached.
    Unreachable = 5,
    /// A step failed and the host was put back to what it ran before.
    RolledBack = 6,
    /// A step failed and putting the host back failed too.
    RollbackFailed = 7,
}

impl Exit {
    /// All codes, in order.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Changes,
        Self::Usage,
        Self::Refused,
        Self::Unreachable,
        Self::RolledBack,
        Self::RollbackFailed,
    ];

    /// The number the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the code means, in a few words for a table.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "a step failed",
            Self::Changes => "with --detailed-exitcode: changes pending, or made",
            Self::Usage => "wrong inventory or usage; nothing was touched",
            Self::Refused => "refused or stopped by a safety gate",
            Self::Unreachable => "hosts could not be reached",
            Self::RolledBack => "failed, and rolled back",
            Self::RollbackFailed => "failed, and the rollback failed too",
        }
    }

    /// The table under `zkprov --help`.
    pub fn table() -> String {
        let mut table = String::from("Exit codes:\n");
        for exit in Self::ALL {
            let _ = writeln!(table, "  {}  {}", exit.code(), exit.meaning());
        }
        table
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
