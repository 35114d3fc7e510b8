//! `zkprov inventory`: inventories made from something else.

use crate::cli;
use crate::command::{Outcome, not_built};

pub fn run(_arguments: &cli::InventoryCommand) -> Outcome {
    not_built("inventory")
}
