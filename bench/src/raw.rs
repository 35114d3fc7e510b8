//! The pipelined client: one thread, one epoll, N sessions with M requests outstanding each.
//!
//! Cheap enough not to be the limit: one read takes all replies that wait on a socket, each reply
//! is answered by the next request in the same output buffer, one write sends them. `check-client`
//! measures it against a server of canned replies.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::cell::{KEYS, Shape, Window, Workload};
use crate::histogram::Histogram;
use crate::load::FILL_SESSIONS;
use crate::process;
use crate::wire::{self, Session};

const READ_BYTES: usize = 256 * 1024;
/// Nothing answers for this long: the cell has failed.
const SILENCE: Duration = Duration::from_mins(1);

/// The open sessions of a cell; closed in order by [`Sessions::close`].
pub struct Sessions {
    poll: Poll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// What set, get and exists pick from.
    pub space: Space,
}

#[derive(Clone, Debug)]
pub enum Space {
    /// The few znodes every ensemble is given.
    Keys,
    /// All that a fill made: `each` under every one of its parents.
    Filled { tag: String, each: u64 },
}

struct Connection {
    stream: TcpStream,
    /// Bytes of an incomplete frame.
    partial: Vec<u8>,
    out: Vec<u8>,
    out_sent: usize,
    /// Send times of requests not yet answered, oldest first.
    sent_at: VecDeque<Instant>,
    xid_next: i32,
    xid_expected: i32,
    pub session: Session,
    made: u64,
    notifications: u64,
    random: u64,
}

/// Marks of the measured window, for the caller to read the servers' CPU time at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Begin,
    End,
}

