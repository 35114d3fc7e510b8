//! `coordinator admin backup`: a snapshot of the running server, over the Unix socket.
//!
//! The server makes a snapshot as it does by itself, beside its other work, and the file is sent
//! when it is whole on disk. So a slow reader holds nothing back, and memory is that of one chunk
//! at both ends. The asking end checks what it passes on: what it calls whole is whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::completion::Completions;
use crate::answers::BackupReport;
use crate::bytes::hex;
use crate::driver::Completion;
use crate::state::SnapshotHead;
use crate::store::{RealDisk, SnapshotStream, list_snapshots};

/// A snapshot of many znodes on a slow disk takes minutes; a server that stands still, for ever.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_mins(15);
/// Who asked reads at least something within this.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// One at a time: each costs a snapshot.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Answers in a thread of its own: other commands must not wait for a slow reader.
pub(super) fn serve(mut stream: UnixStream, disk: RealDisk, completions: Completions) {
    if RUNNING.swap(true, Ordering::SeqCst) {
        let _ = stream.write_all(b"error: another backup is being taken; wait for its end\n");
        return;
    }
    std::thread::spawn(move || {
        if let Err(why) = send(&mut stream, &disk, &completions) {
            // In the middle of the file this makes the other end fail too: it is too short.
            let _ = writeln!(stream, "error: {why}");
        }
        RUNNING.store(false, Ordering::SeqCst);
    });
}

fn send(stream: &mut UnixStream, disk: &RealDisk, completions: &Completions) -> Result<(), String> {
    stream.set_write_timeout(Some(SILENCE_MAX)).map_err(text)?;
    let (answer, answers) = channel();
    completions.send(Completion::Backup { answer });
    let index = answers
        .recv_timeout(SNAPSHOT_TIME_MAX)
        .unwrap_or_else(|_| Err("no snapshot came; the server's log says why".to_owned()))?;
    let (_, name) = list_snapshots(disk)
        .map_err(text)?
        .into_iter()
        .find(|(position, _)| position.index == index)
        .ok_or("the snapshot is gone again")?;
    let mut file = File::open(disk.directory().join(&name)).map_err(text)?;
    let bytes = file.metadata().map_err(text)?.len();
    writeln!(stream, "ok: {bytes} bytes follow").map_err(text)?;
    // A reader that is gone gets nothing more, and nobody is left to be told.
    let _ = io::copy(&mut file, stream);
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Asks the server behind `socket` for a backup and writes it to `out`; the other end of
/// [`serve`]. An error means that `out` has got something that is no backup.
pub fn backup(socket: &Path, out: impl Write) -> Result<BackupReport, String> {
    let ask = || -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SNAPSHOT_TIME_MAX + SILENCE_MAX))?;
        writeln!(stream, "backup")?;
        Ok(stream)
    };
    let lost = |e: io::Error| format!("the connection to the server broke: {e}; try again");
    let stream = ask().map_err(|e| {
        let hint = "is the server running, and are you its user or root?";
        format!("cannot ask {}: {e}; {hint}", socket.display())
    })?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    (&mut stream).take(4096).read_line(&mut head).map_err(lost)?;
    let bytes = head
        .strip_prefix("ok: ")
        .and_then(|rest| rest.split_once(' ')?.0.parse::<u64>().ok())
        .ok_or_else(|| match head.trim() {
            "" => "the server closed the connection without an answer".to_owned(),
            said => said.to_owned(),
        })?;
    stream.get_ref().set_read_timeout(Some(SILENCE_MAX)).map_err(lost)?;
    let mut tee = Tee { input: stream.take(bytes), out, digest: Sha256::new(), written: 0 };
    let (zxid, head, cluster_id) = check(&mut tee)?;
    tee.out.flush().map_err(|e| format!("cannot write the backup: {e}"))?;
    if tee.written != bytes {
        return Err(format!("{} of {bytes} bytes came; try again", tee.written));
    }
    Ok(BackupReport {
        zxid,
        znodes: u64::from(head.znodes) + 1,
        sessions: head.sessions.into(),
        bytes,
        sha256: hex(&tee.digest.finalize()),
        ensemble: format!("{cluster_id:032x}"),
    })
}

/// Reads a snapshot to its end.
fn check(input: &mut impl Read) -> Result<(i64, SnapshotHead, u128), String> {
    let told = |e| format!("what came from the server {e}; try again");
    let mut stream = SnapshotStream::open(input).map_err(told)?;
    let (zxid, cluster_id) = (stream.meta().zxid, stream.meta().cluster_id);
    let mut chunk = Vec::new();
    let mut head = None;
    while stream.chunk(&mut chunk).map_err(told)? {
        head = head.or_else(|| SnapshotHead::peek(&chunk));
    }
    let head = head.ok_or_else(|| told(stream.damage("it is empty")))?;
    stream.expect_end().map_err(told)?;
    Ok((zxid, head, cluster_id))
}

/// Passes on what is read.
struct Tee<R, W> {
    input: R,
    out: W,
    digest: Sha256,
    written: u64,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(into)?;
        self.out.write_all(&into[..got])?;
        self.digest.update(&into[..got]);
        self.written += got as u64;
        Ok(got)
    }
}
