//! The second client: a small C program over Debian's ZooKeeper client library, built on the spot.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cell::{Sample, Shape, Workload};
use crate::engine::Ensemble;
use crate::load::{self, Pace};
use crate::process;

const SOURCE: &str = include_str!("../c/driver.c");

/// The compiled driver.
pub struct Driver {
    program: PathBuf,
}

impl Driver {
    /// Compiles the driver into `directory`; needs `cc` and `libzookeeper-mt-dev`.
    pub fn build(directory: &Path) -> Result<Driver> {
        std::fs::create_dir_all(directory)?;
        let source = directory.join("driver.c");
        let program = directory.join("driver");
        std::fs::write(&source, SOURCE)?;
        let status = Command::new("cc")
            .args(["-O2", "-DTHREADED", "-o"])
            .arg(&program)
            .arg(&source)
            .args(["-lzookeeper_mt", "-lpthread"])
            .status()
            .context("start `cc`")?;
        ensure!(status.success(), "`cc` failed: is libzookeeper-mt-dev installed?");
        Ok(Driver { program })
    }

    /// Measures `shape` once. `tag` must be new on this ensemble.
    pub fn measure(
        &self,
        ensemble: &Ensemble,
        shape: &Shape,
        tag: &str,
        pace: Pace,
    ) -> Result<Sample> {
        if shape.workload == Workload::Create {
            load::prepare_parents(ensemble.servers[0].client, tag, shape.sessions)?;
        }
        let mut child = Command::new(&self.program)
            .arg(ensemble.connect_string())
            .arg(shape.workload.word())
            .arg(shape.bytes.to_string())
            .arg(shape.sessions.to_string())
            .arg(shape.outstanding.to_string())
            .arg(pace.warm.as_millis().to_string())
            .arg(pace.window.as_millis().to_string())
            .arg(tag)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the C driver")?;
        process::remember(child.id());
        let sample = follow(&mut child, ensemble);
        if sample.is_err() {
            let _ = child.kill();
        }
        let status = child.wait()?;
        process::forget(child.id());
        let sample = sample?;
        ensure!(status.success(), "the C driver failed");
        ensemble.settle();
        Ok(sample)
    }
}

/// Reads the servers' CPU time where the driver says that its window begins and ends.
fn follow(child: &mut Child, ensemble: &Ensemble) -> Result<Sample> {
    let mut lines = BufReader::new(child.stdout.take().context("driver's stdout")?).lines();
    let mut next = || -> Result<String> { Ok(lines.next().context("the C driver ended early")??) };
    ensure!(next()? == "begin", "unexpected output of the C driver");
    let begin = ensemble.cpu_time();
    ensure!(next()? == "end", "unexpected output of the C driver");
    let server_cpu = ensemble.cpu_time().saturating_sub(begin);
    let figures = next()?;
    let numbers: Vec<f64> =
        figures.split(' ').map(str::parse).collect::<Result<_, _>>().context("figures")?;
    let &[ops, elapsed_ns, client_cpu_us, p50, p99, p999, max] = numbers.as_slice() else {
        anyhow::bail!("unexpected figures from the C driver: {figures}");
    };
    let elapsed = Duration::from_nanos(elapsed_ns as u64).as_secs_f64();
    Ok(Sample {
        ops_per_s: ops / elapsed,
        server_us_per_op: server_cpu.as_secs_f64() * 1e6 / ops.max(1.0),
        client_us_per_op: client_cpu_us / ops.max(1.0),
        client_share: client_cpu_us / 1e6 / elapsed,
        p50_us: p50 / 1e3,
        p99_us: p99 / 1e3,
        p999_us: p999 / 1e3,
        max_us: max / 1e3,
        load: process::load_average(),
    })
}
