//! Flags and the subcommands they lead to.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cell::{Sample, Shape, Workload};
use crate::echo::{self, CANNED_PORT, Canned};
use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::growth::{Axis, Growth};
use crate::load::{self, Pace};
use crate::raw::Sessions;
use crate::results::Results;
use crate::suite::{Part, Suite};
use crate::{bystander, churn, page, process, report};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where engines and data are.
#[derive(Args)]
struct Place {
    /// Apache ZooKeeper's jar; its manifest names the others
    #[arg(long, global = true, default_value = "/usr/share/java/zookeeper.jar")]
    zookeeper_jar: PathBuf,
    #[arg(long, global = true, default_value = "java")]
    java: PathBuf,
    /// An option for Java, such as `-Xmx1g`; none by default, as in Debian's package
    #[arg(long = "java-option", global = true, allow_hyphen_values = true)]
    java_options: Vec<String>,
    /// The coordinator's binary
    #[arg(long, global = true, default_value = "target/release/coordinator")]
    coordinator: PathBuf,
    /// Data goes here, on the disk to measure
    #[arg(long, global = true, default_value = "/var/tmp/coordinator-bench")]
    directory: PathBuf,
    #[arg(long, global = true, default_value_t = 24000)]
    base_port: u16,
    /// Values are merged into this file, from which `page` is made
    #[arg(long, global = true, default_value = "docs/benchmarks.json")]
    results: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Both engines interleaved, part by part
    Run {
        /// These parts alone
        #[arg(long, value_enum)]
        part: Vec<Part>,
        /// Fewer cells and shorter windows: under three minutes
        #[arg(long)]
        quick: bool,
        /// Forget the results of earlier runs first, but for the growth curves
        #[arg(long)]
        fresh: bool,
        #[arg(long, value_enum)]
        engine: Vec<EngineName>,
        /// Of each cell, engines in turn; 3, or 2 of a quick run
        #[arg(long)]
        repetitions: Option<usize>,
        /// Length of a measured window
        #[arg(long)]
        seconds: Option<f64>,
        #[arg(long, default_value_t = 1_000_000)]
        znodes: u64,
        /// Tries of the leader's death; a tenth as many of its freezing
        #[arg(long)]
        failovers: Option<usize>,
    },
    /// Cost per operation as znodes, sessions, servers and watches grow
    Growth {
        #[arg(long, value_enum)]
        axis: Vec<Axis>,
        #[arg(long, value_enum)]
        engine: Vec<EngineName>,
        /// Leaves out points beyond
        #[arg(long, default_value_t = 5_000_000)]
        limit: u64,
        #[arg(long, default_value_t = 1.5)]
        seconds: f64,
    },
    /// The table on stdout, and `benchmarks.md` with its plots
    Page {
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
    },
    /// One cell on one engine, for a look or a profile
    Cell {
        #[arg(long, value_enum)]
        engine: EngineName,
        #[arg(long, default_value_t = 3)]
        servers: usize,
        #[arg(long, value_enum, default_value = "create")]
        workload: Workload,
        #[arg(long, default_value_t = 100)]
        bytes: usize,
        #[arg(long, default_value_t = 16)]
        sessions: usize,
        #[arg(long, default_value_t = 32)]
        outstanding: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        #[arg(long, default_value_t = 1)]
        repeat: usize,
        /// Lines for the servers' configuration
        #[arg(long)]
        line: Vec<String>,
    },
    /// Creates znodes of 100 B on servers that run already
    Fill {
        #[arg(long, required = true)]
        server: Vec<SocketAddr>,
        #[arg(long, default_value_t = 1_000_000)]
        znodes: u64,
    },
    /// Opens and closes sessions on servers that run already, for a look or a profile
    Churn {
        #[arg(long, required = true)]
        server: Vec<SocketAddr>,
        #[arg(long, default_value_t = 16)]
        clients: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// No ephemerals: sessions that are opened and closed
        #[arg(long)]
        bare: bool,
    },
    /// A bystander's pings beside each kind of hostile client, as a table
    Bystander {
        #[arg(long, value_enum, default_value = "coordinator")]
        engine: EngineName,
        #[arg(long, default_value_t = 1)]
        servers: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Only the cases that have this in their name
        #[arg(long, default_value = "")]
        only: String,
    },
    /// How much the pipelined client does when the server behind it costs nothing
    CheckClient,
    /// The server of canned replies that `check-client` uses
    #[command(hide = true)]
    Echo { port: u16 },
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineName {
    Zookeeper,
    Coordinator,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Engine {
        match name {
            EngineName::Zookeeper => Engine::ZooKeeper,
            EngineName::Coordinator => Engine::Coordinator,
        }
    }
}

pub fn run() -> Result<()> {
    let cli = Cli::parse();
    process::raise_file_limit();
    process::stop_children_on_signals()?;
    let results = cli.place.results;
    let bench = Bench {
        zookeeper_jar: cli.place.zookeeper_jar,
        java: cli.place.java,
        java_options: cli.place.java_options,
        coordinator: std::path::absolute(cli.place.coordinator)?,
        directory: std::path::absolute(cli.place.directory)?,
        base_port: cli.place.base_port,
    };
    match cli.command {
        Command::Run { part, quick, fresh, engine, repetitions, seconds, znodes, failovers } => {
            let window = seconds.unwrap_or(0.7);
            let suite = Suite {
                bench,
                engines: engines(&engine),
                quick,
                repetitions: repetitions.unwrap_or(if quick { 2 } else { 3 }),
                pace: pace(window),
                znodes,
                failovers: failovers.unwrap_or(if quick { 3 } else { 20 }),
                results: results.clone(),
            };
            let whole = suite.run(&parts(part, quick), fresh)?;
            let results = Results::load(&results)?;
            page::table(&results);
            ensure!(whole, "{} things failed and are left out", results.run.failures.len());
            Ok(())
        }
        Command::Growth { axis, engine, limit, seconds } => {
            let (engines, pace) = (engines(&engine), pace(seconds));
            let growth = Growth { bench, engines, pace, limit, results };
            let axes = if axis.is_empty() { Axis::value_variants() } else { &axis };
            let failed = axes.iter().filter_map(|&axis| growth.run(axis).err());
            let failed: Vec<String> = failed.map(|error| error.to_string()).collect();
            ensure!(failed.is_empty(), "{}", failed.join("; "));
            Ok(())
        }
        Command::Page { docs } => {
            let results = Results::load(&results)?;
            page::table(&results);
            page::write(&results, &docs)
        }
        Command::Cell {
            engine,
            servers,
            workload,
            bytes,
            sessions,
            outstanding,
            seconds,
            repeat,
            line,
        } => {
            let settings = Settings { lines: line, ..Settings::default() };
            let ensemble = Ensemble::start(&bench, engine.into(), servers, settings)?;
            load::prepare_keys(&ensemble, bytes)?;
            let shape = Shape { workload, bytes, sessions, outstanding };
            let pids = ensemble.servers.iter().filter_map(crate::engine::Server::pid);
            report::progress(&format!("servers: {:?}", pids.collect::<Vec<_>>()));
            for turn in 0..repeat {
                let tag = format!("cell{turn}");
                let sample = load::measure(&ensemble, &shape, &tag, pace(seconds))?;
                report::line(&one_line(&sample));
            }
            Ok(())
        }
        Command::Fill { server, znodes } => load::fill(&server, "fill", znodes, 100),
        Command::Churn { server, clients, seconds, bare } => {
            load::prepare_parents(server[0], "churn", 0)?;
            let prefix =
                if bare { String::new() } else { format!("/bench/churn/{}-", std::process::id()) };
            report::line(&churn_line(&server, clients, &prefix, pace(seconds))?);
            Ok(())
        }
        Command::Bystander { engine, servers, seconds, only } => {
            let watched = Duration::from_secs_f64(seconds);
            bystander::table(&bench, engine.into(), servers, watched, &only)
        }
        Command::CheckClient => check_client(&bench),
        Command::Echo { port } => echo::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 100),
    }
}

