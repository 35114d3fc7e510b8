//! The ensemble's secret is added and replaced while it serves: by two rolls, however they are stopped.

use super::lab::Lab;
use super::{HOSTS, THREE, YES};
use crate::load::Load;

const SECRET: &str = "/etc/kafka/coordinator.secret";

/// The one secret that all members hold, and that is kept beside the inventory.
#[track_caller]
fn settled(lab: &Lab) -> String {
    let kept = std::fs::read_to_string(kept(lab)).expect("the kept secret");
    let kept = kept.trim().to_owned();
    assert_eq!(kept.lines().count(), 1, "no older secret is kept");
    for host in HOSTS {
        assert!(lab.on(host, &format!("cat {SECRET}")) == kept, "{host} holds another secret");
    }
    kept
}

fn kept(lab: &Lab) -> std::path::PathBuf {
    let folder = lab.folder().join(".zkprov");
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.extension().is_some_and(|e| e == "secret")).expect("a kept secret")
}

/// As zkprov left ensembles before it gave them secrets.
fn bare(lab: &Lab) {
    std::fs::remove_file(kept(lab)).expect("kept before");
    for host in HOSTS {
        lab.on(host, "systemctl stop zookeeper");
        lab.on(host, &format!("rm {SECRET}; sed -i /secretFile/d /etc/kafka/zookeeper.properties"));
    }
    for host in HOSTS {
        lab.on(host, "systemctl start --no-block zookeeper");
    }
    for host in HOSTS {
        lab.on(host, "for i in $(seq 100); do systemctl is-active -q zookeeper && exit; sleep 0.2; done; exit 1");
    }
}

pub(super) fn added(lab: &Lab, inventory: &str) {
    bare(lab);
    lab.run(inventory, "plan", &[]).ends(0).says("changed in two rolls");
    let load = Load::begin(&lab.servers(&HOSTS), "added");
    let ran = lab.run(inventory, "apply", &YES).ends(0);
    load.end();
    ran.says("every member accepts the new secret");
    settled(lab);
    lab.run(inventory, "apply", &[]).ends(0).says("0 changes");
    lab.run(inventory, "status", &[]).ends(0);
    // A member that does not know it is no member.
    lab.on("kafka1", &format!("echo 0123456789abcdef0123456789abcdef >{SECRET}; systemctl restart --no-block zookeeper"));
    lab.run(inventory, "plan", &[]).ends(4).says("holds another secret than the one kept");
    let secret = std::fs::read_to_string(kept(lab)).expect("kept");
    lab.on(
        "kafka1",
        &format!("printf %s {} >{SECRET}; systemctl restart zookeeper", secret.trim()),
    );
    lab.run(inventory, "apply", &[]).ends(0).says("0 changes");
}

pub(super) fn rotated(lab: &Lab, inventory: &str) {
    let mut before = settled(lab);
    let load = Load::begin(&lab.servers(&HOSTS), "rotated");
    lab.run(inventory, "secret rotate", &YES).ends(0).says("every member accepts the new secret");
    let after = settled(lab);
    assert!(before != after, "it is another one");
    before = after;
    // Stopped in the first roll, at its last member, and in the second roll.
    for stop in [1, 3, 5] {
        let mut roll = lab.watch(inventory, "secret rotate", &YES);
        for _ in 0..stop {
            roll.until("  restart  ");
        }
        roll.kill();
        let again = lab.run(inventory, "secret rotate", &YES).ends(0);
        again.says("was begun and is not over");
        let after = settled(lab);
        assert!(before != after, "it is another one");
        before = after;
    }
    load.end();
    lab.run(inventory, "apply", &[]).ends(0).says("0 changes");
    // What differs otherwise is not changed by the way.
    let other = lab.inventory(&THREE, super::OTHER);
    lab.run(&other, "secret rotate", &YES).ends(4).says("apply first");
}

pub(super) fn elsewhere(lab: &Lab, inventory: &str) {
    let before = settled(lab);
    let mut roll = lab.watch(inventory, "secret rotate", &YES);
    roll.until("  restart  ");
    roll.until("  restart  ");
    roll.kill();
    let folder = lab.folder().join("elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder");
    let copy = folder.join("inventory.yaml");
    std::fs::copy(inventory, &copy).expect("copied");
    let copy = copy.display().to_string();
    lab.run(&copy, "apply", &YES).ends(0);
    // Here, too, it is over now.
    lab.run(inventory, "apply", &YES).ends(0).says("0 changes");
    assert!(settled(lab) != before, "it is another one");
    // A secret that was replaced elsewhere is not put back by an older one.
    lab.run(&copy, "secret rotate", &YES).ends(0);
    lab.run(inventory, "apply", &YES).ends(4).says("was it replaced from another machine?");
    std::fs::remove_file(kept(lab)).expect("kept");
    lab.run(inventory, "apply", &YES).ends(0).says("0 changes");
    settled(lab);
}
