//! `zkprov template`: the files that land on the hosts, and the values they are made from.

use std::fmt::Write as _;

use crate::cli::{self, TemplateCommand};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::Inventory;
use crate::plan::template::{self, TEMPLATES};
use crate::report;

pub fn run(command: &TemplateCommand) -> Outcome {
    match command {
        TemplateCommand::List(arguments) => list(arguments),
        TemplateCommand::Show(arguments) => show(arguments),
    }
}

fn list(arguments: &cli::TemplateList) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let mut text = String::new();
    for template in TEMPLATES {
        let source = template::source(&inventory, template.name)?;
        let from =
            source.file.map_or_else(|| "built in".to_owned(), |file| file.display().to_string());
        let _ = writeln!(text, "{:<22} {} ({from})", template.name, template.about);
    }
    report::data(&text);
    Ok(Exit::Done)
}

fn show(arguments: &cli::TemplateShow) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    if arguments.source {
        report::data(&template::source(&inventory, &arguments.name)?.text);
        return Ok(Exit::Done);
    }
    let host = match &arguments.host {
        None => inventory.hosts.first(),
        Some(name) => inventory.hosts.iter().find(|host| host.name == *name),
    };
    let host = host.ok_or_else(|| {
        let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
        Failure::usage(format!(
            "there is no host `{}`",
            arguments.host.as_deref().unwrap_or_default()
        ))
        .hint(format!("hosts: {}", names.join(", ")))
    })?;
    // A name that is none is told without the values.
    template::source(&inventory, &arguments.name)?;
    let rendered = template::render(&inventory, host, &arguments.name);
    let values = serde_json::to_string_pretty(&template::values(&inventory, host, None))
        .map_err(|error| Failure::failed(format!("cannot show the values: {error}")))?;
    // The values are talk about the file, and needed most when it cannot be rendered.
    report::talk(&format!("values of {} for {}:\n{values}", arguments.name, host.name));
    report::data(&rendered?);
    Ok(Exit::Done)
}
