//! `zkprov init`: a commented starter inventory.

use std::io::Write as _;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;

/// Valid as it stands; a test holds it to that.
pub const STARTER: &str = include_str!("../inventory/starter.yaml");

pub fn run(arguments: &cli::Init) -> Outcome {
    let path = &arguments.file;
    if path.as_os_str() == "-" {
        report::data(STARTER);
        return Ok(Exit::Done);
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(!arguments.force).create(true).truncate(true);
    let written = options.open(path).and_then(|mut file| file.write_all(STARTER.as_bytes()));
    if let Err(error) = written {
        let path = path.display();
        return Err(match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::usage(format!("{path} exists already"))
                .hint("name another file, or overwrite it with --force"),
            _ => Failure::usage(format!("cannot write {path}: {error}")),
        });
    }
    report::talk(&format!(
        "wrote {0}: put your hosts in, then run `zkprov validate {0}` and `zkprov plan {0}`",
        path.display()
    ));
    Ok(Exit::Done)
}
