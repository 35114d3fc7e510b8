//! Asks for a password on the terminal, which shows nothing of it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Reads a line from the process's terminal.
///
/// Ctrl-C is read like any other key: the terminal is as it was before the signal ends the process. A process
/// that the terminal's own signal ends cannot restore it.
///
/// # Errors
/// There is no terminal, it is gone, or the line was interrupted and this process catches the signal.
pub fn ask(question: &str) -> io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let interrupt = before.special_codes[SpecialCodeIndex::VINTR];
    write!(terminal, "{question} ")?;
    tcsetattr(&terminal, OptionalActions::Flush, &hidden(before.clone()))?;
    // A terminal gives whole lines, of 4,095 bytes at most.
    let mut line = vec![0; 4096];
    let read = terminal.read(&mut line);
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    writeln!(terminal)?;
    line.truncate(read?);
    if interrupt != 0 && line.last() == Some(&interrupt) {
        kill_process(getpid(), Signal::INT)?;
        return Err(io::ErrorKind::Interrupted.into());
    }
    let line = String::from_utf8(line).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// No echo, and Ctrl-C ends a line in place of the process.
fn hidden(mut modes: Termios) -> Termios {
    modes.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
    modes.special_codes[SpecialCodeIndex::VEOL] = modes.special_codes[SpecialCodeIndex::VINTR];
    modes
}
