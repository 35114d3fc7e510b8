//! `zkprov build`: the coordinator for the hosts' architectures.

use std::fs;
use std::path::PathBuf;

use crate::artifacts::build::{ARCHITECTURES, build, triple, workspace};
use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;

pub fn run(arguments: &cli::Build) -> Outcome {
    let workspace = workspace().ok_or_else(|| {
        Failure::failed("the sources this zkprov was built from are gone")
            .hint("run the zkprov of a checkout; a packaged zkprov has its coordinators beside it")
    })?;
    let mut targets = arguments.target.clone();
    if targets.is_empty() {
        for architecture in ARCHITECTURES {
            targets.push(triple(architecture)?.to_owned());
        }
    }
    for target in targets {
        let mut path = build(&workspace, &target)?;
        if let Some(folder) = &arguments.out {
            path = put(&path, folder.join(format!("coordinator-{target}")))?;
        }
        report::data(&format!("{}\n", path.display()));
    }
    Ok(Exit::Done)
}

fn put(from: &PathBuf, to: PathBuf) -> Result<PathBuf, Failure> {
    to.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::copy(from, &to))
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", to.display())))?;
    Ok(to)
}
