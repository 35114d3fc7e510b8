//! The parts of a run, each interleaving the engines and putting its values into the results.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::cell::{Sample, Shape, Workload};
use crate::clib::Driver;
use crate::echo::{CANNED_PORT, Canned};
use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::failover::{self, Fault};
use crate::load::{self, Pace};
use crate::results::{Cell, Client, Results, Run};
use crate::{churn, idle, memory, process, report, start};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Throughput, CPU per operation and latency with the pipelined client
    Cells,
    /// The same with Debian's C client library
    Clib,
    /// Start to the first acknowledged write, and an empty server's memory
    Start,
    /// Leader killed and frozen
    Failover,
    /// Session churn and idle sessions
    Sessions,
    /// A million znodes: memory, restart
    Memory,
    /// A million znodes on three servers: latency while snapshots are written
    Snapshot,
}

/// What to run, and how thoroughly.
pub struct Suite {
    pub bench: Bench,
    pub engines: Vec<Engine>,
    pub quick: bool,
    pub repetitions: usize,
    pub pace: Pace,
    /// Of the `memory` and `snapshot` parts.
    pub znodes: u64,
    pub failovers: usize,
    pub results: PathBuf,
}

/// A cell with what of it is measured twice on `ZooKeeper`, to show the noise.
struct Planned {
    servers: usize,
    shape: Shape,
    twice: bool,
}

impl Suite {
    /// All of `parts`; what fails is noted and left out, the rest goes on. True when nothing failed.
    pub fn run(&self, parts: &[Part], fresh: bool) -> Result<bool> {
        let began = Instant::now();
        let run = Run {
            parts: parts.iter().map(|part| format!("{part:?}").to_lowercase()).collect(),
            began: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            commit: said("git", &["describe", "--always", "--dirty", "--exclude", "*"]),
            load_before: process::load_average(),
            ..Run::default()
        };
        self.keep(|results| {
            if fresh {
                results.forget_cells();
            }
            results.run = run;
        })?;
        for &part in parts {
            let spent = began.elapsed().as_secs_f64() / 60.0;
            report::progress(&format!(
                "== {part:?}, after {spent:.1} minutes, load average {:.2}",
                process::load_average()
            ));
            self.attempt(&format!("{part:?}"), || self.run_part(part))?;
        }
        self.keep(|results| {
            results.run.minutes = began.elapsed().as_secs_f64() / 60.0;
            results.run.load_after = process::load_average();
        })?;
        Ok(Results::load(&self.results)?.run.failures.is_empty())
    }

    fn run_part(&self, part: Part) -> Result<()> {
        match part {
            Part::Cells => self.cells(Client::Raw),
            Part::Clib => self.cells(Client::C),
            Part::Start => self.start(),
            Part::Failover => self.failover(),
            Part::Sessions => self.sessions(),
            Part::Memory => self.memory(),
            Part::Snapshot => self.snapshot(),
        }
    }

    /// Does `work`; its failure is noted, and is not that of the run.
    fn attempt(&self, what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let Err(error) = work() else { return Ok(()) };
        let text = format!("{what}: {error:#}");
        report::progress(&format!("FAILED {text}"));
        self.keep(|results| results.run.failures.push(text))
    }

    /// Results are read and written around each value, so that a run cut short keeps what it has.
    fn keep(&self, change: impl FnOnce(&mut Results)) -> Result<()> {
        let mut results = Results::load(&self.results)?;
        results.machine = machine(&self.bench);
        change(&mut results);
        results.save(&self.results)
    }

    fn keep_figure(
        &self,
        name: &str,
        unit: &str,
        engine: Engine,
        values: Vec<f64>,
        part: &str,
    ) -> Result<()> {
        let shown: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
        report::progress(&format!("{name} {}: {} {unit}", engine.name(), shown.join(" ")));
        let command = format!("coordinator-bench run --part {part}");
        self.keep(|results| results.put_figure(name, unit, engine, values, &command))
    }

