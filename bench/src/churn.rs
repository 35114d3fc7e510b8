//! Session churn: connect, create one ephemeral, close; again and again, `clients` at a time. Without a
//! name for ephemerals sessions are opened and closed, and do nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::load::Pace;
use crate::wire::{self, Session};

enum Stage {
    Connecting,
    Creating,
    Closing,
}

struct Client {
    stream: TcpStream,
    stage: Stage,
    input: Vec<u8>,
    path: String,
}

/// Completed cycles and the time they took, the ephemerals named `prefix` and a number; `at_edge(true)` at the begin, `at_edge(false)` at the
/// end of the window.
pub fn run(
    servers: &[SocketAddr],
    clients: usize,
    prefix: &str,
    pace: Pace,
    mut at_edge: impl FnMut(bool),
) -> Result<(u64, Duration)> {
    let mut poll = Poll::new()?;
    let mut turn = 0;
    let mut running = Vec::with_capacity(clients);
    for index in 0..clients {
        running.push(Client::open(&poll, index, servers[turn % servers.len()], prefix, turn)?);
        turn += 1;
    }
    let mut events = Events::with_capacity(clients);
    let started = Instant::now();
    let (mut begin, mut cycles) = (None, 0);
    let mut last = started;
    loop {
        let now = Instant::now();
        match begin {
            None if now - started >= pace.warm => {
                at_edge(true);
                begin = Some(Instant::now());
            }
            Some(begin) if now - begin >= pace.window => {
                let elapsed = begin.elapsed();
                at_edge(false);
                return Ok((cycles, elapsed));
            }
            _ => {}
        }
        ensure!(now - last < Duration::from_secs(20), "no session opened or closed for 20 s");
        poll.poll(&mut events, Some(Duration::from_millis(20)))?;
        for event in &events {
            let index = event.token().0;
            if running[index].step()? {
                // The old socket closes here, which also takes it out of the poll.
                running[index] =
                    Client::open(&poll, index, servers[turn % servers.len()], prefix, turn)?;
                turn += 1;
                last = now;
                cycles += u64::from(begin.is_some());
            }
        }
    }
}

impl Client {
    fn open(
        poll: &Poll,
        index: usize,
        server: SocketAddr,
        prefix: &str,
        turn: usize,
    ) -> Result<Client> {
        let mut stream = std::net::TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut out = Vec::new();
        wire::connect(&mut out, 10_000, &Session::default());
        stream.write_all(&out)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        let path = if prefix.is_empty() { String::new() } else { format!("{prefix}{turn:09}") };
        Ok(Client { stream, stage: Stage::Connecting, input: Vec::with_capacity(128), path })
    }

    /// Takes what has come; true when this session is closed.
    fn step(&mut self) -> Result<bool> {
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("a session was cut off"),
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("read"),
            }
            if self.input.len() < 4 || self.input.len() < 4 + wire::get_i32(&self.input, 0) as usize
            {
                continue;
            }
            // One request is out at a time: its reply is all that can be here, and what follows
            // brings an event of its own.
            let reply = &self.input[4..];
            let mut out = Vec::with_capacity(128);
            match self.stage {
                Stage::Connecting => {
                    Session::from_connect_response(reply).context("session refused")?;
                    if self.path.is_empty() {
                        wire::header_only(&mut out, 1, wire::CLOSE);
                        self.stage = Stage::Closing;
                    } else {
                        wire::create(&mut out, 1, self.path.as_bytes(), b"", 1);
                        self.stage = Stage::Creating;
                    }
                }
                Stage::Creating => {
                    let code = wire::get_i32(reply, 12);
                    ensure!(code == 0, "ephemeral {}: error {code}", self.path);
                    wire::header_only(&mut out, 2, wire::CLOSE);
                    self.stage = Stage::Closing;
                }
                Stage::Closing => return Ok(true),
            }
            self.input.clear();
            self.stream.write_all(&out)?;
            return Ok(false);
        }
    }
}
