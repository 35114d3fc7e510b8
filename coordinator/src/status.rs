//! `coordinator status`: asks a server how it is, as a client would.

use clap::Args;

use crate::cli::{Failure, exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The server to ask
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:2181")]
    pub server: String,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Also write, read and delete a znode
    #[arg(long)]
    pub probe: bool,
}

pub fn run(_arguments: &Arguments) -> Result<u8, Failure> {
    Err(Failure::new(exit::FAILED, "`status` is not built yet"))
}
