//! A file whose whole content is known: rendered templates, and `myid`.

use crate::plan::change::{Action, Change, Difference, Phase};
use crate::plan::diff::unified;
use crate::plan::operation::{Access, Operation};
use crate::plan::reason::Reason;
use crate::probe::{Kind, Observed, Reading};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub access: Access,
    pub content: String,
    pub phase: Phase,
    pub rule: Rule,
}

/// What holds for a file beyond its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    None,
    /// The identity of a data directory: once it says something, it is never changed.
    Once,
    /// Shown nowhere.
    Secret,
}

impl File {
    /// A file of root's that everybody may read.
    pub fn plain(path: &str, content: String, phase: Phase) -> Self {
        let access = Access::new("root", "root", "644");
        Self { path: path.into(), access, content, phase, rule: Rule::None }
    }

    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path);
        reading.path(&super::archive::aside(&self.path));
        if self.rule == Rule::Secret {
            reading.digest(&self.path);
        } else {
            reading.content(&self.path);
        }
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let there = observed.path(&self.path);
        match there.map(|there| &there.kind) {
            None | Some(Kind::File) => {}
            Some(Kind::Symlink(target)) => {
                return Difference::refused(
                    format!("{} is a symlink to {target}, and should be a file", self.path),
                    "zkprov would replace somebody's link; remove it, or manage the file yourself",
                );
            }
            Some(Kind::Directory | Kind::Other) => {
                return Difference::refused(
                    format!("{} is there and is no file", self.path),
                    "move it away",
                );
            }
        }
        let wanted = self.access.clone();
        let secret = self.rule == Rule::Secret;
        let write = |action, reason, old: &str| {
            let operation = Operation::WriteFile {
                path: self.path.clone(),
                access: self.access.clone(),
                content: self.content.clone(),
                secret,
                aside: None,
            };
            let diff = (!secret).then(|| unified(&self.path, old, &self.content));
            Difference::change(Change { action, reason, diff, operation })
        };
        let Some(there) = there else {
            return write(Action::Create, Reason::Missing { wanted }, "");
        };
        let found = Access::new(&there.owner, &there.group, &there.mode);
        if secret {
            let digest = crate::digest::sha256(self.content.as_bytes());
            if observed.digest(&self.path) != Some(digest.as_str()) {
                return write(Action::Update, Reason::Secret, "");
            }
        } else {
            let old = String::from_utf8_lossy(observed.content(&self.path).unwrap_or_default());
            if old != self.content.as_str() {
                if self.rule == Rule::Once && !old.trim().is_empty() {
                    if old.trim() == self.content.trim() {
                        return Difference::Same;
                    }
                    return Difference::refused(
                        format!(
                            "{} says {}, the inventory says {}",
                            self.path,
                            old.trim(),
                            self.content.trim()
                        ),
                        "the id belongs to the data beside it and is never changed; correct the \
                         inventory, or give the host an empty data directory",
                    );
                }
                return write(Action::Update, changed_lines(&old, &self.content), &old);
            }
        }
        if found == wanted {
            return Difference::Same;
        }
        // Written anew: what is changed by its name may have become another file by then.
        write(Action::Update, Reason::Access { found, wanted }, &self.content)
    }
}

/// How much differs.
fn changed_lines(old: &str, new: &str) -> Reason {
    let only = |a: &str, b: &str| {
        let b: Vec<&str> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).count()
    };
    Reason::Content { added: only(new, old), removed: only(old, new) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn myid(on_host: &str) -> Difference {
        let file = File {
            path: "/data/myid".into(),
            access: Access::new("kafka", "kafka", "644"),
            content: "2\n".into(),
            phase: Phase::Switch,
            rule: Rule::Once,
        };
        file.differ(&Observed::of([
            ("paths", "regular file|kafka|kafka|644|2|0|/data/myid"),
            ("content /data/myid", on_host),
        ]))
    }

    #[test]
    fn an_identity_is_written_once() {
        assert_eq!(myid("2\n"), Difference::Same);
        assert_eq!(myid("2"), Difference::Same, "ZooKeeper trims it, too");
        assert!(matches!(myid(" \n"), Difference::Changes(_)));
        let Difference::Refused { cause, .. } = myid("3\n") else { panic!("never changed") };
        assert_eq!(cause, "/data/myid says 3, the inventory says 2");
    }
}
