//! Nanoseconds per operation of the state machine, decoding included, replies encoded.
//!
//! `cargo bench -p coordinator --bench apply -- [ZNODES]`: 12-byte names under one parent, 100
//! bytes of data, visited in a scattered order so that caches help no more than in life. Means
//! are processor time, which a busy machine disturbs least; the longest is by the clock.
#![expect(clippy::print_stdout, reason = "the figures are this program's data")]
#![allow(clippy::disallowed_methods, reason = "a bench measures by clocks, files and processes")]

use coordinator::state::{Effects, IdentityBuf, Restore, Stamp, State, Txn, WatchKind, Watches};
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::multi::{put_end, put_op};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, PathVersion, Read, Request, SetData};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

const SESSION: i64 = 0x0100_0000_0000_0001;

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    println!("| {count} znodes | ns each | longest, µs |\n|--|--:|--:|");
    let mut load = Load::new();
    load.write(OpCode::CreateSession, &30_000_i32.to_be_bytes());
    load.create("/bench", None);
    let order = scattered(count);
    load.writes("create", &order, OpCode::Create, |n| create(&name(n)));
    load.reads("getData", &order, OpCode::GetData, |n| read(&name(n)));
    load.reads("exists", &order, OpCode::Exists, |n| read(&name(n)));
    load.reads("exists, no such znode", &order, OpCode::Exists, |n| read(&name(n + count)));
    load.writes("setData", &order, OpCode::SetData, |n| set(&name(n)));
    load.writes("multi of check and setData", &order, OpCode::Multi, |n| multi(&name(n)));
    load.children(count);
    load.snapshot(count);
    load.digest(count);
    load.watches(count);
    load.writes("delete", &order, OpCode::Delete, |n| delete(&name(n)));
    load.writes("create, in freed slots", &order, OpCode::Create, |n| create(&name(n)));
    long_work(count);
}

/// What is not divided, or was not: the longest that one piece of it holds the thread.
fn long_work(count: usize) {
    let ephemerals = count.min(1_000_000);
    for level in [1, 2] {
        let mut load = Load::new();
        load.state.cluster_mut().level = level;
        load.write(OpCode::CreateSession, &30_000_i32.to_be_bytes());
        for n in 0..ephemerals {
            let path = format!("/e{n:08}");
            let request =
                Create { path: &path, data: None, acl: AclList::OPEN, flags: 1, ttl_ms: 0 };
            load.write(OpCode::Create, &body(&Request::Create(request)));
        }
        let start = cpu_seconds();
        let mut longest = load.timed(OpCode::CloseSession, &[]);
        while let Some(part) = load.state.part_of_end(SESSION) {
            longest = longest.max(load.timed(OpCode::CloseSession, &part));
        }
        let ns = (cpu_seconds() - start) * 1e9 / ephemerals as f64;
        let how = if level < 2 { "in one piece" } else { "in parts" };
        row(&format!("end of a session with {ephemerals} ephemerals, {how}"), ns, longest * 1e6);
        assert_eq!(load.state.ephemerals_count(), 0);
    }
    let mut load = Load::new();
    load.write(OpCode::CreateSession, &30_000_i32.to_be_bytes());
    let mut body = Vec::new();
    let data = Some(&[b'x'; 50][..]);
    for n in 0..10_000 {
        let path = format!("/m{n:05}");
        let request = Create { path: &path, data, acl: AclList::OPEN, flags: 0, ttl_ms: 0 };
        put_op(&mut body, &Request::Create(request));
    }
    put_end(&mut body);
    let took = load.timed(OpCode::Multi, &body);
    row("multi of 10,000 creations, per creation", took * 1e9 / 1e4, took * 1e6);
    let mut load = Load::new();
    load.state.cluster_mut().level = 2;
    let sessions = 100_000;
    for session in 0..sessions {
        load.write_as(0x0200_0000_0000_0000 + session, OpCode::CreateSession, &[0, 0, 9, 0]);
    }
    let start = Instant::now();
    load.state.snapshot_begin();
    load.state.digest_begin();
    let took = start.elapsed().as_secs_f64();
    row("begin of a snapshot and a digest, 100,000 sessions", took * 1e9 / 1e5, took * 1e6);
    let mut longest = 0.0_f64;
    loop {
        let start = Instant::now();
        let done = load.state.snapshot_step(100, &mut Vec::with_capacity(64 << 10));
        longest = longest.max(start.elapsed().as_secs_f64());
        if done {
            break;
        }
    }
    row("its steps of 100 sessions", 0.0, longest * 1e6);
}

