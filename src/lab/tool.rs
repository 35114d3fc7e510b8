//! Runs this machine's own programs (`ip`, `mount`, `systemd-nspawn`…) and says what they said.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A program with an environment that does not depend on who calls.
pub(super) fn tool(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs a program to its end; its stdout, or a failure with the last lines of its stderr.
pub(super) fn run<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<String, Failure> {
    output(tool(program).args(args))
}

/// As [`run`], for a command that was built by hand.
pub(super) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| Failure::failed(format!("cannot run `{}`: {error}", shown(command))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Failure::failed(format!(
        "`{}` ended with {}: {}",
        shown(command),
        output.status,
        last_lines(&stderr, 5)
    )))
}

/// Whether the program ends well; whatever it says is of no interest.
pub(super) fn succeeds<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> bool {
    run(program, args).is_ok()
}

/// The end of a program's talk, where the reason stands.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("; ")
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
