//! `zkprov schema`: the inventory's JSON Schema.

use crate::command::{Outcome, not_built};

pub fn run() -> Outcome {
    not_built("schema")
}
