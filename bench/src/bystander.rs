//! One client that pings, on the server that a hostile client is at: how long its slowest ping takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::hostile::{CASES, Case};
use crate::plain::Plain;
use crate::{process, report};

/// From one ping to the next.
const PAUSE: Duration = Duration::from_micros(500);
const TIMEOUT_MS: i32 = 10_000;

/// The pings of one case, in ms, shortest first.
struct Pings {
    sorted_ms: Vec<f64>,
    /// How often the server has ended the hostile connection.
    closed: u64,
    /// Largest resident size that was seen.
    resident: u64,
}

/// Prints a table of the cases that have `only` in their name, each on fresh servers.
pub fn table(
    bench: &Bench,
    engine: Engine,
    servers: usize,
    watched: Duration,
    only: &str,
) -> Result<()> {
    report::line(
        "| beside a client that asks for | pings | median, ms | p99, ms | slowest, ms | memory, MiB |",
    );
    report::line("|---|--:|--:|--:|--:|--:|");
    for case in CASES.iter().filter(|case| case.name.contains(only)) {
        let pings = watch(bench, engine, servers, case, watched).context(case.name)?;
        let at = |share: f64| {
            let last = pings.sorted_ms.len() - 1;
            pings.sorted_ms[(last as f64 * share) as usize]
        };
        let closed = match pings.closed {
            0 => String::new(),
            times => format!(" (its connection was closed {times} times)"),
        };
        report::line(&format!(
            "| {}{closed} | {} | {:.2} | {:.2} | {:.1} | {} |",
            case.name,
            pings.sorted_ms.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            pings.resident >> 20,
        ));
    }
    Ok(())
}

fn watch(
    bench: &Bench,
    engine: Engine,
    servers: usize,
    case: &Case,
    watched: Duration,
) -> Result<Pings> {
    let ensemble = Ensemble::start(bench, engine, servers, Settings::default())?;
    let server = ensemble.servers[0].client;
    let mut preparing = Plain::connect(server, TIMEOUT_MS)?;
    (case.prepare)(&mut preparing)?;
    let mut bystander = Plain::connect(server, TIMEOUT_MS)?;
    let (ready, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let hostile = scope.spawn(|| {
            let closed = case.run(server, &ready, &stop);
            ready.store(true, Ordering::Release);
            closed
        });
        let pings = ping_until(&mut bystander, &ensemble, &ready, watched);
        stop.store(true, Ordering::Release);
        let closed = hostile.join().expect("the hostile client does not panic");
        let (mut sorted_ms, resident) = pings?;
        sorted_ms.sort_by(f64::total_cmp);
        Ok(Pings { sorted_ms, closed: closed?, resident })
    })
}

/// Pings for so long after `ready`.
fn ping_until(
    bystander: &mut Plain,
    ensemble: &Ensemble,
    ready: &AtomicBool,
    watched: Duration,
) -> Result<(Vec<f64>, u64)> {
    while !ready.load(Ordering::Acquire) {
        bystander.ping()?;
        std::thread::sleep(Duration::from_millis(10));
    }
    let (mut all_ms, mut resident) = (Vec::new(), 0);
    let until = Instant::now() + watched;
    let mut look = Instant::now();
    while Instant::now() < until {
        let sent = Instant::now();
        bystander.ping()?;
        all_ms.push(sent.elapsed().as_secs_f64() * 1e3);
        if look.elapsed() > Duration::from_millis(50) {
            let pid = ensemble.servers[0].pid().unwrap_or_default();
            resident = resident.max(process::resident_bytes(pid)?);
            look = Instant::now();
        }
        std::thread::sleep(PAUSE);
    }
    Ok((all_ms, resident))
}
