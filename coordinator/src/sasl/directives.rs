//! The list of `name=value` pairs that is a DIGEST-MD5 token (RFC 2831, section 7).

use std::collections::BTreeMap;

/// Values by their names in lower case. `None`: it is no such list, or it names one twice.
pub(super) fn parse(token: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut rest = token;
    loop {
        // RFC 2831 allows empty elements between commas.
        while let [b' ' | b'\t' | b'\r' | b'\n' | b',', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return Some(found);
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = std::str::from_utf8(rest[..equals].trim_ascii()).ok()?.to_ascii_lowercase();
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_token) {
            return None;
        }
        let (value, after) = value(rest[equals + 1..].trim_ascii_start())?;
        rest = after.trim_ascii_start();
        if !matches!(rest, [] | [b',', ..]) || found.insert(name, value).is_some() {
            return None;
        }
    }
}

/// A quoted string or a word, and what stands behind it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', inside @ ..] = text else {
        let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
        let word = text[..end].trim_ascii();
        return (!word.contains(&b'"')).then(|| (word.to_vec(), &text[end..]));
    };
    let mut rest = inside;
    let mut value = Vec::new();
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// A value as it stands inside quotes.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_damaged_ones_refused() {
        let found = parse(br#"qop=auth, realm="a\"b,c" ,,NC=00000001"#).unwrap();
        let pairs: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        assert_eq!(pairs, [("nc", &b"00000001"[..]), ("qop", b"auth"), ("realm", b"a\"b,c")]);
        assert_eq!(parse(b"").unwrap().len(), 0);
        for bad in [&b"qop"[..], b"=x", b"a=\"x", b"a=\"x\\", b"a=1,A=2", b"a=\"x\"y", b"a b=1"] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(parse(format!("a={}", quoted("q\"\\")).as_bytes()).unwrap()["a"], b"q\"\\");
    }
}
