//! The leader dies or freezes while one client writes through a follower.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::engine::Ensemble;
use crate::plain::Plain;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Freeze,
}

/// One try: what the client saw.
#[derive(Clone, Copy)]
pub struct Try {
    /// From the fault to the first acknowledgement of a write that was waiting at or sent after it.
    pub gap_ms: f64,
    pub disconnected: bool,
}

const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT_MS: i32 = 10_000;

/// Strikes the leader once; brings it back and waits until it serves before returning.
pub fn strike(ensemble: &mut Ensemble, fault: Fault) -> Result<Try> {
    let leader = ensemble.leader()?;
    let pid = ensemble.servers[leader].pid().unwrap_or_default();
    let others: Vec<SocketAddr> = (1..ensemble.servers.len())
        .map(|step| ensemble.servers[(leader + step) % ensemble.servers.len()].client)
        .collect();
    let struck = OnceLock::new();
    let signal = match fault {
        Fault::Kill => Signal::KILL,
        Fault::Freeze => Signal::STOP,
    };
    let seen = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_through(&others, &struck));
        std::thread::sleep(Duration::from_millis(300));
        let now = Instant::now();
        let sent = crate::process::signal(pid, signal);
        let _ = struck.set(now);
        let seen = writer.join().expect("the writer does not panic");
        sent.and(seen)
    })?;
    match fault {
        Fault::Kill => {
            ensemble.kill_server(leader)?;
            ensemble.start_server(leader)?;
        }
        Fault::Freeze => ensemble.signal_server(leader, Signal::CONT)?,
    }
    ensemble.wait_for_server(leader, Instant::now() + PATIENCE)?;
    Ok(seen)
}

/// Writes one after the other through the first of `servers`, through the next after a
/// disconnection, until a write has been acknowledged that was sent after the fault.
fn write_through(servers: &[SocketAddr], struck: &OnceLock<Instant>) -> Result<Try> {
    let started = Instant::now();
    let mut client = Plain::connect(servers[0], TIMEOUT_MS)?;
    client.set_patience(PATIENCE)?;
    client.create("/bench/failover", b"", 0)?;
    let (mut disconnected, mut turn) = (false, 0);
    loop {
        let sent = Instant::now();
        let written = client.set("/bench/failover", b"0123456789");
        let acknowledged = Instant::now();
        ensure!(started.elapsed() < PATIENCE, "no write acknowledged after the fault");
        if written.is_err() {
            disconnected = true;
            client = reattach(servers, &mut turn, client, started)?;
            continue;
        }
        if let Some(&at) = struck.get()
            && sent > at
        {
            let gap_ms = (acknowledged - at).as_secs_f64() * 1e3;
            return Ok(Try { gap_ms, disconnected });
        }
    }
}

/// As a client library does it: the next server of the list, the same session.
fn reattach(
    servers: &[SocketAddr],
    turn: &mut usize,
    lost: Plain,
    started: Instant,
) -> Result<Plain> {
    let session = lost.session;
    drop(lost);
    loop {
        ensure!(started.elapsed() < PATIENCE, "no server took the session after the fault");
        *turn += 1;
        let server = servers[*turn % servers.len()];
        if let Ok(client) = Plain::attach(server, TIMEOUT_MS, &session, Duration::from_secs(2)) {
            client.set_patience(PATIENCE)?;
            return Ok(client);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
