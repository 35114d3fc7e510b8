//! What can be wrong with a configuration, said so that its owner can mend it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Exit code of a process whose configuration is wrong (`EX_CONFIG` of `sysexits.h`).
pub const EXIT_CODE: u8 = 78;

/// Why the server does not start with this configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    /// From 1; absent when the fault is in the file as a whole, or came from the command line.
    pub line: Option<usize>,
    pub key: Option<String>,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": `{key}`")?;
        }
        write!(f, ": {}\n\n{}", self.message, self.hint)
    }
}

impl Error for ConfigError {}

/// Something in the configuration that its owner should know and that does not stop the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub file: PathBuf,
    pub line: Option<usize>,
    pub key: Option<String>,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": `{key}`")?;
        }
        write!(f, ": {}", self.message)
    }
}
