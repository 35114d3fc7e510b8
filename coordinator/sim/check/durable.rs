//! Acknowledged writes survive and are applied once; reads show the state of their zxid.
//!
//! Each write carries a token of its own. Per path: a read at zxid Z that shows a change of zxid M
//! says that there was no write in between, and whatever is found must have been written.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;

/// A write as its client asked for it, unique in the run.
pub type Token = String;

/// What a path looked like.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Absent,
    There { czxid: i64, mzxid: i64, version: i32, token: Option<Token> },
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Create(Token),
    Set(Token, i32),
    Delete,
}

#[derive(Default)]
struct Path {
    answered: BTreeMap<i64, Change>,
    reads: Vec<(i64, Seen, String)>,
    /// Tokens that may have been written here.
    tried: BTreeSet<Token>,
    refused: BTreeSet<Token>,
    /// (czxid, version) of each token seen: a second one means that it was applied twice.
    versions: BTreeMap<Token, (i64, i32)>,
}

/// Names of sequential children under one parent.
#[derive(Default)]
struct Sequence {
    /// Suffix to the token that got it, ever.
    suffixes: BTreeMap<i32, Token>,
    /// Token to the name that was answered, and the zxid.
    answered: BTreeMap<Token, (String, i64)>,
    /// Names whose deletion was asked for.
    deletion_tried: BTreeSet<String>,
    deleted: BTreeSet<String>,
    tried: BTreeSet<Token>,
}

#[derive(Default)]
pub struct History {
    paths: BTreeMap<String, Path>,
    sequences: BTreeMap<String, Sequence>,
    pub writes: u64,
    pub reads: u64,
    /// Sequential names with a number behind the highest one.
    pub wrapped: u64,
}

impl History {
    pub fn try_write(&mut self, path: &str, token: &str) {
        self.paths.entry(path.to_owned()).or_default().tried.insert(token.to_owned());
    }

    /// The server said no: the token must never be seen.
    pub fn refused(&mut self, path: &str, token: &str) {
        self.paths.entry(path.to_owned()).or_default().refused.insert(token.to_owned());
    }

    pub fn created(&mut self, path: &str, token: &str, zxid: i64) -> Verdict {
        self.answered(path, zxid, Change::Create(token.to_owned()))
    }

    pub fn set(&mut self, path: &str, token: &str, zxid: i64, version: i32) -> Verdict {
        self.answered(path, zxid, Change::Set(token.to_owned(), version))
    }

    pub fn deleted(&mut self, path: &str, zxid: i64) -> Verdict {
        self.answered(path, zxid, Change::Delete)
    }

    fn answered(&mut self, path: &str, zxid: i64, change: Change) -> Verdict {
        self.writes += 1;
        let known = self.paths.entry(path.to_owned()).or_default();
        match known.answered.insert(zxid, change) {
            None => Ok(()),
            Some(_) => Err(format!("two answered writes to {path} have zxid {zxid:#x}")),
        }
    }

    pub fn read(&mut self, path: &str, at_zxid: i64, seen: Seen, who: &str) -> Verdict {
        self.reads += 1;
        let known = self.paths.entry(path.to_owned()).or_default();
        if let Seen::There { czxid, mzxid, version, token } = &seen {
            if *mzxid > at_zxid {
                return Err(format!(
                    "{who} read {path} at {at_zxid:#x} and saw a change of {mzxid:#x}"
                ));
            }
            if let Some(token) = token {
                if !known.tried.contains(token) {
                    return Err(format!("{who} read `{token}` in {path}, which nobody wrote"));
                }
                if known.refused.contains(token) {
                    return Err(format!(
                        "{who} read `{token}` in {path}, but that write was refused"
                    ));
                }
                let place = (*czxid, *version);
                let &mut first = known.versions.entry(token.clone()).or_insert(place);
                if first != place {
                    return Err(format!(
                        "`{token}` is in {path} as version {} of {:#x} and as version {version} of {czxid:#x}: \
                         applied twice",
                        first.1, first.0
                    ));
                }
            }
        }
        known.reads.push((at_zxid, seen, who.to_owned()));
        Ok(())
    }

    // ---- sequential names ----

    pub fn try_sequential(&mut self, parent: &str, token: &str) {
        self.sequences.entry(parent.to_owned()).or_default().tried.insert(token.to_owned());
    }

    pub fn sequential_created(
        &mut self,
        parent: &str,
        token: &str,
        name: &str,
        zxid: i64,
    ) -> Verdict {
        self.writes += 1;
        self.wrapped += u64::from(split(name).is_some_and(|(_, number)| number < 0));
        let sequence = self.sequences.entry(parent.to_owned()).or_default();
        sequence.answered.insert(token.to_owned(), (name.to_owned(), zxid));
        sequence.see(name)
    }

    pub fn try_delete_sequential(&mut self, parent: &str, name: &str) {
        self.sequences.entry(parent.to_owned()).or_default().deletion_tried.insert(name.to_owned());
    }

