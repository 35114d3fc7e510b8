//! A file whose whole content is known: rendered templates, and `myid`.

use super::{Action, Change, Difference, Phase};
use crate::probe::{Kind, Observed, Reading};

pub(super) const SHELL: &str = include_str!("file.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub owner: String,
    pub group: String,
    /// Octal, without leading zero, as `stat` prints it.
    pub mode: String,
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
        let wanted = format!("{}:{} {}", self.owner, self.group, self.mode);
        let write = |action, why: String, old: &str| {
            let size = self.content.len().to_string();
            let mut change = Change::new(
                action,
                why,
                "do_file",
                [&self.path, &self.owner, &self.group, &self.mode, &size, &self.content],
            );
            change.secret = self.rule == Rule::Secret;
            if !change.secret {
                change.diff = Some(crate::plan::show::unified(&self.path, old, &self.content));
            }
            Difference::change(change)
        };
        let Some(there) = there else {
            return write(Action::Create, format!("missing; {wanted}"), "");
        };
        let found = format!("{}:{} {}", there.owner, there.group, there.mode);
        if self.rule == Rule::Secret {
            let digest = crate::probe::sha256(self.content.as_bytes());
            if observed.digest(&self.path) != Some(digest.as_str()) {
                return write(Action::Update, "content differs (secret)".into(), "");
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
        write(Action::Update, format!("{found} -> {wanted}"), &self.content)
    }
}

/// How much differs, in a few words.
fn changed_lines(old: &str, new: &str) -> String {
    let only = |a: &str, b: &str| {
        let b: Vec<&str> = b.lines().collect();
        a.lines().filter(|line| !b.contains(line)).count()
    };
    match (only(new, old), only(old, new)) {
        (0, 0) => "order or blanks differ".into(),
        (added, removed) => format!("+{added} -{removed} lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn myid(on_host: &str) -> Difference {
        let file = File {
            path: "/data/myid".into(),
            owner: "kafka".into(),
            group: "kafka".into(),
            mode: "644".into(),
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
