//! The coordinator's binary, under a name that carries its digest.

use std::path::PathBuf;

use crate::plan::change::{Action, Change, Difference};
use crate::plan::operation::{Carried, Operation};
use crate::plan::reason::{FoundBinary, Reason};
use crate::probe::{Kind, Observed};

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
        let (action, found) = match (observed.path(&self.path), observed.digest(self.link())) {
            (Some(there), Some(digest))
                if linked(observed, self.link()).as_deref() == Some(self.path.as_str()) =>
            {
                if digest != self.sha256 {
                    (Action::Update, FoundBinary::Damaged { sha256: digest.to_owned() })
                } else if (there.mode.as_str(), there.owner.as_str()) != ("755", "root") {
                    let found = FoundBinary::Access {
                        owner: there.owner.clone(),
                        mode: there.mode.clone(),
                    };
                    (Action::Update, found)
                } else {
                    return Difference::Same;
                }
            }
            _ => (Action::Create, FoundBinary::Nothing),
        };
        let operation = Operation::InstallBinary {
            path: self.path.clone(),
            sha256: self.sha256.clone(),
            source: Carried { path: self.source.clone(), bytes: self.bytes },
        };
        let reason = Reason::Binary { found, bytes: self.bytes };
        Difference::change(Change::new(action, reason, operation))
    }

    /// The name by which it is run: its own, without the digest.
    fn link(&self) -> &str {
        self.path.rsplit_once('-').map_or(self.path.as_str(), |(link, _)| link)
    }
}

/// Where a link of the binaries' folder leads.
fn linked(observed: &Observed, link: &str) -> Option<String> {
    let folder = link.rsplit_once('/')?.0;
    match &observed.path(link)?.kind {
        Kind::Symlink(target) if target.starts_with('/') => Some(target.clone()),
        Kind::Symlink(target) => Some(format!("{folder}/{target}")),
        _ => None,
    }
}

/// Binaries of earlier releases. The one before this one stays, to go back to; older ones go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBinaries {
    /// Path of the one that is wanted now.
    pub wanted: String,
    /// The name by which it is run.
    pub link: String,
}

impl OldBinaries {
    pub fn differ(&self, observed: &Observed) -> Difference {
        let prefix = format!("{}-", self.link);
        let digest = |path: &str| {
            let name = path.strip_prefix(&prefix).unwrap_or_default();
            name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut others: Vec<_> = observed
            .paths_below(&prefix)
            .filter(|(path, there)| {
                *path != self.wanted && there.kind == Kind::File && digest(path)
            })
            .collect();
        // The previous one is what the link leads to while it is not the wanted one, else the youngest.
        let current = linked(observed, &self.link);
        let exe = observed.text("exe");
        let exe = exe.trim();
        others.sort_by_key(|(path, there)| {
            let in_use = current.as_deref() == Some(*path) || exe == *path;
            std::cmp::Reverse((in_use, there.changed_s))
        });
        let older: Vec<String> = others
            .iter()
            .skip(1)
            .filter(|(path, _)| exe != *path)
            .map(|(path, _)| (*path).to_owned())
            .collect();
        if older.is_empty() {
            return Difference::Same;
        }
        let name = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
        let reason = Reason::OldBinaries(older.iter().map(name).collect());
        let operation = Operation::RemoveBinaries { paths: older };
        Difference::change(Change::new(Action::Delete, reason, operation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "/usr/local/lib/zkprov/coordinator";

    fn path(digit: char) -> String {
        format!("{LINK}-{}", digit.to_string().repeat(16))
    }

    /// What is deleted when `wanted` is to run, the link leads to `current`, and these are there, the
    /// first one the oldest.
    fn deleted(wanted: char, current: char, there: &str) -> Vec<String> {
        let target = path(current);
        let mut lines = vec![
            format!("symbolic link|root|root|777|1|1|{LINK} -> {target}"),
            format!("regular file|root|root|755|9|1|{LINK}-mine"),
        ];
        lines.extend(there.chars().enumerate().map(|(age, digit)| {
            format!("regular file|root|root|755|9|{}|{}", age + 1, path(digit))
        }));
        let paths = lines.join("\n");
        let observed = Observed::of([("paths", paths.as_str()), ("exe", target.as_str())]);
        let old = OldBinaries { wanted: path(wanted), link: LINK.into() };
        match old.differ(&observed) {
            Difference::Same => Vec::new(),
            Difference::Changes(changes) => match &changes[0].operation {
                Operation::RemoveBinaries { paths } => paths.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_binary_and_the_one_before_it_stay() {
        assert!(deleted('a', 'a', "a").is_empty());
        assert!(deleted('a', 'a', "ba").is_empty());
        assert_eq!(deleted('a', 'a', "cba"), [path('c')]);
        assert!(deleted('d', 'a', "a").is_empty(), "what runs is the one before");
        assert_eq!(deleted('d', 'a', "abc"), [path('c'), path('b')], "although it is the oldest");
    }

    #[test]
    fn a_binary_is_read_through_its_link() {
        let binary = Binary {
            path: path('a'),
            source: "coordinator".into(),
            sha256: "a".repeat(64),
            bytes: 1,
        };
        let differ = |mode: &str, target: char, digest: &str| {
            let paths = format!(
                "symbolic link|root|root|777|1|1|{LINK} -> coordinator-{}\nregular file|root|root|{mode}|9|1|{}\n",
                target.to_string().repeat(16),
                path('a')
            );
            let digests = format!("{digest}  {LINK}\n");
            let observed = Observed::of([("paths", paths.as_str()), ("digests", digests.as_str())]);
            match binary.differ(&observed) {
                Difference::Same => "same".to_owned(),
                Difference::Changes(changes) => changes[0].reason.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(differ("755", 'a', &"a".repeat(64)), "same");
        assert!(differ("755", 'a', &"b".repeat(64)).starts_with("damaged"));
        assert!(differ("777", 'a', &"a".repeat(64)).starts_with("root 777"));
        assert!(differ("755", 'b', &"b".repeat(64)).starts_with("missing"));
    }
}
