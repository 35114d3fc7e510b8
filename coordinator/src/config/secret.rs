//! The ensemble's secret: read once, never shown.

use std::fmt;

/// Fewer bytes than this could be guessed.
const LENGTH_MIN: usize = 16;
/// More than this is not a key but a wrong file.
const LENGTH_MAX: usize = 4096;

/// What every member knows and no stranger does.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The file's bytes, without blanks and line ends around them. The error says what is wrong.
    pub(super) fn parse(contents: &[u8]) -> Result<Secret, String> {
        let bytes = contents.trim_ascii();
        if bytes.len() < LENGTH_MIN || bytes.len() > LENGTH_MAX {
            let length = bytes.len();
            return Err(format!("holds {length} bytes; {LENGTH_MIN} to {LENGTH_MAX} are expected"));
        }
        Ok(Secret(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
