//! The long mode: what one operation costs as znodes, sessions, servers and watches grow.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::cell::{Shape, Workload};
use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::load::{self, FILL_SESSIONS, Pace, SESSION_TIMEOUT_MS};
use crate::memory;
use crate::plain::Plain;
use crate::process;
use crate::raw::{Sessions, Space};
use crate::report;
use crate::results::{Point, Results};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Axis {
    Znodes,
    Sessions,
    Servers,
    Watches,
}

pub struct Growth {
    pub bench: Bench,
    pub engines: Vec<Engine>,
    pub pace: Pace,
    /// Points beyond this many znodes, sessions or watches are left out.
    pub limit: u64,
    pub results: std::path::PathBuf,
}

impl Growth {
    pub fn run(&self, axis: Axis) -> Result<()> {
        report::progress(&format!("== growth: {axis:?}"));
        let mut failed = Vec::new();
        for &engine in &self.engines {
            let done = match axis {
                Axis::Znodes => self.znodes(engine),
                Axis::Sessions => self.sessions(engine),
                Axis::Servers => self.servers(engine),
                Axis::Watches => self.watches(engine),
            };
            // The other engine and the other axes go on.
            if let Err(error) = done {
                report::progress(&format!("FAILED {axis:?} {}: {error:#}", engine.name()));
                failed.push(engine.name());
            }
        }
        ensure!(failed.is_empty(), "{axis:?} of {} failed", failed.join(" and "));
        Ok(())
    }

    /// Whether a point is left out: beyond the limit, or where ZooKeeper takes minutes to get to.
    fn beyond(&self, engine: Engine, axis: Axis, count: u64) -> bool {
        let patience = match axis {
            Axis::Watches => 10_000,
            _ => 1_000_000,
        };
        count > self.limit || engine == Engine::ZooKeeper && count > patience
    }

    fn put(
        &self,
        curve: &str,
        axis: Axis,
        unit: &str,
        engine: Engine,
        x: f64,
        y: f64,
    ) -> Result<()> {
        report::progress(&format!("{curve} {}: {x} -> {y:.3} {unit}", engine.name()));
        let axis = format!("{axis:?}").to_lowercase();
        let mut results = Results::load(&self.results)?;
        let command = format!("coordinator-bench growth --axis {axis}");
        results.put_point(curve, &axis, unit, Point { engine, x, y }, &command);
        results.save(&self.results)
    }

    /// Random gets and sets over all znodes of one server, and creates beside them.
    fn znodes(&self, engine: Engine) -> Result<()> {
        let axis = Axis::Znodes;
        let ensemble = Ensemble::start(&self.bench, engine, 1, Settings::default())?;
        let empty = memory::resident(&ensemble);
        let mut present = 0;
        for (step, total) in [10_000, 100_000, 1_000_000, 5_000_000].into_iter().enumerate() {
            if self.beyond(engine, axis, total) {
                break;
            }
            let tag = format!("fill{step}");
            load::fill(&ensemble.addresses(), &tag, total - present, 100)?;
            let each = (total - present) / FILL_SESSIONS as u64;
            present = total;
            let x = total as f64;
            let mib = (memory::resident(&ensemble) - empty) / f64::from(1 << 20);
            self.put("znodes-rss", axis, "MiB over the empty server", engine, x, mib)?;
            for workload in [Workload::Get, Workload::Set, Workload::Create] {
                let shape = Shape { workload, bytes: 100, sessions: 16, outstanding: 32 };
                let parents = format!("g{step}");
                load::prepare_parents(ensemble.servers[0].client, &parents, shape.sessions)?;
                let mut sessions =
                    Sessions::open(&ensemble.addresses(), shape.sessions, SESSION_TIMEOUT_MS)?;
                sessions.space = Space::Filled { tag: tag.clone(), each };
                let sample =
                    load::measure_on(&ensemble, &mut sessions, &shape, &parents, self.pace)?;
                sessions.close()?;
                let curve = format!("znodes-{}", workload.word());
                self.put(&curve, axis, "µs of server CPU/op", engine, x, sample.server_us_per_op)?;
            }
        }
        Ok(())
    }

