//! The roll against a small world in which servers restart, crash, lag and elect.

use super::*;

const SETTLE_MS: u64 = 1_000;

fn policy() -> Policy {
    Policy {
        gate_timeout_ms: 30_000,
        settle_ms: SETTLE_MS,
        allow_quorum_loss: false,
        transfer: true,
        dark: false,
    }
}

/// Servers that do at once what they are told.
struct World {
    view: View,
    now_ms: u64,
    next_pid: u32,
    /// Fewest voters that served at any look.
    fewest: usize,
    log: Vec<String>,
    /// As Apache ZooKeeper: followers show the epoch of their leader from its first write on.
    silent: bool,
}

impl World {
    /// `count` voters; the one at `leader` leads.
    fn new(count: u8, leader: usize) -> Self {
        let members = (0..count).map(|index| Member {
            host: format!("k{}", index + 1),
            myid: index + 1,
            votes: true,
            unit: "active".into(),
            main_pid: 100 + u32::from(index),
            mode: Some(if count == 1 { Mode::Standalone } else { Mode::Follower }),
            zxid: Some(0x1_0000_0010),
            ..Member::default()
        });
        let mut view = View { members: members.collect(), partial: false };
        if count > 1 {
            view.members[leader].mode = Some(Mode::Leader);
        }
        Self { view, now_ms: 0, next_pid: 1000, fewest: usize::MAX, log: Vec::new(), silent: false }
    }

    fn member(&mut self, host: &str) -> &mut Member {
        self.view.members.iter_mut().find(|member| member.host == host).expect("a member")
    }

    fn lead(&mut self, host: &str) {
        for member in &mut self.view.members {
            if member.mode == Some(Mode::Leader) {
                member.mode = Some(Mode::Follower);
            }
        }
        let newest = self.view.members.iter().filter_map(|member| member.zxid).max();
        let epoch = newest.map(|zxid| ((zxid >> 32) + 1) << 32);
        for member in &mut self.view.members {
            if member.mode.is_some() && (!self.silent || member.host == host) {
                member.zxid = epoch;
            }
        }
        self.member(host).mode = Some(Mode::Leader);
    }

    /// The process is replaced; a leader's place is taken by the first follower.
    fn restart(&mut self, host: &str) {
        let led = self.member(host).mode == Some(Mode::Leader);
        let pid = self.next_pid;
        self.next_pid += 1;
        let alone = self.view.members.len() == 1;
        let member = self.member(host);
        member.main_pid = pid;
        member.unit = "active".into();
        member.mode = Some(if alone { Mode::Standalone } else { Mode::Follower });
        if led {
            let heir = self.view.members.iter().find(|m| m.host != host && m.mode.is_some());
            if let Some(heir) = heir.map(|member| member.host.clone()) {
                self.lead(&heir);
            }
        }
        let newest = self.view.members.iter().filter_map(|member| member.zxid).max();
        if !self.silent {
            self.member(host).zxid = newest;
        }
    }

    /// Drives the roll; `meddle` may change the world before each look.
    fn drive(&mut self, roll: &mut Roll, mut meddle: impl FnMut(&mut Self, &Next)) -> Next {
        for _ in 0..2_000 {
            self.fewest = self.fewest.min(self.view.voters_up());
            let next = roll.next(&self.view, self.now_ms);
            meddle(self, &next);
            match &next {
                Next::Wait { pause_ms, .. } => self.now_ms += pause_ms,
                Next::Transfer { host } => {
                    self.log.push(format!("transfer {host}"));
                    let heir =
                        self.view.members.iter().find(|m| m.host != *host && m.mode.is_some());
                    let heir = heir.expect("another").host.clone();
                    self.lead(&heir);
                    roll.transferred();
                }
                Next::Restart { host, .. } => {
                    self.log.push(format!("restart {host}"));
                    roll.restarted(host, &self.view, self.now_ms);
                    self.restart(host);
                }
                Next::Back { host } => self.log.push(format!("back {host}")),
                _ => return next,
            }
        }
        panic!("the roll does not end: {:?}", self.log)
    }

    fn restarts(&self) -> Vec<&str> {
        self.log.iter().filter_map(|line| line.strip_prefix("restart ")).collect()
    }
}

fn targets(hosts: &[&str]) -> Vec<Target> {
    hosts.iter().map(|host| Target { host: (*host).into(), why: "asked".into() }).collect()
}

fn nothing(_: &mut World, _: &Next) {}

