//! `zkprov logs`: the service's journal of one host or of all, following if asked.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::Event;
use crate::inventory::Inventory;
use crate::run::{self, Run};
use crate::script::Script;

const SHELL: &str = include_str!("logs.sh");
/// Whoever follows for longer starts again.
const FOLLOW: Duration = Duration::from_hours(12);

pub async fn run(arguments: cli::Logs) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let output_options = cli::OutputOptions { output: cli::Output::Text };
    let selection = cli::Selection { limit: arguments.host.clone() };
    let run = Run::new(inventory, &selection, &arguments.connection, &output_options).await?;
    tokio::select! {
        outcome = tell(&run, &arguments) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

async fn tell(run: &Run, arguments: &cli::Logs) -> Outcome {
    let hosts = run.hosts();
    let several = hosts.len() > 1;
    let width = hosts.iter().map(|host| host.name.len()).max().unwrap_or(0);
    let lines = arguments.lines.to_string();
    let outcomes =
        join_all(hosts.iter().map(|host| {
            let lines = lines.as_str();
            async move {
                let link = run.fleet.connector.connect(host).await?;
                let mut script = Script::guarded(FOLLOW);
                script.library(SHELL);
                let function = if arguments.follow { "logs_follow" } else { "logs_show" };
                script.call(function, [run.inventory.unit(), lines]);
                let ended = link
                    .run(&script, &[], FOLLOW, |event| {
                        if let Event::Frame(frame) = event {
                            for line in frame.text().lines() {
                                if several {
                                    run.reporter.text(&format!("{:width$}  {line}\n", host.name));
                                } else {
                                    run.reporter.text(&format!("{line}\n"));
                                }
                            }
                        }
                    })
                    .await;
                link.close().await;
                let ended = ended.map_err(|failure| failure.host(&host.name))?;
                match ended.status {
                    Some(0) => Ok(()),
                    _ => Err(Failure::failed(format!("journalctl ended: {}", ended.stderr))
                        .host(&host.name)),
                }
            }
        }))
        .await;
    let failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    for failure in &failures {
        run.reporter.failed(failure);
    }
    Ok(run::worst(&failures))
}
