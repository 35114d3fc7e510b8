//! Twenty-four hosts, of which one lies, one hangs and one is full: the others are done as if it were not so,
//! and the run names the three.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use super::faults::struck;
use super::lab::{Lab, Ran};
use crate::scenarios::Scenarios;

const COUNT: u8 = 24;
/// More would elect a leader no better: the others follow as observers.
const VOTERS: u8 = 5;
/// Says that it has started what it has not.
const LIAR: &str = "kafka22";
/// Has room for what a plan asks, and not for the server's binary.
const FULL: &str = "kafka23";
/// Stands still once its first step has begun.
const FROZEN: &str = "kafka24";

#[test]
fn three_bad_hosts_of_24() {
    const TEST: &str = "hosts::crowd::three_bad_hosts_of_24";
    if !crate::lab::may_boot_long(TEST, false) {
        return;
    }
    let lab = Lab::of_hosts(COUNT, "zkcrowd", "10.76.24", "");
    let text = std::fs::read_to_string(&lab.inventory).expect("the inventory");
    let observer = |line: &str| {
        let id = line.split("myid: ").nth(1).and_then(|rest| rest.split(' ').next());
        let id = id.and_then(|id| id.parse::<u8>().ok());
        match id {
            Some(id) if id > VOTERS => line.replace(" }", ", role: observer }"),
            _ => line.to_owned(),
        }
    };
    let text: Vec<String> = text.lines().map(observer).collect();
    std::fs::write(&lab.inventory, text.join("\n") + "\n").expect("written");
    let mut running = Scenarios::of("hosts::crowd");
    running.run("one lies, one hangs, one is full", || bad_hosts(&lab));
    running.end();
}

fn bad_hosts(lab: &Lab) {
    let begun = Instant::now();
    lab.run(&["apply", "--yes"]).ends(0);
    crate::told(&format!("hosts::crowd: all 24 healthy: {:.1} s", begun.elapsed().as_secs_f32()));
    lab.fresh();
    let lies = "#!/bin/sh\\ncase \" $* \" in *\" start \"*) exit 0 ;; esac\\nexec /usr/bin/systemctl \"$@\"\\n";
    let path = "/usr/local/sbin/systemctl";
    lab.on(LIAR, &format!("printf '{lies}' >{path}; chmod 755 {path}"));
    lab.lab(&["fill", FULL, "/usr/local/lib", "--megabytes", "1"]).ends(0);
    let begun = Instant::now();
    let ran = struck(lab, &[], "user kafka", |_| {
        lab.lab(&["freeze", FROZEN]).ends(0);
    });
    let took = begun.elapsed().as_secs_f32();
    crate::told(&format!(
        "hosts::crowd: three of 24 bad: {took:.1} s, healthy by {}",
        healthy(&ran)
    ));
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    let failures: Vec<Value> = events(&ran).filter(|event| event["event"] == "failure").collect();
    let blamed: BTreeSet<&str> =
        failures.iter().map(|event| event["host"].as_str().unwrap_or("nobody")).collect();
    assert_eq!(blamed, BTreeSet::from([LIAR, FULL, FROZEN]), "{failures:#?}");
    let cause = |host: &str| {
        let failure = failures.iter().find(|event| event["host"] == host).expect("blamed");
        failure["cause"].as_str().unwrap_or_default().to_owned()
    };
    assert!(cause(LIAR).contains("does not stay up"), "{}", cause(LIAR));
    assert!(cause(FULL).contains("No space left on device"), "{}", cause(FULL));
    assert!(cause(FROZEN).contains("the host went away"), "{}", cause(FROZEN));
    lab.lab(&["thaw", FROZEN]).ends(0);
    let others = format!("!{LIAR},!{FULL},!{FROZEN}");
    lab.run(&["plan", "--limit", &others]).ends(0).says("0 changes");
    for host in [LIAR, FULL, FROZEN] {
        lab.lab(&["reset", host]).ends(0);
    }
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["status"]).ends(0).says("healthy; configuration matches");
}

fn events(ran: &Ran) -> impl Iterator<Item = Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an event a line"))
}

/// When the last healthy host had started its server, for whoever reads.
fn healthy(ran: &Ran) -> String {
    let bad = [LIAR, FULL, FROZEN];
    let done = events(ran).filter(|event| {
        event["state"] == "done"
            && event["step"] == "start zookeeper.service"
            && !bad.iter().any(|host| event["host"] == *host)
    });
    let last = done.filter_map(|event| event["elapsed_ms"].as_u64()).max();
    last.map_or("nobody".into(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
}
