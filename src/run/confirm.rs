//! Asks a person before anything is changed.

use crate::failure::Failure;
use crate::report;

/// A person says yes, or `--yes` has said it.
pub fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !report::interactive() {
        return Err(Failure::refused("there is no terminal to ask at, and nothing was changed")
            .hint("run again with --yes"));
    }
    match report::ask(&format!("{question} [y/N]")).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::refused("not confirmed, and nothing was changed")),
    }
}