    pub fn sequential_deleted(&mut self, parent: &str, name: &str) {
        self.sequences.entry(parent.to_owned()).or_default().deleted.insert(name.to_owned());
    }

    /// `children` are all children of `parent` that somebody saw at a zxid.
    pub fn listed(&mut self, parent: &str, children: &[String], at: i64) -> Verdict {
        self.reads += 1;
        let sequence = self.sequences.entry(parent.to_owned()).or_default();
        for (token, (name, zxid)) in &sequence.answered {
            if *zxid <= at && !sequence.deletion_tried.contains(name) && !children.contains(name) {
                return Err(format!(
                    "{parent}/{name} of `{token}` was acknowledged at {zxid:#x} and is not there at {at:#x}"
                ));
            }
        }
        let mut tokens = BTreeSet::new();
        for name in children {
            sequence.see(name)?;
            let (token, _) = split(name).ok_or_else(|| format!("{parent} has a child `{name}`"))?;
            if !tokens.insert(token.to_owned()) {
                return Err(format!(
                    "{parent} has two children of `{token}`: it was applied twice"
                ));
            }
        }
        Ok(())
    }

    // ---- at the end ----

    /// `look` shows the final state, that every server has.
    pub fn settle(
        &mut self,
        final_zxid: i64,
        mut look: impl FnMut(&str) -> Seen,
        mut children: impl FnMut(&str) -> Vec<String>,
    ) -> Verdict {
        let paths: Vec<String> = self.paths.keys().cloned().collect();
        for path in paths {
            let seen = look(&path);
            self.read(&path, final_zxid, seen, "the final state")?;
            let known = &self.paths[&path];
            for (at, seen, who) in &known.reads {
                known
                    .agrees(*at, seen)
                    .map_err(|e| format!("{who} read {path} at {at:#x}: {e}"))?;
            }
        }
        let parents: Vec<String> = self.sequences.keys().cloned().collect();
        for parent in parents {
            let found = children(&parent);
            self.listed(&parent, &found, final_zxid)?;
            if let Some(name) = found.iter().find(|n| self.sequences[&parent].deleted.contains(*n))
            {
                return Err(format!("{parent}/{name} was deleted and is there"));
            }
        }
        Ok(())
    }
}

impl Path {
    /// Whether a read is what the answered writes make it.
    fn agrees(&self, at: i64, seen: &Seen) -> Verdict {
        match seen {
            Seen::There { mzxid, version, token, .. } => {
                if let Some((zxid, change)) = self.between(*mzxid, at) {
                    return Err(format!(
                        "shows {mzxid:#x}, but {change:?} of {zxid:#x} was acknowledged"
                    ));
                }
                let expected = match self.answered.get(mzxid) {
                    None => return Ok(()),
                    Some(Change::Create(token)) => (0, token),
                    Some(Change::Set(token, version)) => (*version, token),
                    Some(Change::Delete) => return Err(format!("{mzxid:#x} deleted it")),
                };
                let same = expected.0 == *version && token.as_ref().is_none_or(|t| t == expected.1);
                if same {
                    Ok(())
                } else {
                    Err(format!("shows {seen:?}, but {expected:?} was acknowledged"))
                }
            }
            Seen::Absent => match self.answered.range(..=at).next_back() {
                // Somebody's unanswered delete may have come after it: the caller deletes only
                // paths named so.
                Some((zxid, change)) if *change != Change::Delete && !self.deletable() => {
                    Err(format!("absent, but {change:?} of {zxid:#x} was acknowledged"))
                }
                _ => Ok(()),
            },
        }
    }

    /// An answered change after `mzxid` up to `at`.
    fn between(&self, mzxid: i64, at: i64) -> Option<(&i64, &Change)> {
        self.answered.range(mzxid..=at).find(|(zxid, _)| **zxid > mzxid)
    }

    fn deletable(&self) -> bool {
        self.tried.contains(DELETE)
    }
}

/// The token that stands for "somebody has tried to delete this".
pub const DELETE: &str = "delete";

impl Sequence {
    fn see(&mut self, name: &str) -> Verdict {
        let Some((token, suffix)) = split(name) else {
            return Err(format!("a sequential child is called `{name}`"));
        };
        if !self.tried.contains(token) {
            return Err(format!("nobody created `{name}`"));
        }
        let first = self.suffixes.entry(suffix).or_insert_with(|| token.to_owned());
        if first == token {
            return Ok(());
        }
        Err(format!("number {suffix} was given to `{first}` and to `{token}`"))
    }
}

/// Token and number of a sequential name; ten digits, and a sign behind 2147483647.
fn split(name: &str) -> Option<(&str, i32)> {
    let (before, digits) = name.rsplit_once('-')?;
    let negative = before.ends_with('-');
    let token = before.strip_suffix('-').unwrap_or(before);
    let number: i64 = digits.parse().ok().filter(|_| digits.len() >= 9)?;
    Some((token, i32::try_from(if negative { -number } else { number }).ok()?))
}
