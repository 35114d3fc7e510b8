//! zkprov turns bare Linux hosts into a serving coordination ensemble, over plain SSH.
//!
//! The modules stand in the order in which an inventory travels through them: the text becomes an
//! [`inventory::Inventory`], that becomes desired resources per host, those and what the probe read
//! become a plan, the plan is shown and applied, and what came of it is reported.

pub mod cli;
pub mod command;
pub mod fetch;
pub mod inventory;
pub mod release;
pub mod template;

pub mod desired;
pub mod resource;

pub mod probe;
pub mod remote;

pub mod plan;
pub mod show;

pub mod apply;
pub mod cluster;
pub mod fleet;
pub mod health;
pub mod journal;
pub mod kept;
pub mod lock;
pub mod roll;
pub mod run;
pub mod selection;
pub mod supply;

pub mod crossbuild;
pub mod lab;

pub mod exit;
pub mod failure;
pub mod progress;
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
