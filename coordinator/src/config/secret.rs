//! The ensemble's secrets: read once, never shown.

use std::fmt;

/// Fewer bytes than this could be guessed.
const LENGTH_MIN: usize = 16;
/// More than this is not a key but a wrong file.
const LENGTH_MAX: usize = 4096;
/// An old one and a new one are two; each more costs every handshake.
const KEYS_MAX: usize = 8;

/// The word for "no secret" in a file of several, while a secret is being introduced.
const NONE: &[u8] = b"none";

/// What every member knows and no stranger does: one secret, or several while it is being replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<Box<[u8]>>);

impl Secret {
    /// One secret a line of text, without the blanks around it; bytes that are no text are one
    /// secret. The error says what is wrong.
    pub(super) fn parse(contents: &[u8]) -> Result<Secret, String> {
        let whole = contents.trim_ascii();
        let lines: Vec<&[u8]> = if std::str::from_utf8(whole).is_ok() {
            whole.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).collect()
        } else {
            vec![whole]
        };
        let lines = lines.into_iter().filter(|line| !line.is_empty());
        let keys = lines.map(|line| match line.len() {
            _ if line == NONE => Ok(Box::default()),
            LENGTH_MIN..=LENGTH_MAX => Ok(line.into()),
            length => {
                Err(format!("holds {length} bytes; {LENGTH_MIN} to {LENGTH_MAX} are expected"))
            }
        });
        let keys: Vec<Box<[u8]>> = keys.collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(format!("holds 0 bytes; {LENGTH_MIN} to {LENGTH_MAX} are expected")),
            1..=KEYS_MAX if keys.iter().any(|key| !key.is_empty()) => Ok(Secret(keys)),
            1..=KEYS_MAX => Err("holds no secret but `none`; remove the key instead".to_owned()),
            count => Err(format!("holds {count} secrets; {KEYS_MAX} at most are expected")),
        }
    }

    /// The first one is for dialling, all are accepted; an empty one stands for none.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whoever is a peer has shown that it knows a secret.
    pub fn is_required(&self) -> bool {
        self.0.iter().all(|key| !key.is_empty())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(contents: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        Secret::parse(contents).map(|secret| secret.keys().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn one_secret_or_several_or_none_for_a_while() {
        let (old, new) = (&b"an old old secret"[..], &b"a new one, as long"[..]);
        assert_eq!(keys(&[old, b"\n"].concat()), Ok(vec![old.to_vec()]));
        let both = keys(&[old, b"\r\n\n ", new, b"\n"].concat());
        assert_eq!(both, Ok(vec![old.to_vec(), new.to_vec()]));
        let first = Secret::parse(&[b"none\n", new].concat()).unwrap();
        assert_eq!(first.keys().collect::<Vec<_>>(), [b"", new]);
        assert!(!first.is_required() && Secret::parse(new).unwrap().is_required());
        let bytes = [&[0xff; 20][..], b"\n", &[0xfe; 20]].concat();
        assert_eq!(keys(&bytes), Ok(vec![bytes.clone()]), "bytes may hold a line end");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for wrong in [&b""[..], b"none\n", b"short", b"long enough, this\nshort"] {
            assert!(Secret::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Secret::parse(&b"0123456789abcdef\n".repeat(9)).is_err());
        assert!(Secret::parse(&[b'x'; 5000]).is_err());
    }
}
