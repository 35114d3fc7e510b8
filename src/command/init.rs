//! `zkprov init`: a commented starter inventory.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::Init) -> Outcome {
    not_built("init")
}
