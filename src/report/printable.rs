//! What others wrote, made harmless for a terminal: hosts, archives and files may hold escape codes that
//! clear a screen, rename a window, or show a line as something it is not.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal acts on it instead of showing it: control characters of both sets, and those that
/// turn the direction of what follows.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of several lines: ends of lines and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| acts(c) && c != '\n' && c != '\t',
        |c, out| {
            let _ = match u8::try_from(c) {
                Ok(byte) => write!(out, "\\x{byte:02x}"),
                Err(_) => write!(out, "\\u{{{:x}}}", u32::from(c)),
            };
        },
    )
}

/// One line of JSON: it means the same afterwards.
pub fn json(line: &str) -> Cow<'_, str> {
    // What is below a space stands escaped there already.
    escaped(
        line,
        |c| acts(c) && c != '\n',
        |c, out| {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        },
    )
}

fn escaped(
    text: &str,
    which: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&which) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if which(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown() {
        assert_eq!(text("é\tb\n"), "é\tb\n");
        assert_eq!(text("\u{1b}[2J\u{7}\r"), "\\x1b[2J\\x07\\x0d");
        assert_eq!(text("\u{9b}31m\u{202e}cod"), "\\x9b31m\\u{202e}cod");
        let value = serde_json::json!({"cause": "\u{1b}[2J\u{9b}\u{7f}\u{202e}"});
        let line = value.to_string();
        let shown = json(&line);
        assert!(shown.chars().all(|c| !acts(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
