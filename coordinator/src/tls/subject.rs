//! A subject as Java's `X500Principal.getName()` prints it: RFC 2253, the id of the scheme `x509`.

use super::certificate::Certificate;
use super::der::{Der, Element, OID, SEQUENCE, SET};
use crate::bytes::hex;

/// The subject of a certificate; `None` when it is none.
pub fn subject(certificate: &[u8]) -> Option<String> {
    name(Certificate::parse(certificate)?.subject)
}

/// The last common name of a subject, as text.
pub(super) fn common_name(name: &[u8]) -> Option<String> {
    let mut names = Der(name).inside(SEQUENCE)?;
    let mut found = None;
    while let Some(mut set) = names.inside(SET) {
        while let Some(mut pair) = set.inside(SEQUENCE) {
            if pair.expect(OID)?.contents == [0x55, 4, 3] {
                found = text(&pair.next()?);
            }
        }
    }
    found
}

/// A whole `Name`: the last part first, parts of one set joined by `+`.
pub(super) fn name(whole: &[u8]) -> Option<String> {
    let mut names = Der(whole).inside(SEQUENCE)?;
    let mut parts = Vec::new();
    while !names.is_empty() {
        let mut set = names.inside(SET)?;
        let mut pairs = Vec::new();
        while !set.is_empty() {
            let mut pair = set.inside(SEQUENCE)?;
            let kind = pair.expect(OID)?.contents;
            let value = pair.next().filter(|_| pair.is_empty())?;
            pairs.push(attribute(kind, &value)?);
        }
        parts.push(pairs.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// The nine keywords of RFC 2253; every other type is a number and its value hexadecimal.
fn keyword(kind: &[u8]) -> Option<&'static str> {
    Some(match kind {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x55, 4, 6] => "C",
        [0x55, 4, 9] => "STREET",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        _ => return None,
    })
}

fn attribute(kind: &[u8], value: &Element<'_>) -> Option<String> {
    if let Some(keyword) = keyword(kind)
        && let Some(text) = text(value)
    {
        return Some(format!("{keyword}={}", escaped(&text)));
    }
    let name = keyword(kind).map_or_else(|| dotted(kind), |keyword| Some(keyword.to_owned()))?;
    Some(format!("{name}=#{}", hex(value.whole)))
}

fn dotted(kind: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc: u64 = 0;
    for (at, byte) in kind.iter().enumerate() {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.extend([first, arc - first * 40]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        } else if at + 1 == kind.len() {
            return None;
        }
    }
    let arcs: Vec<String> = arcs.iter().map(u64::to_string).collect();
    Some(arcs.join("."))
}

/// Values of the string types; others are printed as bytes.
fn text(value: &Element<'_>) -> Option<String> {
    let wide = |size: usize| {
        let chunks = value.contents.chunks_exact(size);
        let whole = chunks.remainder().is_empty();
        let letters = chunks.map(|chunk| chunk.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)));
        whole.then(|| letters.map(char::from_u32).collect::<Option<String>>()).flatten()
    };
    match value.tag {
        // UTF8String, PrintableString, IA5String
        0x0c | 0x13 | 0x16 => String::from_utf8(value.contents.to_vec()).ok(),
        // TeletexString, which everybody fills with ISO 8859-1
        0x14 => Some(value.contents.iter().map(|byte| char::from(*byte)).collect()),
        0x1c => wide(4),
        0x1e => wide(2),
        _ => None,
    }
}

/// Java escapes these wherever they stand, and blanks at both ends.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    let leading = text.chars().take_while(|c| *c == ' ').count();
    let trailing = text.chars().rev().take_while(|c| *c == ' ').count();
    for (at, letter) in text.chars().enumerate() {
        let blank = letter == ' ' && (at < leading || at + trailing > last);
        if blank || ",=+<>#;\"\\".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        if contents.len() < 128 {
            der.push(contents.len() as u8);
        } else {
            der.extend([0x81, contents.len() as u8]);
        }
        der.extend_from_slice(contents);
        der
    }

    fn pair(kind: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[element(OID, kind), element(tag, value)].concat())
    }

    fn printed(sets: &[&[Vec<u8>]]) -> String {
        let sets: Vec<u8> = sets.iter().flat_map(|set| element(SET, &set.concat())).collect();
        name(&element(SEQUENCE, &sets)).unwrap()
    }

    /// What Java 17 printed for the same names.
    #[test]
    fn subjects_are_printed_as_java_prints_them() {
        let (cn, o, ou, c) = ([0x55, 4, 3], [0x55, 4, 10], [0x55, 4, 11], [0x55, 4, 6]);
        let mail = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        assert_eq!(
            printed(&[
                &[pair(&c, 0x13, b"DE")],
                &[pair(&o, 0x0c, b"Acme, Inc.")],
                &[pair(&cn, 0x0c, b"broker one")]
            ]),
            "CN=broker one,O=Acme\\, Inc.,C=DE"
        );
        assert_eq!(
            printed(&[&[pair(&cn, 0x0c, b"mail")], &[pair(&mail, 0x16, b"a@b")]]),
            "1.2.840.113549.1.9.1=#1603614062,CN=mail"
        );
        assert_eq!(printed(&[&[pair(&o, 0x0c, b"a\\b\"c")]]), "O=a\\\\b\\\"c");
        assert_eq!(
            printed(&[&[pair(&ou, 0x0c, b"val"), pair(&cn, 0x0c, b"multi")]]),
            "OU=val+CN=multi"
        );
        assert_eq!(printed(&[&[pair(&cn, 0x0c, " ä#=;".as_bytes())]]), "CN=\\ ä\\#\\=\\;");
        assert_eq!(printed(&[&[pair(&cn, 0x1e, &[0, b'x', 0x20, 0xac])]]), "CN=x€");
        assert_eq!(printed(&[]), "");
    }
}
