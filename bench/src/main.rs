//! `coordinator-bench`: the coordinator beside Apache ZooKeeper on one machine, interleaved.

mod cell;
mod cli;
mod echo;
mod engine;
mod histogram;
mod load;
mod plain;
mod process;
mod raw;
mod report;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::progress(&format!("coordinator-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
