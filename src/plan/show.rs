//! A plan as a person, or a program, reads it. Pure: text out, printed by `report`.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::plan::resource::Action;
use crate::plan::{HostPlan, Plan};
use crate::report::printable;

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
            plain(&step.name),
            plain(&step.change.why)
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

/// `1 host`, `2 hosts`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A host's plan for programs. Arguments stay out: they may be long, or secret.
pub fn host_json(host: &HostPlan, diff: bool) -> Value {
    let steps: Vec<Value> = host
        .steps
        .iter()
        .map(|step| {
            let mut value = json!({
                "step": step.name,
                "kind": step.kind,
                "action": step.change.action.word(),
                "why": step.change.why,
            });
            if let (true, Some(diff)) = (diff, &step.change.diff) {
                value["diff"] = json!(diff);
            }
            value
        })
        .collect();
    json!({
        "host": host.host,
        "steps": steps,
        "same": host.same,
        "notes": host.notes.iter().map(|(n, t)| json!({"resource": n, "note": t})).collect::<Vec<_>>(),
        "refusals": host.refusals,
    })
}

/// Old and new text as a unified diff with three lines of context.
pub fn unified(name: &str, old: &str, new: &str) -> String {
    const CONTEXT: usize = 3;
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let lines = align(&old, &new);
    let mut text = format!("--- {name}\n+++ {name}\n");
    let near = |index: usize| {
        let from = index.saturating_sub(CONTEXT);
        let to = (index + CONTEXT + 1).min(lines.len());
        lines[from..to].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut gap = false;
    for (index, (sign, line)) in lines.iter().enumerate() {
        if near(index) {
            if gap && index > 0 {
                text.push_str("@@\n");
            }
            gap = false;
            let _ = writeln!(text, "{sign}{line}");
        } else {
            gap = true;
        }
    }
    text
}

/// Every line of both, with `-`, `+` or ` ` before it: a longest common subsequence. Files here have
/// some tens of lines; longer ones are told as replaced.
fn align<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    const LINES_MAX: usize = 2000;
    let mut lines = Vec::new();
    if old.len() > LINES_MAX || new.len() > LINES_MAX {
        lines.extend(old.iter().map(|line| ('-', *line)));
        lines.extend(new.iter().map(|line| ('+', *line)));
        return lines;
    }
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changed_and_a_little_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n";
        assert_eq!(
            unified("f", old, new),
            "--- f\n+++ f\n@@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+10\n"
        );
        assert_eq!(unified("f", "", "a\n"), "--- f\n+++ f\n+a\n");
    }
}
