//! One run from its seed: faults under load, then healing, then the reckoning.

use std::collections::BTreeMap;

use coordinator::node::Node;
use coordinator::state::{IdentityBuf, ReapCursor, State};
use coordinator::wire::code::Code;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::Reply;
use coordinator::wire::request::{Read, Request};
use coordinator::wire::stat::Stat;

use crate::check::durable::Seen;
use crate::check::watch::Shown;
use crate::cluster::Server;
use crate::corruption::is_damaged;
use crate::faults::Fault;
use crate::network::{MS, Micros, SECOND};
use crate::workload::Client;
use crate::world::{Statistics, What, World};

/// Once faults are over, every client is served within this.
const RECOVERY_US: Micros = 45 * SECOND;
/// The leader looks for what to delete more often than this.
const REAP_US: Micros = 2 * SECOND;
const QUIET_US: Micros = 30 * SECOND;
/// A lost client's session ends so long after its timeout: what was on its way, a report, a tick.
const EXPIRY_SLACK_US: Micros = 3 * SECOND;

/// What came of a seed.
pub struct Outcome {
    pub failure: Option<String>,
    pub trace: u64,
    pub stats: Statistics,
}

/// Runs one seed; a panic of the servers is a failure like any other.
pub fn run(seed: u64, verbose: bool) -> Outcome {
    let mut world = World::new(seed, verbose);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(&mut world)));
    if let Err(panic) = caught {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        world.fail(format!("panic: {}", text.unwrap_or_default()));
    }
    let mut stats = world.stats.clone();
    stats.virtual_us = world.now_us;
    stats.writes = world.checks.durable.writes;
    stats.reads = world.checks.durable.reads;
    stats.wrapped = world.checks.durable.wrapped;
    stats.expired = world.checks.session.expired;
    stats.digests_compared = world.checks.digest.compared;
    let agreed = world.servers.iter().filter_map(Server::node).map(Node::rounds_agreed);
    stats.rounds_agreed = agreed.sum();
    stats.watches_fired = world.clients.iter().map(|c| c.watching.fired).sum();
    Outcome { failure: world.failure.take(), trace: world.trace, stats }
}

fn story(world: &mut World) {
    world.say(|| format!("{:?}", world.setting));
    let faulty_us = world.setting.faulty_us;
    if world.setting.fault_every_us > 0 {
        world.schedule(0, What::Fault(Fault::Next));
    }
    world.run_until(faulty_us, |_| false);
    // Up to four servers more are restarted, one after the other.
    let patience = if world.operator.busy { 2 * RECOVERY_US } else { RECOVERY_US };
    let until = world.now_us + patience;
    world.say(|| "faults are over".to_owned());
    world.heal();
    recover(world, until);
    settle(world);
    abandon(world);
    restart_all(world);
}

/// Every client writes and reads again.
fn recover(world: &mut World, until: Micros) {
    for client in &mut world.clients {
        client.proofs = 0;
    }
    while world.failure.is_none() {
        world.heal();
        for client in 0..world.clients.len() {
            world.prove(client);
        }
        let next = world.now_us + 500 * MS;
        world.run_until(next, |_| false);
        let served = world.clients.iter().all(|c| c.proofs > 0);
        let serving = world.members().all(|s| s.node().is_some_and(Node::serving));
        let alike = world.agree_on_damage() && world.level_is_known();
        if served && serving && alike && !world.operator.busy {
            world.stats.recovery_us = world.now_us - world.setting.faulty_us;
            return;
        }
        if world.now_us > until {
            let waiting: Vec<usize> =
                (0..world.clients.len()).filter(|&c| world.clients[c].proofs == 0).collect();
            let servers = world.describe();
            world.fail(format!(
                "some time after the faults not all is well: clients {waiting:?} wait, list {:?}{}; {servers}",
                world.operator.members,
                if world.operator.busy { " on its way" } else { "" },
            ));
        }
    }
}

fn level(world: &World) -> bool {
    let mut applied = world.members().map(|s| s.node().map(Node::applied_index));
    let first = applied.next().flatten();
    first.is_some() && applied.all(|a| a == first)
}

