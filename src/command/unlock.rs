//! `zkprov unlock`: ends, on the hosts, a run that holds the operator lock and is dead for good.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cli;
use crate::command::Outcome;
use crate::failure::Failure;
use crate::host::lock;
use crate::host::session::gather;
use crate::inventory::Inventory;
use crate::run::{self, Run, confirm};
use crate::script::Script;
use crate::script::frame::Kind;

pub async fn run(arguments: cli::Unlock) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let output_options = cli::OutputOptions { output: cli::Output::Text };
    let run =
        Run::new(inventory, &cli::Selection::default(), &arguments.connection, &output_options)
            .await?;
    confirm::confirm(arguments.yes, "End whatever run holds the lock on these hosts?")?;
    let hosts = run.hosts();
    let outcomes = join_all(hosts.iter().map(|host| async {
        let link = run.fleet.connector.connect(host).await?;
        let mut script = Script::guarded(Duration::from_secs(30));
        script.library(lock::SHELL);
        script.call("zk_step", ["unlock", "lock_break"]);
        let answer = gather(&link, &script, Duration::from_secs(30)).await;
        link.close().await;
        let (frames, stderr) = answer.map_err(|failure| failure.host(&host.name))?;
        match frames.iter().find(|frame| frame.kind == Kind::End || frame.kind == Kind::Fail) {
            Some(frame) if frame.kind == Kind::End => {
                let said = frame.text().trim().replace('\n', ", ");
                run.reporter.text(&format!("{}: {said}\n", host.name));
                Ok(())
            }
            Some(frame) => Err(Failure::failed(frame.text()).host(&host.name).step("unlock")),
            None => Err(Failure::failed(stderr).host(&host.name).step("unlock")),
        }
    }))
    .await;
    let failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    for failure in &failures {
        run.reporter.failed(failure);
    }
    Ok(run::worst(&failures))
}
