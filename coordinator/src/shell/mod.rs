//! `coordinator shell`: znodes by hand, in the manner of `zkCli.sh`.
//!
//! A line is split into words ([`words`]), matched against the table of commands ([`command`]),
//! run against a client ([`execute`]) to an outcome, which is shown as text or JSON ([`show`]).

mod acl;
mod command;
mod execute;
mod interactive;
mod outcome;
mod quota;
mod reconfig;
mod session;
mod show;
mod subtree;
mod terminal;
mod words;

use std::time::Duration;

use clap::Args;

use crate::access::Access;
use crate::client::{Client, Options, Servers};
use crate::exit::{self, Failure};

#[derive(Debug, Args)]
#[command(after_help = "Commands:\n  `coordinator shell help` lists them\n\n\
    With `-w`, a single command waits for the event and prints it")]
pub struct Arguments {
    /// Servers to connect to, with an optional chroot behind them
    #[arg(long, value_name = "HOST:PORT[,HOST:PORT...]", default_value = "localhost:2181")]
    pub server: String,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Session timeout to ask for, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub session_timeout_ms: i32,
    /// How long to look for a server that serves, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub connect_timeout_ms: u64,
    /// Be content with a server that has no quorum
    #[arg(long)]
    pub read_only: bool,
    #[command(flatten)]
    pub access: Access,
    /// One command and its arguments; without it, lines are read from standard input
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl Arguments {
    fn connect(&self, servers: &str) -> Result<Client, Failure> {
        let servers = Servers::parse(servers)
            .map_err(|error| Failure::new(exit::USAGE, error.to_string()))?;
        let options = Options {
            session_timeout_ms: self.session_timeout_ms,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            read_only: self.read_only,
            ..Options::default()
        };
        let options = self.access.open()?.options(options);
        Client::open(servers, options, None)
            .map_err(|error| Failure::new(exit::FAILED, error.to_string()))
    }
}

pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    if arguments.command.is_empty() {
        interactive::run(arguments)
    } else {
        session::run_one(&arguments)
    }
}
