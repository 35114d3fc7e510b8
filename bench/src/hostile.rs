//! Clients that ask for far too much, as fast as they can, until they are told to stop.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::plain::{Plain, four_letter_word};
use crate::wire::{self, Session};

const SET_ACL: i32 = 7;
const GET_CHILDREN: i32 = 8;
const MULTI: i32 = 14;
const MULTI_READ: i32 = 22;
const SET_WATCHES: i32 = 101;
const GET_ALL_CHILDREN_NUMBER: i32 = 104;

/// Nearly the longest frame that `jute.maxbuffer` allows.
const LARGE: usize = 1_000_000;
/// How long a socket may refuse bytes before the client looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(50);
const TIMEOUT_MS: i32 = 30_000;

/// What one kind of hostile client does.
pub struct Case {
    pub name: &'static str,
    /// Done before the bystander is watched.
    pub prepare: fn(&mut Plain) -> Result<()>,
    pub attack: Attack,
}

pub enum Attack {
    /// Whole frames, pipelined; made anew for each round.
    Frames { make: fn(u64) -> Vec<u8>, reads: bool },
    /// The first round's frames, again and again.
    Same { make: fn(u64) -> Vec<u8>, reads: bool },
    /// Four-letter words, one after the other.
    Words(&'static [&'static str]),
    /// The end of one session with so many ephemerals.
    EndOf(usize),
    /// Sessions opened and left alone by closing the socket.
    Sessions,
}

pub const CASES: [Case; 17] = [
    Case {
        name: "`exists`, pipelined without end",
        prepare: nothing,
        attack: Attack::Same { make: |_| repeat(10_000, wire::EXISTS, "/"), reads: true },
    },
    Case {
        name: "`getData` of 1 MB, pipelined, answers never read",
        prepare: large_znode,
        attack: Attack::Same { make: |_| repeat(1_000, wire::GET, "/large"), reads: false },
    },
    Case {
        name: "the same, answers read",
        prepare: large_znode,
        attack: Attack::Same { make: |_| repeat(1_000, wire::GET, "/large"), reads: true },
    },
    Case {
        name: "`setData` of 1 MB, pipelined",
        prepare: large_znode,
        attack: Attack::Same { make: large_sets, reads: true },
    },
    Case {
        name: "`getAllChildrenNumber(\"/\")` over 10,000 znodes, 15,000 pipelined",
        prepare: |client| many_znodes(client, 10_000),
        attack: Attack::Same { make: |_| all_children(15_000), reads: true },
    },
    Case {
        name: "`getChildren` of 100,000 znodes, pipelined",
        prepare: |client| many_znodes(client, 100_000),
        attack: Attack::Same { make: |_| repeat(100, GET_CHILDREN, "/many"), reads: true },
    },
    Case {
        name: "`multiRead` of 10 kB over a znode of 1 MB",
        prepare: large_znode,
        attack: Attack::Same { make: |_| multi_read(), reads: true },
    },
    Case {
        name: "`multi` of 10,000 creates",
        prepare: nothing,
        attack: Attack::Frames { make: multi_create, reads: true },
    },
    Case {
        name: "creates with an ACL id of 1 MB each",
        prepare: nothing,
        attack: Attack::Frames { make: |round| acl_creates(round, 4, 1, 900_000), reads: true },
    },
    Case {
        name: "creates with 30,000 ACL entries each",
        prepare: nothing,
        attack: Attack::Frames { make: |round| acl_creates(round, 4, 30_000, 1), reads: true },
    },
    Case {
        name: "creates with a list of 20 ACL entries of its own each",
        prepare: nothing,
        attack: Attack::Frames { make: |round| acl_creates(round, 500, 20, 12), reads: true },
    },
    Case {
        name: "`setACL` with 10,000 entries on a path that is not there",
        prepare: nothing,
        attack: Attack::Same { make: |_| set_acl_missing(), reads: true },
    },
    Case {
        name: "`setWatches` of 1.6 MB",
        prepare: nothing,
        attack: Attack::Frames { make: set_watches, reads: true },
    },
    Case {
        name: "`wchp`, `wchc`, `dump` and `cons` beside 100,000 watches",
        prepare: watched,
        attack: Attack::Words(&["wchp", "wchc", "dump", "cons"]),
    },
    Case { name: "sessions opened and dropped", prepare: nothing, attack: Attack::Sessions },
    Case {
        name: "the end of a session with 10,000 ephemerals",
        prepare: nothing,
        attack: Attack::EndOf(10_000),
    },
    Case {
        name: "the end of a session with 200,000 ephemerals",
        prepare: nothing,
        attack: Attack::EndOf(200_000),
    },
];

