//! The only part of the shell that prints. Data goes to stdout, trouble to stderr.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

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

/// A terminal would act on escape codes in somebody's data; where output goes on to a program it is passed raw.
fn write_out(bytes: &[u8]) -> Result<(), Closed> {
    let mut out = io::stdout().lock();
    let shown;
    let bytes = if out.is_terminal() {
        shown = printable(&String::from_utf8_lossy(bytes));
        shown.as_bytes()
    } else {
        bytes
    };
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed),
        _ => Ok(()),
    }
}

/// Control characters of both sets, and those that turn the direction of text, as `\xNN` and `\u{…}`.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match u32::from(c) {
            _ if c == '\n' || c == '\t' || !(c.is_control() || turns) => out.push(c),
            code @ ..=0xff => {
                let _ = write!(out, "\\x{code:02x}");
            }
            code => {
                let _ = write!(out, "\\u{{{code:x}}}");
            }
        }
    }
    out
}

/// Talk, to stderr.
#[expect(clippy::print_stderr, reason = "the shell's own printer")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_act_on_is_shown() {
        assert_eq!(printable("a\tb\n\u{1b}[2J\u{9b}m\u{202e}"), "a\tb\n\\x1b[2J\\x9bm\\u{202e}");
    }
}
