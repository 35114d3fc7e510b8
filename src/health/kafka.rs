//! How Kafka's cluster is: its brokers' processes as their hosts say, its partitions as Kafka itself
//! keeps them with the coordinators. Pure: what was observed in, a verdict out.

use std::collections::BTreeSet;

use coordinator::answers::Brokers;
pub use coordinator::answers::Partition;
use serde::Serialize;

use crate::inventory::Inventory;
use crate::layout::BROKER_UNIT;
use crate::probe::Observed;

/// One broker of the inventory, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Broker {
    pub host: String,
    pub id: u32,
    /// Why the host could not be asked.
    pub unreachable: Option<String>,
    /// `active`, `failed`…, as systemd says; empty when there is no unit.
    pub unit: String,
    pub main_pid: u32,
    /// Automatic restarts since somebody started it.
    pub restarts: u32,
    /// When it registered, in milliseconds since 1970; `None`: it is not registered.
    pub registered_ms: Option<i64>,
}

/// The whole cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pub brokers: Vec<Broker>,
    pub controller: Option<u32>,
    pub partitions: Vec<Partition>,
    /// `min.insync.replicas` of topics that do not say: the brokers' own setting.
    pub min_insync: usize,
    /// Why the coordinators did not tell; the rest is not known then.
    pub silent: Option<String>,
}

/// Whether this is what `coordinator brokers` prints, and not why it could not.
pub fn tells(line: &str) -> bool {
    line.trim_start().starts_with('{')
}

impl Cluster {
    /// From what each broker's host has said, and from one answer of the coordinators.
    pub fn of<'a>(
        inventory: &Inventory,
        observed: impl Fn(&str) -> Result<&'a Observed, String>,
        told: Result<&str, String>,
    ) -> Self {
        let parsed = told.and_then(|line| {
            serde_json::from_str::<Brokers>(line.trim()).map_err(|_| line.trim().to_owned())
        });
        let (told, silent) = match parsed {
            Ok(told) => (told, None),
            Err(why) => (Brokers::default(), Some(why)),
        };
        let brokers = inventory.brokers.iter().map(|broker| {
            let registered = told.brokers.iter().find(|other| other.id == broker.id);
            let registered_ms = registered.map(|other| other.registered_ms);
            let own = Broker {
                host: broker.host.clone(),
                id: broker.id,
                registered_ms,
                ..Broker::default()
            };
            match observed(&broker.host) {
                Ok(observed) => {
                    let unit = observed.unit(BROKER_UNIT);
                    Broker {
                        unit: unit.get("ActiveState").to_owned(),
                        main_pid: unit.get("MainPID").parse().unwrap_or(0),
                        restarts: unit.get("NRestarts").parse().unwrap_or(0),
                        ..own
                    }
                }
                Err(why) => Broker { unreachable: Some(why), ..own },
            }
        });
        let written = inventory.brokers.iter().filter_map(|broker| {
            broker.properties.get("min.insync.replicas")?.trim().parse::<u32>().ok()
        });
        Self {
            brokers: brokers.collect(),
            controller: told.controller,
            partitions: told.partitions,
            min_insync: told.min_insync.or_else(|| written.max()).unwrap_or(1) as usize,
            silent,
        }
    }

    pub fn broker(&self, host: &str) -> Option<&Broker> {
        self.brokers.iter().find(|broker| broker.host == host)
    }

    /// Partitions that lack a replica in sync, or a leader.
    pub fn under_replicated(&self) -> Vec<&Partition> {
        self.partitions.iter().filter(|partition| partition.is_under_replicated()).collect()
    }

    /// How many replicas in sync a partition needs to take what `acks=all` sends.
    pub fn least(&self, partition: &Partition) -> usize {
        partition.min_insync.map_or(self.min_insync, |least| least as usize)
    }

    /// Topics that cannot be written to while one of their brokers is down, whatever the order.
    pub fn without_spare(&self) -> BTreeSet<String> {
        let spare = |p: &&Partition| p.replicas.len() <= self.least(p).max(1);
        self.partitions.iter().filter(spare).map(|partition| partition.topic.clone()).collect()
    }

    /// Everything that keeps the cluster from being healthy, in words.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Some(why) = &self.silent {
            complaints.push(format!("the coordinators do not tell about the brokers: {why}"));
        }
        for broker in &self.brokers {
            let (host, id) = (&broker.host, broker.id);
            if let Some(why) = &broker.unreachable {
                complaints.push(format!("broker {id} on {host} is unreachable: {why}"));
            } else if broker.main_pid == 0 {
                let state = if broker.unit.is_empty() { "not installed" } else { &broker.unit };
                complaints.push(format!("broker {id} on {host} does not run ({state})"));
            } else if broker.registered_ms.is_none() && self.silent.is_none() {
                complaints.push(format!("broker {id} on {host} runs and is not registered"));
            }
        }
        let under = self.under_replicated();
        if let Some(first) = under.first() {
            complaints.push(format!("{} under-replicated: {}", count(under.len()), first));
        }
        if self.controller.is_none() && self.brokers.iter().any(|b| b.registered_ms.is_some()) {
            complaints.push("no broker is the controller".into());
        }
        complaints
    }
}

pub(crate) fn count(partitions: usize) -> String {
    crate::quantity::count(partitions, "partition")
}
