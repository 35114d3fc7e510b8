//! A line to words, with quotes.

/// Splits at blanks. A word that begins with `"` or `'` goes to the same quote, blanks included;
/// quotes inside of a word are letters, so that JSON may be typed as it is.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = if first == '"' || first == '\'' {
            rest[1..]
                .split_once(first)
                .ok_or_else(|| format!("no closing {first} behind `{}`", &rest[1..]))?
        } else {
            rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()))
        };
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn lines_to_words() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("  ls   /  ", &["ls", "/"]),
            ("set /a 'b c'", &["set", "/a", "b c"]),
            ("set /a \"b 'c'\" x", &["set", "/a", "b 'c'", "x"]),
            ("set /a ''", &["set", "/a", ""]),
            ("set /a {\"k\":1}", &["set", "/a", "{\"k\":1}"]),
            ("set /ä 'ö ü'", &["set", "/ä", "ö ü"]),
        ];
        for (line, expected) in cases {
            assert_eq!(split(line).unwrap(), expected, "of `{line}`");
        }
        assert_eq!(split("set /a 'b"), Err("no closing ' behind `b`".to_owned()));
    }
}
