//! Resident bytes per znode and per watch.
//!
//! `cargo bench -p coordinator --bench memory -- [ZNODES]`: names of 12 bytes under one parent,
//! 100 bytes of data each, as resident-set difference. One phase after the other on one state.
#![expect(clippy::print_stdout, reason = "the figures are this program's data")]
#![allow(clippy::disallowed_methods, reason = "a bench measures by clocks, files and processes")]

use coordinator::state::{Effects, Restore, Stamp, State, Txn, WatchKind, Watches};
use coordinator::state::{Identity, IdentityBuf};
use coordinator::wire::acl::AclList;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, PathVersion, Request, SetData};

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    println!("| {count} × | bytes each |\n|--|--:|");
    let empty = resident_bytes();
    let mut load = Load::new();
    load.create("/bench", &[]);
    for n in 0..count {
        load.create(&name(n), &[b'x'; 100]);
    }
    row("znode, 12-byte name, 100 bytes of data", empty, count);
    for n in 0..count {
        load.set(&name(n), &[b'y'; 100]);
    }
    row("… each set once", empty, count);
    for n in (0..count).step_by(2) {
        load.delete(&name(n));
    }
    for n in (0..count).step_by(2) {
        load.create(&name(n), &[b'z'; 100]);
    }
    row("… half of them deleted and made again", empty, count);

    let mut restore = Restore::new();
    load.state.snapshot_begin();
    let mut chunk = Vec::new();
    let before = resident_bytes();
    while !load.state.snapshot_step(4096, &mut chunk) {
        restore.chunk(&chunk).expect("what the snapshot wrote");
        chunk.clear();
    }
    restore.chunk(&chunk).expect("what the snapshot wrote");
    let copy = restore.finish().expect("a whole snapshot");
    row("znode restored from a snapshot", before, count);
    drop(copy);

    let before = resident_bytes();
    let mut watches = Watches::new();
    for n in 0..count {
        watches.register(n as u32 % 1000, &name(n), WatchKind::Data);
    }
    row("watch, each on a znode of its own, 1,000 connections", before, count);
    drop(watches);

    let before = resident_bytes();
    let mut watches = Watches::new();
    for n in 0..count {
        watches.register(n as u32, "/bench", WatchKind::Child);
    }
    row("watch, all on one znode, a connection each", before, count);
}

fn name(n: usize) -> String {
    format!("/bench/node{n:08}")
}

fn row(what: &str, before: usize, count: usize) {
    let bytes = resident_bytes().saturating_sub(before);
    println!("| {what} | {:.1} |", bytes as f64 / count as f64);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

struct Load {
    state: State,
    zxid: i64,
    identity: IdentityBuf,
    effects: Effects,
}

impl Load {
    fn new() -> Self {
        Self {
            state: State::new(),
            zxid: 0,
            identity: IdentityBuf::superuser(),
            effects: Effects::default(),
        }
    }

    fn create(&mut self, path: &str, data: &[u8]) {
        let request = Create { path, data: Some(data), acl: AclList::OPEN, flags: 0, ttl_ms: 0 };
        self.apply(&Request::Create(request));
    }

    fn set(&mut self, path: &str, data: &[u8]) {
        self.apply(&Request::SetData(SetData { path, data: Some(data), version: -1 }));
    }

    fn delete(&mut self, path: &str) {
        self.apply(&Request::Delete(PathVersion { path, version: -1 }));
    }

    fn apply(&mut self, request: &Request<'_>) {
        let mut body = Vec::new();
        request.encode(&mut body);
        self.zxid += 1;
        let stamp = Stamp { zxid: self.zxid, time_ms: 1_700_000_000_000 + self.zxid };
        let identity: Identity<'_> = self.identity.as_identity();
        let op: OpCode = request.op();
        let txn = Txn { session: 0, identity, op, body: &body };
        let code = self.state.apply(stamp, 1, &txn, &mut self.effects, None);
        assert_eq!(code.as_i32(), 0, "{request:?}");
    }
}
