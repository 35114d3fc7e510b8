//! A symbolic link. What stands in its place and is none is moved aside, as a step that is shown.

use crate::plan::change::{Action, Change, Difference, Phase};
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::plan::subject::Subject;
use crate::probe::{Kind, Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    pub path: String,
    pub target: String,
    pub phase: Phase,
    /// The resource it lives in: when that is made anew, nothing of what was read here holds.
    pub inside: Option<Subject>,
    /// Made where and when the archive is.
    pub with_archive: bool,
}

impl Symlink {
    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path);
        reading.path(&super::archive::aside(&self.path));
    }

    pub fn differ(&self, observed: &Observed, changed: &[Subject]) -> Difference {
        let aside = super::archive::aside(&self.path);
        let make = |action, reason, aside: Option<&String>| {
            let operation = Operation::MakeSymlink {
                path: self.path.clone(),
                target: self.target.clone(),
                aside: aside.cloned(),
            };
            Difference::change(Change::new(action, reason, operation))
        };
        let target = self.target.clone();
        let renewed = self.inside.as_ref().is_some_and(|subject| changed.contains(subject));
        match observed.path(&self.path).map(|there| &there.kind).filter(|_| !renewed) {
            // The archive may bring a file there first: where it is to be kept is said in any case.
            None => make(Action::Create, Reason::LinkMissing { target }, Some(&aside)),
            Some(Kind::Symlink(found)) if *found == self.target => Difference::Same,
            Some(Kind::Symlink(found)) => {
                make(Action::Update, Reason::LinkTarget { found: found.clone(), target }, None)
            }
            Some(_) if observed.path(&aside).is_some() => Difference::refused(
                format!("{} is no symlink, and {aside} exists already", self.path),
                "zkprov would keep what is there under that name; move one of them away",
            ),
            Some(kind) => {
                let directory = *kind == Kind::Directory;
                let reason = Reason::InTheWay { directory, aside: aside.clone(), target };
                make(Action::Update, reason, Some(&aside))
            }
        }
    }
}