    fn cells(&self, client: Client) -> Result<()> {
        let driver = match client {
            Client::C => Some(Driver::build(&self.bench.directory.join("clib"))?),
            Client::Raw => None,
        };
        let planned = match (client, self.quick) {
            (Client::Raw, true) => quick_cells(),
            (Client::Raw, false) => all_cells(),
            (Client::C, _) => clib_cells(),
        };
        for servers in [3, 1] {
            let here: Vec<&Planned> =
                planned.iter().filter(|cell| cell.servers == servers).collect();
            if here.is_empty() {
                continue;
            }
            let mut ensembles = Vec::new();
            for &engine in &self.engines {
                ensembles.push(Ensemble::start(&self.bench, engine, servers, Settings::default())?);
            }
            let sizes: BTreeSet<usize> = here.iter().map(|cell| cell.shape.bytes).collect();
            for ensemble in &ensembles {
                for &bytes in &sizes {
                    load::prepare_keys(ensemble, bytes)?;
                }
                self.warm_up(ensemble)?;
            }
            for (number, planned) in here.iter().enumerate() {
                let what = format!("{servers} servers {:?}", planned.shape);
                self.attempt(&what, || {
                    self.cell(client, driver.as_ref(), &ensembles, number, planned)
                })?;
            }
        }
        Ok(())
    }

    /// The virtual machine compiles what it has seen often: give it the time.
    fn warm_up(&self, ensemble: &Ensemble) -> Result<()> {
        load::prepare_keys(ensemble, 100)?;
        let seconds = if self.quick { 1.0 } else { 2.5 };
        let pace = Pace { warm: Duration::ZERO, window: Duration::from_secs_f64(seconds) };
        for workload in [Workload::Create, Workload::Mixed] {
            let shape = Shape { workload, bytes: 100, sessions: 16, outstanding: 32 };
            load::measure(ensemble, &shape, "warm", pace)?;
        }
        Ok(())
    }

    fn cell(
        &self,
        client: Client,
        driver: Option<&Driver>,
        ensembles: &[Ensemble],
        number: usize,
        planned: &Planned,
    ) -> Result<()> {
        let shape = planned.shape;
        let mut cell = Cell {
            client,
            servers: planned.servers,
            shape,
            zookeeper: Vec::new(),
            zookeeper_again: Vec::new(),
            coordinator: Vec::new(),
            command: format!(
                "coordinator-bench cell --engine ENGINE --servers {} --workload {} --bytes {} \
                 --sessions {} --outstanding {}",
                planned.servers,
                shape.workload.word(),
                shape.bytes,
                shape.sessions,
                shape.outstanding
            ),
        };
        let measure = |ensemble: &Ensemble, tag: &str| match driver {
            Some(driver) => driver.measure(ensemble, &shape, tag, self.pace),
            None => load::measure(ensemble, &shape, tag, self.pace),
        };
        for round in 0..self.repetitions {
            for ensemble in ensembles {
                let sample = measure(ensemble, &format!("c{number}r{round}"))?;
                show(ensemble.engine, planned.servers, &shape, &sample);
                match ensemble.engine {
                    Engine::ZooKeeper => cell.zookeeper.push(sample),
                    Engine::Coordinator => cell.coordinator.push(sample),
                }
            }
            if planned.twice
                && let Some(zookeeper) =
                    ensembles.iter().find(|ensemble| ensemble.engine == Engine::ZooKeeper)
            {
                cell.zookeeper_again.push(measure(zookeeper, &format!("c{number}a{round}"))?);
            }
        }
        self.keep(|results| results.put_cell(cell))
    }

    fn start(&self) -> Result<()> {
        let tries = if self.quick { 3 } else { 7 };
        for servers in [1, 3] {
            self.attempt(&format!("start of {servers}"), || self.start_of(servers, tries))?;
        }
        for &engine in &self.engines {
            let ensemble = Ensemble::start(&self.bench, engine, 1, Settings::default())?;
            ensemble.settle();
            let mib = memory::resident(&ensemble) / f64::from(1 << 20);
            self.keep_figure("empty-rss", "MiB", engine, vec![mib], "start")?;
        }
        Ok(())
    }

