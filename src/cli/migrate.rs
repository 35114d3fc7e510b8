//! Flags of `zkprov migrate`.

use clap::Args;

use super::{Connection, InventoryFile, OutputOptions};

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("way").required(true))]
pub struct Migrate {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Where to: everything is checked and brought there first, then all members are stopped, and the other
    /// engine goes on from what they have
    #[arg(long, value_name = "ENGINE", group = "way")]
    pub to: Option<MoveTo>,
    /// End a move that has not come to its end: everybody is started as before
    #[arg(long, group = "way")]
    pub undo: bool,
    /// Give up the way back: what is kept for it goes
    #[arg(long, group = "way")]
    pub finish: bool,
    /// Check everything, say how long nobody would be served, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
}

/// The other engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MoveTo {
    Coordinator,
    Zookeeper,
}