/// Lets all come to rest and holds the final state against all that was seen.
fn settle(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    world.rest_all();
    let until = world.now_us + QUIET_US;
    let quiet = |w: &World| w.clients.iter().all(Client::idle) && level(w);
    if !world.run_until(until, quiet) {
        let servers = world.describe();
        world.fail(format!("the ensemble does not come to rest: {servers}"));
        return;
    }
    // Events are on their way a little longer.
    let until = world.now_us + 2 * SECOND;
    world.run_until(until, |_| false);
    if !world.run_until(world.now_us + QUIET_US, quiet) {
        return world.fail("unrest".to_owned());
    }
    same_digests(world);
    let mut checks = std::mem::take(&mut world.checks);
    let state = any_state(&world.servers, &world.operator.members);
    let mut verdict = checks.durable.settle(
        state.last_zxid(),
        |path| seen(state, path),
        |path| children(state, path),
    );
    let alive: Vec<i64> = state.sessions().map(|(id, _)| id).collect();
    verdict = verdict.and_then(|()| checks.session.settle(&ephemerals(state), &alive));
    verdict = verdict.and_then(|()| checks.access.settle()).and_then(|()| checks.times.settle());
    for client in &mut world.clients {
        if alive.contains(&client.session) && client.open {
            let streams = &mut client.watching.streams;
            let measured: Vec<_> =
                streams.measured().map(|(path, data)| (path.to_owned(), data)).collect();
            for (path, data) in measured {
                let Some(stat) = stat(state, &path) else { continue };
                verdict = verdict.and_then(|()| {
                    if data {
                        streams.data_shown(&path, stat.version)
                    } else {
                        streams.children_shown(&path, stat.cversion)
                    }
                });
            }
            for path in client.watching.paths() {
                let shown = shown(state, path);
                verdict = verdict.and_then(|()| client.watching.shown(path, shown));
            }
        }
    }
    world.checks = checks;
    world.judge(verdict);
}

fn same_digests(world: &mut World) {
    for s in 0..world.servers.len() {
        let Some(node) = world.servers[s].node() else { continue };
        let (id, index, digest) = (node.id(), node.applied_index(), node.state().digest());
        let damaged = is_damaged(node.state());
        let verdict = world.checks.digest.observe(id, index, digest, damaged);
        world.judge(verdict);
    }
}

/// Half of the clients are never heard of again: their sessions end, and what was theirs goes.
fn abandon(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    let lost: Vec<i64> = (0..world.clients.len())
        .step_by(2)
        .map(|c| {
            world.kill_client(c);
            world.clients[c].session
        })
        .collect();
    let kept: Vec<i64> =
        (1..world.clients.len()).step_by(2).map(|c| world.clients[c].session).collect();
    let sessions = &mut world.checks.session;
    let timeout_ms = |&id: &i64| sessions.get(id).map(|known| known.timeout_ms as u64);
    let longest_ms = lost.iter().filter_map(timeout_ms).max().unwrap_or_default();
    let until = world.now_us + longest_ms * MS + EXPIRY_SLACK_US;
    let gone = |w: &World| {
        w.members().all(|s| {
            s.node().is_some_and(|n| lost.iter().all(|&id| n.state().session(id).is_none()))
        })
    };
    if !world.run_until(until, gone) {
        world.fail("sessions of lost clients do not end in time".to_owned());
        return;
    }
    let state = any_state(&world.servers, &world.operator.members);
    let alive: Vec<i64> = state.sessions().map(|(id, _)| id).collect();
    let mut verdict = world.checks.session.settle(&ephemerals(state), &alive);
    // Nothing else has happened since: the others have no reason to be gone.
    if let Some(missing) = kept.iter().find(|id| !alive.contains(id)) {
        verdict = verdict.and(Err(format!("session {missing:#x} ended though its client is well")));
    }
    world.judge(verdict);
    reaped(world);
    ended(world);
}

