//! Start to the first acknowledged write: fresh servers, and servers with a million znodes on disk.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::engine::{Bench, Engine, Ensemble, Settings};
use crate::plain::Plain;
use crate::wire::Session;

/// Between tries of a client that waits for its servers.
const RETRY: Duration = Duration::from_millis(1);
/// A server that is starting may take a connection and forget it: ask again after this.
const ANSWER: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_mins(2);

/// Milliseconds from starting `servers` fresh servers at once to the first acknowledged create.
pub fn fresh(bench: &Bench, engine: Engine, servers: usize) -> Result<f64> {
    let mut ensemble = Ensemble::create(bench, engine, servers, Settings::default())?;
    let begin = Instant::now();
    ensemble.start_all()?;
    first_write(&ensemble, begin)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// The same for servers that are stopped and have their data.
pub fn again(ensemble: &mut Ensemble, tries: usize) -> Result<Vec<f64>> {
    let mut values = Vec::with_capacity(tries);
    for _ in 0..tries {
        ensemble.stop_all()?;
        let begin = Instant::now();
        ensemble.start_all()?;
        first_write(ensemble, begin)?;
        values.push(begin.elapsed().as_secs_f64() * 1e3);
        ensemble.wait_until_serving()?;
    }
    Ok(values)
}

/// Tries the servers in turn until one has opened a session and acknowledged a write.
fn first_write(ensemble: &Ensemble, begin: Instant) -> Result<()> {
    for turn in 0.. {
        let server = &ensemble.servers[turn % ensemble.servers.len()];
        let written = Plain::attach(server.client, 10_000, &Session::default(), ANSWER)
            .and_then(|mut client| client.create("/first", b"", 1));
        if written.is_ok() {
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "{}: no write acknowledged", ensemble.engine.name());
        std::thread::sleep(RETRY);
    }
    Ok(())
}
