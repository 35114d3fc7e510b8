//! The ports that speak TLS. A thread of its own makes the handshakes, so that neither their
//! arithmetic nor those who never finish one delay anybody; the server's thread takes connections
//! over when the handshake is done.
//!
//! With `client.portUnification` the first byte decides: 0x16 begins a handshake, anything else is a
//! client without TLS. Handshakes in progress are bounded in number and time; when there are too
//! many, the oldest gives way.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::logging::Logger;
use super::stores::{Fingerprint, context};
use crate::config::ClientTls;
use crate::tls::{Context, Session};

/// Handshakes in progress at once.
const HANDSHAKES_MAX: usize = 2000;
/// A handshake takes no longer, the first byte included.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How often deadlines and files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first byte of a TLS record that carries a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;
const READ_BYTES: usize = 16 << 10;
/// Connections are numbered from here; listeners are below.
const FIRST: usize = 16;

/// A connection that is ready for the server's thread.
pub(super) struct Arrival {
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub tls: Option<Session>,
    /// The subject of the client's certificate.
    pub subject: Option<String>,
    /// What the client has said already, decrypted.
    pub early: Vec<u8>,
}

/// A listener, and whether clients without TLS may come to it.
pub(super) struct Port {
    pub listener: TcpListener,
    pub plain_too: bool,
}

struct Pending {
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Session>,
    early: Vec<u8>,
    deadline: Instant,
}

/// What became of a connection when it was looked at.
enum Step {
    Waits,
    Ready,
    Failed(String),
}

struct Handshakes {
    tls: ClientTls,
    context: Context,
    seen: Fingerprint,
    /// The files have changed since, and are read when they hold still.
    changed: Option<Fingerprint>,
    reload: Arc<AtomicBool>,
    poll: Poll,
    ports: Vec<Port>,
    pending: BTreeMap<usize, Pending>,
    next: usize,
    buffer: Vec<u8>,
    arrivals: Sender<Arrival>,
    waker: Arc<Waker>,
    logger: Logger,
    /// Since the last line about them.
    failed: u64,
    last_failure: String,
}

/// The ways from and to the thread of handshakes.
pub(super) struct TlsPorts {
    /// Connections that are ready; the waker is woken for each.
    pub arrivals: Receiver<Arrival>,
    /// Set it to have the stores read again.
    pub reload: Arc<AtomicBool>,
}

/// Starts the thread.
pub(super) fn start(
    tls: ClientTls,
    ports: Vec<Port>,
    waker: Arc<Waker>,
    logger: Logger,
) -> Result<TlsPorts, String> {
    let text = |error: io::Error| format!("cannot serve TLS: {error}");
    let seen = Fingerprint::of(&tls);
    let context = context(&tls)?;
    let poll = Poll::new().map_err(text)?;
    let (arrivals, receiver) = channel();
    let reload = Arc::new(AtomicBool::new(false));
    let mut handshakes = Handshakes {
        tls,
        context,
        seen,
        changed: None,
        reload: reload.clone(),
        poll,
        ports,
        pending: BTreeMap::new(),
        next: FIRST,
        buffer: vec![0; READ_BYTES],
        arrivals,
        waker,
        logger,
        failed: 0,
        last_failure: String::new(),
    };
    for (at, port) in handshakes.ports.iter_mut().enumerate() {
        let registry = handshakes.poll.registry();
        registry.register(&mut port.listener, Token(at), Interest::READABLE).map_err(text)?;
    }
    std::thread::Builder::new()
        .name("handshakes".to_owned())
        .spawn(move || handshakes.run())
        .map_err(text)?;
    Ok(TlsPorts { arrivals: receiver, reload })
}

