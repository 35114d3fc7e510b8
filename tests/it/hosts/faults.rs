//! What may befall a host or a run in the middle of a change; the next apply always succeeds.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread;

use super::lab::{HOSTS, Lab, Ran};
use crate::watched::{signal, zkprov};

/// Steps of every kind, in the order of an apply.
const STEPS: [&str; 7] = [
    "binary /usr/local",
    "user kafka",
    "archive /opt",
    "directory /data",
    "file /etc/kafka/zookeeper.properties",
    "file /etc/systemd",
    "start zookeeper.service",
];

/// Whether this line of a run is the event that a step whose name starts with `step` has begun.
fn begins(line: &str, step: &str) -> bool {
    let event: serde_json::Value = serde_json::from_str(line).expect("an event a line");
    let name = event["step"].as_str().unwrap_or_default();
    event["event"] == "step" && event["state"] == "begin" && name.starts_with(step)
}

/// Waits until a step of a run begins, then calls `strike`, and waits for the end.
pub(super) fn struck(
    lab: &Lab,
    words: &[&str],
    step: &str,
    strike: impl FnOnce(&mut std::process::Child),
) -> Ran {
    let mut child = zkprov()
        .arg("apply")
        .arg(&lab.inventory)
        .args(["--yes", "--output", "json"])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("zkprov runs");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| begins(&line, step)), "{step} has not begun");
    strike(&mut child);
    let stdout = lines.collect::<Vec<_>>().join("\n");
    let code = child.wait().expect("ended").code().unwrap_or(-1);
    Ran { code, stdout, stderr: String::new() }
}

/// The proof that a fault has left nothing that the next run cannot mend.
fn mended(lab: &Lab) {
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["apply"]).ends(0).says("0 changes");
    for host in HOSTS {
        let left = lab.on(host, "ls -A /opt /usr/local/lib/zkprov /etc /etc/kafka /data/zookeeper | grep '[.]zkprov[.]' || true");
        assert_eq!(left, "", "leftovers on {host}");
    }
}

pub(super) fn deaths(lab: &Lab) {
    for step in STEPS {
        lab.fresh();
        let ran = struck(lab, &[], step, |_| {
            lab.lab(&["kill", "kafka2"]).ends(0);
        });
        assert_ne!(ran.code, 0, "killed at {step}");
        lab.lab(&["start", "kafka2"]).ends(0);
        mended(lab);
    }
    // The run itself: its hosts notice, and the next run waits for their locks.
    lab.fresh();
    struck(lab, &[], "archive /opt", |child| signal("-KILL", child));
    mended(lab);
}

/// Each host has a run of its own, and is silent from another step on.
pub(super) fn silence(lab: &Lab) {
    let faults: Vec<_> = [("freeze", "thaw"), ("cut", "join")]
        .iter()
        .flat_map(|how| STEPS.map(|s| (how, s)))
        .collect();
    for round in faults.chunks(HOSTS.len()) {
        lab.fresh();
        thread::scope(|scope| {
            for ((how, step), host) in round.iter().zip(HOSTS) {
                scope.spawn(move || {
                    let ran = struck(lab, &["--limit", host], step, |_| {
                        lab.lab(&[how.0, host]).ends(0);
                    });
                    if ran.code == 5 && ran.stdout.contains("\"step\":\"verify\"") {
                        // The strike came after the last step: the proof is what it hit.
                        return ran.says("the connection was lost");
                    }
                    assert_eq!(ran.code, 1, "{} at {step}: {}", how.0, ran.stdout);
                    ran.says("the connection was lost, or the host went away, in step")
                });
            }
        });
        for ((how, _), host) in round.iter().zip(HOSTS) {
            lab.lab(&[how.1, host]).ends(0);
        }
        mended(lab);
    }
}

pub(super) fn interrupts(lab: &Lab) {
    for step in STEPS {
        lab.fresh();
        let ran = struck(lab, &[], step, |child| signal("-INT", child));
        // In the last step all is done when the run ends; what it started is not verified then.
        assert!(ran.code == 1 || *step == *STEPS[STEPS.len() - 1], "at {step}: {}", ran.stdout);
        assert!(ran.code == 0 || ran.stdout.contains("stopped after"), "at {step}: {}", ran.stdout);
        mended(lab);
    }
}

pub(super) fn no_room(lab: &Lab) {
    lab.fresh();
    lab.lab(&["fill", "kafka1", "/opt", "--megabytes", "1"]).ends(0);
    let said = lab.run(&["apply", "--yes", "--limit", "kafka1"]).ends(4);
    said.says("/opt has 1 MB free, the release needs about");
    lab.lab(&["reset", "kafka1"]).ends(0);
    // Enough for the check, not for what is unpacked.
    lab.lab(&["fill", "kafka1", "/usr/local/lib", "--megabytes", "1"]).ends(0);
    let said = lab.run(&["apply", "--yes", "--limit", "kafka1"]).ends(1);
    said.says("binary /usr/local").says("No space left on device");
    lab.lab(&["reset", "kafka1"]).ends(0);
    lab.lab(&["fill", "kafka1", "/data", "--megabytes", "1"]).ends(0);
    lab.run(&["apply", "--yes"]).ends(4).says("/data/zookeeper has 1 MB free");
    lab.lab(&["reset", "kafka1"]).ends(0);
    mended(lab);
}
