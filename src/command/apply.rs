//! `zkprov apply`: probe, plan, show, ask, apply, verify.

use crate::cli;
use crate::command::{Outcome, not_built};

#[expect(clippy::unused_async, reason = "the room is still empty")]
pub async fn run(_arguments: cli::Apply) -> Outcome {
    not_built("apply")
}