impl Case {
    /// Attacks until `stop`, and says `ready` when it is about to begin. Returns how often the
    /// server has closed the connection.
    pub fn run(&self, server: SocketAddr, ready: &AtomicBool, stop: &AtomicBool) -> Result<u64> {
        match self.attack {
            Attack::Frames { make, reads } => {
                ready.store(true, Ordering::Release);
                pipeline(server, make, reads, false, stop)
            }
            Attack::Same { make, reads } => {
                ready.store(true, Ordering::Release);
                pipeline(server, make, reads, true, stop)
            }
            Attack::Words(words) => {
                ready.store(true, Ordering::Release);
                for word in words.iter().cycle() {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    four_letter_word(server, word)?;
                }
                Ok(0)
            }
            Attack::EndOf(ephemerals) => {
                let mut client = Plain::connect(server, TIMEOUT_MS)?;
                client.create("/ephemerals", b"", 0)?;
                let paths: Vec<String> =
                    (0..ephemerals).map(|at| format!("/ephemerals/{at:07}")).collect();
                client.create_all_ephemeral(&paths)?;
                ready.store(true, Ordering::Release);
                std::thread::sleep(Duration::from_millis(300));
                client.close()?;
                Ok(0)
            }
            Attack::Sessions => {
                ready.store(true, Ordering::Release);
                while !stop.load(Ordering::Acquire) {
                    drop(Plain::connect(server, TIMEOUT_MS)?);
                }
                Ok(0)
            }
        }
    }
}

/// Sends rounds of frames over one connection, and over a new one where the server has ended it.
fn pipeline(
    server: SocketAddr,
    make: fn(u64) -> Vec<u8>,
    reads: bool,
    same: bool,
    stop: &AtomicBool,
) -> Result<u64> {
    let (mut round, mut closed) = (0, 0);
    let mut frames = make(round);
    while !stop.load(Ordering::Acquire) {
        let mut stream = session(server)?;
        let reader = stream.try_clone()?;
        std::thread::scope(|scope| {
            if reads {
                scope.spawn(|| swallow(reader));
            }
            loop {
                let open = send(&mut stream, &frames, stop);
                round += 1;
                if open && !same {
                    frames = make(round);
                }
                if !open || stop.load(Ordering::Acquire) {
                    let _ = stream.shutdown(Shutdown::Both);
                    break;
                }
            }
        });
        closed += 1;
    }
    Ok(closed - 1)
}