/// Every number below `count` once: steps of a prime that does not divide it.
fn scattered(count: usize) -> Vec<usize> {
    let step = [7_368_787, 15_485_863].into_iter().find(|p| !count.is_multiple_of(*p)).unwrap_or(1);
    (0..count).map(|n| n * step % count).collect()
}

fn name(n: usize) -> String {
    format!("/bench/node{n:08}")
}

fn body(request: &Request<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    request.encode(&mut body);
    body
}

fn create(path: &str) -> Vec<u8> {
    let data = Some(&[b'x'; 100][..]);
    body(&Request::Create(Create { path, data, acl: AclList::OPEN, flags: 0, ttl_ms: 0 }))
}

fn set(path: &str) -> Vec<u8> {
    body(&Request::SetData(SetData { path, data: Some(&[b'y'; 100]), version: -1 }))
}

fn delete(path: &str) -> Vec<u8> {
    body(&Request::Delete(PathVersion { path, version: -1 }))
}

fn read(path: &str) -> Vec<u8> {
    body(&Request::GetData(Read { path, watch: false }))
}

fn multi(path: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_op(&mut body, &Request::Check(PathVersion { path: "/bench", version: 0 }));
    put_op(&mut body, &Request::SetData(SetData { path, data: Some(&[b'z'; 100]), version: -1 }));
    put_end(&mut body);
    body
}

/// Processor time of this thread so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).expect("nanoseconds");
    ns as f64 * 1e-9
}

fn row(what: &str, ns: f64, longest_us: f64) {
    println!("| {what} | {ns:.0} | {longest_us:.0} |");
}

struct Load {
    state: State,
    zxid: i64,
    identity: IdentityBuf,
    effects: Effects,
    reply: Vec<u8>,
}

impl Load {
    fn new() -> Self {
        Self {
            state: State::new(),
            zxid: 0,
            identity: IdentityBuf::new(Ipv4Addr::LOCALHOST.into()),
            effects: Effects::new(true),
            reply: Vec::new(),
        }
    }

    fn create(&mut self, path: &str, data: Option<&[u8]>) {
        let request = Create { path, data, acl: AclList::OPEN, flags: 0, ttl_ms: 0 };
        self.write(OpCode::Create, &body(&Request::Create(request)));
    }

    fn timed(&mut self, op: OpCode, body: &[u8]) -> f64 {
        let start = Instant::now();
        self.write(op, body);
        start.elapsed().as_secs_f64()
    }

    fn write(&mut self, op: OpCode, body: &[u8]) {
        self.write_as(SESSION, op, body);
    }

    fn write_as(&mut self, session: i64, op: OpCode, body: &[u8]) {
        self.zxid += 1;
        let stamp = Stamp { zxid: self.zxid, time_ms: 1_700_000_000_000 + self.zxid };
        let txn = Txn { session, identity: self.identity.as_identity(), op, body };
        self.effects.clear();
        self.reply.clear();
        let code = self.state.apply(stamp, 1, &txn, &mut self.effects, Some(&mut self.reply));
        assert_eq!(code, Code::Ok);
    }

    /// Bodies are made before the clock runs, a batch at a time.
    fn batches(
        &mut self,
        order: &[usize],
        make: impl Fn(usize) -> Vec<u8>,
        mut run: impl FnMut(&mut Self, &[u8]),
    ) -> (f64, f64) {
        let (mut total, mut longest) = (0.0, 0.0_f64);
        for batch in order.chunks(1000) {
            let bodies: Vec<Vec<u8>> = batch.iter().map(|n| make(*n)).collect();
            let start = cpu_seconds();
            let mut last = Instant::now();
            for (at, body) in bodies.iter().enumerate() {
                run(self, body);
                if at % 20 == 19 {
                    let now = Instant::now();
                    longest = longest.max((now - last).as_secs_f64());
                    last = now;
                }
            }
            total += cpu_seconds() - start;
        }
        (total * 1e9 / order.len() as f64, longest * 1e6)
    }

