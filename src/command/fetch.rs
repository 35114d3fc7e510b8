//! `zkprov fetch`: the release, verified, in the cache.

use crate::artifacts::fetch;
use crate::artifacts::fetch::cache::Cache;
use crate::artifacts::progress::{Download, megabytes};
use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::inventory::Inventory;
use crate::report;

pub async fn run(arguments: &cli::Fetch) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory.inventory)?;
    let kafka = &inventory.kafka;
    if !kafka.install {
        report::talk("nothing to fetch: `kafka: { install: false }`");
        return Ok(Exit::Done);
    }
    let expected = fetch::expected(kafka).await?;
    let cache = Cache::of_user()?;
    let mut download = Download::new(fetch::file_name(kafka));
    let fetched = fetch::fetch(kafka, &expected, &cache, &mut |event| download.tell(&event)).await;
    download.end();
    let fetched = fetched?;
    let from = fetched.source.unwrap_or_else(|| "the cache".to_owned());
    report::talk(&format!(
        "{}: {} from {from}, SHA-512 verified",
        fetch::file_name(kafka),
        megabytes(fetched.bytes)
    ));
    report::data(&format!("{}\n", fetched.path.display()));
    Ok(Exit::Done)
}
