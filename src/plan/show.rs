//! A plan as a person, or a program, reads it. Pure: text out, printed by `report`.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::plan::change::Action;
use crate::plan::model::{self, HostPlan, Plan, Step};
use crate::report::event::{Event, Note, PlannedHost, PlannedStep, Refusal};
use crate::report::printable;

pub use crate::quantity::count;

/// How much is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// How the contents of files differ.
    pub diff: bool,
    /// Escape sequences; the words say everything without them.
    pub color: bool,
}

/// The plan, host by host. Hosts whose plans read the same are told once.
pub fn plan(plan: &Plan, detail: Detail) -> String {
    // What is told of a host, and the hosts it is told of, in the order of the inventory.
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for host in &plan.hosts {
        let mut text = String::new();
        host_plan(host, detail, &mut text);
        let index = *known.entry(text).or_insert_with_key(|text| {
            told.push((text.clone(), Vec::new()));
            told.len() - 1
        });
        told[index].1.push(&host.host);
    }
    told.iter().fold(String::new(), |mut all, (text, hosts)| {
        let _ = write!(all, "{}\n{text}", paint(detail, "1", &hosts.join(", ")));
        all
    })
}

fn paint(detail: Detail, code: &str, words: &str) -> String {
    let words = printable::text(words);
    if detail.color { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.into_owned() }
}

fn host_plan(host: &HostPlan, detail: Detail, text: &mut String) {
    let paint = |code: &str, words: &str| paint(detail, code, words);
    let plain = printable::text;
    for refusal in &host.refusals {
        let word = paint("31", "refused");
        let _ = writeln!(text, "  {word} {}: {}", refusal.resource, plain(&refusal.cause));
        let _ = writeln!(text, "          hint: {}", plain(&refusal.hint));
    }
    for step in &host.steps {
        let code = match step.change.action {
            Action::Create | Action::Enable | Action::Start => "32",
            Action::Update | Action::Restart => "33",
            Action::Delete => "31",
        };
        let word = format!("{:<7}", step.change.action.word());
        let _ = writeln!(
            text,
            "  {} {}  ({})",
            paint(code, &word),
            plain(&step.target()),
            plain(&step.change.reason.to_string())
        );
        if detail.diff {
            for line in step.change.diff.iter().flat_map(|diff| diff.lines()) {
                let code = match line.as_bytes().first() {
                    Some(b'+') => "32",
                    Some(b'-') => "31",
                    _ => "2",
                };
                let _ = writeln!(text, "          {}", paint(code, line));
            }
        }
    }
    for (name, note) in &host.notes {
        let _ = writeln!(text, "  {}    {name}: {}", paint("36", "note"), plain(note));
    }
    if !host.same.is_empty() || host.steps.is_empty() {
        let same = format!("{} resources are as they should be", host.same.len());
        let _ = writeln!(text, "  {}", paint("2", &same));
    }
}

/// What the last line says: what is to be done, in numbers.
pub fn summary(plan: &Plan) -> String {
    let changes = plan.changes();
    let hosts = plan.hosts.iter().filter(|host| !host.steps.is_empty()).count();
    match changes {
        0 => "0 changes".to_owned(),
        _ => format!("{} on {}", count(changes, "change"), count(hosts, "host")),
    }
}

/// Rows as aligned columns, the last one ragged.
pub fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:width$}", width = width(column).unwrap_or(0)))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// A host's plan for programs. Operations stay out: they may be long, or secret.
pub fn host_event(host: &HostPlan, diff: bool) -> Event {
    let step = |step: &Step| PlannedStep {
        step: step.name(),
        kind: step.subject.kind().to_owned(),
        action: step.change.action.word().to_owned(),
        why: step.change.reason.to_string(),
        diff: step.change.diff.clone().filter(|_| diff),
    };
    let note = |(resource, note): &(String, String)| Note {
        resource: resource.clone(),
        note: note.clone(),
    };
    let refusal = |refusal: &model::Refusal| Refusal {
        resource: refusal.resource.clone(),
        cause: refusal.cause.clone(),
        hint: refusal.hint.clone(),
    };
    Event::Plan(PlannedHost {
        host: host.host.clone(),
        steps: host.steps.iter().map(step).collect(),
        same: host.same.clone(),
        notes: host.notes.iter().map(note).collect(),
        refusals: host.refusals.iter().map(refusal).collect(),
    })
}
