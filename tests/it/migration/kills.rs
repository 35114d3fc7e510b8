//! Runs that are killed at a step, undone or gone on with, and a host that dies.

use std::path::Path;
use std::process::Stdio;

use super::lab::Lab;
use crate::load::Load;
use crate::watched::{Watched, ended, run, says, zkprov};

/// Killed as soon as the journal has a line of `step`.
fn killed(lab: &Lab, inventory: &Path, to: &str, step: &str) {
    let state = lab.folder.path().join(format!("state-{to}-{step}"));
    let mut child = zkprov()
        .arg("migrate")
        .arg(inventory)
        .args(["--to", to, "--yes"])
        .env("XDG_STATE_HOME", &state)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("zkprov runs");
    let word = format!("\"step\":\"{step}\"");
    let seen = || {
        let runs = std::fs::read_dir(state.join("zkprov/runs")).ok()?;
        let mut texts =
            runs.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        texts.find(|text| text.contains(&word))
    };
    while seen().is_none() {
        let over = child.try_wait().expect("it is ours").is_some();
        assert!(!over, "the run ended before `{step}`");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// Hosts end the step that they were at; a run that was killed before anything began has left nothing to undo.
#[track_caller]
fn undone(inventory: &Path) {
    let mut text = String::new();
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let output = run("migrate", inventory, &["--undo", "--yes"]);
        text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(0) || text.contains("no move is under way") {
            return;
        }
    }
    panic!("it cannot be undone:\n{text}");
}

pub(super) fn killed_and_undone(lab: &Lab, inventory: &Path) {
    for step in ["bar", "fence", "standing", "taken", "imported"] {
        let load = Load::begin(&lab.servers(), &format!("undone-{step}"));
        killed(lab, inventory, "coordinator", step);
        undone(inventory);
        lab.only("zookeeper");
        load.end();
    }
    says(&ended(&run("status", inventory, &[]), 0), "healthy");
}

#[track_caller]
fn gone_on(inventory: &Path, to: &str) {
    let mut text = String::new();
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let output = run("migrate", inventory, &["--to", to, "--yes"]);
        text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(0) {
            return;
        }
    }
    panic!("it does not go on:\n{text}");
}

pub(super) fn killed_and_gone_on(lab: &Lab, inventory: &Path) {
    for (there, back) in [("fence", "seal"), ("imported", "exported"), ("open", "return")] {
        let load = Load::begin(&lab.servers(), &format!("on-{there}"));
        killed(lab, inventory, "coordinator", there);
        gone_on(inventory, "coordinator");
        lab.only("coordinator");
        killed(lab, inventory, "zookeeper", back);
        gone_on(inventory, "zookeeper");
        lab.only("zookeeper");
        load.end();
    }
}

/// It loses its power once its server is dead: the others go back, and it does when it is there again.
pub(super) fn host_dies(lab: &Lab, inventory: &Path) {
    let load = Load::begin(&lab.servers(), "dies");
    let mut watched = Watched::start(inventory, "migrate", &["--to", "coordinator", "--yes"]);
    watched.until("are stopped");
    lab.lab(&["kill", "kafka3"]);
    let (code, text) = watched.end();
    assert_ne!(code, 0, "{text}");
    lab.lab(&["start", "kafka3"]);
    undone(inventory);
    lab.only("zookeeper");
    load.end();
}
