//! A cell of the throughput tables: what is done, how it is spread, and what came out.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// Znodes that set, get and exists pick from.
pub const KEYS: u32 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    Create,
    Set,
    Get,
    Exists,
    /// Nine gets, one set.
    Mixed,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::Create => "create",
            Workload::Set => "set",
            Workload::Get => "get",
            Workload::Exists => "exists",
            Workload::Mixed => "mixed 90/10",
        }
    }

    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Workload::Mixed => "mixed",
            other => other.name(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    pub workload: Workload,
    pub bytes: usize,
    pub sessions: usize,
    pub outstanding: usize,
}

/// One measured window of one cell on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub ops_per_s: f64,
    /// User + system time of all servers per operation.
    pub server_us_per_op: f64,
    pub client_us_per_op: f64,
    /// Share of one core the client used: near 1.0 it may be what limits the figure.
    pub client_share: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub load: f64,
}

/// What a driver saw between the two edges of its window.
pub struct Window {
    pub ops: u64,
    pub elapsed: Duration,
    pub client_cpu: Duration,
    pub latency: Histogram,
}

impl Window {
    pub fn sample(&self, server_cpu: Duration) -> Sample {
        let ops = self.ops.max(1) as f64;
        let seconds = self.elapsed.as_secs_f64();
        Sample {
            ops_per_s: self.ops as f64 / seconds,
            server_us_per_op: server_cpu.as_secs_f64() * 1e6 / ops,
            client_us_per_op: self.client_cpu.as_secs_f64() * 1e6 / ops,
            client_share: self.client_cpu.as_secs_f64() / seconds,
            p50_us: self.latency.quantile_us(0.5),
            p99_us: self.latency.quantile_us(0.99),
            p999_us: self.latency.quantile_us(0.999),
            max_us: self.latency.max_us(),
            load: crate::process::load_average(),
        }
    }
}