#[test]
fn followers_first_leader_last_and_handed_over_once() {
    let mut world = World::new(3, 0);
    let mut roll = Roll::new(policy(), targets(&["k1", "k2", "k3"]));
    assert_eq!(roll.preflight(&world.view), Vec::<String>::new());
    assert_eq!(world.drive(&mut roll, nothing), Next::Finished);
    assert_eq!(
        world.log,
        ["restart k2", "back k2", "restart k3", "back k3", "transfer k1", "restart k1", "back k1"]
    );
}

#[test]
fn an_epoch_without_a_write_holds_nobody_up() {
    let mut world = World { silent: true, ..World::new(3, 0) };
    world.lead("k2");
    for _ in 0..3 {
        let mut roll = Roll::new(policy(), targets(&["k1", "k2", "k3"]));
        assert_eq!(roll.preflight(&world.view), Vec::<String>::new());
        assert_eq!(world.drive(&mut roll, nothing), Next::Finished, "{:?}", world.log);
    }
    assert_eq!(world.restarts().len(), 9);
}

#[test]
fn every_size_keeps_its_quorum_or_is_refused() {
    for (count, allowed) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
        let mut world = World::new(count, 0);
        let hosts: Vec<String> = world.view.members.iter().map(|m| m.host.clone()).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let mut roll = Roll::new(policy(), targets(&hosts));
        let reasons = roll.preflight(&world.view);
        assert_eq!(reasons.is_empty(), allowed, "{count} voters: {reasons:?}");
        if !allowed {
            let loss = Policy { allow_quorum_loss: true, ..policy() };
            roll = Roll::new(loss, targets(&hosts));
            assert_eq!(roll.preflight(&world.view), Vec::<String>::new());
        }
        assert_eq!(world.drive(&mut roll, nothing), Next::Finished, "{count} voters");
        assert_eq!(world.restarts().len(), usize::from(count));
    }
}

#[test]
fn a_leader_that_moves_in_the_middle_is_still_last() {
    let mut world = World::new(3, 2);
    let mut roll = Roll::new(policy(), targets(&["k1", "k2", "k3"]));
    let mut moved = false;
    world.drive(&mut roll, |world, next| {
        if !moved && matches!(next, Next::Back { host } if host == "k1") {
            moved = true;
            world.lead("k2");
        }
    });
    assert_eq!(world.restarts(), ["k1", "k3", "k2"]);
}

#[test]
fn what_is_down_is_started_first() {
    let mut world = World::new(3, 0);
    let down = world.member("k3");
    (down.mode, down.main_pid, down.zxid) = (None, 0, None);
    let mut roll = Roll::new(policy(), targets(&["k1", "k2", "k3"]));
    assert_eq!(roll.preflight(&world.view), Vec::<String>::new());
    assert_eq!(world.drive(&mut roll, nothing), Next::Finished);
    assert_eq!(world.restarts(), ["k3", "k2", "k1"]);
}

#[test]
fn nobody_is_taken_down_beside_a_member_that_is_down() {
    let mut world = World::new(3, 0);
    let down = world.member("k3");
    (down.mode, down.main_pid, down.zxid) = (None, 0, None);
    let mut roll = Roll::new(policy(), targets(&["k1", "k2"]));
    assert_eq!(roll.preflight(&world.view).len(), 1, "k3 is nobody's target");
    let end = world.drive(&mut roll, nothing);
    assert!(matches!(end, Next::Refused { .. }), "{end:?}");
    assert!(world.restarts().is_empty());
    assert_eq!(world.now_ms, world.now_ms.max(policy().gate_timeout_ms), "it waited first");
}

#[test]
fn a_crash_loop_ends_the_wait_at_once() {
    let mut world = World::new(3, 0);
    let mut roll = Roll::new(policy(), targets(&["k2", "k3"]));
    let end = world.drive(&mut roll, |world, next| {
        if matches!(next, Next::Restart { .. }) {
            return;
        }
        if let Some(member) = world.view.members.iter_mut().find(|member| member.main_pid >= 1000) {
            (member.mode, member.zxid) = (None, None);
            member.restarts += 1;
        }
    });
    assert_eq!(
        end,
        Next::Failed { host: "k2".into(), why: "it has ended 3 times since the restart".into() }
    );
    assert!(world.now_ms < policy().gate_timeout_ms);
    assert_eq!(roll.pending(), targets(&["k3"]), "the rest is untouched");
}

#[test]
fn a_slow_member_is_waited_for_and_one_beyond_the_gate_is_not() {
    for (slow_ms, expected) in [(20_000, true), (40_000, false)] {
        let mut world = World::new(3, 0);
        let mut roll = Roll::new(policy(), targets(&["k2"]));
        let end = world.drive(&mut roll, |world, _| {
            let behind = world.now_ms < slow_ms;
            let member = world.member("k2");
            if member.main_pid >= 1000 {
                member.zxid = Some(if behind { 0x1_0000_0001 } else { 0x1_0000_0010 });
            }
        });
        assert_eq!(end == Next::Finished, expected, "{slow_ms}: {end:?}");
    }
}

