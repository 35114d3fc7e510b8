//! `zkprov validate`: every problem of an inventory at once, without the network.

use std::fmt::Write as _;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::inventory::{self, finding::Severity};
use crate::plan::valid;
use crate::report::{self, printable};

pub fn run(arguments: &cli::Validate) -> Outcome {
    let path = &arguments.inventory.inventory;
    let reading = inventory::read_file(path)?;
    report::data(&printable::text(&reading.shown));
    let errors = reading.count(Severity::Error);
    let warnings = reading.count(Severity::Warning);
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    if let Some(inventory) = &reading.inventory {
        let problems = valid::problems(inventory);
        for problem in &problems {
            report::data(&printable::text(&format!("{}: error: {problem}\n", path.display())));
        }
        if !problems.is_empty() {
            let count = crate::plan::show::count(problems.len(), "error");
            report::talk(&format!("{}: {count} in what would be written", path.display()));
            return Ok(Exit::Usage);
        }
    }
    match &reading.inventory {
        Some(inventory) if warnings == 0 || !arguments.strict => {
            let observers = inventory.members().count() - inventory.participants().count();
            let mut line = format!(
                "{}: valid: ensemble `{}`, {}",
                path.display(),
                inventory.ensemble,
                count(inventory.participants().count(), "participant"),
            );
            if observers > 0 {
                let _ = write!(line, ", {}", count(observers, "observer"));
            }
            if !inventory.brokers.is_empty() {
                let _ = write!(line, ", {}", count(inventory.brokers.len(), "broker"));
            }
            if warnings > 0 {
                let _ = write!(line, "; {}", count(warnings, "warning"));
            }
            report::talk(&line);
            Ok(Exit::Done)
        }
        _ => {
            let strict = if errors == 0 { " (with --strict they count)" } else { "" };
            report::talk(&format!(
                "{}: {}, {}{strict}",
                path.display(),
                count(errors, "error"),
                count(warnings, "warning"),
            ));
            Ok(Exit::Usage)
        }
    }
}
