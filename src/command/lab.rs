//! `zkprov lab`: real Debian hosts on this machine.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::LabCommand) -> Outcome {
    not_built("lab")
}
