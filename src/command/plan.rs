//! `zkprov plan`: the dry run.

use crate::cli;
use crate::command::{Outcome, not_built};

#[expect(clippy::unused_async, reason = "the room is still empty")]
pub async fn run(_arguments: cli::Plan) -> Outcome {
    not_built("plan")
}