impl Handshakes {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut next_look = Instant::now() + LOOK_EVERY;
        loop {
            let wait = next_look.saturating_duration_since(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.logger.error(&format!("TLS ends: cannot wait for sockets: {error}"));
                return;
            }
            for event in &events {
                let Token(token) = event.token();
                let going = if token < FIRST { self.accept(token) } else { self.advance(token) };
                if !going {
                    return; // the server's thread has ended
                }
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_EVERY;
                self.end_late_ones();
                self.review_stores();
                self.tell_failures();
                // One that failed for want of file descriptors is tried again.
                for at in 0..self.ports.len() {
                    self.accept(at);
                }
            }
        }
    }

    fn accept(&mut self, at: usize) -> bool {
        loop {
            let (mut stream, address) = match self.ports[at].listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return true,
            };
            let tls = if self.ports[at].plain_too {
                None
            } else {
                match self.context.accept() {
                    Ok(session) => Some(session),
                    Err(why) => {
                        self.fail(address, &why);
                        continue;
                    }
                }
            };
            if self.pending.len() >= HANDSHAKES_MAX
                && let Some((_, oldest)) = self.pending.pop_first()
            {
                self.fail(oldest.address, "made place for another");
            }
            let token = self.next;
            self.next += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(token), interest).is_err() {
                continue;
            }
            let deadline = Instant::now() + HANDSHAKE_TIME;
            let pending = Pending { stream, address, tls, early: Vec::new(), deadline };
            self.pending.insert(token, pending);
        }
    }

    /// `false`: nobody takes connections any more.
    fn advance(&mut self, token: usize) -> bool {
        let Some(pending) = self.pending.get_mut(&token) else { return true };
        match step(pending, &self.context, &mut self.buffer) {
            Step::Waits => true,
            Step::Failed(why) => {
                let address = pending.address;
                self.pending.remove(&token);
                self.fail(address, &why);
                true
            }
            Step::Ready => {
                let Some(mut ready) = self.pending.remove(&token) else { return true };
                if self.poll.registry().deregister(&mut ready.stream).is_err() {
                    return true;
                }
                let subject = ready.tls.as_ref().and_then(Session::peer_subject);
                let Pending { stream, address, tls, early, .. } = ready;
                let arrival = Arrival { stream, address, tls, subject, early };
                self.arrivals.send(arrival).is_ok() && self.waker.wake().is_ok()
            }
        }
    }

    fn end_late_ones(&mut self) {
        let now = Instant::now();
        // Numbers are given in the order of deadlines.
        while let Some(entry) = self.pending.first_entry()
            && entry.get().deadline <= now
        {
            let late = entry.remove();
            self.fail(late.address, "took too long");
        }
    }

    fn fail(&mut self, address: SocketAddr, why: &str) {
        self.failed += 1;
        self.last_failure = format!("{address}: {why}");
    }

    /// One line a second, however many fail.
    fn tell_failures(&mut self) {
        if self.failed > 0 {
            let (failed, last) = (self.failed, &self.last_failure);
            self.logger.warn(&format!("{failed} TLS handshakes have failed; the last, {last}"));
            self.failed = 0;
        }
    }

    /// Reads the stores again when they have changed and hold still, or when told to. Connections
    /// stay as they are; a store that cannot be read leaves the old one in use.
    fn review_stores(&mut self) {
        let now = Fingerprint::of(&self.tls);
        let told = self.reload.swap(false, Ordering::Relaxed);
        if !told {
            if now == self.seen {
                self.changed = None;
                return;
            }
            if self.changed.as_ref() != Some(&now) {
                self.changed = Some(now);
                return;
            }
        }
        self.seen = now;
        self.changed = None;
        match context(&self.tls) {
            Ok(context) => {
                self.context = context;
                self.logger.info("the TLS stores are read again; new connections use them");
            }
            Err(why) => self
                .logger
                .error(&format!("the TLS stores cannot be read again, the old ones stay: {why}")),
        }
    }
}

/// Goes on as far as the socket allows.
fn step(pending: &mut Pending, context: &Context, buffer: &mut [u8]) -> Step {
    let Some(tls) = &mut pending.tls else {
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let mut first = [0_u8; 1];
        return match recv(&pending.stream, &mut first[..], peek) {
            Ok((0, _)) => Step::Failed("left without a word".to_owned()),
            Ok(_) if first[0] == HANDSHAKE_RECORD => match context.accept() {
                Ok(session) => {
                    pending.tls = Some(session);
                    step(pending, context, buffer)
                }
                Err(why) => Step::Failed(why),
            },
            Ok(_) => Step::Ready,
            Err(Errno::AGAIN | Errno::INTR) => Step::Waits,
            Err(error) => Step::Failed(error.to_string()),
        };
    };
    loop {
        while tls.has_output() {
            match tls.send(&mut pending.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waits,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Step::Failed(error.to_string()),
            }
        }
        if !tls.is_handshaking() {
            return Step::Ready;
        }
        match pending.stream.read(buffer) {
            Ok(0) => return Step::Failed("left in the middle of it".to_owned()),
            Ok(count) => {
                if let Err(error) = tls.receive(&buffer[..count], &mut pending.early) {
                    // The alert says why; whoever does not take it does not learn it.
                    let _ = tls.send(&mut pending.stream);
                    return Step::Failed(error.to_string());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waits,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Step::Failed(error.to_string()),
        }
    }
}
