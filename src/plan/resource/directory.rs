//! A directory with owner and mode.

use super::{Action, Change, Difference};
use crate::probe::{Kind, Observed, Reading};

pub(super) const SHELL: &str = include_str!("directory.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: String,
    pub owner: String,
    pub group: String,
    /// Octal, without leading zero, as `stat` prints it.
    pub mode: String,
}

impl Directory {
    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let arguments = [&self.path, &self.owner, &self.group, &self.mode];
        let wanted = format!("{}:{} {}", self.owner, self.group, self.mode);
        let Some(there) = observed.path(&self.path) else {
            let why = format!("missing; {wanted}");
            return Difference::change(Change::new(Action::Create, why, "do_directory", arguments));
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
        let found = format!("{}:{} {}", there.owner, there.group, there.mode);
        if found == wanted {
            return Difference::Same;
        }
        let why = format!("{found} -> {wanted}");
        Difference::change(Change::new(Action::Update, why, "do_directory", arguments))
    }
}
