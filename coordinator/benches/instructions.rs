//! Instructions per operation of the hot paths, counted by callgrind: no clock, no noise, so a
//! regression of a few per cent shows on any machine.
//!
//! `cargo bench -p coordinator --bench instructions`: runs each path under valgrind twice, the
//! second time with twice the operations; the difference is what an operation costs, whatever the
//! preparation did.
#![expect(clippy::print_stdout, reason = "the figures are this program's data")]
#![allow(clippy::disallowed_methods, reason = "a bench measures by clocks, files and processes")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode, Stdio};

use coordinator::state::{Effects, IdentityBuf, Stamp, State, Txn};
use coordinator::store::{FaultyDisk, Position, Wal, WalOptions};
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::frame;
use coordinator::wire::jute::Reader;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::ReplyHeader;
use coordinator::wire::request::{Create, Read, Request, RequestHeader, SetData};
use raft::eraftpb::Entry;

use coordinator as whole;

#[path = "../tests/it/connection_script.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod connection_script;

const SESSION: i64 = 0x0100_0000_0000_0001;
const ZNODES: usize = 10_000;
const OPERATIONS: usize = 4_000;

type Path = (&'static str, fn(usize));

const PATHS: [Path; 13] = [
    ("decode: frame, header and create", decode_create),
    ("decode: frame, header and getData", decode_get),
    ("log: transaction encoded", encode_txn),
    ("log: entry of 32 creates appended", append),
    ("apply: create", apply_create),
    ("apply: setData", apply_set),
    ("read: getData, reply encoded", read_get),
    ("read: exists, reply encoded", read_exists),
    ("lookup: path of two names", lookup),
    ("encode: reply header", encode_header),
    ("server: getData, 32 pipelined", serve_get),
    ("server: setData, 32 pipelined", serve_set),
    ("server: setData, one at a time", serve_one_set),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [number, count] = args.as_slice() {
        let (number, count): (usize, usize) =
            (number.parse().expect("path"), count.parse().expect("count"));
        PATHS[number].1(count);
        return ExitCode::SUCCESS;
    }
    println!("| path | instructions |\n|--|--:|");
    for (number, (name, _)) in PATHS.iter().enumerate() {
        let counts = [OPERATIONS, 2 * OPERATIONS].map(|count| instructions(number, count));
        let [Some(once), Some(twice)] = counts else {
            println!("valgrind counted nothing: is it installed?");
            return ExitCode::FAILURE;
        };
        println!("| {name} | {} |", (twice - once) / OPERATIONS as u64);
    }
    ExitCode::SUCCESS
}

/// Of this program on one path, as callgrind's summary has them.
fn instructions(number: usize, count: usize) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args([number.to_string(), count.to_string()])
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split("Collected : ").nth(1))?;
    collected.trim().parse().ok()
}

/// Requests of one connection, so many in a turn, from its bytes to its answers; no disk, no socket.
fn serve(count: usize, together: usize, op: OpCode, request: &Request<'_>) {
    let mut world = connection_script::World::start_as(1, &State::new, |config| {
        config.snapshot_ops = 1 << 40;
    });
    let client = world.session(0);
    for path in ["/bench", "/bench/node00000001"] {
        assert_eq!(world.ask(client, OpCode::Create.as_i32(), &body(&create(path))).0, 0);
    }
    let frames = framed(7, op, request).repeat(together);
    for _ in 0..count / together {
        world.nodes[0].client_data(client.conn, black_box(&frames));
        world.settle();
        let output = world.nodes[0].client_output(client.conn).expect("it is open");
        assert!(output.len() > together * 20, "all are answered");
        output.clear();
        world.nodes[0].client_sent(client.conn);
        world.tick();
    }
}

fn serve_get(count: usize) {
    let request = Request::GetData(Read { path: "/bench/node00000001", watch: false });
    serve(count, 32, OpCode::GetData, &request);
}

fn serve_set(count: usize) {
    let data = Some(&[b'y'; 100][..]);
    let request = Request::SetData(SetData { path: "/bench/node00000001", data, version: -1 });
    serve(count, 32, OpCode::SetData, &request);
}

fn serve_one_set(count: usize) {
    let data = Some(&[b'y'; 100][..]);
    let request = Request::SetData(SetData { path: "/bench/node00000001", data, version: -1 });
    serve(count, 1, OpCode::SetData, &request);
}

fn name(n: usize) -> String {
    format!("/bench/node{:08}", n * 7919 % ZNODES)
}

fn body(request: &Request<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    request.encode(&mut body);
    body
}

fn create(path: &str) -> Request<'_> {
    let data = Some(&[b'x'; 100][..]);
    Request::Create(Create { path, data, acl: AclList::OPEN, flags: 0, ttl_ms: 0 })
}

fn framed(xid: i32, op: OpCode, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader { xid, op: op.as_i32() }.encode(&mut out);
    request.encode(&mut out);
    frame::end(&mut out, start);
    out
}

