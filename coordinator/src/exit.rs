//! How a command ends: its exit code and, where it failed, the message.

/// Of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub const OK: u8 = 0;
/// The command did not succeed.
pub const FAILED: u8 = 1;
/// The command line is wrong (clap's own number).
pub const USAGE: u8 = 2;
/// The configuration is wrong, `EX_CONFIG`.
pub const CONFIG: u8 = 78;

/// Why a command failed, for a person, and the code to exit with.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: u8,
    pub message: String,
}

impl Failure {
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}
