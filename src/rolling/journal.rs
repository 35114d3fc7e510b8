//! The run file of a roll: one JSON line per step, so that another run can go on where this one ended.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::rolling::gate::Target;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "lowercase")]
pub enum Entry {
    Begin {
        ensemble: String,
        targets: Vec<Target>,
        /// They are the hosts' brokers, not the coordinators.
        #[serde(default)]
        brokers: bool,
        /// Brokers whose turn comes when these members are done.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        then: Vec<Target>,
    },
    /// The member is about to be restarted.
    Restart { host: String },
    /// It is back, and has stayed so.
    Back { host: String },
    /// All targets are done.
    Finished,
    /// The brokers that were to follow have a run of their own.
    Handed { run: String },
}

/// What a run has left to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub members: Vec<Target>,
    pub brokers: Vec<Target>,
}

/// An open run file.
#[derive(Debug)]
pub struct Journal {
    pub run: String,
    /// It is of a roll of brokers.
    pub of_brokers: bool,
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Begins the file of a run through members, `then` of brokers.
    pub fn members(ensemble: &str, members: &[Target], then: &[Target]) -> Result<Self, Failure> {
        Self::begin(ensemble, members, false, then)
    }

    /// Begins the file of a run through brokers.
    pub fn brokers(ensemble: &str, brokers: &[Target]) -> Result<Self, Failure> {
        Self::begin(ensemble, brokers, true, &[])
    }

    fn begin(
        ensemble: &str,
        targets: &[Target],
        brokers: bool,
        then: &[Target],
    ) -> Result<Self, Failure> {
        let seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let what = if brokers { "-brokers" } else { "" };
        let run = format!("{ensemble}{what}-{seconds}-{}", std::process::id());
        let mut journal = Self::open(run, brokers)?;
        let (targets, then) = (targets.to_vec(), then.to_vec());
        journal.write(&Entry::Begin { ensemble: ensemble.into(), targets, brokers, then })?;
        Ok(journal)
    }

    /// Opens the file of an earlier run, and gives what it has not finished.
    pub fn resume(run: &str, ensemble: &str) -> Result<(Self, Left), Failure> {
        let path = folder()?.join(format!("{run}.jsonl"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "there is no run `{run}`: cannot read {}: {error}",
                path.display()
            ))
            .hint("a stopped roll prints its name")
        })?;
        let (left, of_brokers) = unfinished(&text, ensemble)
            .map_err(|why| Failure::usage(format!("run `{run}`: {why}")))?;
        Ok((Self::open(run.to_owned(), of_brokers)?, left))
    }

    fn open(run: String, of_brokers: bool) -> Result<Self, Failure> {
        let folder = folder()?;
        let path = folder.join(format!("{run}.jsonl"));
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write the run file {}: {error}", path.display()))
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        Ok(Self { run, of_brokers, file, path })
    }

    /// On disk before what it tells of goes on.
    pub fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(|error| {
            Failure::failed(format!("cannot write the run file {}: {error}", self.path.display()))
        })
    }
}

/// What a run file leaves to be done, and whether the run is one of brokers.
fn unfinished(text: &str, ensemble: &str) -> Result<(Left, bool), String> {
    let (mut left, mut following, mut of_brokers) = (Vec::new(), Vec::new(), false);
    let mut finished = false;
    for line in text.lines() {
        // A run that was killed may have left half a line: what it tells of was not begun.
        let Ok(entry) = serde_json::from_str(line) else { continue };
        match entry {
            Entry::Begin { ensemble: of, targets, brokers, then } => {
                if of != ensemble {
                    return Err(format!("it is of ensemble `{of}`, not `{ensemble}`"));
                }
                (left, following, of_brokers) = (targets, then, brokers);
            }
            Entry::Restart { .. } => {}
            Entry::Back { host } => left.retain(|target| target.host != host),
            Entry::Finished => finished = true,
            Entry::Handed { run } => {
                return Err(format!("its members are done, its brokers have the run `{run}`"));
            }
        }
    }
    if finished && following.is_empty() {
        return Err("it came to its end".into());
    }
    let left = if of_brokers {
        Left { members: following, brokers: left }
    } else {
        Left { members: left, brokers: following }
    };
    Ok((left, of_brokers))
}

/// `$XDG_STATE_HOME/zkprov/runs`, else under the home.
pub(crate) fn folder() -> Result<PathBuf, Failure> {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
        .map(|state| state.join("zkprov/runs"))
        .ok_or_else(|| Failure::failed("there is no home directory for the run file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_run_is_taken_up_where_it_was() {
        let begin = r#"{"entry":"begin","ensemble":"demo","targets":[{"host":"a","why":"x"},{"host":"b","why":"x"}]}"#;
        let back = r#"{"entry":"back","host":"a"}"#;
        let restart = r#"{"entry":"restart","host":"b"}"#;
        let killed = format!("{begin}\n{back}\n{restart}\n{{\"entry\":\"ba");
        let (left, of_brokers) = unfinished(&killed, "demo").expect("a run");
        assert!(!of_brokers && left.brokers.is_empty());
        let b = Target { host: "b".into(), why: "x".into() };
        assert_eq!(left.members, [b], "b may not be back");
        assert!(unfinished(&killed, "other").is_err());
        assert!(unfinished(&format!("{killed}\n{{\"entry\":\"finished\"}}\n"), "demo").is_err());
    }

    #[test]
    fn brokers_that_were_to_follow_are_not_forgotten() {
        let begin = r#"{"entry":"begin","ensemble":"demo","targets":[{"host":"a","why":"x"}],"then":[{"host":"c","why":"y"}]}"#;
        let c = [Target { host: "c".into(), why: "y".into() }];
        let (left, _) = unfinished(begin, "demo").expect("a run");
        assert_eq!((left.members.len(), &left.brokers[..]), (1, &c[..]));
        let between =
            format!("{begin}\n{{\"entry\":\"back\",\"host\":\"a\"}}\n{{\"entry\":\"finished\"}}");
        let (left, _) = unfinished(&between, "demo").expect("a run");
        assert_eq!((left.members.len(), &left.brokers[..]), (0, &c[..]));
        let handed = format!("{between}\n{{\"entry\":\"handed\",\"run\":\"demo-brokers-1\"}}");
        assert!(unfinished(&handed, "demo").expect_err("another run").contains("demo-brokers-1"));
    }
}