fn decode(count: usize, bytes: &[u8]) {
    for _ in 0..count {
        let frame::Next::Frame(payload) = frame::next(black_box(bytes), false, 1 << 20) else {
            unreachable!("a whole frame")
        };
        let mut reader = Reader::new(payload);
        let header = RequestHeader::decode(&mut reader).expect("header");
        let op = OpCode::from_i32(header.op).expect("known");
        black_box(Request::decode(op, reader.rest()).expect("request"));
    }
}

fn decode_create(count: usize) {
    decode(count, &framed(1, OpCode::Create, &create("/bench/node00000001")));
}

fn decode_get(count: usize) {
    let request = Request::GetData(Read { path: "/bench/node00000001", watch: false });
    decode(count, &framed(1, OpCode::GetData, &request));
}

fn encode_txn(count: usize) {
    let identity = IdentityBuf::new(Ipv4Addr::LOCALHOST.into());
    let body = body(&create("/bench/node00000001"));
    let mut out = Vec::with_capacity(4096);
    for _ in 0..count {
        out.clear();
        let identity = identity.as_identity();
        let txn = Txn { session: SESSION, identity, op: OpCode::Create, body: black_box(&body) };
        txn.encode(&mut out);
        black_box(&out);
    }
}

fn append(count: usize) {
    let disk = FaultyDisk::new("bench");
    let (mut wal, _) = Wal::open(disk, WalOptions::new(7), Position::default()).expect("new log");
    let payload = vec![b'x'; 32 * 180];
    for number in 0..count as u64 {
        let entry =
            Entry { term: 1, index: number + 1, data: payload.clone().into(), ..Entry::default() };
        wal.append(&[entry], None).expect("append");
    }
}

fn lookup(count: usize) {
    let load = Load::full();
    for n in 0..count {
        black_box(load.state.tree().find(black_box(&load.paths[n % ZNODES])));
    }
}

fn encode_header(count: usize) {
    let mut out = Vec::with_capacity(4096);
    for n in 0..count {
        out.clear();
        ReplyHeader::new(n as i32, black_box(7), Code::Ok).encode(&mut out);
        black_box(&out);
    }
}

fn apply_create(count: usize) {
    let mut load = Load::empty();
    let bodies: Vec<Vec<u8>> = (0..2 * OPERATIONS).map(|n| body(&create(&name(n)))).collect();
    bodies.iter().take(count).for_each(|body| load.write(OpCode::Create, body));
}

fn apply_set(count: usize) {
    let mut load = Load::full();
    let bodies = load
        .bodies(|path| Request::SetData(SetData { path, data: Some(&[b'y'; 100]), version: -1 }));
    (0..count).for_each(|n| load.write(OpCode::SetData, &bodies[n % ZNODES]));
}

fn read_get(count: usize) {
    Load::full().read(count, OpCode::GetData);
}

fn read_exists(count: usize) {
    Load::full().read(count, OpCode::Exists);
}

struct Load {
    state: State,
    identity: IdentityBuf,
    effects: Effects,
    reply: Vec<u8>,
    paths: Vec<String>,
    zxid: i64,
}

impl Load {
    fn empty() -> Load {
        let mut load = Load {
            state: State::new(),
            identity: IdentityBuf::new(Ipv4Addr::LOCALHOST.into()),
            effects: Effects::new(false),
            reply: Vec::with_capacity(4096),
            paths: (0..ZNODES).map(name).collect(),
            zxid: 0,
        };
        load.write(OpCode::CreateSession, &30_000_i32.to_be_bytes());
        load.write(OpCode::Create, &body(&create("/bench")));
        load
    }

    fn full() -> Load {
        let mut load = Load::empty();
        for body in load.bodies(create) {
            load.write(OpCode::Create, &body);
        }
        load
    }

    fn bodies<'a>(&'a self, make: impl Fn(&'a str) -> Request<'a>) -> Vec<Vec<u8>> {
        self.paths.iter().map(|path| body(&make(path))).collect()
    }

    fn write(&mut self, op: OpCode, body: &[u8]) {
        self.zxid += 1;
        let stamp = Stamp { zxid: self.zxid, time_ms: 1_700_000_000_000 };
        let txn = Txn { session: SESSION, identity: self.identity.as_identity(), op, body };
        self.effects.clear();
        self.reply.clear();
        let code = self.state.apply(stamp, 1, &txn, &mut self.effects, Some(&mut self.reply));
        assert_eq!(code, Code::Ok);
    }

    fn read(&mut self, count: usize, op: OpCode) {
        let bodies = self.bodies(|path| Request::GetData(Read { path, watch: false }));
        for n in 0..count {
            self.reply.clear();
            let (identity, body) = (self.identity.as_identity(), &bodies[n % ZNODES]);
            let result = self.state.read(SESSION, identity, op, body, &mut self.reply);
            assert_eq!(result.code, Code::Ok);
        }
    }
}