/// No session that has ended owns a znode any more.
fn ended(world: &mut World) {
    for s in 0..world.servers.len() {
        let Some(node) = world.servers[s].node() else { continue };
        let left = node.state().ended_sessions_with_ephemerals();
        if !left.is_empty() {
            return world.fail(format!("sessions {left:x?} have ended, and own znodes yet"));
        }
    }
}

/// Containers and TTL znodes whose time is over are gone, soon after.
fn reaped(world: &mut World) {
    let until = world.now_us + REAP_US;
    if world.failure.is_some() || !world.run_until(until, |w| w.now_us >= until) {
        return;
    }
    let Some(leader) = world.servers.iter().position(Server::leads) else { return };
    let (_, wall_ms) = world.times(leader);
    let state = world.servers[leader].node().expect("it leads").state();
    if let Some(path) = state
        .reapable(
            &mut Some(ReapCursor::default()),
            wall_ms - (REAP_US / MS) as i64,
            None,
            usize::MAX,
            1,
        )
        .first()
    {
        let path = path.clone();
        world.fail(format!("{path} is still there, its time is over"));
    }
}

/// What is on disk makes the same state again.
fn restart_all(world: &mut World) {
    for s in 0..world.servers.len() {
        if world.servers[s].list.is_empty() {
            continue;
        }
        world.end_process(s);
        world.servers[s].disk.process_died();
        world.schedule(10 * MS, What::Start { server: s });
    }
    let until = world.now_us + RECOVERY_US;
    let well = |w: &World| {
        w.members().all(|s| s.node().is_some_and(Node::serving))
            && w.clients.iter().all(Client::idle)
            && level(w)
    };
    if world.failure.is_none() && !world.run_until(until, well) {
        let servers = world.describe();
        world.fail(format!("the ensemble does not come back after a restart of all: {servers}"));
    }
    if world.failure.is_none() {
        same_digests(world);
    }
}

// ---- looking at a state ----

/// Of any member, when all are level.
fn any_state<'w>(servers: &'w [Server], members: &[u8]) -> &'w State {
    let member = servers.iter().find(|server| members.contains(&server.id));
    member.and_then(Server::node).expect("it is level").state()
}

fn ask(state: &State, op: OpCode, path: &str) -> Result<Reply, Code> {
    let mut body = Vec::new();
    let read = Read { path, watch: false };
    let request = match op {
        OpCode::GetData => Request::GetData(read),
        OpCode::GetChildren => Request::GetChildren(read),
        _ => Request::Exists(read),
    };
    request.encode(&mut body);
    let identity = IdentityBuf::superuser();
    let mut out = Vec::new();
    let result = state.read(0, identity.as_identity(), op, &body, &mut out);
    if result.code != Code::Ok {
        return Err(result.code);
    }
    let mut reader = coordinator::wire::jute::Reader::new(&out);
    Ok(Reply::decode(op, &mut reader).expect("a server's own reply"))
}

fn stat(state: &State, path: &str) -> Option<Stat> {
    match ask(state, OpCode::Exists, path) {
        Ok(Reply::Stat(stat)) => Some(stat),
        _ => None,
    }
}

fn seen(state: &State, path: &str) -> Seen {
    match ask(state, OpCode::GetData, path) {
        Ok(Reply::DataStat(data, stat)) => Seen::There {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            version: stat.version,
            token: Some(String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()),
        },
        _ => Seen::Absent,
    }
}

fn shown(state: &State, path: &str) -> Shown {
    let stat = stat(state, path);
    Shown { mzxid: stat.map(|s| s.mzxid), pzxid: stat.map(|s| s.pzxid) }
}

fn children(state: &State, path: &str) -> Vec<String> {
    match ask(state, OpCode::GetChildren, path) {
        Ok(Reply::Strings(children)) => children,
        _ => Vec::new(),
    }
}

fn ephemerals(state: &State) -> BTreeMap<String, i64> {
    const PARENT: &str = "/ephemerals";
    let path = |name: String| format!("{PARENT}/{name}");
    children(state, PARENT)
        .into_iter()
        .map(path)
        .filter_map(|path| Some((path.clone(), stat(state, &path)?.ephemeral_owner)))
        .collect()
}
