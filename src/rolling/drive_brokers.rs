//! How brokers, and what Kafka itself says about them, are looked at while they are rolled. What is known
//! of partitions comes from the coordinators, by the tool that every host has (docs/decisions/0009 says
//! why).

use std::time::Duration;

use futures_util::future::join_all;

use crate::cli::Part;
use crate::failure::Failure;
use crate::health::kafka::{self, Cluster};
use crate::host::session::HostSession;
use crate::inventory::{Host, Inventory};
use crate::layout::{BINARY, BROKER_UNIT};
use crate::plan::library;
use crate::plan::operation::Operation;
use crate::plan::resource::service;
use crate::probe::{Observed, Reading};
use crate::rolling::brokers::BrokerRoll;
use crate::rolling::drive::{Drive, Machine, Service};
use crate::rolling::gate::{Next, Target};
use crate::script::{self, Script};

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(20);
/// How long a broker that was put back may take to register.
const REGISTERED_S: u64 = 240;

impl Machine for BrokerRoll {
    type View = Cluster;
    fn service(_: &Inventory) -> Service {
        Service {
            part: Part::Broker,
            unit: BROKER_UNIT.to_owned(),
            noun: "broker",
            prefix: "broker: ",
            stop_s: Some(service::BROKER_STOPS_S),
            // A broker hands its leaderships over and closes its logs first: the unit gives it 300 s.
            restart_s: 420,
            put_back_s: 720,
            back: "registered, no partition under-replicated",
            well: "is registered",
        }
    }

    fn next(&mut self, cluster: &Cluster, now_ms: u64) -> Next {
        self.next(cluster, now_ms)
    }

    fn restarted(&mut self, host: &str, before: &Cluster, now_ms: u64) {
        self.restarted(host, before, now_ms);
    }

    fn pending(&self) -> &[Target] {
        self.pending()
    }

    async fn look(drive: &Drive<'_>) -> Cluster {
        look(drive).await
    }

    fn awaited(drive: &Drive<'_>, host: &Host) -> Operation {
        let inventory = &drive.run.inventory;
        let id = inventory.broker_on(host).map_or(0, |broker| broker.id);
        Operation::registered(BROKER_UNIT, REGISTERED_S, &inventory.connect(), id)
    }
}

/// The cluster now, every broker's host asked at the same time, and the coordinators by one of them.
pub(super) async fn look(drive: &Drive<'_>) -> Cluster {
    let inventory = &drive.run.inventory;
    let connect = inventory.connect();
    let hosts: Vec<&HostSession<'_>> = drive
        .sessions
        .iter()
        .filter(|session| inventory.broker_on(session.host).is_some())
        .collect();
    let answers: Vec<(String, Result<Observed, Failure>)> =
        join_all(hosts.into_iter().map(|session| {
            let connect = connect.as_str();
            async move { (session.host.name.clone(), look_at(drive, session, connect).await) }
        }))
        .await;
    // A host that is cut off from the coordinators says so; another one may know.
    let told = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
    let mut told = told.map(|observed| observed.text("brokers"));
    let first = told.next();
    let line = match first {
        Some(line) if !kafka::tells(&line) => {
            Ok(told.find(|line| kafka::tells(line)).unwrap_or(line))
        }
        Some(line) => Ok(line),
        None => Err("no broker's host can be reached".to_owned()),
    };
    Cluster::of(
        inventory,
        |name| match answers.iter().find(|(host, _)| host == name) {
            Some((_, Ok(observed))) => Ok(observed),
            Some((_, Err(failure))) => Err(failure.cause.clone()),
            None => Err("it cannot be reached".to_owned()),
        },
        line.as_deref().map_err(Clone::clone),
    )
}

async fn look_at(
    drive: &Drive<'_>,
    session: &HostSession<'_>,
    connect: &str,
) -> Result<Observed, Failure> {
    let mut script = Script::new(&script::nonce());
    script.library(library::SERVICE);
    script.call("zk_guard", ["20"]);
    let mut reading = Reading::default();
    reading.unit(BROKER_UNIT);
    reading.function("probe_brokers", [BINARY, connect]);
    reading.ask_only(&mut script);
    drive.observe(session, &script, LOOK).await
}
