//! `coordinator brokers`: what Kafka keeps here about its brokers, as one line of JSON: who is
//! registered, who controls, and every partition with its replicas and those in sync.
//!
//! The layout is that of Kafka's `zk/ZkData.scala`. Only what anybody may read is read.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::access::Access;
use crate::client::{Client, Error, Options, Servers};
use crate::exit::{self, Failure};
use crate::wire::code::Code;

/// More than any cluster that ZooKeeper could carry; what lies beyond is an answer gone wrong.
const PARTITIONS_MAX: usize = 1_000_000;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The server to ask, or several
    #[arg(long, value_name = "HOST:PORT[,HOST:PORT...]", default_value = "localhost:2181")]
    pub server: String,
    /// Only tell of this broker; exit 0 if it is registered
    #[arg(long, value_name = "ID")]
    pub id: Option<u32>,
    /// How long to look for a server that serves, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub timeout_ms: u64,
    #[command(flatten)]
    pub access: Access,
}

#[expect(clippy::print_stdout, reason = "the answer is this command's data")]
pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let servers = Servers::parse(&arguments.server)
        .map_err(|error| Failure::new(exit::USAGE, error.to_string()))?;
    let options = Options {
        connect_timeout: Duration::from_millis(arguments.timeout_ms),
        ..Options::default()
    };
    let options = arguments.access.open()?.options(options);
    let failed = |error: Error| Failure::new(exit::FAILED, error.to_string());
    let mut client = Client::open(servers, options, None).map_err(failed)?;
    if let Some(id) = arguments.id {
        let registered = registration(&mut client, id).map_err(failed)?;
        let controller = controller(&mut client).map_err(failed)?;
        let _ = client.close();
        println!("{}", json!({"id": id, "registeredMs": registered, "controller": controller}));
        return Ok(if registered.is_some() { exit::OK } else { exit::FAILED });
    }
    let answer = cluster(&mut client).map_err(failed)?;
    let _ = client.close();
    // Whoever closed the pipe has what it wanted.
    let _ = writeln!(io::stdout().lock(), "{answer}");
    Ok(exit::OK)
}

/// Everything, read after one `sync`: a follower that is behind tells nothing old.
fn cluster(client: &mut Client) -> Result<Value, Error> {
    client.sync("/brokers")?;
    let mut brokers = Vec::new();
    for id in children(client, "/brokers/ids")?.iter().filter_map(|id| id.parse::<u32>().ok()) {
        if let Some(registered) = registration(client, id)? {
            brokers.push(json!({"id": id, "registeredMs": registered}));
        }
    }
    let mut partitions = Vec::new();
    for topic in children(client, "/brokers/topics")? {
        let Some(assigned) = data(client, &format!("/brokers/topics/{topic}"))? else { continue };
        let least = min_insync(client, &format!("/config/topics/{topic}"))?;
        for (partition, replicas) in assigned["partitions"].as_object().into_iter().flatten() {
            let path = format!("/brokers/topics/{topic}/partitions/{partition}/state");
            let state = data(client, &path)?.unwrap_or(Value::Null);
            partitions.push(json!({
                "topic": topic,
                "partition": partition.parse::<u32>().ok(),
                "replicas": replicas,
                "leader": state["leader"],
                "isr": state["isr"],
                "minInsync": least,
            }));
            if partitions.len() > PARTITIONS_MAX {
                return Err(Error::Protocol(format!("more than {PARTITIONS_MAX} partitions")));
            }
        }
    }
    Ok(json!({
        "controller": controller(client)?,
        "brokers": brokers,
        "partitions": partitions,
        "minInsync": min_insync(client, "/config/brokers/<default>")?,
    }))
}

/// When the broker registered, in milliseconds since 1970: another start is another registration.
fn registration(client: &mut Client, id: u32) -> Result<Option<i64>, Error> {
    match client.exists(&format!("/brokers/ids/{id}"), false)? {
        Some(stat) => Ok(Some(stat.ctime_ms)),
        None => Ok(None),
    }
}

/// The broker that is the controller.
fn controller(client: &mut Client) -> Result<Option<i64>, Error> {
    Ok(data(client, "/controller")?.and_then(|data| data["brokerid"].as_i64()))
}

/// `min.insync.replicas` where somebody has set it.
fn min_insync(client: &mut Client, path: &str) -> Result<Option<u32>, Error> {
    let data = data(client, path)?;
    let set = data.as_ref().and_then(|data| data["config"]["min.insync.replicas"].as_str());
    Ok(set.and_then(|text| text.parse().ok()))
}

fn children(client: &mut Client, path: &str) -> Result<Vec<String>, Error> {
    match client.get_children(path, false) {
        Ok((mut names, _)) => {
            names.sort();
            Ok(names)
        }
        Err(error) if error.code() == Some(Code::NoNode) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A znode's JSON; `None` when it is not there, or is none.
fn data(client: &mut Client, path: &str) -> Result<Option<Value>, Error> {
    match client.get_data(path, false) {
        Ok((data, _)) => Ok(data.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
        Err(error) if error.code() == Some(Code::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
