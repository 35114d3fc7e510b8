//! The journal of a move: one JSON line a step and host, with the milliseconds since the run began. Where a
//! host stands is known by the host itself; this is for people who ask afterwards.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::failure::Failure;
use crate::rolling::journal::folder;

#[derive(Debug)]
pub(super) struct Journal {
    file: Mutex<File>,
    began: Instant,
    pub(super) path: String,
}

impl Journal {
    pub(super) fn begin(ensemble: &str, what: &str) -> Result<Self, Failure> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let folder = folder()?;
        let path = folder.join(format!("{ensemble}-move-{seconds}-{}.jsonl", std::process::id()));
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot write the run file {}: {error}", path.display()))
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file = options.create_new(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        let path = path.display().to_string();
        let journal = Self { file: Mutex::new(file), began: Instant::now(), path };
        journal.write("begin", "", what)?;
        Ok(journal)
    }

    /// Nobody waits for the disk, least of all while nobody is served: what is decided by stands on the hosts.
    pub(super) fn write(&self, step: &str, host: &str, what: &str) -> Result<(), Failure> {
        let at_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line =
            json!({ "at_ms": at_ms, "step": step, "host": host, "what": what }).to_string() + "\n";
        let mut file = self.file.lock().expect("no panic while held");
        file.write_all(line.as_bytes()).map_err(|error| {
            Failure::failed(format!("cannot write the run file {}: {error}", self.path))
        })
    }
}