    fn start_of(&self, servers: usize, tries: usize) -> Result<()> {
        let mut values = vec![Vec::new(); self.engines.len()];
        for _ in 0..tries {
            for (engine, values) in self.engines.iter().zip(&mut values) {
                values.push(start::fresh(&self.bench, *engine, servers)?);
            }
        }
        for (engine, values) in self.engines.iter().zip(values) {
            self.keep_figure(&format!("start-{servers}"), "ms", *engine, values, "start")?;
        }
        Ok(())
    }

    fn failover(&self) -> Result<()> {
        for &engine in &self.engines {
            self.attempt(&format!("failover of {}", engine.name()), || {
                let mut ensemble = Ensemble::start(&self.bench, engine, 3, Settings::default())?;
                self.strikes(&mut ensemble, Fault::Kill, "kill", self.failovers)?;
                self.strikes(&mut ensemble, Fault::Freeze, "freeze", self.failovers.div_ceil(7))
            })?;
        }
        Ok(())
    }

    fn strikes(
        &self,
        ensemble: &mut Ensemble,
        fault: Fault,
        name: &str,
        tries: usize,
    ) -> Result<()> {
        let (mut gaps, mut cut) = (Vec::new(), 0);
        for _ in 0..tries {
            let seen = failover::strike(ensemble, fault)?;
            gaps.push(seen.gap_ms);
            cut += u32::from(seen.disconnected);
        }
        let engine = ensemble.engine;
        self.keep_figure(&format!("leader-{name}"), "ms", engine, gaps, "failover")?;
        let share = f64::from(cut) / tries as f64 * 100.0;
        let cut_name = format!("leader-{name}-disconnected");
        self.keep_figure(&cut_name, "% of tries", engine, vec![share], "failover")
    }

    fn sessions(&self) -> Result<()> {
        for servers in [3, 1] {
            self.attempt(&format!("sessions on {servers}"), || self.churn(servers))?;
        }
        let window = Duration::from_secs(if self.quick { 5 } else { 10 });
        for &engine in &self.engines {
            self.attempt(&format!("idle sessions on {}", engine.name()), || {
                let ensemble = Ensemble::start(&self.bench, engine, 3, Settings::default())?;
                let share = idle::core_share(&ensemble, 1000, window)? * 100.0;
                self.keep_figure("idle-1000", "% of a core", engine, vec![share], "sessions")
            })?;
        }
        Ok(())
    }

    fn churn(&self, servers: usize) -> Result<()> {
        const CLIENTS: usize = 16;
        let mut ensembles = Vec::new();
        for &engine in &self.engines {
            let ensemble = Ensemble::start(&self.bench, engine, servers, Settings::default())?;
            load::prepare_parents(ensemble.servers[0].client, "churn", 0)?;
            self.warm_up(&ensemble)?;
            ensembles.push((ensemble, Vec::new(), Vec::new(), Vec::new()));
        }
        // What no server can surpass, beside those of one process.
        let canned = (servers == 1).then(|| Canned::start(self.bench.base_port + CANNED_PORT));
        let canned = canned.transpose()?;
        let mut allowed = Vec::new();
        for round in 0..self.repetitions {
            let prefix = format!("/bench/churn/r{round}-");
            if let Some(canned) = &canned {
                let (cycles, elapsed) =
                    churn::run(&[canned.address], CLIENTS, &prefix, self.pace, |_| {})?;
                allowed.push(cycles as f64 / elapsed.as_secs_f64());
            }
            for (ensemble, rates, costs, shares) in &mut ensembles {
                let (mut marks, mut own) = (Vec::new(), Vec::new());
                let (cycles, elapsed) =
                    churn::run(&ensemble.addresses(), CLIENTS, &prefix, self.pace, |_| {
                        marks.push(ensemble.cpu_time());
                        own.push(process::own_thread_cpu_time());
                    })?;
                rates.push(cycles as f64 / elapsed.as_secs_f64());
                let used = marks[1].saturating_sub(marks[0]);
                costs.push(used.as_secs_f64() * 1e6 / cycles.max(1) as f64);
                let used = own[1].saturating_sub(own[0]);
                shares.push(used.as_secs_f64() / elapsed.as_secs_f64() * 100.0);
                ensemble.settle();
            }
        }
        for (ensemble, rates, costs, shares) in ensembles {
            let engine = ensemble.engine;
            let keep = |name: &str, unit: &str, values| {
                self.keep_figure(&format!("{name}-{servers}"), unit, engine, values, "sessions")
            };
            keep("churn", "sessions/s", rates)?;
            keep("churn-cpu", "µs of server CPU", costs)?;
            keep("churn-client", "% of a core", shares)?;
        }
        if canned.is_some() {
            let name = "churn-allowed";
            self.keep_figure(name, "sessions/s", Engine::Coordinator, allowed, "sessions")?;
        }
        Ok(())
    }

