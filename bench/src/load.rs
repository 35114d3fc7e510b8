//! One cell on one ensemble: znodes prepared, sessions opened, the window driven between two
//! readings of the servers' CPU time, sessions closed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cell::{KEYS, Sample, Shape, Workload};
use crate::engine::Ensemble;
use crate::plain::Plain;
use crate::raw::{Edge, Sessions, key_path};

/// Sessions, and so parents, that a fill uses.
pub const FILL_SESSIONS: usize = 16;
pub const SESSION_TIMEOUT_MS: i32 = 30_000;

/// How long a cell runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub warm: Duration,
    pub window: Duration,
}

/// The znodes that set, get and exists use.
pub fn prepare_keys(ensemble: &Ensemble, bytes: usize) -> Result<()> {
    let mut client = Plain::connect(ensemble.servers[0].client, SESSION_TIMEOUT_MS)?;
    client.create("/bench", b"", 0)?;
    client.create(&format!("/bench/keys-{bytes:04}"), b"", 0)?;
    let keys = (0..KEYS).map(|key| {
        let mut path = Vec::new();
        key_path(&mut path, bytes, key);
        String::from_utf8(path)
    });
    client.create_all(&keys.collect::<Result<Vec<_>, _>>()?, &vec![b'x'; bytes])?;
    client.close()
}

/// The parents created znodes go under.
pub fn prepare_parents(server: SocketAddr, tag: &str, sessions: usize) -> Result<()> {
    let mut client = Plain::connect(server, SESSION_TIMEOUT_MS)?;
    client.create("/bench", b"", 0)?;
    client.create(&format!("/bench/{tag}"), b"", 0)?;
    let parents = (0..sessions).map(|session| format!("/bench/{tag}/s{session:04}"));
    client.create_all(&parents.collect::<Vec<_>>(), b"")?;
    client.close()
}

/// Measures `shape` once with the pipelined client. `tag` must be new on this ensemble.
pub fn measure(ensemble: &Ensemble, shape: &Shape, tag: &str, pace: Pace) -> Result<Sample> {
    let describe = || format!("{} {shape:?}", ensemble.engine.name());
    if shape.workload == Workload::Create {
        prepare_parents(ensemble.servers[0].client, tag, shape.sessions).with_context(describe)?;
    }
    let addresses = ensemble.addresses();
    let mut sessions =
        Sessions::open(&addresses, shape.sessions, SESSION_TIMEOUT_MS).with_context(describe)?;
    let sample = measure_on(ensemble, &mut sessions, shape, tag, pace).with_context(describe)?;
    if shape.workload == Workload::Create {
        sessions.delete_made(tag).with_context(describe)?;
    }
    sessions.close().with_context(describe)?;
    ensemble.settle();
    Ok(sample)
}

/// The same over sessions already open.
pub fn measure_on(
    ensemble: &Ensemble,
    sessions: &mut Sessions,
    shape: &Shape,
    tag: &str,
    pace: Pace,
) -> Result<Sample> {
    let (mut begin, mut end) = (Duration::ZERO, Duration::ZERO);
    let window = sessions.run(shape, tag, pace.warm, pace.window, |edge| match edge {
        Edge::Begin => begin = ensemble.cpu_time(),
        Edge::End => end = ensemble.cpu_time(),
    })?;
    Ok(window.sample(end.saturating_sub(begin)))
}

/// Creates `count` znodes of `bytes` data as fast as the servers take them.
pub fn fill(servers: &[SocketAddr], tag: &str, count: u64, bytes: usize) -> Result<()> {
    prepare_parents(servers[0], tag, FILL_SESSIONS)?;
    let mut sessions = Sessions::open(servers, FILL_SESSIONS, SESSION_TIMEOUT_MS)?;
    let shape =
        Shape { workload: Workload::Create, bytes, sessions: FILL_SESSIONS, outstanding: 64 };
    sessions.create_evenly(&shape, tag, count)?;
    sessions.close()
}
