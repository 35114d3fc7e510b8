//! The roll against a small cluster in which brokers restart, crash, lag and change their controller.

use super::*;

const SETTLE_MS: u64 = 1_000;
/// What a restarted broker's replicas need to catch up.
const CATCH_UP_MS: u64 = 3_000;

fn policy() -> Policy {
    Policy { gate_timeout_ms: 30_000, back_timeout_ms: 60_000, settle_ms: SETTLE_MS }
}

fn targets(hosts: &[&str]) -> Vec<Target> {
    hosts.iter().map(|host| Target { host: (*host).into(), why: "asked".into() }).collect()
}

struct World {
    cluster: Cluster,
    now_ms: u64,
    next: u32,
    /// Brokers coming back: when their replicas are in sync.
    catching_up: Vec<(u32, u64)>,
    /// Most replicas missing from one partition at any look.
    worst: usize,
    log: Vec<String>,
}

impl World {
    /// Three brokers, one topic with three replicas, and the controller.
    fn new(controller: u32) -> Self {
        let brokers = (1..=3).map(|id| Broker {
            host: format!("k{id}"),
            id,
            unit: "active".into(),
            main_pid: 100 + id,
            registered_ms: Some(i64::from(id)),
            ..Broker::default()
        });
        let partition = Partition {
            topic: "proof".into(),
            partition: 0,
            replicas: vec![1, 2, 3],
            leader: Some(1),
            isr: Some(vec![1, 2, 3]),
            min_insync: None,
        };
        Self {
            cluster: Cluster {
                brokers: brokers.collect(),
                controller: Some(controller),
                partitions: vec![partition],
                min_insync: 2,
                silent: None,
            },
            now_ms: 0,
            next: 1_000,
            catching_up: Vec::new(),
            worst: 0,
            log: Vec::new(),
        }
    }

    fn restart(&mut self, host: &str) {
        self.next += 1;
        let (next, now_ms) = (self.next, self.now_ms);
        let broker = self.cluster.brokers.iter_mut().find(|b| b.host == host).expect("a broker");
        (broker.main_pid, broker.registered_ms) = (next, Some(i64::from(next)));
        let id = broker.id;
        for partition in &mut self.cluster.partitions {
            partition.isr.as_mut().expect("known").retain(|replica| *replica != id);
        }
        if self.cluster.controller == Some(id) {
            self.cluster.controller = Some(id % 3 + 1);
        }
        self.catching_up.push((id, now_ms + CATCH_UP_MS));
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let now_ms = self.now_ms;
        for (id, _) in self.catching_up.iter().filter(|(_, at_ms)| *at_ms <= now_ms) {
            for partition in &mut self.cluster.partitions {
                let isr = partition.isr.as_mut().expect("known");
                if partition.replicas.contains(id) && !isr.contains(id) {
                    isr.push(*id);
                }
            }
        }
        self.catching_up.retain(|(_, at_ms)| *at_ms > now_ms);
    }

    /// Does what the machine says, to its end.
    fn run(&mut self, roll: &mut BrokerRoll, mut event: impl FnMut(&mut Self)) -> Next {
        for _ in 0..1_000 {
            event(self);
            let missing = |p: &Partition| p.replicas.len() - p.in_sync().len();
            self.worst =
                self.worst.max(self.cluster.partitions.iter().map(missing).max().unwrap_or(0));
            match roll.next(&self.cluster.clone(), self.now_ms) {
                Next::Wait { pause_ms, .. } => self.pass(pause_ms),
                Next::Restart { host, .. } => {
                    self.log.push(host.clone());
                    roll.restarted(&host, &self.cluster.clone(), self.now_ms);
                    self.restart(&host);
                }
                Next::Back { host } => self.log.push(format!("{host} back")),
                end => return end,
            }
        }
        panic!("no end: {:?}", self.log);
    }
}

#[test]
fn one_after_the_other_and_the_controller_last() {
    let mut world = World::new(1);
    let mut roll = BrokerRoll::new(policy(), targets(&["k1", "k2", "k3"]));
    assert!(roll.preflight(&world.cluster).is_empty());
    assert_eq!(world.run(&mut roll, |_| {}), Next::Finished);
    assert_eq!(world.log, ["k2", "k2 back", "k3", "k3 back", "k1", "k1 back"]);
    assert_eq!(world.worst, 1, "never more than one replica away");
    assert!(world.now_ms >= 3 * (CATCH_UP_MS + SETTLE_MS));
}