    fn memory(&self) -> Result<()> {
        for &engine in &self.engines {
            self.attempt(&format!("memory of {}", engine.name()), || self.memory_of(engine))?;
        }
        Ok(())
    }

    fn memory_of(&self, engine: Engine) -> Result<()> {
        let mut ensemble = Ensemble::start(&self.bench, engine, 1, Settings::default())?;
        let empty = memory::resident(&ensemble);
        load::fill(&ensemble.addresses(), "fill", self.znodes, 100)?;
        ensemble.settle();
        let full = memory::resident(&ensemble);
        let each = (full - empty) / self.znodes as f64;
        self.keep_figure("znode-bytes", "bytes/znode", engine, vec![each], "memory")?;
        let mib = full / f64::from(1 << 20);
        self.keep_figure("full-rss", "MiB", engine, vec![mib], "memory")?;
        if let Some(live) = memory::live_java_bytes(&ensemble) {
            let each = live / self.znodes as f64;
            self.keep_figure("znode-live-bytes", "bytes/znode", engine, vec![each], "memory")?;
        }
        let values = start::again(&mut ensemble, 3)?;
        self.keep_figure("restart-full", "ms", engine, values, "memory")?;
        let mib = memory::resident(&ensemble) / f64::from(1 << 20);
        self.keep_figure("restarted-rss", "MiB", engine, vec![mib], "memory")
    }

    fn snapshot(&self) -> Result<()> {
        for &engine in &self.engines {
            let what = format!("snapshots of {}", engine.name());
            self.attempt(&what, || self.snapshot_of(engine))?;
        }
        Ok(())
    }

    /// Creates one by one in three windows without a snapshot, then in three while each server
    /// writes one after the other.
    fn snapshot_of(&self, engine: Engine) -> Result<()> {
        let keep = |name: &str, unit: &str, values| {
            self.keep_figure(name, unit, engine, values, "snapshot")
        };
        let never = Settings { lines: vec!["snapCount=100000000".into()], ..Settings::default() };
        let often = Settings { lines: vec!["snapCount=1000".into()], ..Settings::default() };
        let mut ensemble = Ensemble::start(&self.bench, engine, 3, never)?;
        load::fill(&ensemble.addresses(), "fill", self.znodes, 100)?;
        ensemble.settle();
        let quiet = self.single_creates(&ensemble, "quiet")?;
        keep("create-p999-quiet", "µs", quiet.iter().map(|s| s.p999_us).collect())?;
        ensemble.reconfigure(often)?;
        let values = start::again(&mut ensemble, 1)?;
        keep("restart-full-3", "ms", values)?;
        let before = ensemble.snapshot_files();
        let busy = self.single_creates(&ensemble, "busy")?;
        let written = ensemble.snapshot_files().difference(&before).count();
        keep("create-p999-snapshot", "µs", busy.iter().map(|s| s.p999_us).collect())?;
        keep("snapshots-written", "files", vec![written as f64])?;
        keep("create-max-snapshot", "µs", busy.iter().map(|s| s.max_us).collect())
    }

