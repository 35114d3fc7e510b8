//! Commands that change something: a Unix socket beside the data, for its owner alone.
//!
//! One line in, the answer out, end. `coordinator admin` speaks it. The answer to `backup` is a
//! line and a file.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::backup;
use super::completion::Completions;
use crate::driver::Completion;
use crate::store::RealDisk;

const LINE_BYTES_MAX: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(30);
/// With no file descriptor left accepting would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Commands at a time.
const COMMANDS_MAX: usize = 8;

/// Serves commands until the process ends.
pub(super) fn listen(path: &Path, disk: RealDisk, completions: Completions) -> std::io::Result<()> {
    // A socket of an earlier run; the data directory's lock says that it is not in use.
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let places = Arc::new(());
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            };
            // A few at a time, each on its own: one that says nothing keeps nobody waiting.
            let (disk, completions, place) = (disk.clone(), completions.clone(), places.clone());
            if Arc::strong_count(&place) > COMMANDS_MAX + 1 {
                continue;
            }
            let _ = std::thread::Builder::new().name("command".to_owned()).spawn(move || {
                let _ = serve_one(stream, &disk, &completions);
                drop(place);
            });
        }
    })?;
    Ok(())
}

fn serve_one(
    mut stream: UnixStream,
    disk: &RealDisk,
    completions: &Completions,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line)?;
    if line.trim() == "backup" {
        backup::serve(stream, disk.clone(), completions.clone());
        return Ok(());
    }
    let (answer, answers) = channel();
    completions.send(Completion::Command { line: line.trim().to_owned(), answer });
    let text = answers.recv_timeout(PATIENCE).unwrap_or_else(|_| "error: no answer".to_owned());
    stream.write_all(text.as_bytes())
}

/// Sends one command to a server; the other end of [`listen`].
pub fn command(path: &Path, line: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
