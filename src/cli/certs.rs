//! Flags of `zkprov certs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{Connection, InventoryFile, OutputOptions, Selection};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Certs {
    #[command(subcommand)]
    pub command: Option<CertsCommand>,
    #[command(flatten)]
    pub list: ListCerts,
}

#[derive(Args, Debug)]
pub struct ListCerts {
    #[command(flatten)]
    pub inventory: InventoryFile,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub output_options: OutputOptions,
}

#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make the next of three steps from this authority to a new one; `apply` follows each
    RotateCa(RotateCa),
    /// Issue a client a certificate for its own key, and print it
    Issue(IssueCert),
}

#[derive(Args, Debug)]
pub struct IssueCert {
    /// The client's request in PEM, for a key of P-256; `-` reads stdin
    pub request: PathBuf,
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Who the client is: ACLs know it as `CN=NAME,O=ENSEMBLE`
    #[arg(long, value_name = "NAME")]
    pub name: String,
}

#[derive(Args, Debug)]
pub struct RotateCa {
    #[command(flatten)]
    pub inventory: InventoryFile,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub connection: Connection,
}