impl Sessions {
    /// Opens `count` sessions spread evenly over `servers`.
    pub fn open(servers: &[SocketAddr], count: usize, timeout_ms: i32) -> Result<Sessions> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        for chunk in (0..count).collect::<Vec<_>>().chunks(128) {
            let mut waiting = Vec::with_capacity(chunk.len());
            for index in chunk {
                let mut server = servers[index % servers.len()];
                // One address has some 28,000 ports to call from: beyond, call another of loopback.
                let address = 1 + (index / servers.len() / 20_000) as u8;
                server.set_ip(Ipv4Addr::new(127, 0, 0, address).into());
                let mut stream = std::net::TcpStream::connect(server)
                    .with_context(|| format!("session {index} to {server}"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE))?;
                let mut out = Vec::new();
                wire::connect(&mut out, timeout_ms, &Session::default());
                stream.write_all(&out)?;
                waiting.push(stream);
            }
            for mut stream in waiting {
                let mut length = [0; 4];
                stream.read_exact(&mut length).context("handshake")?;
                let mut payload = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut payload).context("handshake")?;
                let session =
                    Session::from_connect_response(&payload).context("session refused")?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                poll.registry().register(
                    &mut stream,
                    Token(connections.len()),
                    Interest::READABLE | Interest::WRITABLE,
                )?;
                connections.push(Connection::new(stream, session));
            }
        }
        Ok(Sessions { poll, connections, buffer: vec![0; READ_BYTES], space: Space::Keys })
    }

    /// Drives `shape` through a warm-up and a measured window. `tag` keeps created paths apart.
    pub fn run(
        &mut self,
        shape: &Shape,
        tag: &str,
        warm: Duration,
        window: Duration,
        mut at_edge: impl FnMut(Edge),
    ) -> Result<Window> {
        let mut load = Load::new(shape, tag, self.space.clone());
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let now = Instant::now();
            for _ in 0..shape.outstanding {
                connection.send(&mut load, index, now);
            }
            connection.flush()?;
        }
        let mut events = Events::with_capacity(1024);
        let (mut begin, mut cpu_begin) = (None, Duration::ZERO);
        let started = Instant::now();
        let mut last_reply = started;
        let mut latency = Histogram::default();
        let mut ops = 0;
        loop {
            let now = Instant::now();
            match begin {
                None if now - started >= warm => {
                    at_edge(Edge::Begin);
                    cpu_begin = process::own_thread_cpu_time();
                    begin = Some(Instant::now());
                }
                Some(begin) if now - begin >= window => {
                    let elapsed = begin.elapsed();
                    let client_cpu = process::own_thread_cpu_time().saturating_sub(cpu_begin);
                    at_edge(Edge::End);
                    self.drain()?;
                    return Ok(Window { ops, elapsed, client_cpu, latency });
                }
                _ => {}
            }
            ensure!(now - last_reply < SILENCE, "no reply for {} s", SILENCE.as_secs());
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                let index = event.token().0;
                let connection = &mut self.connections[index];
                if event.is_readable() {
                    let measured = begin.is_some();
                    let replies =
                        connection.receive(&mut self.buffer, |connection, sent_at, now| {
                            if measured {
                                latency.record((now - sent_at).as_nanos() as u64);
                            }
                            connection.send(&mut load, index, now);
                        })?;
                    if replies > 0 {
                        last_reply = now;
                        ops += if measured { replies } else { 0 };
                    }
                }
                connection.flush()?;
            }
        }
    }

    /// Creates `count` znodes, on every session the same number; `count` is rounded down to that.
    pub fn create_evenly(&mut self, shape: &Shape, tag: &str, count: u64) -> Result<()> {
        let each = count / self.connections.len() as u64;
        let mut load = Load::new(shape, tag, self.space.clone());
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let now = Instant::now();
            for _ in 0..each.min(shape.outstanding as u64) {
                connection.send(&mut load, index, now);
            }
            connection.flush()?;
        }
        let mut events = Events::with_capacity(1024);
        let mut last_reply = Instant::now();
        while self.connections.iter().any(|connection| connection.made < each) {
            ensure!(last_reply.elapsed() < SILENCE, "no reply for {} s", SILENCE.as_secs());
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                let index = event.token().0;
                let connection = &mut self.connections[index];
                if event.is_readable() {
                    connection.receive(&mut self.buffer, |connection, _, now| {
                        if connection.made < each {
                            connection.send(&mut load, index, now);
                        }
                        last_reply = now;
                    })?;
                }
                connection.flush()?;
            }
        }
        self.drain()
    }

    /// Deletes what [`Sessions::run`] has created under `tag`, so that the next cell finds the tree
    /// as this one did.
    pub fn delete_made(&mut self, tag: &str) -> Result<()> {
        const OUTSTANDING: usize = 64;
        let mut events = Events::with_capacity(1024);
        let mut last_reply = Instant::now();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            for _ in 0..OUTSTANDING {
                connection.delete_one(tag, index);
            }
            connection.flush()?;
        }
        while self.connections.iter().any(|connection| connection.made > 0) {
            ensure!(last_reply.elapsed() < SILENCE, "no reply for {} s", SILENCE.as_secs());
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                let index = event.token().0;
                let connection = &mut self.connections[index];
                if event.is_readable() {
                    connection.receive(&mut self.buffer, |connection, _, now| {
                        connection.delete_one(tag, index);
                        last_reply = now;
                    })?;
                }
                connection.flush()?;
            }
        }
        self.drain()
    }

    /// Waits for all outstanding replies, sending nothing new.
    fn drain(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        while self.connections.iter().any(|connection| !connection.sent_at.is_empty()) {
            ensure!(started.elapsed() < SILENCE, "replies missing after the window");
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if event.is_readable() {
                    connection.receive(&mut self.buffer, |_, _, _| {})?;
                }
                connection.flush()?;
            }
        }
        Ok(())
    }

    /// Sends one ping on every session whose index is `slice` modulo `slices`, and takes the
    /// answers that have come.
    pub fn ping(&mut self, slice: usize, slices: usize) -> Result<()> {
        for connection in self.connections.iter_mut().skip(slice).step_by(slices) {
            wire::header_only(&mut connection.out, wire::XID_PING, wire::PING);
            connection.flush()?;
        }
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            if event.is_readable() {
                let connection = &mut self.connections[event.token().0];
                connection.receive(&mut self.buffer, |_, _, _| {})?;
            }
        }
        Ok(())
    }

    /// Takes notifications until `count` have come.
    pub fn await_notifications(&mut self, count: u64) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        let seen = |connections: &[Connection]| {
            connections.iter().map(|connection| connection.notifications).sum::<u64>()
        };
        while seen(&self.connections) < count {
            ensure!(started.elapsed() < SILENCE, "notifications missing");
            self.poll.poll(&mut events, Some(Duration::from_millis(20)))?;
            for event in &events {
                if event.is_readable() {
                    let connection = &mut self.connections[event.token().0];
                    connection.receive(&mut self.buffer, |_, _, _| {})?;
                }
            }
        }
        for connection in &mut self.connections {
            connection.notifications = 0;
        }
        Ok(())
    }

    /// Sets one watch a session on `path` and takes the replies.
    pub fn watch(&mut self, path: &str) -> Result<()> {
        for connection in &mut self.connections {
            let xid = connection.xid_next;
            connection.xid_next += 1;
            wire::read(&mut connection.out, xid, wire::EXISTS, path.as_bytes(), true);
            connection.sent_at.push_back(Instant::now());
            connection.flush()?;
        }
        self.drain()
    }

    /// Closes every session and waits for the answers, so that no expiry follows.
    pub fn close(mut self) -> Result<()> {
        for connection in &mut self.connections {
            let xid = connection.xid_next;
            connection.xid_next += 1;
            wire::header_only(&mut connection.out, xid, wire::CLOSE);
            connection.sent_at.push_back(Instant::now());
            connection.flush()?;
        }
        self.drain()
    }
}

