//! Rules of paths, `PathUtils.validatePath`.

/// Whether a znode may have this path.
pub fn is_valid(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut name_start = 1;
    let mut ascii = true;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'/' => {
                if !is_name(&bytes[name_start..at]) {
                    return false;
                }
                name_start = at + 1;
            }
            b' '..=b'~' => {}
            0..=0x1f | 0x7f => return false,
            _ => ascii = false,
        }
    }
    (bytes.len() == 1 || is_name(&bytes[name_start..])) && (ascii || path.chars().all(is_allowed))
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
}

/// Java looks at UTF-16 units: what lies beyond the basic plane is a pair of surrogates there,
/// and so refused.
fn is_allowed(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Parent and name, cut at the last slash: "" is the parent of "/a" and of "/". `None` when
/// there is no slash.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let cut = path.as_bytes().iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..cut], &path[cut + 1..]))
}

/// The parent as it is written in events and replies: "/" for the root.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(end) => &path[..end],
    }
}

/// The proper ancestors of a path, nearest first, down to "/".
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let path = next.take().filter(|p| *p != "/")?;
        let up = parent(path);
        next = Some(up);
        Some(up)
    })
}

/// Nodes that cannot be deleted, `ZKDatabase.isSpecialPath`.
pub fn is_special(path: &str) -> bool {
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for good in ["/", "/a", "/a/b c", "/...", "/.a", "/a..", "/é", "/\u{d7ff}", "/\u{f900}"] {
            assert!(is_valid(good), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/..",
            "/\0",
            "/a\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{ffff}",
            "/😀",
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn parents() {
        assert_eq!((parent("/a/b"), parent("/a"), parent("/")), ("/a", "/", "/"));
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/").count(), 0);
    }
}
