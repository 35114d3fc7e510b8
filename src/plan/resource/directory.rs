//! A directory with owner and mode.

use crate::plan::change::{Action, Change, Difference};
use crate::plan::operation::{Access, Operation};
use crate::plan::reason::Reason;
use crate::probe::{Kind, Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: String,
    pub access: Access,
}

impl Directory {
    /// A directory of the service's own.
    pub fn owned(path: &str, account: &str) -> Self {
        Self { path: path.into(), access: Access::new(account, account, "750") }
    }

    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let wanted = self.access.clone();
        let operation =
            Operation::MakeDirectory { path: self.path.clone(), access: wanted.clone() };
        let Some(there) = observed.path(&self.path) else {
            let reason = Reason::Missing { wanted };
            return Difference::change(Change::new(Action::Create, reason, operation));
        };
        match &there.kind {
            Kind::Directory => {}
            Kind::Symlink(target) => {
                return Difference::refused(
                    format!("{} is a symlink to {target}, and should be a directory", self.path),
                    format!(
                        "remove the link; where the path is the inventory's, it may name {target} itself"
                    ),
                );
            }
            Kind::File | Kind::Other => {
                return Difference::refused(
                    format!("{} is not a directory", self.path),
                    "move it away, or choose another path in the inventory",
                );
            }
        }
        let found = Access::new(&there.owner, &there.group, &there.mode);
        if found == wanted {
            return Difference::Same;
        }
        let reason = Reason::Access { found, wanted };
        Difference::change(Change::new(Action::Update, reason, operation))
    }
}
