//! `zkprov build`: the coordinator for the hosts' architectures.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::Build) -> Outcome {
    not_built("build")
}
