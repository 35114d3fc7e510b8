//! Asks a person before anything is changed.

use crate::failure::Failure;
use crate::report;

/// A person says yes, or `--yes` has said it.
pub fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    ask(yes, &format!("{question} [y/N]"), |answer| matches!(answer, "y" | "Y" | "yes"))
}

/// The ensemble's name must be typed: what follows cannot be undone.
pub fn by_name(yes: bool, name: &str) -> Result<(), Failure> {
    ask(yes, &format!("Type the ensemble's name, {name}, to go on:"), |answer| answer == name)
}

fn ask(yes: bool, question: &str, agrees: impl Fn(&str) -> bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !report::interactive() {
        return Err(Failure::refused("there is no terminal to ask at, and nothing was changed")
            .hint("run again with --yes"));
    }
    match report::ask(question) {
        Some(answer) if agrees(&answer) => Ok(()),
        _ => Err(Failure::refused("not confirmed, and nothing was changed")),
    }
}