    /// One outstanding request a session on three servers.
    fn sessions(&self, engine: Engine) -> Result<()> {
        let axis = Axis::Sessions;
        let settings = Settings { all_addresses: true, ..Settings::default() };
        let ensemble = Ensemble::start(&self.bench, engine, 3, settings)?;
        load::prepare_keys(&ensemble, 100)?;
        let empty = memory::resident(&ensemble);
        for count in [10, 100, 1_000, 10_000] {
            if self.beyond(engine, axis, count) {
                break;
            }
            let mut sessions =
                Sessions::open(&ensemble.addresses(), count as usize, SESSION_TIMEOUT_MS)?;
            let x = count as f64;
            for workload in [Workload::Get, Workload::Set] {
                let shape =
                    Shape { workload, bytes: 100, sessions: count as usize, outstanding: 1 };
                let sample = load::measure_on(&ensemble, &mut sessions, &shape, "-", self.pace)?;
                let curve = format!("sessions-{}", workload.word());
                self.put(&curve, axis, "µs of server CPU/op", engine, x, sample.server_us_per_op)?;
            }
            let mib = (memory::resident(&ensemble) - empty) / f64::from(1 << 20);
            self.put("sessions-rss", axis, "MiB over the empty server", engine, x, mib)?;
            sessions.close()?;
        }
        Ok(())
    }

    fn servers(&self, engine: Engine) -> Result<()> {
        let axis = Axis::Servers;
        for servers in [1, 3, 5, 7] {
            let ensemble = Ensemble::start(&self.bench, engine, servers, Settings::default())?;
            load::prepare_keys(&ensemble, 100)?;
            let warm =
                Shape { workload: Workload::Mixed, bytes: 100, sessions: 16, outstanding: 32 };
            load::measure(&ensemble, &warm, "warm", self.pace)?;
            for workload in [Workload::Get, Workload::Create] {
                let shape = Shape { workload, ..warm };
                let sample = load::measure(&ensemble, &shape, "grow", self.pace)?;
                let (x, word) = (servers as f64, workload.word());
                let curve = format!("servers-{word}");
                self.put(&curve, axis, "µs of server CPU/op", engine, x, sample.server_us_per_op)?;
                let curve = format!("servers-{word}-rate");
                self.put(&curve, axis, "op/s", engine, x, sample.ops_per_s)?;
            }
        }
        Ok(())
    }

    /// Every session watches the same znode; it is set once; all hear of it.
    fn watches(&self, engine: Engine) -> Result<()> {
        const PATH: &str = "/bench/watched";
        const ROUNDS: u32 = 5;
        let axis = Axis::Watches;
        let settings = Settings { all_addresses: true, ..Settings::default() };
        let ensemble = Ensemble::start(&self.bench, engine, 1, settings)?;
        let mut writer = Plain::connect(ensemble.servers[0].client, 40_000)?;
        writer.create(PATH, b"", 0)?;
        for count in [1, 10, 100, 1_000, 10_000, 100_000] {
            if self.beyond(engine, axis, count) {
                break;
            }
            // A watch of each session's own: the last point is what the system gives sockets for.
            let count = count.min(process::file_limit().saturating_sub(500));
            let mut sessions = Sessions::open(&ensemble.addresses(), count as usize, 40_000)
                .context("sessions that watch")?;
            let (mut cpu, mut elapsed) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..ROUNDS {
                sessions.watch(PATH)?;
                let (begin, started) = (ensemble.cpu_time(), Instant::now());
                writer.set(PATH, b"changed")?;
                sessions.await_notifications(count)?;
                elapsed += started.elapsed();
                cpu += ensemble.cpu_time().saturating_sub(begin);
            }
            let x = count as f64;
            let each = cpu.as_secs_f64() * 1e6 / f64::from(ROUNDS) / x;
            self.put("watches-cpu", axis, "µs of server CPU/watch", engine, x, each)?;
            let each = elapsed.as_secs_f64() * 1e3 / f64::from(ROUNDS);
            self.put("watches-all", axis, "ms until all have heard", engine, x, each)?;
            sessions.close()?;
        }
        Ok(())
    }
}
