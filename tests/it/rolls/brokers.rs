//! Kafka's brokers: they restart, register, crash and lag, and their controller moves.

use std::cell::Cell;

use coordinator::answers::Partition;
use zkprov::health::kafka::{Broker, Cluster};
use zkprov::rolling::brokers::{BrokerRoll, Policy};
use zkprov::rolling::gate::Target;
use zkprov::rolling::service::Service;

use super::{Options, World};

/// What a restarted broker's replicas need to catch up.
const CATCH_UP_MS: u64 = 3_000;

#[derive(Debug)]
pub(super) struct Brokers {
    cluster: Cluster,
    next: u32,
    /// Brokers coming back: when their replicas are in sync.
    catching_up: Vec<(u32, u64)>,
    /// Most replicas missing from one partition at any look.
    worst: Cell<usize>,
}

impl Default for Brokers {
    fn default() -> Self {
        let cluster = Cluster { min_insync: 2, ..Cluster::default() };
        Self { cluster, next: 1000, catching_up: Vec::new(), worst: Cell::new(0) }
    }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split(' ').map(|number| number.parse().expect("a broker's number")).collect()
}

impl Brokers {
    fn broker(&mut self, host: &str) -> &mut Broker {
        let of = |broker: &&mut Broker| broker.host == host;
        self.cluster.brokers.iter_mut().find(of).unwrap_or_else(|| panic!("no broker on {host}"))
    }

    /// `TOPIC-NUMBER on ID… in sync ID…[ needs NUMBER]`.
    fn partition(&mut self, line: &str) -> Option<()> {
        let (name, rest) = line.split_once(" on ")?;
        let (topic, partition) = name.rsplit_once('-')?;
        let (replicas, rest) = rest.split_once(" in sync ")?;
        let (isr, min_insync) = match rest.split_once(" needs ") {
            Some((isr, needs)) => (isr, Some(needs.parse().expect("a number"))),
            None => (rest, None),
        };
        let partition = Partition {
            topic: topic.to_owned(),
            partition: partition.parse().expect("a number"),
            replicas: numbers(replicas),
            leader: Some(1),
            isr: Some(numbers(isr)),
            min_insync,
        };
        self.cluster.partitions.retain(|other| {
            (other.topic.as_str(), other.partition)
                != (partition.topic.as_str(), partition.partition)
        });
        self.cluster.partitions.push(partition);
        Some(())
    }
}

impl World for Brokers {
    type Machine = BrokerRoll;

    fn line(&mut self, line: &str) -> bool {
        let id = u32::try_from(self.cluster.brokers.len() + 1).expect("a small cluster");
        match line.split(' ').collect::<Vec<_>>()[..] {
            [host, word @ ("broker" | "controller" | "down")] => {
                let up = word != "down";
                self.cluster.brokers.push(Broker {
                    host: host.to_owned(),
                    id,
                    unit: if up { "active" } else { "inactive" }.to_owned(),
                    main_pid: if up { 100 + id } else { 0 },
                    registered_ms: up.then_some(i64::from(id)),
                    ..Broker::default()
                });
                if word == "controller" {
                    self.cluster.controller = Some(id);
                }
                true
            }
            _ => self.partition(line).is_some(),
        }
    }

    fn service(&self) -> Service {
        Service::brokers()
    }

    fn machine(&self, options: &Options, targets: Vec<Target>) -> BrokerRoll {
        let policy = Policy {
            gate_timeout_ms: 300_000,
            back_timeout_ms: 600_000,
            settle_ms: options.settle_ms,
        };
        BrokerRoll::new(policy, targets)
    }

    fn view(&self, now_ms: u64) -> Cluster {
        let mut cluster = self.cluster.clone();
        for partition in &mut cluster.partitions {
            let late =
                |id: &u32| self.catching_up.iter().any(|(of, at_ms)| of == id && now_ms < *at_ms);
            if let Some(isr) = &mut partition.isr {
                isr.retain(|id| !late(id));
            }
            let missing = partition.replicas.len() - partition.in_sync().len();
            self.worst.set(self.worst.get().max(missing));
        }
        cluster
    }

    fn transfer(&mut self, host: &str) {
        panic!("{host}: brokers hand nothing over");
    }

    fn restart(&mut self, host: &str, now_ms: u64) {
        self.next += 1;
        let next = self.next;
        let broker = self.broker(host);
        (broker.main_pid, broker.registered_ms) = (next, Some(i64::from(next)));
        let id = broker.id;
        if self.cluster.controller == Some(id) {
            self.cluster.controller = Some(id % 3 + 1);
        }
        self.catching_up.push((id, now_ms + CATCH_UP_MS));
    }

    fn befalls(&mut self, host: &str, what: &str) {
        if host == "coordinators" {
            self.cluster.silent = Some(what.to_owned());
            return;
        }
        if let Some(isr) = what.strip_prefix("has in sync ") {
            let of = |partition: &&mut Partition| {
                format!("{}-{}", partition.topic, partition.partition) == host
            };
            let partition = self.cluster.partitions.iter_mut().find(of).expect("a partition");
            partition.isr = Some(numbers(isr));
            return;
        }
        let broker = self.broker(host);
        let id = broker.id;
        match what.split(' ').collect::<Vec<_>>()[..] {
            ["controls"] => self.cluster.controller = Some(id),
            ["ends", times, "times"] => broker.restarts = times.parse().expect("a number"),
            ["keeps", "its", "old", "registration"] => broker.registered_ms = Some(i64::from(id)),
            _ => panic!("`{what}` is no event"),
        }
    }

    fn bound(&self) -> String {
        format!("most replicas missing from a partition at once: {}", self.worst.get())
    }
}