impl Connection {
    fn new(stream: TcpStream, session: Session) -> Connection {
        Connection {
            stream,
            partial: Vec::new(),
            out: Vec::with_capacity(64 * 1024),
            out_sent: 0,
            sent_at: VecDeque::new(),
            xid_next: 1,
            xid_expected: 1,
            session,
            made: 0,
            notifications: 0,
            random: session.id as u64 | 1,
        }
    }

    fn send(&mut self, load: &mut Load<'_>, index: usize, now: Instant) {
        let xid = self.xid_next;
        self.xid_next = if xid == i32::MAX { 1 } else { xid + 1 };
        load.request(&mut self.out, xid, index, &mut self.made, &mut self.random);
        self.sent_at.push_back(now);
    }

    /// The last one that is left of what this session has created.
    fn delete_one(&mut self, tag: &str, index: usize) {
        let Some(last) = self.made.checked_sub(1) else { return };
        self.made = last;
        let mut path = Vec::with_capacity(64);
        created_path(&mut path, tag, index, last);
        let xid = self.xid_next;
        self.xid_next = if xid == i32::MAX { 1 } else { xid + 1 };
        wire::delete(&mut self.out, xid, &path);
        self.sent_at.push_back(Instant::now());
    }

    /// Reads what waits on the socket; calls `on_reply` with each reply's send time and the time
    /// of this read.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        mut on_reply: impl FnMut(&mut Connection, Instant, Instant),
    ) -> Result<u64> {
        let mut replies = 0;
        loop {
            let held = self.partial.len();
            buffer[..held].copy_from_slice(&self.partial);
            let filled = match self.stream.read(&mut buffer[held..]) {
                Ok(0) if self.sent_at.is_empty() => return Ok(replies),
                Ok(0) => bail!("session 0x{:x} was disconnected", self.session.id),
                Ok(count) => held + count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(replies),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("read"),
            };
            let now = Instant::now();
            let mut at = 0;
            while filled - at >= 4 {
                let length = wire::get_i32(buffer, at) as usize;
                ensure!(length <= READ_BYTES - 4, "reply of {length} bytes");
                if filled - at < 4 + length {
                    break;
                }
                if self.take_reply(&buffer[at + 4..at + 4 + length], now, &mut on_reply)? {
                    replies += 1;
                }
                at += 4 + length;
            }
            self.partial.clear();
            self.partial.extend_from_slice(&buffer[at..filled]);
            // A read that did not fill the buffer has emptied the socket: the next edge will come.
            if filled < buffer.len() {
                return Ok(replies);
            }
        }
    }

    fn take_reply(
        &mut self,
        reply: &[u8],
        now: Instant,
        on_reply: &mut impl FnMut(&mut Connection, Instant, Instant),
    ) -> Result<bool> {
        ensure!(reply.len() >= wire::REPLY_HEADER, "reply of {} bytes", reply.len());
        let xid = wire::get_i32(reply, 0);
        if xid == wire::XID_NOTIFICATION || xid == wire::XID_PING {
            self.notifications += u64::from(xid == wire::XID_NOTIFICATION);
            return Ok(false);
        }
        ensure!(xid == self.xid_expected, "xid {xid} came, {} expected", self.xid_expected);
        self.xid_expected = if xid == i32::MAX { 1 } else { xid + 1 };
        let code = wire::get_i32(reply, 12);
        ensure!(code == 0, "request {xid} failed with error {code}");
        let sent_at = self.sent_at.pop_front().context("a reply nobody asked for")?;
        on_reply(self, sent_at, now);
        Ok(true)
    }

    fn flush(&mut self) -> Result<()> {
        while self.out_sent < self.out.len() {
            match self.stream.write(&self.out[self.out_sent..]) {
                Ok(count) => self.out_sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("write"),
            }
        }
        self.out.clear();
        self.out_sent = 0;
        Ok(())
    }
}

