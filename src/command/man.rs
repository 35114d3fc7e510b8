//! `zkprov man` and `zkprov completions`: what clap can say about the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{self, CompletionShell};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report;

pub fn run(arguments: &cli::Man) -> Outcome {
    let command = cli::Arguments::command();
    let Some(folder) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::failed(format!("cannot make the page: {error}")))?;
        report::data(&String::from_utf8_lossy(&page));
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| {
            Failure::failed(format!("cannot write pages to {}: {error}", folder.display()))
        })?;
    report::talk(&format!("wrote the pages to {}: `man -l {0}/zkprov.1`", folder.display()));
    Ok(Exit::Done)
}

pub fn completions(arguments: &cli::Completions) -> Outcome {
    let shell = match arguments.shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Elvish => Shell::Elvish,
        CompletionShell::Fish => Shell::Fish,
        CompletionShell::Powershell => Shell::PowerShell,
        CompletionShell::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::Arguments::command(), "zkprov", &mut script);
    report::data(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
