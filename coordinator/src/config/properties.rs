//! The grammar of Java `.properties` files, as `java.util.Properties.load` reads it.

use std::str::Chars;

/// One `key=value` of a file, in the order of the file, duplicates kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) key: String,
    /// Escapes resolved, blanks at both ends removed: Java keeps trailing ones, ZooKeeper trims.
    pub(super) value: String,
    /// Line of the file on which the property starts, from 1.
    pub(super) line: usize,
}

/// A `\u` that four hexadecimal digits do not follow: Java refuses the whole file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedEscape {
    pub(super) line: usize,
}

/// Splits a file into properties.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Property>, MalformedEscape> {
    let text = decode(bytes);
    let mut properties = Vec::new();
    let mut lines = natural_lines(&text).enumerate();
    while let Some((index, first)) = lines.next() {
        let line = index + 1;
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::from(first);
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let (key, value) = split(&logical);
        let malformed = MalformedEscape { line };
        let (Some(key), Some(value)) = (unescape(key), unescape(value)) else {
            return Err(malformed);
        };
        properties.push(Property { key, value: value.trim().to_owned(), line });
    }
    Ok(properties)
}

/// Java reads ISO 8859-1; people write UTF-8. What is not UTF-8 is taken as Java takes it.
fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// Lines ended by LF, CR or CR LF.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some(end) = current.find(['\n', '\r']) else {
            rest = None;
            return Some(current);
        };
        let ending = if current[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&current[end + ending..]);
        Some(&current[..end])
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// An odd number of backslashes at the end joins the next line.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that no backslash precedes; around one separator
/// blanks do not count.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
            escaped = c == '\\' && !escaped;
            ends
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => plain.push(unicode(&mut chars)?),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Some(plain)
}

fn unicode(chars: &mut Chars<'_>) -> Option<char> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | chars.next()?.to_digit(16)?;
    }
    // Java would pair surrogates; no key or value of ours has a use for them.
    Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        let read = parse(text.as_bytes()).unwrap();
        read.into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[test]
    fn separators() {
        for text in ["a=b", "a:b", "a b", "a\tb", " a = b ", "a\u{c}:\t b", "a=b\r\n", "a=b\\"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one("a : = b"), ("a".into(), "= b".into()));
        assert_eq!(one("alone"), ("alone".into(), String::new()));
        assert_eq!(one(r"a\=b\:c\ d = e"), ("a=b:c d".into(), "e".into()));
    }

    #[test]
    fn comments_blank_lines_and_line_numbers() {
        let text = "# no\n\n  ! no \\\nk=1\r\r\nl = 2 # kept\n";
        let expected = [("k".into(), "1".into(), 4), ("l".into(), "2 # kept".into(), 6)];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn continuation() {
        let text = "server.1=h\\\n   ost:1:2\\\\\nnext=\\\n# kept\n";
        let expected =
            [("server.1".into(), r"host:1:2\".into(), 1), ("next".into(), "# kept".into(), 3)];
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"k=a\tb\u0041\q\\"), ("k".into(), "a\tbAq\\".into()));
        assert_eq!(parse(b"x=1\ny=\\u00g0\n"), Err(MalformedEscape { line: 2 }));
        assert_eq!(parse(b"y=\\u00"), Err(MalformedEscape { line: 1 }));
    }

    #[test]
    fn encodings() {
        assert_eq!(one("k=\u{e9}"), ("k".into(), "\u{e9}".into()));
        assert_eq!(parse(b"k=\xe9").unwrap()[0].value, "\u{e9}");
        assert_eq!(parse(b"\xef\xbb\xbfk=v").unwrap()[0].key, "k");
    }
}