    /// The longest is that of 20 operations in a row.
    fn writes(&mut self, what: &str, order: &[usize], op: OpCode, make: impl Fn(usize) -> Vec<u8>) {
        let (ns, longest_us) = self.batches(order, make, |load, body| load.write(op, body));
        row(what, ns, longest_us);
    }

    fn reads(&mut self, what: &str, order: &[usize], op: OpCode, make: impl Fn(usize) -> Vec<u8>) {
        let (ns, longest_us) = self.batches(order, make, |load, body| {
            load.reply.clear();
            let identity = load.identity.as_identity();
            black_box(load.state.read(SESSION, identity, op, body, &mut load.reply));
        });
        row(what, ns, longest_us);
    }

    fn children(&mut self, count: usize) {
        let body = read("/bench");
        self.reply.clear();
        let start = cpu_seconds();
        let identity = self.identity.as_identity();
        self.state.read(SESSION, identity, OpCode::GetChildren2, &body, &mut self.reply);
        let elapsed = cpu_seconds() - start;
        row("getChildren2, per child", elapsed * 1e9 / count as f64, elapsed * 1e6);
    }

    fn snapshot(&mut self, count: usize) {
        let (mut chunks, mut longest) = (Vec::new(), 0.0_f64);
        let start = cpu_seconds();
        self.state.snapshot_begin();
        loop {
            let mut chunk = Vec::with_capacity(256 * 1024);
            let step = Instant::now();
            let done = self.state.snapshot_step(1000, &mut chunk);
            longest = longest.max(step.elapsed().as_secs_f64());
            chunks.push(chunk);
            if done {
                break;
            }
        }
        let ns = (cpu_seconds() - start) * 1e9 / count as f64;
        row("snapshot, steps of 1,000 znodes", ns, longest * 1e6);
        let start = cpu_seconds();
        let mut restore = Restore::new();
        for chunk in &chunks {
            restore.chunk(chunk).expect("what the snapshot wrote");
        }
        let restored = restore.finish().expect("a whole snapshot");
        let elapsed = cpu_seconds() - start;
        row("restore", elapsed * 1e9 / count as f64, elapsed * 1e6);
        let start = cpu_seconds();
        let digest = restored.digest();
        let elapsed = cpu_seconds() - start;
        row("digest", elapsed * 1e9 / count as f64, elapsed * 1e6);
        assert_eq!(digest, self.state.digest());
    }

    /// In steps as a server makes them, and what each first change of a znode costs beside one.
    fn digest(&mut self, count: usize) {
        let expected = self.state.digest();
        let mut longest = 0.0_f64;
        let start = cpu_seconds();
        self.state.digest_begin();
        let made = loop {
            let step = Instant::now();
            let made = self.state.digest_step(500);
            longest = longest.max(step.elapsed().as_secs_f64());
            if let Some(made) = made {
                break made;
            }
        };
        assert_eq!(made, expected);
        let ns = (cpu_seconds() - start) * 1e9 / count as f64;
        row("digest, steps of 500 znodes", ns, longest * 1e6);
        self.state.digest_begin();
        let order = scattered(count);
        self.writes("setData beside a digest", &order, OpCode::SetData, |n| set(&name(n)));
        self.state.digest_abort();
    }

    fn watches(&mut self, count: usize) {
        let mut watches = Watches::new();
        let paths: Vec<String> = (0..count).map(name).collect();
        let start = cpu_seconds();
        for (n, path) in paths.iter().enumerate() {
            watches.register(n as u32 % 1000, path, WatchKind::Data);
        }
        let elapsed = cpu_seconds() - start;
        row("watch registered", elapsed * 1e9 / count as f64, 0.0);
        for conn in 0..100_000 {
            watches.register(conn, "/bench", WatchKind::Data);
        }
        self.write(OpCode::SetData, &set("/bench"));
        let mut told = 0;
        let start = cpu_seconds();
        watches.fire(&self.effects, |_, _, _, _| told += 1);
        let elapsed = cpu_seconds() - start;
        assert_eq!(told, 100_000);
        row("one of 100,000 watches fired", elapsed * 1e4, elapsed * 1e6);
        let start = cpu_seconds();
        for conn in 0..1000 {
            watches.drop_connection(conn);
        }
        let elapsed = cpu_seconds() - start;
        row("watch dropped with its connection", elapsed * 1e9 / count as f64, 0.0);
        assert!(watches.is_empty());
    }
}
