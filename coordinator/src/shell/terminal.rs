//! The only part of the shell that prints. Data goes to stdout, trouble to stderr.

use std::io::{self, ErrorKind, Write};

use super::outcome::{Outcome, Trouble};
use super::show;

/// How outcomes are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) json: bool,
}

/// The reader of our output went away: there is nothing more to do, and no one to tell.
#[derive(Debug)]
pub(super) struct Closed;

impl Terminal {
    pub(super) fn outcome(self, outcome: &Outcome) -> Result<(), Closed> {
        if self.json {
            write_out(format!("{}\n", show::json(outcome)).as_bytes())
        } else {
            write_out(&show::text(outcome))
        }
    }

    /// JSON goes to stdout here too: whoever parses it needs one place to look.
    pub(super) fn trouble(self, trouble: &Trouble) -> Result<(), Closed> {
        if self.json {
            write_out(format!("{}\n", show::trouble_json(trouble)).as_bytes())
        } else {
            say(&trouble.message());
            Ok(())
        }
    }
}

fn write_out(bytes: &[u8]) -> Result<(), Closed> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed),
        _ => Ok(()),
    }
}

/// Talk, to stderr.
#[expect(clippy::print_stderr, reason = "the shell's own printer")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}
