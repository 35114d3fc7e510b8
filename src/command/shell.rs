//! `zkprov shell`: the coordinator's own shell, on the ensemble the inventory describes. It runs on
//! this machine when the clients' addresses are reachable from here.

use std::process::{Command, Stdio};

use crate::artifacts::build::Builds;
use crate::artifacts::collect;
use crate::artifacts::security::SecurityFiles;
use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::{Inventory, Transport};

pub fn run(arguments: &cli::Shell) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    // This machine's own architecture, not the hosts'.
    let binary = collect::binary(&inventory, std::env::consts::ARCH, Builds::Never)?.path;
    let mut command = Command::new(&binary);
    if inventory.security.clients != Transport::Off {
        command.env("COORDINATOR_CLIENT_CONFIG", SecurityFiles::operator(&inventory)?);
    }
    let status = command
        .args(["shell", "--server", &inventory.connect()])
        .args(&arguments.words)
        .stdin(Stdio::inherit())
        .status()
        .map_err(|error| Failure::failed(format!("cannot run `{}`: {error}", binary.display())))?;
    Ok(if status.success() { Exit::Done } else { Exit::Failed })
}
