//! Flags and the subcommands they lead to.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::cell::{Shape, Workload};
use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::load::{self, Pace};
use crate::{echo, report};

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
    #[arg(long, default_value = "/usr/share/java/zookeeper.jar")]
    zookeeper_jar: PathBuf,
    #[arg(long, default_value = "java")]
    java: PathBuf,
    /// An option for Java, such as `-Xmx1g`; none by default, as in Debian's package
    #[arg(long = "java-option", allow_hyphen_values = true)]
    java_options: Vec<String>,
    /// The coordinator's binary
    #[arg(long, default_value = "target/release/coordinator")]
    coordinator: PathBuf,
    /// Data goes here, on the disk to measure
    #[arg(long, default_value = "/var/tmp/coordinator-bench")]
    directory: PathBuf,
    #[arg(long, default_value_t = 24000)]
    base_port: u16,
}

#[derive(Subcommand)]
enum Command {
    /// One cell on one engine, for a look or a profile
    Cell {
        #[arg(long, value_parser = engine)]
        engine: Engine,
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
    },
    /// The server of canned replies that `check-client` measures the client against
    #[command(hide = true)]
    Echo { port: u16 },
}

fn engine(text: &str) -> Result<Engine, String> {
    match text {
        "zookeeper" => Ok(Engine::ZooKeeper),
        "coordinator" => Ok(Engine::Coordinator),
        _ => Err("`zookeeper` or `coordinator`".to_owned()),
    }
}

pub fn run() -> Result<()> {
    let cli = Cli::parse();
    let bench = Bench {
        zookeeper_jar: cli.place.zookeeper_jar,
        java: cli.place.java,
        java_options: cli.place.java_options,
        coordinator: std::path::absolute(cli.place.coordinator)?,
        directory: std::path::absolute(cli.place.directory)?,
        base_port: cli.place.base_port,
    };
    match cli.command {
        Command::Cell {
            engine,
            servers,
            workload,
            bytes,
            sessions,
            outstanding,
            seconds,
            repeat,
        } => {
            let ensemble = Ensemble::start(&bench, engine, servers, Settings::default())?;
            load::prepare_keys(&ensemble, bytes)?;
            let shape = Shape { workload, bytes, sessions, outstanding };
            let pace = Pace {
                warm: Duration::from_secs_f64(seconds / 3.0),
                window: Duration::from_secs_f64(seconds),
            };
            for turn in 0..repeat {
                let sample = load::measure(&ensemble, &shape, &format!("cell{turn}"), pace)?;
                report::line(&format!(
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
                ));
            }
            Ok(())
        }
        Command::Echo { port } => echo::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 100),
    }
}
