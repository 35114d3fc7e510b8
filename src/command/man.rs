//! `zkprov man` and `zkprov completions`: what clap can say about the command line.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::Man) -> Outcome {
    not_built("man")
}

pub fn completions(_arguments: &cli::Completions) -> Outcome {
    not_built("completions")
}
