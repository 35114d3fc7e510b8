//! `coordinator brokers`: what Kafka keeps here about its brokers, as one line of JSON: who is
//! registered, who controls, and every partition with its replicas and those in sync.
//!
//! The layout is that of Kafka's `zk/ZkData.scala`. Only what anybody may read is read.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::answers::{Broker, Brokers, Partition, Registration};
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

/// `/brokers/topics/TOPIC`.
#[derive(Deserialize)]
struct Topic {
    partitions: BTreeMap<u32, Vec<u32>>,
}

/// `/brokers/topics/TOPIC/partitions/N/state`.
#[derive(Deserialize)]
struct PartitionState {
    leader: i64,
    isr: Vec<u32>,
}

/// `/controller`.
#[derive(Deserialize)]
struct Controller {
    brokerid: u32,
}

/// `/config/…`.
#[derive(Deserialize)]
struct Settings {
    config: BTreeMap<String, String>,
}

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
        let registered_ms = registered_ms(&mut client, id).map_err(failed)?;
        let controller = controller(&mut client).map_err(failed)?;
        let _ = client.close();
        print(&Broker { id, registered_ms, controller });
        return Ok(if registered_ms.is_some() { exit::OK } else { exit::FAILED });
    }
    let answer = cluster(&mut client).map_err(failed)?;
    let _ = client.close();
    print(&answer);
    Ok(exit::OK)
}

fn print(answer: &impl Serialize) {
    let line = serde_json::to_string(answer).expect("an answer has names for keys");
    // Whoever closed the pipe has what it wanted.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Everything, read after one `sync`: a follower that is behind tells nothing old.
fn cluster(client: &mut Client) -> Result<Brokers, Error> {
    client.sync("/brokers")?;
    let mut brokers = Vec::new();
    for id in children(client, "/brokers/ids")?.iter().filter_map(|id| id.parse::<u32>().ok()) {
        let registered_ms = registered_ms(client, id)?;
        brokers.extend(registered_ms.map(|registered_ms| Registration { id, registered_ms }));
    }
    let mut partitions = Vec::new();
    for topic in children(client, "/brokers/topics")? {
        let Some(assigned) = assigned(client, &format!("/brokers/topics/{topic}"))? else {
            continue;
        };
        let min_insync = min_insync(client, &format!("/config/topics/{topic}"))?;
        for (partition, replicas) in assigned.partitions {
            let path = format!("/brokers/topics/{topic}/partitions/{partition}/state");
            let state = data::<PartitionState>(client, &path)?;
            partitions.push(Partition {
                topic: topic.clone(),
                partition,
                replicas,
                leader: state.as_ref().map(|state| state.leader),
                isr: state.map(|state| state.isr),
                min_insync,
            });
            if partitions.len() > PARTITIONS_MAX {
                return Err(Error::Protocol(format!("more than {PARTITIONS_MAX} partitions")));
            }
        }
    }
    Ok(Brokers {
        controller: controller(client)?,
        brokers,
        partitions,
        min_insync: min_insync(client, "/config/brokers/<default>")?,
    })
}

/// The partitions of a topic. One that cannot be read is an error: nobody must take it for healthy.
fn assigned(client: &mut Client, path: &str) -> Result<Option<Topic>, Error> {
    let Some(bytes) = bytes(client, path)? else { return Ok(None) };
    let topic = serde_json::from_slice(&bytes);
    topic.map(Some).map_err(|error| {
        Error::Protocol(format!("`{path}` does not hold what Kafka writes: {error}"))
    })
}

/// When the broker registered, in milliseconds since 1970: another start is another registration.
fn registered_ms(client: &mut Client, id: u32) -> Result<Option<i64>, Error> {
    let stat = client.exists(&format!("/brokers/ids/{id}"), false)?;
    Ok(stat.map(|stat| stat.ctime_ms))
}

/// The broker that is the controller.
fn controller(client: &mut Client) -> Result<Option<u32>, Error> {
    Ok(data::<Controller>(client, "/controller")?.map(|data| data.brokerid))
}

/// `min.insync.replicas` where somebody has set it.
fn min_insync(client: &mut Client, path: &str) -> Result<Option<u32>, Error> {
    let settings = data::<Settings>(client, path)?;
    let set = settings.as_ref().and_then(|set| set.config.get("min.insync.replicas"));
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

/// A znode's JSON; `None` when it is not there, or is not what Kafka writes.
fn data<T: DeserializeOwned>(client: &mut Client, path: &str) -> Result<Option<T>, Error> {
    Ok(bytes(client, path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// A znode's data; `None` when it is not there, or has none.
fn bytes(client: &mut Client, path: &str) -> Result<Option<Vec<u8>>, Error> {
    match client.get_data(path, false) {
        Ok((data, _)) => Ok(data),
        Err(error) if error.code() == Some(Code::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
