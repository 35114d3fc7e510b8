//! The coordinator's binary, under a name that carries its digest.

use std::path::PathBuf;

use super::{Action, Carried, Change, Difference};
use crate::probe::Observed;

pub(super) const SHELL: &str = include_str!("binary.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// On the host.
    pub path: String,
    /// On the controller.
    pub source: PathBuf,
    pub sha256: String,
    pub bytes: u64,
}

impl Binary {
    /// Read through the link by which it is run, since its own name depends on an architecture that
    /// only the answer tells.
    pub fn differ(&self, observed: &Observed) -> Difference {
        let text = observed.text("binary");
        let mut words = text.split_whitespace();
        let (action, why) = match [words.next(), words.next(), words.next(), words.next()] {
            [Some("755"), Some("root"), Some(digest), Some(path)]
                if digest == self.sha256 && path == self.path =>
            {
                return Difference::Same;
            }
            [Some(_), Some(_), Some(digest), Some(path)] if path == self.path => {
                (Action::Update, format!("damaged: its digest is {digest}"))
            }
            _ => (Action::Create, "missing".to_owned()),
        };
        let why = format!("{why}; {:.1} MB", self.bytes as f64 / 1e6);
        let mut change = Change::new(
            action,
            why,
            "do_binary",
            [self.path.clone(), self.sha256.clone(), self.bytes.to_string()],
        );
        change.carried = Some(Carried { path: self.source.clone(), bytes: self.bytes });
        Difference::change(change)
    }
}
