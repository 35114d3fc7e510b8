//! `zkprov validate`: every problem of an inventory at once.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::Validate) -> Outcome {
    not_built("validate")
}