#[test]
fn two_leaders_of_a_stale_read_are_waited_out() {
    let mut world = World::new(3, 0);
    world.member("k2").mode = Some(Mode::Leader);
    let mut roll = Roll::new(policy(), targets(&["k3"]));
    assert_eq!(roll.preflight(&world.view), ["k1 and k2 say that they lead"]);
    let end = world.drive(&mut roll, |world, next| {
        assert!(world.now_ms >= 2_000 || matches!(next, Next::Wait { .. }), "{next:?}");
        if world.now_ms >= 2_000 {
            world.member("k2").mode = Some(Mode::Follower);
        }
    });
    assert_eq!(end, Next::Finished);
}

#[test]
fn a_member_that_falls_over_again_starts_its_settling_anew() {
    let mut world = World::new(3, 0);
    let mut roll = Roll::new(policy(), targets(&["k2"]));
    let mut fell = false;
    let end = world.drive(&mut roll, |world, next| {
        if matches!(next, Next::Wait { .. }) && world.now_ms >= 500 && !fell {
            fell = true;
            world.member("k2").mode = None;
        } else if fell {
            world.member("k2").mode = Some(Mode::Follower);
        }
    });
    assert_eq!(end, Next::Finished);
    assert!(world.now_ms >= 500 + SETTLE_MS, "{}", world.now_ms);
}

#[test]
fn a_failed_hand_over_still_ends_with_the_leader_restarted_last() {
    let mut world = World::new(3, 0);
    let mut roll = Roll::new(Policy { transfer: false, ..policy() }, targets(&["k1", "k2"]));
    assert_eq!(world.drive(&mut roll, nothing), Next::Finished);
    assert_eq!(world.log, ["restart k2", "back k2", "restart k1", "back k1"]);
}

#[test]
fn members_that_come_and_go_are_counted_as_the_ensemble_counts_them() {
    // The fourth is started and not known to the others yet: three votes.
    let mut world = World::new(4, 1);
    world.member("k4").mode = None;
    world.member("k2").electorate = Some(3);
    world.member("k2").synced = Some(2);
    let all = ["k1", "k2", "k3"].map(|host| Target { host: host.into(), why: "x".into() });
    let preflight = |view: &View| Roll::new(policy(), all.to_vec()).preflight(view);
    assert_eq!(preflight(&world.view), [""; 0]);
    // One more down, and the others are needed.
    world.member("k3").mode = None;
    world.member("k2").synced = Some(1);
    assert!(!Roll::new(policy(), all[..1].to_vec()).preflight(&world.view).is_empty());
    // The fourth is not in the inventory any more, and still votes: with it down nobody can be spared.
    let mut world = World::new(3, 1);
    world.member("k2").electorate = Some(4);
    world.member("k2").synced = Some(3);
    assert_eq!(preflight(&world.view), [""; 0]);
    world.member("k2").synced = Some(2);
    assert_eq!(
        preflight(&world.view),
        ["with one voter down, 2 of 4 would be left, and 3 are needed"]
    );
}

#[test]
fn no_restart_begins_while_nobody_leads() {
    let mut world = World::new(3, 0);
    // The leader was killed, and a follower has been cut off: nobody serves, and an election is due.
    for host in ["k1", "k2", "k3"] {
        world.member(host).mode = None;
    }
    let all = targets(&["k1", "k2", "k3"]);
    let mut roll = Roll::new(policy(), all.clone());
    assert_eq!(roll.preflight(&world.view), ["no server leads"]);
    assert!(
        matches!(roll.next(&world.view, 0), Next::Wait { why, .. } if why == "no server leads")
    );
    // What a dead ensemble runs may be changed, and a person may say that the quorum does not matter.
    roll.accept_dark();
    assert!(roll.preflight(&world.view).is_empty());
    assert!(matches!(roll.next(&world.view, 0), Next::Restart { .. }));
    let allowed = Policy { allow_quorum_loss: true, ..policy() };
    assert!(Roll::new(allowed, all.clone()).preflight(&world.view).is_empty());
    // One that leads is enough for starting what is down.
    world.member("k2").mode = Some(Mode::Leader);
    world.member("k3").mode = Some(Mode::Follower);
    assert!(Roll::new(policy(), all).preflight(&world.view).is_empty());
}
