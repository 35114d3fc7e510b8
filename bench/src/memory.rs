//! A million znodes: bytes resident, and what a snapshot of them does to latency.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cell::{Sample, Shape, Workload};
use crate::engine::{Engine, Ensemble};
use crate::load::{self, Pace};

/// Resident bytes of the largest server: members of an ensemble hold the same.
pub fn resident(ensemble: &Ensemble) -> f64 {
    ensemble.resident_bytes().into_iter().max().unwrap_or(0) as f64
}

/// Bytes of live objects in a Java server after a full collection, by `jcmd` where it is installed.
pub fn live_java_bytes(ensemble: &Ensemble) -> Option<f64> {
    if ensemble.engine != Engine::ZooKeeper {
        return None;
    }
    let pid = ensemble.servers.first()?.pid()?.to_string();
    let output = Command::new("jcmd").args([&pid, "GC.class_histogram"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let total = text.lines().rev().find(|line| line.trim_start().starts_with("Total"))?;
    total.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// One session, one outstanding create on the ensemble as it is.
pub fn single_create(ensemble: &Ensemble, tag: &str, window: Duration) -> Result<Sample> {
    let shape = Shape { workload: Workload::Create, bytes: 100, sessions: 1, outstanding: 1 };
    let pace = Pace { warm: Duration::from_secs(1), window };
    load::measure(ensemble, &shape, tag, pace).context("single create")
}
