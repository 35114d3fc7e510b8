//! The rolling restart of Kafka's brokers as a pure machine, as its sibling for coordinators: a view of
//! the cluster and the time in; what to do next, a wait, a refusal or a stop out.
//!
//! What is down first, then by id, the controller last. No broker is taken down while a partition is
//! under-replicated, or while one of its partitions would fall below `min.insync.replicas`; a broker
//! counts as back when it runs anew, has registered anew, and every partition has all its replicas.

use super::{CRASHES_MAX, Next, PAUSE_MS, PAUSE_MS_MAX, Target};
use crate::cluster::{self, Broker, Cluster, Partition};

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
    host: String,
    since_ms: u64,
    old_pid: u32,
    old_registered_ms: Option<i64>,
    well_since_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct BrokerRoll {
    policy: Policy,
    pending: Vec<Target>,
    current: Option<Current>,
    /// Since when the gate before the next broker is closed, and the last pause.
    waiting: Option<(u64, u64)>,
}

impl BrokerRoll {
    pub fn new(policy: Policy, targets: Vec<Target>) -> Self {
        Self { policy, pending: targets, current: None, waiting: None }
    }

    /// Brokers whose turn has not come.
    pub fn pending(&self) -> &[Target] {
        &self.pending
    }

    /// The reasons why this roll must not begin; none is good.
    pub fn preflight(&self, cluster: &Cluster) -> Vec<String> {
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

    /// What to do now.
    pub fn next(&mut self, cluster: &Cluster, now_ms: u64) -> Next {
        if self.current.is_some() {
            return self.gate_after(cluster, now_ms);
        }
        let Some(target) = self.candidate(cluster) else { return Next::Finished };
        let Some(broker) = cluster.broker(&target.host) else {
            return Next::Refused { why: format!("{} has no broker", target.host) };
        };
        if let Some(why) = closed(cluster, broker) {
            return self.wait_before(now_ms, why);
        }
        self.waiting = None;
        Next::Restart { host: target.host, why: target.why }
    }

    /// The broker was restarted, seen from `before`.
    pub fn restarted(&mut self, host: &str, before: &Cluster, now_ms: u64) {
        self.pending.retain(|target| target.host != host);
        let broker = before.broker(host);
        self.current = Some(Current {
            host: host.to_owned(),
            since_ms: now_ms,
            old_pid: broker.map_or(0, |broker| broker.main_pid),
            old_registered_ms: broker.and_then(|broker| broker.registered_ms),
            well_since_ms: None,
        });
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

    fn wait_before(&mut self, now_ms: u64, why: String) -> Next {
        let (since, pause) = match self.waiting {
            None => (now_ms, PAUSE_MS),
            Some((since, pause)) => (since, (pause * 2).min(PAUSE_MS_MAX)),
        };
        self.waiting = Some((since, pause));
        if now_ms - since >= self.policy.gate_timeout_ms {
            return Next::Refused { why };
        }
        Next::Wait { pause_ms: pause, why }
    }

    /// Whether the broker that was restarted is back, and all has stayed well.
    fn gate_after(&mut self, cluster: &Cluster, now_ms: u64) -> Next {
        let policy = self.policy;
        let Some(current) = &mut self.current else { return Next::Finished };
        let host = current.host.clone();
        let broker = cluster.broker(&host);
        if let Some(why) = broker.and_then(crashing) {
            return Next::Failed { host, why };
        }
        let Some(why) = missing(current, cluster, broker) else {
            let since = *current.well_since_ms.get_or_insert(now_ms);
            if now_ms - since >= policy.settle_ms {
                self.current = None;
                return Next::Back { host };
            }
            return Next::Wait {
                pause_ms: PAUSE_MS,
                why: format!("{host}: its broker is back; it has to stay so"),
            };
        };
        current.well_since_ms = None;
        if now_ms - current.since_ms >= policy.back_timeout_ms {
            let why = format!("not back within {} s: {why}", policy.back_timeout_ms / 1000);
            return Next::Failed { host, why };
        }
        Next::Wait { pause_ms: 2 * PAUSE_MS, why: format!("{host}: {why}") }
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
        return Some(format!("{} under-replicated: {}", cluster::count(under.len()), first.say()));
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
        .map(|partition| format!("{} and needs {}", partition.say(), cluster.least(partition)))
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
    if broker.main_pid == 0 || broker.main_pid == current.old_pid {
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
    under
        .first()
        .map(|first| format!("{} under-replicated: {}", cluster::count(under.len()), first.say()))
}

#[cfg(test)]
mod tests;
