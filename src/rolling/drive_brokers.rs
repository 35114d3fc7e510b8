//! How brokers, and what Kafka itself says about them, are looked at while they are rolled. What is known
//! of partitions comes from the coordinators, by the tool that every host has (docs/decisions/0009 says
//! why).

use std::time::Duration;

use crate::health::kafka::{self, Cluster};
use crate::inventory::{Host, Inventory};
use crate::layout::{BINARY, BROKER_UNIT};
use crate::plan::operation::Operation;
use crate::probe::Reading;
use crate::rolling::brokers::BrokerRoll;
use crate::rolling::drive::{Drive, Rolled};
use crate::rolling::service::Service;

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(20);
/// How long a broker that was put back may take to register.
const REGISTERED_S: u64 = 240;

impl Rolled for BrokerRoll {
    fn service(_: &Inventory) -> Service {
        Service::brokers()
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
    let reading = |host: &Host| {
        inventory.broker_on(host)?;
        let mut reading = Reading::default();
        reading.unit(BROKER_UNIT);
        reading.function("probe_brokers", [BINARY, connect.as_str()]);
        Some(reading)
    };
    let answers = drive.ask(reading, LOOK).await;
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
        |name| match answers.iter().find(|(host, _)| *host == name) {
            Some((_, Ok(observed))) => Ok(observed),
            Some((_, Err(failure))) => Err(failure.cause.clone()),
            None => Err("it cannot be reached".to_owned()),
        },
        line.as_deref().map_err(Clone::clone),
    )
}
