//! One module per command, each a function of its arguments that reads top to bottom.

pub mod adopt;
pub mod apply;
pub mod backup;
pub mod build;
pub mod certs;
pub mod destroy;
pub mod fetch;
pub mod init;
pub mod inventory;
pub mod lab;
pub mod logs;
pub mod man;
pub mod migrate;
pub mod plan;
pub mod restart;
pub mod restore;
pub mod rollback;
pub mod schema;
pub mod secret;
pub mod shell;
pub mod status;
pub mod template;
pub mod unlock;
pub mod validate;

use std::future::Future;

use crate::cli::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;

/// What every command returns: how the process ends, or why it could not go on.
pub type Outcome = Result<Exit, Failure>;

/// Runs the command the arguments name.
pub fn run(arguments: Arguments) -> Outcome {
    report::set_color(arguments.color);
    match arguments.command {
        Command::Init(init) => init::run(&init),
        Command::Validate(validate) => validate::run(&validate),
        Command::Schema(schema) => schema::run(&schema),
        Command::Inventory(command) => wait(inventory::run(command)),
        Command::Adopt(adopt) => wait(adopt::run(adopt)),
        Command::Plan(plan) => wait(plan::run(plan)),
        Command::Apply(apply) => wait(apply::run(apply)),
        Command::Status(status) => wait(status::run(status)),
        Command::Certs(certs) => wait(certs::run(certs)),
        Command::Fetch(fetch) => wait(fetch::run(&fetch)),
        Command::Build(build) => build::run(&build),
        Command::Template(command) => template::run(&command),
        Command::Lab(command) => lab::run(&command),
        Command::Completions(completions) => man::completions(&completions),
        Command::Man(man) => man::run(&man),
        Command::Restart(restart) => wait(restart::run(restart)),
        Command::Rollback(rollback) => wait(rollback::run(rollback)),
        Command::Secret(command) => wait(secret::run(command)),
        Command::Migrate(migrate) => wait(migrate::run(migrate)),
        Command::Unlock(unlock) => wait(unlock::run(unlock)),
        Command::Destroy(destroy) => wait(destroy::run(destroy)),
        Command::Backup(backup) => wait(backup::run(backup)),
        Command::Restore(restore) => wait(restore::run(restore)),
        Command::Shell(shell) => shell::run(&shell),
        Command::Logs(logs) => wait(logs::run(logs)),
    }
}

/// Runs one asynchronous command to its end.
fn wait(future: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?
        .block_on(future)
}
