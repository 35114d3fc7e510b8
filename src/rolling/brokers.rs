//! The rolling restart of Kafka's brokers as a pure machine, as its sibling for coordinators: a view of
//! the cluster and the time in; what to do next, a wait, a refusal or a stop out.
//!
//! What is down first, then by id, the controller last. No broker is taken down while a partition is
//! under-replicated, or while one of its partitions would fall below `min.insync.replicas`; a broker
//! counts as back when it runs anew, has registered anew, and every partition has all its replicas.

use crate::health::kafka::{self, Broker, Cluster, Partition};
use crate::rolling::gate::{CRASHES_MAX, Gate, Machine, Next, PAUSE_MS, Pace, Restarted, Target};

/// What holds for one roll.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long the cluster may take to be well before a broker's turn.
    pub gate_timeout_ms: u64,
    /// How long a broker may take to come back: it may have logs to recover.
    pub back_timeout_ms: u64,
    /// How long all must have stayed well before the next one's turn.
    pub settle_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Current {
    restarted: Restarted,
    old_registered_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct BrokerRoll {
    policy: Policy,
    pending: Vec<Target>,
    current: Option<Current>,
    gate: Gate,
}

impl BrokerRoll {
    pub fn new(policy: Policy, targets: Vec<Target>) -> Self {
        Self { policy, pending: targets, current: None, gate: Gate::default() }
    }

    /// Whose turn it is, by the newest view: the controller may have moved.
    fn candidate(&self, cluster: &Cluster) -> Option<Target> {
        let rank = |target: &&Target| match cluster.broker(&target.host) {
            None => (0, 0),
            Some(broker) if !up(broker) => (0, broker.id),
            Some(broker) if cluster.controller == Some(broker.id) => (2, broker.id),
            Some(broker) => (1, broker.id),
        };
        self.pending.iter().min_by_key(rank).cloned()
    }

    /// Whether the broker that was restarted is back, and all has stayed well.
    fn gate_after(&mut self, cluster: &Cluster, now_ms: u64) -> Next {
        let Some(current) = &mut self.current else { return Next::Finished };
        let host = current.restarted.host.clone();
        let broker = cluster.broker(&host);
        if let Some(why) = broker.and_then(crashing) {
            return Next::Failed { host, why };
        }
        let missing = missing(current, cluster, broker);
        let pace = Pace {
            timeout_ms: self.policy.back_timeout_ms,
            settle_ms: self.policy.settle_ms,
            pause_ms: 2 * PAUSE_MS,
        };
        let back = format!("{host}: its broker is back");
        let next = current.restarted.judge(missing, &back, pace, now_ms);
        if matches!(next, Next::Back { .. }) {
            self.current = None;
        }
        next
    }
}

impl Machine for BrokerRoll {
    type View = Cluster;

    fn preflight(&self, cluster: &Cluster) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(why) = &cluster.silent {
            reasons.push(format!("the coordinators do not tell about the brokers: {why}"));
        }
        for target in &self.pending {
            match cluster.broker(&target.host) {
                None => reasons.push(format!("{} has no broker", target.host)),
                Some(Broker { unreachable: Some(why), .. }) => {
                    reasons
                        .push(format!("{} is to be restarted and unreachable: {why}", target.host));
                }
                Some(_) => {}
            }
        }
        reasons
    }

    fn next(&mut self, cluster: &Cluster, now_ms: u64) -> Next {
        if self.current.is_some() {
            return self.gate_after(cluster, now_ms);
        }
        let Some(target) = self.candidate(cluster) else { return Next::Finished };
        let Some(broker) = cluster.broker(&target.host) else {
            return Next::Refused { why: format!("{} has no broker", target.host) };
        };
        if let Some(why) = closed(cluster, broker) {
            return self.gate.wait(self.policy.gate_timeout_ms, now_ms, why);
        }
        self.gate.open();
        Next::Restart { host: target.host, why: target.why }
    }

    fn restarted(&mut self, host: &str, before: &Cluster, now_ms: u64) {
        self.pending.retain(|target| target.host != host);
        let broker = before.broker(host);
        let old_pid = broker.map_or(0, |broker| broker.main_pid);
        self.current = Some(Current {
            restarted: Restarted::new(host, old_pid, now_ms),
            old_registered_ms: broker.and_then(|broker| broker.registered_ms),
        });
    }

    fn pending(&self) -> &[Target] {
        &self.pending
    }
}

fn up(broker: &Broker) -> bool {
    broker.main_pid != 0 && broker.registered_ms.is_some()
}

/// Why the broker must not be taken down now.
fn closed(cluster: &Cluster, broker: &Broker) -> Option<String> {
    if let Some(why) = &cluster.silent {
        return Some(format!("the coordinators do not tell about the brokers: {why}"));
    }
    if !up(broker) {
        // Starting it takes nothing away from anybody.
        return None;
    }
    let down = cluster.brokers.iter().find(|other| other.host != broker.host && !up(other));
    if let Some(other) = down {
        return Some(format!("broker {} on {} is not up", other.id, other.host));
    }
    let under = cluster.under_replicated();
    if let Some(first) = under.first() {
        return Some(format!("{} under-replicated: {}", kafka::count(under.len()), first));
    }
    let falls = |partition: &&Partition| {
        let least = cluster.least(partition);
        // One that never has a spare could not be restarted at all: it was named up front.
        partition.replicas.len() > least.max(1)
            && partition.in_sync().contains(&broker.id)
            && partition.in_sync().len() <= least
    };
    cluster
        .partitions
        .iter()
        .find(falls)
        .map(|partition| format!("{partition} and needs {}", cluster.least(partition)))
}

/// A process that ends again and again is not waited for.
fn crashing(broker: &Broker) -> Option<String> {
    if broker.unit == "failed" {
        return Some("the broker's service failed".into());
    }
    (broker.restarts >= CRASHES_MAX)
        .then(|| format!("the broker has ended {} times since the restart", broker.restarts))
}

/// What is still lacking after a broker's restart.
fn missing(current: &Current, cluster: &Cluster, broker: Option<&Broker>) -> Option<String> {
    let Some(broker) = broker else { return Some("it is not in the view".into()) };
    if let Some(why) = &broker.unreachable {
        return Some(format!("unreachable: {why}"));
    }
    if broker.main_pid == 0 || broker.main_pid == current.restarted.old_pid {
        return Some("the new process does not run yet".into());
    }
    if let Some(why) = &cluster.silent {
        return Some(format!("the coordinators do not tell about the brokers: {why}"));
    }
    // The old registration may outlive its process by a session's timeout.
    if broker.registered_ms.is_none() || broker.registered_ms == current.old_registered_ms {
        return Some("the broker has not registered yet".into());
    }
    let under = cluster.under_replicated();
    under.first().map(|first| format!("{} under-replicated: {}", kafka::count(under.len()), first))
}
