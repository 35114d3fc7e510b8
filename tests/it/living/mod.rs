//! What befalls an ensemble in its life: rolls under load, members that come and go, bad changes, a way
//! back, and hosts that fail in the middle of it. One test, since the hosts are one and the scenarios
//! follow each other; each says its name, and leaves three members that serve as `inventory` says.
//! `ZKPROV_TEST_LONG=1` runs it, `scenarios.rs` says how to choose some.

mod lab;
mod secrets;
mod secured;

use self::lab::{Lab, end};
use crate::load::Load;
use crate::scenarios::Scenarios;

const HOSTS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];
const THREE: [(&str, u8); 3] = [("kafka1", 1), ("kafka2", 2), ("kafka3", 3)];
const OTHER: &str = "properties: { autopurge.purgeInterval: \"3\" }\n";
const YES: [&str; 3] = ["--yes", "--settle", "1"];

type Scenario = (&'static str, fn(&Lab, &str));

#[test]
fn an_ensemble_lives_on() {
    const NAME: &str = "living::an_ensemble_lives_on";
    let mut running = Scenarios::of("living");
    if !crate::lab::may_boot_long(NAME, running.chosen()) {
        return;
    }
    let scenarios: &[Scenario] = &[
        ("rolled under load without an error or a lost write", loaded),
        ("from the open to TLS under load, another authority, and back", secured::secured),
        ("a change is rolled back by hand, and only the last one", rolled_back),
        ("three grow to five and shrink again, one at a time", grown),
        ("a dead member is replaced by another host", replaced),
        ("the leader moves in the middle of a roll", moved),
        ("a member is down before a roll", down_before),
        ("a member that does not stay up shows its journal and is put back", crashing),
        ("a member that cannot be put back either ends with 7", hopeless),
        ("a host freezes in the middle of a roll", frozen),
        ("killed between the steps of one member, and resumed", killed),
        ("a full disk stops a roll before anything is changed", full),
        ("a host that boots in the middle of a roll is logged in to again", rebooted),
        ("an ensemble that serves without a secret gets one", secrets::added),
        ("the secret is replaced under load, also by a run that goes on", secrets::rotated),
        ("another machine goes on with a change of the secret", secrets::elsewhere),
    ];
    let lab = Lab::up();
    let inventory = lab.inventory(&THREE, "");
    lab.run(&inventory, "apply", &["--yes"]).ends(0);
    for (name, scenario) in scenarios {
        if !running.wants(name) {
            continue;
        }
        running.run(name, || scenario(&lab, &inventory));
        // The next one begins well, however this one ended.
        lab.run(&inventory, "apply", &["--yes", "--settle", "1", "--allow-quorum-loss"]);
    }
    running.end();
}

fn pids(lab: &Lab) -> [String; 3] {
    HOSTS.map(|host| lab.pid(host))
}

fn differing(now: &[String; 3], then: &[String; 3]) -> usize {
    now.iter().zip(then).filter(|(now, then)| now != then).count()
}

fn loaded(lab: &Lab, inventory: &str) {
    let load = Load::begin(&lab.servers(&HOSTS), "restart");
    let before = pids(lab);
    lab.run(inventory, "restart", &["--all", "--yes", "--settle", "2"]).ends(0);
    assert_eq!(differing(&pids(lab), &before), 3, "each was restarted");
    load.end();
    let load = Load::begin(&lab.servers(&HOSTS), "apply");
    let other = lab.inventory(&THREE, OTHER);
    lab.run(&other, "apply", &["--yes", "--settle", "2"]).ends(0).says("transfer");
    load.end();
    lab.run(&other, "status", &[]).ends(0);
}

fn rolled_back(lab: &Lab, inventory: &str) {
    let other = lab.inventory(&THREE, OTHER);
    lab.run(&other, "apply", &YES).ends(0);
    lab.run(inventory, "rollback", &["--diff", "--dry-run"])
        .ends(0)
        .says("-autopurge.purgeInterval=3")
        .says("3 members would go back");
    lab.run(inventory, "rollback", &[]).ends(4).says("--yes");
    lab.run(inventory, "rollback", &YES).ends(0).says("3 members put back");
    lab.run(inventory, "status", &[]).ends(0).says("configuration matches");
    lab.run(inventory, "rollback", &YES).ends(0).says("0 to roll back");
    // A change that failed on its first member was put back there, and has come to no other: there
    // is nothing to go back to, and the change before it stays.
    lab.run(&other, "apply", &YES).ends(0);
    let bad = lab.inventory(&THREE, "properties: { clientPortAddress: \"192.0.2.1\" }\n");
    lab.run(&bad, "apply", &YES).ends(6);
    let before = pids(lab);
    lab.run(&other, "rollback", &YES).ends(0).says("0 to roll back");
    assert_eq!(pids(lab), before);
    lab.run(&other, "status", &[]).ends(0);
}

fn grown(lab: &Lab, inventory: &str) {
    let members = [("kafka1", 1), ("kafka2", 2), ("kafka3", 3), ("kafka4", 4), ("kafka5", 5)];
    let four = lab.inventory(&members[..4], "");
    let five = lab.inventory(&members, "");
    lab.run(&five, "apply", &YES)
        .ends(4)
        .says("2 members would change at once: add member 4, add member 5");
    lab.on("kafka2", "systemctl stop zookeeper");
    lab.run(&four, "apply", &YES).ends(4).says("without kafka2 no other can be restarted");
    assert_eq!(lab.on("kafka4", "ls /etc/kafka 2>/dev/null; true"), "", "nothing was begun");
    lab.run(inventory, "apply", &["--yes"]).ends(0);
    lab.run(&four, "plan", &[]).ends(0).says("add member 4: it is started first and waits");
    let load = Load::begin(&lab.servers(&HOSTS), "grow");
    lab.run(&four, "apply", &YES).ends(0);
    lab.run(&five, "apply", &YES).ends(0);
    load.end();
    lab.run(&five, "status", &[]).ends(0);
    lab.run(&four, "apply", &YES)
        .ends(4)
        .says("member 5 is to be removed, and its server still runs");
    for (with, gone, without) in
        [(&five, "kafka5", &four), (&four, "kafka4", &inventory.to_owned())]
    {
        lab.run(with, "destroy", &["--limit", gone, "--purge-data", "--yes"]).ends(0);
        lab.run(without, "plan", &[]).ends(0).says("its vote is taken away first");
        let load = Load::begin(&lab.servers(&HOSTS), gone);
        lab.run(without, "apply", &YES).ends(0).says("takes the vote from member");
        load.end();
        lab.run(without, "status", &[]).ends(0);
    }
}

fn replaced(lab: &Lab, inventory: &str) {
    lab.befall(&["kill", "kafka3"]);
    let other = lab.inventory(&[("kafka1", 1), ("kafka2", 2), ("kafka4", 3)], "");
    let load = Load::begin(&lab.servers(&["kafka1", "kafka2"]), "replace");
    lab.run(&other, "plan", &[]).ends(0).says("move member 3 to");
    lab.run(&other, "apply", &YES).ends(0);
    load.end();
    lab.run(&other, "status", &[]).ends(0);
    // And back: the host that is given up is stopped first, as a dead one would be.
    lab.on("kafka4", "systemctl stop zookeeper");
    lab.befall(&["start", "kafka3"]);
    lab.on("kafka3", "systemctl stop zookeeper; rm -rf /data/zookeeper/coordinator");
    lab.run(inventory, "apply", &YES).ends(0);
    lab.run(inventory, "status", &[]).ends(0);
    lab.befall(&["reset", "kafka4"]);
}

fn moved(lab: &Lab, inventory: &str) {
    let before = pids(lab);
    let leader = lab.leader(inventory);
    let mut roll = lab.watch(inventory, "restart", &["--all", "--yes", "--settle", "2"]);
    roll.until(" back ");
    let admin = "/usr/local/lib/zkprov/coordinator admin --socket /data/zookeeper/coordinator/admin.sock transfer-leadership";
    lab.on(&leader, admin);
    let ran = end(roll).ends(0);
    assert_eq!(differing(&pids(lab), &before), 3, "{}", ran.all);
    let restarts = ran.all.lines().filter(|line| line.contains("  restart  ")).count();
    assert_eq!(restarts, 3, "each once:\n{}", ran.all);
}

fn down_before(lab: &Lab, inventory: &str) {
    lab.on("kafka2", "systemctl stop zookeeper");
    // Two are left of three: none of them may go.
    lab.run(inventory, "restart", &["--all", "--limit", "kafka1,kafka3", "--yes"])
        .ends(4)
        .says("with one voter down, 1 of 3 would be left, and 2 are needed");
    // Taken along, it comes first.
    let ran = lab.run(inventory, "restart", &["--all", "--yes", "--settle", "1"]).ends(0);
    let first = ran.all.lines().find(|line| line.contains("  restart  ")).expect("a restart");
    assert!(first.contains("kafka2"), "{}", ran.all);
    lab.run(inventory, "status", &[]).ends(0);
}

fn crashing(lab: &Lab, inventory: &str) {
    let before = pids(lab);
    let real = lab.on("kafka1", "readlink -f /usr/local/lib/zkprov/coordinator");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != serve ] || {{ echo no such luck; exit 1; }}\nexec {} \"$@\"\n",
        real.trim()
    );
    let path = lab.folder().join("coordinator-that-ends");
    std::fs::write(&path, script).expect("written");
    let bad = format!("coordinator: {{ binary: \"{}\" }}\n", path.display());
    let bad = lab.inventory(&THREE, &bad);
    lab.run(&bad, "apply", &YES)
        .ends(6)
        .says("no such luck")
        .says("put back to what it ran before");
    assert_eq!(differing(&pids(lab), &before), 1, "the roll stopped at the first member");
    lab.run(inventory, "status", &["--limit", "kafka1"]);
    lab.run(inventory, "apply", &YES).ends(0);
}

