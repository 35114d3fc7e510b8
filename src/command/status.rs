//! `zkprov status`: health and drift of each host.

use crate::cli;
use crate::command::{Outcome, not_built};

#[expect(clippy::unused_async, reason = "the room is still empty")]
pub async fn run(_arguments: cli::Status) -> Outcome {
    not_built("status")
}