#[test]
fn a_controller_that_moves_is_still_the_last() {
    let mut world = World::new(3);
    let mut roll = BrokerRoll::new(policy(), targets(&["k1", "k2", "k3"]));
    let end = world.run(&mut roll, |world| {
        if world.log.last().is_some_and(|line| line == "k1 back") {
            world.cluster.controller = Some(2);
        }
    });
    assert_eq!(end, Next::Finished);
    assert_eq!(world.log, ["k1", "k1 back", "k3", "k3 back", "k2", "k2 back"]);
}

#[test]
fn under_replicated_partitions_close_the_gate() {
    let mut world = World::new(1);
    world.cluster.partitions[0].isr = Some(vec![1, 2]);
    let mut roll = BrokerRoll::new(policy(), targets(&["k2"]));
    let Next::Refused { why } = world.run(&mut roll, |_| {}) else { panic!("it must not open") };
    assert_eq!(why, "1 partition under-replicated: proof-0 has [1, 2] of [1, 2, 3] in sync");
    assert!(world.log.is_empty());
    assert!(world.now_ms >= 30_000);
    // As soon as it is well, the same roll goes on.
    world.pass(0);
    world.cluster.partitions[0].isr = Some(vec![1, 2, 3]);
    assert!(matches!(roll.next(&world.cluster, world.now_ms), Next::Restart { .. }));
}

#[test]
fn min_insync_replicas_are_respected() {
    let mut world = World::new(1);
    world.cluster.partitions[0].replicas = vec![1, 2, 3];
    world.cluster.partitions[0].min_insync = Some(3);
    // With as many replicas as must be in sync there is no spare: named up front, and rolled.
    assert_eq!(world.cluster.without_spare().into_iter().collect::<Vec<_>>(), ["proof"]);
    let mut roll = BrokerRoll::new(policy(), targets(&["k2"]));
    assert!(matches!(roll.next(&world.cluster, 0), Next::Restart { .. }));
    world.cluster.partitions[0].min_insync = None;
    world.cluster.min_insync = 1;
    assert!(world.cluster.without_spare().is_empty());
    world.cluster.partitions[0].replicas = vec![1];
    world.cluster.partitions[0].isr = Some(vec![1]);
    assert_eq!(world.cluster.without_spare().len(), 1, "one replica");
}

#[test]
fn no_broker_is_taken_down_beside_one_that_is_down() {
    let mut world = World::new(1);
    world.cluster.partitions.clear();
    world.cluster.brokers[2].registered_ms = None;
    let mut roll = BrokerRoll::new(policy(), targets(&["k2"]));
    let Next::Refused { why } = world.run(&mut roll, |_| {}) else { panic!("it must not open") };
    assert_eq!(why, "broker 3 on k3 is not up");
    // The one that is down comes first where it is among those to be restarted.
    let mut world = World::new(1);
    world.cluster.brokers[2].registered_ms = None;
    let mut roll = BrokerRoll::new(policy(), targets(&["k1", "k2", "k3"]));
    assert_eq!(world.run(&mut roll, |_| {}), Next::Finished);
    assert_eq!(world.log[0], "k3");
}

#[test]
fn a_crash_loop_or_an_old_registration_is_not_back() {
    let mut world = World::new(1);
    let mut roll = BrokerRoll::new(policy(), targets(&["k2", "k3"]));
    let end = world.run(&mut roll, |world| {
        if world.log.last().is_some_and(|line| line == "k2") {
            world.cluster.brokers[1].restarts = 3;
        }
    });
    assert!(matches!(end, Next::Failed { host, .. } if host == "k2"));
    assert_eq!(roll.pending().len(), 1, "k3 is untouched");

    let mut world = World::new(1);
    let mut roll = BrokerRoll::new(policy(), targets(&["k2"]));
    let end = world.run(&mut roll, |world| world.cluster.brokers[1].registered_ms = Some(2));
    let Next::Failed { why, .. } = end else { panic!("{end:?}") };
    assert!(why.ends_with("the broker has not registered yet"), "{why}");
}

#[test]
fn silence_of_the_coordinators_is_not_health() {
    let mut world = World::new(1);
    let mut roll = BrokerRoll::new(policy(), targets(&["k2"]));
    world.cluster.silent = Some("connection refused".into());
    assert_eq!(roll.preflight(&world.cluster).len(), 1);
    assert!(matches!(world.run(&mut roll, |_| {}), Next::Refused { .. }));
    assert!(world.log.is_empty());
}