fn hopeless(lab: &Lab, inventory: &str) {
    // Something on the host that no binary and no configuration can help against.
    let folder = "/etc/systemd/system/zookeeper.service.d";
    for host in HOSTS {
        let drop_in = format!(
            "mkdir -p {folder}; printf '[Service]\\nExecStartPre=/bin/sh -c \"test ! -e /broken\"\\n' >{folder}/own.conf; systemctl daemon-reload"
        );
        lab.on(host, &drop_in);
    }
    let followers: Vec<_> = HOSTS.iter().filter(|host| **host != lab.leader(inventory)).collect();
    lab.on(followers[0], "touch /broken");
    let other = lab.inventory(&THREE, OTHER);
    let ran = lab.run(&other, "apply", &YES).ends(7).says("putting it back failed too");
    assert!(ran.all.contains(followers[0]), "{}", ran.all);
    // The others serve on, and nobody else is taken down.
    lab.run(inventory, "restart", &["--all", "--yes", "--limit", followers[1]]).ends(4);
    for host in HOSTS {
        lab.on(host, &format!("rm -rf /broken {folder}; systemctl daemon-reload"));
    }
    lab.run(inventory, "apply", &YES).ends(0);
    lab.run(inventory, "status", &[]).ends(0);
}

fn frozen(lab: &Lab, inventory: &str) {
    let mut roll = lab.watch(inventory, "restart", &["--all", "--yes", "--settle", "2"]);
    let first = roll.until("  restart  ");
    roll.until(" back ");
    let restarted = HOSTS.iter().find(|host| first.contains(**host)).expect("a host");
    let leader = lab.leader(inventory);
    let other = HOSTS.iter().find(|host| *host != restarted && **host != leader);
    // Frozen as follower or, when it was its turn already, as the one that has to come back.
    let other = other.expect("a third");
    lab.befall(&["freeze", other]);
    roll.until("  wait  ");
    lab.befall(&["thaw", other]);
    end(roll).ends(0);
    lab.run(inventory, "status", &[]).ends(0);
}

