//! What sessions cost that only exist: pings at the pace of real clients, and nothing else.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::Ensemble;
use crate::raw::Sessions;

const TIMEOUT_MS: i32 = 30_000;
/// Clients ping after a third of their timeout.
const PING_EVERY: Duration = Duration::from_secs(10);
const SLICES: u32 = 100;

/// Share of one core, per server on average, that `count` idle sessions cost over `window`.
pub fn core_share(ensemble: &Ensemble, count: usize, window: Duration) -> Result<f64> {
    let mut sessions = Sessions::open(&ensemble.addresses(), count, TIMEOUT_MS)?;
    let settle = Duration::from_secs(2);
    ping_for(&mut sessions, settle)?;
    let (begin, started) = (ensemble.cpu_time(), Instant::now());
    ping_for(&mut sessions, window)?;
    let used = ensemble.cpu_time().saturating_sub(begin);
    let share = used.as_secs_f64() / started.elapsed().as_secs_f64();
    sessions.close()?;
    Ok(share / ensemble.servers.len() as f64)
}

/// Pings a hundredth of the sessions at a time, so that load is even as with real clients.
fn ping_for(sessions: &mut Sessions, window: Duration) -> Result<()> {
    let started = Instant::now();
    let mut slice = 0;
    while started.elapsed() < window {
        sessions.ping(slice as usize, SLICES as usize)?;
        slice = (slice + 1) % SLICES;
        std::thread::sleep(PING_EVERY / SLICES);
    }
    Ok(())
}
