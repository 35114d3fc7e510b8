//! A server of canned replies: the cheapest thing that looks like one, to see how much the
//! pipelined client can do when nothing behind it costs anything.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::{process, wire};

/// Where it listens, counted from the bench's first port: beyond all servers of an ensemble.
pub const CANNED_PORT: u16 = 399;

/// The server in a process of its own, as those it is compared with; dropping it ends it.
pub struct Canned {
    child: Child,
    pub address: SocketAddr,
}

impl Canned {
    pub fn start(port: u16) -> Result<Canned> {
        let own = std::env::current_exe().context("path of this program")?;
        let child = Command::new(own)
            .args(["echo", &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("start the server of canned replies")?;
        process::remember(child.id());
        let canned = Canned { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        let begin = Instant::now();
        while std::net::TcpStream::connect(canned.address).is_err() {
            ensure!(begin.elapsed() < Duration::from_secs(5), "no canned replies on port {port}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(canned)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        process::forget(self.child.id());
    }
}

const LISTENER: Token = Token(usize::MAX);

struct Peer {
    stream: TcpStream,
    partial: Vec<u8>,
    greeted: bool,
    out: Vec<u8>,
    /// The session is closed: so is the connection, as a server does it.
    closing: bool,
}

/// Serves until the process is killed.
pub fn serve(address: SocketAddr, data_bytes: usize) -> Result<()> {
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::with_capacity(1024);
    let data = vec![b'x'; data_bytes];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(peers.len());
                    poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    let (partial, out) = (Vec::new(), Vec::new());
                    let peer = Peer { stream, partial, greeted: false, out, closing: false };
                    peers.push(Some(peer));
                }
            } else if let Some(peer) = &mut peers[event.token().0]
                && peer.answer(&mut buffer, &data).is_err()
            {
                peers[event.token().0] = None;
            }
        }
    }
}

impl Peer {
    fn answer(&mut self, buffer: &mut [u8], data: &[u8]) -> std::io::Result<()> {
        let held = self.partial.len();
        buffer[..held].copy_from_slice(&self.partial);
        let filled = match self.stream.read(&mut buffer[held..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => held + count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut at = 0;
        while filled - at >= 4 {
            let length = wire::get_i32(buffer, at) as usize;
            if filled - at < 4 + length {
                break;
            }
            self.reply(&buffer[at + 4..at + 4 + length], data);
            at += 4 + length;
        }
        self.partial.clear();
        self.partial.extend_from_slice(&buffer[at..filled]);
        // Loopback takes what fits into the socket buffer; the client bounds what is outstanding.
        self.stream.write_all(&self.out)?;
        self.out.clear();
        if self.closing { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn reply(&mut self, request: &[u8], data: &[u8]) {
        if !self.greeted {
            self.greeted = true;
            wire::frame(&mut self.out, |out| {
                wire::put_i32(out, 0);
                wire::put_i32(out, 30_000);
                wire::put_i64(out, 1);
                wire::put_bytes(out, &[0; 16]);
                out.push(0);
            });
            return;
        }
        wire::frame(&mut self.out, |out| {
            out.extend_from_slice(&request[..4]);
            wire::put_i64(out, 1);
            wire::put_i32(out, 0);
            match wire::get_i32(request, 4) {
                wire::CREATE => {
                    let length = wire::get_i32(request, 8) as usize;
                    wire::put_bytes(out, &request[12..12 + length]);
                }
                wire::GET => {
                    wire::put_bytes(out, data);
                    out.extend_from_slice(&[0; 68]);
                }
                wire::SET | wire::EXISTS => out.extend_from_slice(&[0; 68]),
                wire::CLOSE => self.closing = true,
                _ => {}
            }
        });
    }
}
