//! An ensemble that serves in the open comes to TLS under writers, has one authority follow another, and goes
//! back: no error, nothing lost, and a restart only where the configuration changes.

use std::path::PathBuf;

use super::lab::Lab;
use super::{HOSTS, THREE, YES, differing, pids};
use crate::load::Load;

/// Steps of an apply from nothing to `required` between members; clients need two of them.
const STEPS_MAX: usize = 4;

pub(super) fn secured(lab: &Lab, inventory: &str) {
    let tls = "security: { tls: { clients: required, members: required } }\n";
    let required = lab.inventory(&THREE, tls);
    lab.run(&required, "plan", &[]).ends(0).says("TLS of clients becomes optional by this run");
    // Those who know nothing of TLS are served until it is the only way in.
    let load = Load::begin(&lab.servers(&HOSTS), "open");
    lab.run(&required, "apply", &YES).ends(0).says("apply again for the next step");
    load.end();
    lab.run(&required, "shell", &["ls", "/"]).ends(0);
    let access = operators(lab);
    let load = Load::secured(&lab.servers(&HOSTS), "moved", &access);
    interrupted(lab, &required);
    let mut steps = 1;
    while !lab.run(&required, "apply", &YES).ends(0).all.contains("0 changes") {
        steps += 1;
        assert!(steps < STEPS_MAX, "it does not come to its end");
    }
    let before = pids(lab);
    for step in ["1 of 3", "2 of 3", "3 of 3"] {
        lab.certs(&["rotate-ca", &required, "--yes"]).ends(0).says(step);
        lab.run(&required, "apply", &YES).ends(0);
    }
    assert_eq!(differing(&pids(lab), &before), 0, "certificates are read anew without a restart");
    // Clients that come now must believe the new authority; the shell brings the operator's own files up to it.
    lab.run(&required, "shell", &["ls", "/"]).ends(0);
    load.end();
    lab.run(&required, "status", &[]).ends(0).says("configuration matches");
    lab.certs(&[&required]).ends(0).says("CN=kafka1,O=").says(" 89");
    keys(lab);
    // And back: first both, then the open.
    let load = Load::secured(&lab.servers(&HOSTS), "back", &operators(lab));
    lab.run(inventory, "apply", &YES).ends(0).says("apply again for the next step");
    load.end();
    let load = Load::begin(&lab.servers(&HOSTS), "opened");
    while !lab.run(inventory, "apply", &YES).ends(0).all.contains("0 changes") {}
    load.end();
    lab.run(inventory, "status", &[]).ends(0);
}

/// A step ends between two members; it is told, everybody is served, and the next run goes on with it.
fn interrupted(lab: &Lab, required: &str) {
    let mut roll = lab.watch(required, "apply", &YES);
    roll.until("  restart  ");
    roll.until(" back ");
    roll.kill();
    lab.run(required, "status", &[]).ends(1).says("differ");
    lab.run(required, "shell", &["ls", "/"]).ends(0);
}

/// The client properties of whoever works on the ensemble.
fn operators(lab: &Lab) -> PathBuf {
    let folder = lab.folder().join(".zkprov");
    let entries = std::fs::read_dir(folder).expect("what is kept");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let kept = paths.find(|path| path.extension().is_some_and(|e| e == "security"));
    kept.expect("the ensemble's folder").join("client.properties")
}

/// Keys are the account's alone, and no plain client gets in any more.
fn keys(lab: &Lab) {
    for host in HOSTS {
        let access = lab.on(host, "stat -c '%U %a' /etc/kafka/coordinator.pem; ls /etc/kafka");
        assert!(access.starts_with("coordinator 600\n"), "{access}");
        assert!(!access.contains(".next"), "{access}");
        let plain = "/usr/local/lib/zkprov/coordinator status --server 127.0.0.1:2181 --timeout-ms 2000; echo $?";
        assert!(lab.on(host, plain).trim_end().ends_with('1'), "a plain client was served");
    }
}
