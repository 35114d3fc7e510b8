//! The only module that prints: data goes to stdout, talk to stderr, and a closed pipe is no error.

use std::io::Write as _;

use crate::failure::Failure;

/// Writes what the command was asked for to stdout, exactly as given.
pub fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Says one line to the person at the terminal, on stderr.
pub fn talk(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Says why the run ended.
pub fn failure(failure: &Failure) {
    talk(&failure.to_string());
}