/// Makes the requests of a shape.
struct Load<'a> {
    shape: &'a Shape,
    tag: &'a str,
    data: Vec<u8>,
    path: Vec<u8>,
    space: Space,
    turn: u32,
}

impl<'a> Load<'a> {
    fn new(shape: &'a Shape, tag: &'a str, space: Space) -> Load<'a> {
        Load { shape, tag, data: vec![b'x'; shape.bytes], path: Vec::new(), space, turn: 0 }
    }

    fn request(
        &mut self,
        out: &mut Vec<u8>,
        xid: i32,
        index: usize,
        made: &mut u64,
        random: &mut u64,
    ) {
        self.path.clear();
        if self.shape.workload == Workload::Create {
            created_path(&mut self.path, self.tag, index, *made);
            *made += 1;
            wire::create(out, xid, &self.path, &self.data, 0);
            return;
        }
        // xorshift: which key does not matter, that it costs nothing does.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        match &self.space {
            Space::Keys => {
                key_path(&mut self.path, self.shape.bytes, (*random >> 20) as u32 % KEYS);
            }
            Space::Filled { tag, each } => {
                let parent = *random as usize % FILL_SESSIONS;
                created_path(&mut self.path, tag, parent, (*random >> 20) % each);
            }
        }
        self.turn = (self.turn + 1) % 10;
        match self.shape.workload {
            Workload::Set => wire::set(out, xid, &self.path, &self.data),
            Workload::Mixed if self.turn == 0 => wire::set(out, xid, &self.path, &self.data),
            Workload::Exists => wire::read(out, xid, wire::EXISTS, &self.path, false),
            _ => wire::read(out, xid, wire::GET, &self.path, false),
        }
    }
}

/// `/bench/TAG/sSSSS/nNNNNNNNNN`: each session fills its own parent.
fn created_path(path: &mut Vec<u8>, tag: &str, index: usize, made: u64) {
    path.extend_from_slice(b"/bench/");
    path.extend_from_slice(tag.as_bytes());
    path.extend_from_slice(b"/s");
    digits(path, index as u64, 4);
    path.extend_from_slice(b"/n");
    digits(path, made, 9);
}

/// `/bench/keys-BYTES/kKKKK`.
pub fn key_path(path: &mut Vec<u8>, bytes: usize, key: u32) {
    path.extend_from_slice(b"/bench/keys-");
    digits(path, bytes as u64, 4);
    path.extend_from_slice(b"/k");
    digits(path, u64::from(key), 4);
}

fn digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let at = out.len();
    out.resize(at + width, b'0');
    for digit in out[at..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
