//! What `validate` says: a problem, the place it stands at, and what to do about it.

use std::fmt::Write as _;

/// Where something stands in the inventory's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters of the line it covers; at least 1 is shown.
    pub length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The inventory cannot be used.
    Error,
    /// It can, but a person should look.
    Warning,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub place: Place,
    /// What is wrong, with the value; no final period.
    pub message: String,
    /// Other places that belong to it, each with a few words.
    pub also: Vec<(Place, String)>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Finding {
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place,
            message: message.into(),
            also: Vec::new(),
            hint: None,
        }
    }

    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    #[must_use]
    pub fn also(mut self, place: Place, words: impl Into<String>) -> Self {
        self.also.push((place, words.into()));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything found in one file, as text for people: errors and warnings in the file's order.
///
/// ```text
/// inventory.yaml:5:31: error: `myid` 2 is used twice
///   5 |   kafka3: { address: …, myid: 2 }
///     |                               ^
///   inventory.yaml:4:31: first used here
///   hint: …
/// ```
pub fn render(file: &str, text: &str, findings: &[Finding]) -> String {
    let lines: Vec<&str> = lines(text);
    let mut ordered: Vec<&Finding> = findings.iter().collect();
    ordered.sort_by_key(|finding| (finding.place.line, finding.place.column, finding.severity));
    let mut out = String::new();
    for finding in ordered {
        let Place { line, column, .. } = finding.place;
        let _ = writeln!(
            out,
            "{file}:{line}:{column}: {}: {}",
            finding.severity.word(),
            finding.message
        );
        snippet(&mut out, &lines, finding.place);
        for (place, words) in &finding.also {
            let _ = writeln!(out, "  {file}:{}:{}: {words}", place.line, place.column);
        }
        if let Some(hint) = &finding.hint {
            let _ = writeln!(out, "  hint: {hint}");
        }
    }
    out
}

/// Splits where YAML does: LF, CRLF, or a CR alone; so the numbers match what the parser counts.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        let width = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + width..];
    }
    lines.push(rest);
    lines
}

/// The most characters of a line that are shown: a window around the place.
const SNIPPET_WIDTH: usize = 96;

fn snippet(out: &mut String, lines: &[&str], place: Place) {
    let Some(line) = place.line.checked_sub(1).and_then(|index| lines.get(index)) else { return };
    let column = place.column.saturating_sub(1);
    // A terminal must not be steered by what stands in a file.
    let chars: Vec<char> = line
        .chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if chars.iter().all(|c| c.is_whitespace()) {
        return;
    }
    let start = if column + 8 > SNIPPET_WIDTH { column - SNIPPET_WIDTH / 2 } else { 0 };
    let start = start.min(chars.len());
    let end = (start + SNIPPET_WIDTH).min(chars.len());
    let shown: String = chars[start..end].iter().collect();
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let (before, after) =
        (if start > 0 { "…" } else { "" }, if end < chars.len() { "…" } else { "" });
    let _ = writeln!(out, "  {number} | {before}{}{after}", shown.trim_end());
    let indent = " ".repeat(column.saturating_sub(start) + before.chars().count());
    let room = end.saturating_sub(column).max(1);
    let _ = writeln!(out, "  {gutter} | {indent}{}", "^".repeat(place.length.clamp(1, room)));
}