fn engines(chosen: &[EngineName]) -> Vec<Engine> {
    if chosen.is_empty() {
        return Engine::BOTH.to_vec();
    }
    chosen.iter().map(|&name| name.into()).collect()
}

fn parts(chosen: Vec<Part>, quick: bool) -> Vec<Part> {
    if !chosen.is_empty() {
        chosen
    } else if quick {
        vec![Part::Cells, Part::Start, Part::Failover, Part::Sessions]
    } else {
        Part::value_variants().to_vec()
    }
}

fn pace(seconds: f64) -> Pace {
    let window = Duration::from_secs_f64(seconds);
    Pace { warm: window / 3, window }
}

fn churn_line(servers: &[SocketAddr], clients: usize, prefix: &str, pace: Pace) -> Result<String> {
    let mut own = Vec::new();
    let (cycles, elapsed) = churn::run(servers, clients, prefix, pace, |_| {
        own.push(process::own_thread_cpu_time());
    })?;
    let own = own[1].saturating_sub(own[0]).as_secs_f64();
    Ok(format!(
        "{:.0} sessions/s, client {:.1} us each ({:.0} % of a core)",
        cycles as f64 / elapsed.as_secs_f64(),
        own * 1e6 / cycles as f64,
        own * 100.0 / elapsed.as_secs_f64()
    ))
}

/// The clients of ours against canned replies, in another process.
fn check_client(bench: &Bench) -> Result<()> {
    let canned = Canned::start(bench.base_port + CANNED_PORT)?;
    for workload in [Workload::Create, Workload::Set, Workload::Get, Workload::Mixed] {
        for (sessions, outstanding) in [(1, 1), (16, 32), (64, 32)] {
            let shape = Shape { workload, bytes: 100, sessions, outstanding };
            let mut open = Sessions::open(&[canned.address], sessions, 30_000)?;
            let (warm, window) = (Duration::from_millis(300), Duration::from_secs(1));
            let window = open.run(&shape, "check", warm, window, |_| {})?;
            report::line(&format!(
                "{:<11} {sessions:>2} x {outstanding:<2} {}",
                workload.name(),
                one_line(&window.sample(Duration::ZERO))
            ));
        }
    }
    let churn = churn_line(&[canned.address], 16, "/check/", pace(1.0))?;
    report::line(&format!("connect + ephemeral + close, 16 clients: {churn}"));
    Ok(())
}

fn one_line(sample: &Sample) -> String {
    format!(
        "{:>9.0} op/s  server {:>7.2} us/op  client {:>5.2} us/op ({:.0} % of a core)  \
         p50 {:.0} us  p99 {:.0} us  p99.9 {:.0} us  max {:.0} us  load {:.2}",
        sample.ops_per_s,
        sample.server_us_per_op,
        sample.client_us_per_op,
        sample.client_share * 100.0,
        sample.p50_us,
        sample.p99_us,
        sample.p999_us,
        sample.max_us,
        sample.load
    )
}
