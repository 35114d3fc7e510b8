//! Verifies a data directory without changing it: what `coordinator check` prints.

use std::fmt;

use super::disk::Disk;
use super::error::StoreError;
use super::identity::Identity;
use super::scan::scan;
use super::snapshot::{SnapshotReader, list_snapshots};

/// What was found, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    pub found: Vec<String>,
    pub damage: Vec<StoreError>,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.found {
            writeln!(f, "{line}")?;
        }
        for error in &self.damage {
            writeln!(f, "DAMAGED: {error}")?;
        }
        if self.is_sound() { writeln!(f, "sound") } else { Ok(()) }
    }
}

/// `data` holds identity and snapshots, `log` the log; they may be one.
pub fn check<D: Disk>(data: &D, log: &D) -> Report {
    let mut report = Report::default();
    check_identity(data, &mut report);
    let snapshots = check_snapshots(data, &mut report);
    check_log(log, snapshots, &mut report);
    report
}

fn check_identity<D: Disk>(data: &D, report: &mut Report) {
    match Identity::read(data) {
        Ok(Some(identity)) => report.found.push(format!(
            "identity: member {}, ensemble {:032x}",
            identity.myid, identity.cluster_id
        )),
        Ok(None) => report.found.push("identity: none yet".to_owned()),
        Err(e) => report.damage.push(e),
    }
}

/// Index of the newest sound snapshot.
fn check_snapshots<D: Disk>(data: &D, report: &mut Report) -> u64 {
    let mut newest = 0;
    match list_snapshots(data) {
        Ok(snapshots) => {
            for (position, name) in snapshots {
                match read_through(data, &name) {
                    Ok((chunks, bytes)) => {
                        newest = newest.max(position.index);
                        report.found.push(format!(
                            "snapshot `{name}`: index {}, term {}, {chunks} chunks, {bytes} bytes",
                            position.index, position.term
                        ));
                    }
                    Err(e) => report.damage.push(e),
                }
            }
        }
        Err(e) => report.damage.push(e),
    }
    newest
}

fn read_through<D: Disk>(data: &D, name: &str) -> Result<(u64, u64), StoreError> {
    let mut reader = SnapshotReader::open(data, name)?;
    let (mut chunks, mut bytes) = (0, 0);
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        chunks += 1;
        bytes += chunk.len() as u64;
    }
    Ok((chunks, bytes))
}

fn check_log<D: Disk>(log: &D, snapshot: u64, report: &mut Report) {
    let scan = match scan(log, 0) {
        Ok(scan) => scan,
        Err(e) => return report.damage.push(e),
    };
    let frames: u64 = scan.segments.iter().map(|s| s.frames).sum();
    let last = scan.last();
    report.found.push(format!(
        "log: {} segments, {frames} appends, entries {} to {}, term {}, vote {}, commit {}",
        scan.segments.len(),
        scan.base.index + 1,
        last.index,
        scan.hard_state.term,
        scan.hard_state.vote,
        scan.hard_state.commit
    ));
    let Some(tail) = scan.segments.last() else { return };
    let name = super::scan::segment_name(tail.sequence);
    if scan.torn_bytes > 0 {
        report.found.push(format!(
            "log: unacknowledged tail of {} bytes at offset {} of `{name}`, cut at the next start",
            scan.torn_bytes, tail.end
        ));
    }
    if scan.hard_state.commit > last.index.max(snapshot) {
        let what = format!(
            "the log ends with entry {}, but entry {} was committed",
            last.index, scan.hard_state.commit
        );
        report.damage.push(StoreError::damage(log, &name, tail.end, what));
    }
    if snapshot < scan.base.index {
        let oldest = super::scan::segment_name(scan.segments[0].sequence);
        let what = format!(
            "the log starts after entry {}, the newest sound snapshot ends at {snapshot}",
            scan.base.index
        );
        report.damage.push(StoreError::damage(log, &oldest, 0, what));
    }
}