fn killed(lab: &Lab, inventory: &str) {
    let load = Load::begin(&lab.servers(&HOSTS), "killed");
    // Between the word that a member is restarted and the word that it is back.
    let mut roll = lab.watch(inventory, "restart", &["--all", "--yes", "--settle", "1"]);
    let run = roll.run_name();
    roll.until("  restart  ");
    roll.kill();
    let resumed = lab.run(inventory, "restart", &["--resume", &run, "--yes", "--settle", "1"]);
    resumed.ends(0).says("3 members restarted");
    load.end();
    // Of an apply: what it had not come to is applied again, and can be rolled back as one.
    let other = lab.inventory(&THREE, OTHER);
    let mut roll = lab.watch(&other, "apply", &YES);
    roll.until("  restart  ");
    roll.kill();
    lab.run(&other, "apply", &YES).ends(0);
    lab.run(&other, "status", &[]).ends(0);
}

fn full(lab: &Lab, inventory: &str) {
    let before = pids(lab);
    for host in HOSTS {
        lab.on(host, "mkdir -p /var/lib/zkprov");
        lab.befall(&["fill", host, "/var/lib/zkprov"]);
        lab.on(host, "dd if=/dev/zero of=/var/lib/zkprov/full bs=64k count=100 2>/dev/null; true");
    }
    let other = lab.inventory(&THREE, OTHER);
    lab.run(&other, "apply", &YES).ends(1).says("keep what it runs");
    assert_eq!(pids(lab), before, "nobody was restarted");
    for host in HOSTS {
        lab.on(host, "umount /var/lib/zkprov");
    }
    lab.run(inventory, "apply", &[]).ends(0).says("0 changes");
}

fn rebooted(lab: &Lab, inventory: &str) {
    let mut roll = lab.watch(inventory, "restart", &["--all", "--yes", "--settle", "2"]);
    let first = roll.until("  restart  ");
    roll.until(" back ");
    let restarted = HOSTS.iter().find(|host| first.contains(**host)).expect("a host");
    lab.befall(&["reboot", restarted]);
    end(roll).ends(0);
    lab.run(inventory, "status", &[]).ends(0);
}
