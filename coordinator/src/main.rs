//! `coordinator`: arguments, then serve, shell, status or check.

use std::process::ExitCode;

use clap::Parser;
use coordinator::cli;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.exit)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a failure is told")]
fn complain(message: &str) {
    eprintln!("coordinator: {message}");
}
