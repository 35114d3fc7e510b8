//! `coordinator shell`: znodes by hand, in the manner of `zkCli.sh`.

use clap::Args;

use crate::cli::{Failure, exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Servers to connect to, with an optional chroot behind them
    #[arg(long, value_name = "HOST:PORT[,HOST:PORT...]", default_value = "localhost:2181")]
    pub server: String,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// One command and its arguments; without it the shell is interactive
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

pub fn run(_arguments: Arguments) -> Result<u8, Failure> {
    Err(Failure::new(exit::FAILED, "`shell` is not built yet"))
}
