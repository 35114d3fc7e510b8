//! zkprov turns bare Linux hosts into a serving coordination ensemble, over plain SSH.
//!
//! The modules stand in the order in which an inventory travels through them: the text becomes an
//! [`inventory::Inventory`], that becomes desired resources per host, those and what the probe read
//! become a plan, the plan is shown and applied, and what came of it is reported.

pub mod cli;
pub mod command;

pub mod inventory;
pub mod probe;
pub mod script;

pub mod certificates;
pub mod health;
pub mod plan;

pub mod migration;

pub mod artifacts;
pub mod host;

pub mod rolling;
pub mod run;

pub mod lab;

pub mod digest;
pub mod exit;
pub mod failure;
pub mod layout;
pub mod quantity;
pub mod report;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::exit::Exit;

/// The whole program: arguments in, exit code out.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match cli::Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap ends with 2, which here means "changes pending".
            let asked_for =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return if asked_for { Exit::Done } else { Exit::Usage }.into();
        }
    };
    match command::run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report::failure(&failure);
            failure.exit.into()
        }
    }
}
