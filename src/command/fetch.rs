//! `zkprov fetch`: the release, verified, in the cache.

use crate::cli;
use crate::command::{Outcome, not_built};

#[expect(clippy::unused_async, reason = "the room is still empty")]
pub async fn run(_arguments: &cli::Fetch) -> Outcome {
    not_built("fetch")
}
