//! One command, or one after the other, and the exit code they come to.

use std::time::Duration;

use super::Arguments;
use super::command::{Command, Kind};
use super::execute;
use super::outcome::{Outcome, Trouble};
use super::terminal::{Closed, Terminal};
use crate::client::Client;
use crate::exit::{self, Failure};

/// How long each look for an event takes; the next one follows at once.
const EVENT_WAIT: Duration = Duration::from_mins(1);

/// `coordinator shell COMMAND…`: runs it, ends the session.
pub(super) fn run_one(arguments: &Arguments) -> Result<u8, Failure> {
    let terminal = Terminal { json: arguments.json };
    let outcome = one(arguments, terminal);
    Ok(match outcome {
        Ok(()) | Err(Ending::Closed) => exit::OK,
        Err(Ending::Trouble(trouble)) => {
            let code = exit_code(&trouble);
            // A closed pipe changes nothing about the command having failed.
            let _ = terminal.trouble(&trouble);
            code
        }
        Err(Ending::Failure(failure)) => return Err(failure),
    })
}

pub(super) fn exit_code(trouble: &Trouble) -> u8 {
    match trouble {
        Trouble::Usage(_) => exit::USAGE,
        Trouble::Client { .. } | Trouble::Refused(_) => exit::FAILED,
    }
}

enum Ending {
    Trouble(Trouble),
    Failure(Failure),
    Closed,
}

impl From<Closed> for Ending {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Trouble> for Ending {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

fn one(arguments: &Arguments, terminal: Terminal) -> Result<(), Ending> {
    let command = Command::parse(&arguments.command).map_err(Trouble::Usage)?;
    if let Some(outcome) = execute::without_server(&command) {
        return Ok(terminal.outcome(&outcome?)?);
    }
    let mut zk = arguments.connect(&arguments.server).map_err(Ending::Failure)?;
    let outcome = execute::execute(&mut zk, &command);
    // A watch on a znode that is not there yet is worth waiting for, too.
    let waits = command.has('w')
        && match &outcome {
            Ok(_) => true,
            Err(trouble) => {
                command.spec.kind == Kind::Stat
                    && trouble.code() == Some(crate::wire::code::Code::NoNode)
            }
        };
    match outcome {
        Ok(outcome) => terminal.outcome(&outcome)?,
        Err(trouble) if waits => terminal.trouble(&trouble)?,
        Err(trouble) => {
            // Its own trouble is what is told; a session that stays goes when it expires.
            let _ = zk.close();
            return Err(trouble.into());
        }
    }
    if waits {
        show_event(&mut zk, terminal)?;
    }
    if command.spec.kind == Kind::AddWatch {
        loop {
            show_event(&mut zk, terminal)?;
        }
    }
    zk.close().map_err(Trouble::on("/"))?;
    Ok(())
}

fn show_event(zk: &mut Client, terminal: Terminal) -> Result<(), Ending> {
    loop {
        if let Some(event) = zk.wait_event(EVENT_WAIT).map_err(Trouble::on("/"))? {
            return Ok(terminal.outcome(&Outcome::Event(event))?);
        }
    }
}
