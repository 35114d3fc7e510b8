//! The run file of a roll: one JSON line per step, so that another run can go on where this one ended.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::roll::Target;

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
    },
    /// The member is about to be restarted.
    Restart { host: String },
    /// It is back, and has stayed so.
    Back { host: String },
    /// All are done; there is nothing to resume.
    Finished,
}

/// An open run file.
#[derive(Debug)]
pub struct Journal {
    pub run: String,
    /// It is of a roll of brokers.
    pub brokers: bool,
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Begins the file of a new run.
    pub fn begin(ensemble: &str, targets: &[Target], brokers: bool) -> Result<Self, Failure> {
        let seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let what = if brokers { "-brokers" } else { "" };
        let run = format!("{ensemble}{what}-{seconds}-{}", std::process::id());
        let mut journal = Self::open(run, brokers)?;
        let targets = targets.to_vec();
        journal.write(&Entry::Begin { ensemble: ensemble.into(), targets, brokers })?;
        Ok(journal)
    }

    /// Opens the file of an earlier run, and gives the targets that it has not finished.
    pub fn resume(run: &str, ensemble: &str) -> Result<(Self, Vec<Target>), Failure> {
        let path = folder()?.join(format!("{run}.jsonl"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "there is no run `{run}`: cannot read {}: {error}",
                path.display()
            ))
            .hint("a stopped roll prints its name")
        })?;
        let (left, brokers) = unfinished(&text, ensemble)
            .map_err(|why| Failure::usage(format!("run `{run}`: {why}")))?;
        Ok((Self::open(run.to_owned(), brokers)?, left))
    }

    fn open(run: String, brokers: bool) -> Result<Self, Failure> {
        let folder = folder()?;
        let path = folder.join(format!("{run}.jsonl"));
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write the run file {}: {error}", path.display()))
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        Ok(Self { run, brokers, file, path })
    }

    /// On disk before what it tells of goes on.
    pub fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(|error| {
            Failure::failed(format!("cannot write the run file {}: {error}", self.path.display()))
        })
    }
}

/// What a run file leaves to be done, and whether that is brokers.
fn unfinished(text: &str, ensemble: &str) -> Result<(Vec<Target>, bool), String> {
    let (mut left, mut of_brokers) = (Vec::new(), false);
    for line in text.lines() {
        // A run that was killed may have left half a line: what it tells of was not begun.
        let Ok(entry) = serde_json::from_str(line) else { continue };
        match entry {
            Entry::Begin { ensemble: of, targets, brokers } => {
                if of != ensemble {
                    return Err(format!("it is of ensemble `{of}`, not `{ensemble}`"));
                }
                (left, of_brokers) = (targets, brokers);
            }
            Entry::Restart { .. } => {}
            Entry::Back { host } => left.retain(|target| target.host != host),
            Entry::Finished => return Err("it came to its end".into()),
        }
    }
    Ok((left, of_brokers))
}

/// `$XDG_STATE_HOME/zkprov/runs`, else under the home.
fn folder() -> Result<PathBuf, Failure> {
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
        let (left, brokers) = unfinished(&killed, "demo").expect("a run");
        assert!(!brokers);
        assert_eq!(left, [Target { host: "b".into(), why: "x".into() }], "b may not be back");
        assert!(unfinished(&killed, "other").is_err());
        assert!(unfinished(&format!("{killed}\n{{\"entry\":\"finished\"}}\n"), "demo").is_err());
    }
}
