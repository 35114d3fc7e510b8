//! Parse, run, exit code.

use std::process::ExitCode;

use coordinator_bench::{cli, report};

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::progress(&format!("coordinator-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
