//! `zkprov template`: the files that land on the hosts.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::TemplateCommand) -> Outcome {
    not_built("template")
}
