//! A symbolic link. What stands in its place and is none is moved aside, as a step that is shown.

use super::{Action, Change, Difference, Phase};
use crate::probe::{Kind, Observed, Reading};

pub(super) const SHELL: &str = include_str!("symlink.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symlink {
    pub path: String,
    pub target: String,
    pub phase: Phase,
    /// The resource it lives in: when that is made anew, nothing of what was read here holds.
    pub inside: Option<String>,
    /// Made where and when the archive is.
    pub with_archive: bool,
}

impl Symlink {
    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path);
        reading.path(&super::archive::aside(&self.path));
    }

    pub fn differ(&self, observed: &Observed, changed: &[String]) -> Difference {
        let aside = super::archive::aside(&self.path);
        let call = |action, why: String, aside: &str| {
            Difference::change(Change::new(
                action,
                why,
                "do_symlink",
                [self.path.as_str(), self.target.as_str(), aside],
            ))
        };
        let renewed = self.inside.as_ref().is_some_and(|name| changed.contains(name));
        match observed.path(&self.path).map(|there| &there.kind).filter(|_| !renewed) {
            // The archive may bring a file there first: where it is to be kept is said in any case.
            None => call(Action::Create, format!("missing; -> {}", self.target), &aside),
            Some(Kind::Symlink(target)) if *target == self.target => Difference::Same,
            Some(Kind::Symlink(target)) => {
                call(Action::Update, format!("{target} -> {}", self.target), "")
            }
            Some(_) if observed.path(&aside).is_some() => Difference::refused(
                format!("{} is no symlink, and {aside} exists already", self.path),
                "zkprov would keep what is there under that name; move one of them away",
            ),
            Some(kind) => {
                let what = if *kind == Kind::Directory { "a directory" } else { "a file" };
                let why = format!("is {what}: kept as {aside}; -> {}", self.target);
                call(Action::Update, why, &aside)
            }
        }
    }
}