    fn single_creates(&self, ensemble: &Ensemble, tag: &str) -> Result<Vec<Sample>> {
        let window = Duration::from_secs(if self.quick { 2 } else { 5 });
        (0..3)
            .map(|round| memory::single_create(ensemble, &format!("{tag}{round}"), window))
            .collect()
    }
}

fn shape(workload: Workload, bytes: usize, sessions: usize, outstanding: usize) -> Shape {
    Shape { workload, bytes, sessions, outstanding }
}

fn quick_cells() -> Vec<Planned> {
    use Workload::{Create, Get, Mixed, Set};
    let mut cells = Vec::new();
    for workload in [Create, Set, Get, Mixed] {
        cells.push(Planned { servers: 3, shape: shape(workload, 100, 16, 32), twice: true });
    }
    cells.push(Planned { servers: 3, shape: shape(Create, 100, 1, 1), twice: true });
    for workload in [Create, Get] {
        cells.push(Planned { servers: 1, shape: shape(workload, 100, 16, 32), twice: false });
    }
    cells
}

/// Reads first, and what writes most last.
fn all_cells() -> Vec<Planned> {
    use Workload::{Create, Exists, Get, Mixed, Set};
    let mut cells = Vec::new();
    for servers in [3, 1] {
        let mut add = |workload, bytes, sessions, outstanding| {
            let shape = shape(workload, bytes, sessions, outstanding);
            let twice =
                servers == 3 && bytes == 100 && [1, 512].contains(&(sessions * outstanding));
            cells.push(Planned { servers, shape, twice });
        };
        for workload in [Get, Exists, Mixed, Set, Create] {
            for (sessions, outstanding) in [(1, 1), (1, 32), (16, 1), (16, 32), (64, 1), (64, 32)] {
                if workload != Exists || sessions * outstanding == 512 {
                    add(workload, 100, sessions, outstanding);
                }
            }
            for sessions in [16, 64] {
                if ![Exists, Mixed].contains(&workload) {
                    add(workload, 1024, sessions, 32);
                }
            }
        }
    }
    cells
}

/// Two threads a session: few sessions leave the servers some of the machine.
fn clib_cells() -> Vec<Planned> {
    use Workload::{Create, Get, Mixed, Set};
    let mut cells = Vec::new();
    for (servers, sessions, outstanding, workloads) in [
        (3, 1, 1, &[Get, Create][..]),
        (3, 16, 32, &[Get, Mixed, Set, Create][..]),
        (1, 16, 32, &[Get, Set, Create][..]),
    ] {
        for &workload in workloads {
            let shape = shape(workload, 100, sessions, outstanding);
            cells.push(Planned { servers, shape, twice: false });
        }
    }
    cells
}

fn show(engine: Engine, servers: usize, shape: &Shape, sample: &Sample) {
    report::progress(&format!(
        "{:<11} {servers} servers {:<11} {:>4} B {:>2}x{:<2} {:>8.0} op/s {:>7.2} us/op  p50 {:>7.0} \
         p99 {:>7.0} us  client {:>3.0} %  load {:.1}",
        engine.name(),
        shape.workload.name(),
        shape.bytes,
        shape.sessions,
        shape.outstanding,
        sample.ops_per_s,
        sample.server_us_per_op,
        sample.p50_us,
        sample.p99_us,
        sample.client_share * 100.0,
        sample.load
    ));
}

/// What the figures were made on.
fn machine(bench: &Bench) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0);
    let java = std::process::Command::new(&bench.java)
        .arg("-version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
        .unwrap_or_default();
    vec![
        format!("{cores} cores, {model}"),
        format!("{} GiB of memory", memory >> 20),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("data on {}", crate::engine::file_system(&bench.directory)),
        java.lines().nth(1).unwrap_or("unknown Java").to_owned(),
    ]
}

/// The first line a command says, or nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
