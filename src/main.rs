//! `zkprov`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    zkprov::main(std::env::args_os())
}