fn session(server: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut hello = Vec::new();
    wire::connect(&mut hello, TIMEOUT_MS, &Session::default());
    stream.write_all(&hello)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("no session")?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

/// `false`: the connection has ended.
fn send(stream: &mut TcpStream, mut bytes: &[u8], stop: &AtomicBool) -> bool {
    while !bytes.is_empty() && !stop.load(Ordering::Acquire) {
        match stream.write(bytes) {
            Ok(0) => return false,
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}

fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

#[expect(clippy::unnecessary_wraps, reason = "one shape for all preparations")]
fn nothing(_: &mut Plain) -> Result<()> {
    Ok(())
}

fn large_znode(client: &mut Plain) -> Result<()> {
    client.create("/large", &vec![b'x'; LARGE], 0)
}

fn many_znodes(client: &mut Plain, count: usize) -> Result<()> {
    client.create("/many", b"", 0)?;
    let paths: Vec<String> = (0..count).map(|at| format!("/many/{at:07}")).collect();
    client.create_all(&paths, b"")
}

/// A session that goes on watching while the words are asked is the preparing client's own.
fn watched(client: &mut Plain) -> Result<()> {
    for at in 0..100_000 {
        client.watch(&format!("/watched/{at:07}"))?;
    }
    Ok(())
}

fn repeat(count: i32, op: i32, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for xid in 1..=count {
        wire::read(&mut out, xid, op, path.as_bytes(), false);
    }
    out
}

fn large_sets(_: u64) -> Vec<u8> {
    let data = vec![b'y'; LARGE];
    let mut out = Vec::new();
    for xid in 1..=50 {
        wire::set(&mut out, xid, b"/large", &data);
    }
    out
}

fn all_children(count: i32) -> Vec<u8> {
    let mut out = Vec::new();
    for xid in 1..=count {
        wire::frame(&mut out, |out| {
            wire::put_i32(out, xid);
            wire::put_i32(out, GET_ALL_CHILDREN_NUMBER);
            wire::put_bytes(out, b"/");
        });
    }
    out
}

fn multi_header(out: &mut Vec<u8>, op: i32, done: bool) {
    wire::put_i32(out, op);
    out.push(u8::from(done));
    wire::put_i32(out, -1);
}

fn multi_read() -> Vec<u8> {
    let mut out = Vec::new();
    for xid in 1..=20 {
        wire::frame(&mut out, |out| {
            wire::put_i32(out, xid);
            wire::put_i32(out, MULTI_READ);
            for _ in 0..500 {
                multi_header(out, wire::GET, false);
                wire::put_bytes(out, b"/large");
                out.push(0);
            }
            multi_header(out, -1, true);
        });
    }
    out
}

fn multi_create(round: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, |out| {
        wire::put_i32(out, round as i32 + 1);
        wire::put_i32(out, MULTI);
        for at in 0..10_000 {
            multi_header(out, wire::CREATE, false);
            wire::put_bytes(out, format!("/m{round}-{at}").as_bytes());
            wire::put_bytes(out, b"");
            open_acl(out);
            wire::put_i32(out, 0);
        }
        multi_header(out, -1, true);
    });
    out
}

fn open_acl(out: &mut Vec<u8>) {
    wire::put_i32(out, 1);
    wire::put_i32(out, 31);
    wire::put_bytes(out, b"world");
    wire::put_bytes(out, b"anyone");
}

/// Creates with lists of `entries` different ids of so many bytes.
fn acl_creates(round: u64, creates: i32, entries: usize, id_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..creates {
        wire::frame(&mut out, |out| {
            wire::put_i32(out, at + 1);
            wire::put_i32(out, wire::CREATE);
            wire::put_bytes(out, format!("/acl{round}-{at}").as_bytes());
            wire::put_bytes(out, b"");
            acl(out, entries, id_bytes, round * 1000 + at as u64);
            wire::put_i32(out, 0);
        });
    }
    out
}

fn acl(out: &mut Vec<u8>, entries: usize, id_bytes: usize, first: u64) {
    wire::put_i32(out, entries as i32);
    for entry in 0..entries as u64 {
        wire::put_i32(out, 31);
        wire::put_bytes(out, b"digest");
        let id = format!("{}{}", "u".repeat(id_bytes), first * 100_000 + entry);
        wire::put_bytes(out, id.as_bytes());
    }
}

fn set_acl_missing() -> Vec<u8> {
    let mut out = Vec::new();
    for xid in 1..=10 {
        wire::frame(&mut out, |out| {
            wire::put_i32(out, xid);
            wire::put_i32(out, SET_ACL);
            wire::put_bytes(out, b"/not/there");
            acl(out, 10_000, 8, 0);
            wire::put_i32(out, -1);
        });
    }
    out
}

fn set_watches(round: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, |out| {
        wire::put_i32(out, -8);
        wire::put_i32(out, SET_WATCHES);
        wire::put_i64(out, 0);
        wire::put_i32(out, 0);
        wire::put_i32(out, 50_000);
        for at in 0..50_000 {
            wire::put_bytes(
                out,
                format!("/kafka/brokers/watched/{:08}", round * 50_000 + at).as_bytes(),
            );
        }
        wire::put_i32(out, 0);
    });
    out
}
