//! Snapshot transfer between members, on the election port, so that it never delays a heartbeat.
//!
//! The member that needs a snapshot dials, both authenticate, and it names the index. The chunks of
//! the file follow as frames of `length u32` (little-endian). An empty frame ends the transfer. All of
//! it goes in records, as messages do.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::addresses::ListedAddresses;
use super::completion::Completions;
use super::handshake::{HANDSHAKE_RECORD, why};
use super::lobby::{HANDSHAKE_TIME, Lobby};
use super::logging::Logger;
use super::peer_auth::{self, Key, KeyRing, Port};
use super::peer_io::fresh_nonce;
use super::peer_tls::PeerTls;
use super::records::{Opener, RECORD_BYTES_MAX, Sealer};
use crate::driver::{Completion, ReceivedSnapshot, open_snapshot};
use crate::hasty::Hasty;
use crate::node::PeerHello;
use crate::state::State;
use crate::store::{RealDisk, SnapshotMeta};
use crate::tls::Tunnel;

/// From one line about strangers to the next.
const STRANGERS_EVERY: Duration = Duration::from_secs(10);

const SILENCE_MAX: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 64 << 10;
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// What both ends need.
#[derive(Clone)]
pub(super) struct SnapshotTransfer {
    pub ring: KeyRing,
    pub tls: Option<PeerTls>,
    pub listed: ListedAddresses,
    pub disk: RealDisk,
    pub logger: Logger,
    /// Says who this server is; only its id counts here.
    pub hello: PeerHello,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Connections at the port.
#[derive(Default)]
struct Callers {
    lobby: Lobby,
    strangers: BTreeMap<usize, Arc<TcpStream>>,
    /// Members that are being sent a snapshot: one each.
    members: BTreeMap<u8, Arc<TcpStream>>,
    told: Option<Instant>,
}

/// A connection after the handshake.
struct Link {
    stream: Arc<TcpStream>,
    tunnel: Tunnel,
    sealer: Sealer,
    opener: Opener,
    sealed: Vec<u8>,
    buffer: Box<[u8]>,
    input: Vec<u8>,
    opened: Vec<u8>,
}

impl SnapshotTransfer {
    /// Serves snapshots until the process ends.
    pub(super) fn listen(self, listener: TcpListener) -> io::Result<()> {
        let callers = Arc::new(Mutex::new(Callers::default()));
        std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    std::thread::sleep(Duration::from_millis(100)); // out of descriptors
                    continue;
                };
                let Ok(address) = stream.peer_addr() else { continue };
                number += 1;
                let stream = Arc::new(stream);
                let from = (address.ip(), self.listed.contain(address.ip()));
                let mut held = lock(&callers);
                if let Some(oldest) = held.lobby.enter(number, from, Instant::now()) {
                    held.end(oldest);
                }
                held.strangers.insert(number, Arc::clone(&stream));
                drop(held);
                let (this, callers) = (self.clone(), callers.clone());
                // Where no thread can be had, the connection ends with the closure.
                let _ = std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
                    let introduced = this.introduced(stream);
                    let mut held = lock(&callers);
                    held.lobby.leave(number);
                    held.strangers.remove(&number);
                    match introduced {
                        Ok((link, hello)) => {
                            let stream = Arc::clone(&link.stream);
                            if let Some(earlier) = held.members.insert(hello.id, stream) {
                                let _ = earlier.shutdown(Shutdown::Both);
                            }
                            drop(held);
                            let stream = Arc::clone(&link.stream);
                            this.send_logged(link, &hello);
                            let mut held = lock(&callers);
                            let own = held.members.get(&hello.id);
                            if own.is_some_and(|kept| Arc::ptr_eq(kept, &stream)) {
                                held.members.remove(&hello.id);
                            }
                        }
                        // Whoever reaches the port could fill the log.
                        Err(_) if held.told.is_some_and(|at| at.elapsed() < STRANGERS_EVERY) => {}
                        Err(why) => {
                            held.told = Some(Instant::now());
                            drop(held);
                            this.logger.warn(&format!(
                                "a connection from {address} to the election port: {why}"
                            ));
                        }
                    }
                });
            }
        })?;
        Ok(())
    }

    /// Nothing more of a stranger is decoded.
    fn introduced(&self, stream: Arc<TcpStream>) -> Outcome<(Link, PeerHello)> {
        stream.set_nodelay(true)?;
        let mut hasty = Hasty { stream: &stream, until: Instant::now() + HANDSHAKE_TIME };
        let mut tunnel = self.accepted(&mut hasty)?;
        let ip = stream.peer_addr()?.ip();
        let mut talk = tunnel.over(&mut hasty);
        let nonce = fresh_nonce();
        let opening = read_frame(&mut talk, peer_auth::FRAME_BYTES_MAX)?;
        let (theirs, key) = peer_auth::opened(&self.ring, Port::Snapshot, &opening)?;
        if key.is_none() && !self.listed.contain(ip) {
            return Err("the server list does not have this address, and there is no secret".into());
        }
        let challenge = peer_auth::challenge(&key, Port::Snapshot, &theirs, &nonce);
        write_frame(&mut talk, &challenge)?;
        let answer = read_frame(&mut talk, peer_auth::FRAME_BYTES_MAX)?;
        let (hello, features) =
            peer_auth::check_answer(&key, Port::Snapshot, &theirs, &nonce, &answer)?;
        let verdict = match (&self.tls, talk.tls()) {
            (Some(tls), Some(session)) => tls.check_dialler(session, hello.id, ip),
            _ => Ok(()),
        };
        let told = verdict.as_ref().map(|()| &self.hello).map_err(String::as_str);
        let welcome = peer_auth::welcome(&key, Port::Snapshot, &theirs, &nonce, told);
        write_frame(&mut talk, &welcome)?;
        verdict.map_err(|why| format!("server {} is refused: {why}", hello.id))?;
        let nonces = (&theirs, &nonce);
        let sealer = key.sealer(Port::Snapshot, nonces, false, features);
        let opener = key.opener(Port::Snapshot, nonces, false, features);
        Ok((Link::new(stream, tunnel, sealer, opener)?, hello))
    }

    /// Whether it speaks TLS shows its first byte.
    fn accepted(&self, hasty: &mut Hasty<'_>) -> Outcome<Tunnel> {
        let Some(tls) = &self.tls else { return Ok(Tunnel::default()) };
        let first = hasty.peek()?;
        if first == Some(HANDSHAKE_RECORD) {
            let session = tls.handshaker().accept()?;
            return Ok(Tunnel::shake(session, hasty).map_err(|error| why(&error))?);
        }
        if tls.plain_too || first.is_none() {
            return Ok(Tunnel::default());
        }
        Err("it does not speak TLS".into())
    }

    fn dialled(&self, hasty: &mut Hasty<'_>, host: &str) -> Outcome<Tunnel> {
        let Some(tls) = self.tls.as_ref().filter(|tls| tls.dials) else {
            return Ok(Tunnel::default());
        };
        let session = tls.handshaker().dial(host)?;
        let tunnel = Tunnel::shake(session, hasty).map_err(|error| why(&error))?;
        if let Some(session) = tunnel.tls() {
            tls.check_dialled(session, host, hasty.stream.peer_addr()?.ip())?;
        }
        Ok(tunnel)
    }

    fn send_logged(&self, link: Link, to: &PeerHello) {
        match self.send(link) {
            Ok((index, bytes)) => self.logger.info(&format!(
                "sent the snapshot of index {index} ({bytes} bytes) to server {}",
                to.id
            )),
            Err(error) => {
                self.logger.warn(&format!("sending a snapshot to server {}: {error}", to.id));
            }
        }
    }

    /// Its index and bytes.
    fn send(&self, mut stream: Link) -> Outcome<(u64, usize)> {
        let request = read_frame(&mut stream, 8)?;
        let index = u64::from_le_bytes(request[..].try_into()?);
        let mut reader = open_snapshot(&self.disk, index)?
            .ok_or_else(|| format!("the snapshot of index {index} no longer exists here"))?;
        let mut meta = Vec::new();
        reader.meta().encode(&mut meta);
        write_frame(&mut stream, &meta)?;
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while reader.chunk(&mut chunk)? {
            bytes += chunk.len();
            write_frame(&mut stream, &chunk)?;
        }
        write_frame(&mut stream, &[])?;
        Ok((index, bytes))
    }

    /// Fetches a snapshot in the background; the result is a completion.
    /// The addresses are tried in turn.
    pub(super) fn fetch(self, addresses: Vec<(String, u16)>, index: u64, completions: Completions) {
        std::thread::spawn(move || {
            let mut state = None;
            for (host, port) in addresses {
                match self.receive(&host, port, index) {
                    Ok(received) => {
                        state = Some(Box::new(received));
                        break;
                    }
                    Err(error) => self.logger.warn(&format!(
                        "fetching the snapshot of index {index} from {host}:{port}: {error}"
                    )),
                }
            }
            completions.send(Completion::Fetched { index, state });
        });
    }

    /// A connection to a member that knows one of this server's secrets.
    fn linked(&self, address: SocketAddr, host: &str) -> Outcome<Link> {
        let mut tried = Err("there is no secret to dial with".into());
        for key in self.ring.keys() {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            tried = self.introduce_myself(Arc::new(stream), host, key);
            if tried.is_ok() {
                break;
            }
        }
        tried
    }

    fn introduce_myself(&self, stream: Arc<TcpStream>, host: &str, key: &Key) -> Outcome<Link> {
        stream.set_nodelay(true)?;
        let mut hasty = Hasty { stream: &stream, until: Instant::now() + SILENCE_MAX };
        let mut tunnel = self.dialled(&mut hasty, host)?;
        let mut talk = tunnel.over(&mut hasty);
        let nonce = fresh_nonce();
        write_frame(&mut talk, &peer_auth::opening(key, Port::Snapshot, &nonce))?;
        let challenge = read_frame(&mut talk, peer_auth::FRAME_BYTES_MAX)?;
        let (answer, theirs) =
            peer_auth::answer(key, Port::Snapshot, &nonce, &challenge, &self.hello)?;
        write_frame(&mut talk, &answer)?;
        let welcome = read_frame(&mut talk, peer_auth::FRAME_BYTES_MAX)?;
        let nonces = (&nonce, &theirs);
        let (_, features) = peer_auth::check_welcome(key, Port::Snapshot, nonces, &welcome)?;
        let sealer = key.sealer(Port::Snapshot, nonces, true, features);
        let opener = key.opener(Port::Snapshot, nonces, true, features);
        Ok(Link::new(stream, tunnel, sealer, opener)?)
    }

    fn receive(&self, host: &str, port: u16, index: u64) -> Outcome<State> {
        let address =
            (host, port).to_socket_addrs()?.next().ok_or("cannot resolve the host name")?;
        let mut stream = self.linked(address, host)?;
        write_frame(&mut stream, &index.to_le_bytes())?;
        let meta = read_frame(&mut stream, 64 << 10)?;
        let meta = SnapshotMeta::decode(&meta).ok_or("its description is garbled")?;
        let mut received = ReceivedSnapshot::begin(self.disk.clone(), &meta)?;
        loop {
            let chunk = read_frame(&mut stream, CHUNK_BYTES_MAX)?;
            if chunk.is_empty() {
                return Ok(received.finish()?);
            }
            received.chunk(&chunk)?;
        }
    }
}

fn lock(callers: &Mutex<Callers>) -> MutexGuard<'_, Callers> {
    callers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Callers {
    /// The thread that reads from it finds the end.
    fn end(&mut self, number: usize) {
        if let Some(stream) = self.strangers.remove(&number) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    fn new(
        stream: Arc<TcpStream>,
        tunnel: Tunnel,
        sealer: Sealer,
        opener: Opener,
    ) -> io::Result<Self> {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        let (sealed, input, opened) = (Vec::new(), Vec::new(), Vec::new());
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Link { stream, tunnel, sealer, opener, sealed, buffer, input, opened })
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.opened.is_empty() {
            let n = self.tunnel.over(&*self.stream).read(&mut self.buffer)?;
            if n == 0 {
                return Ok(0);
            }
            self.input.extend_from_slice(&self.buffer[..n]);
            let mut taken = 0;
            while let Some((payload, bytes)) =
                self.opener.open(&mut self.input[taken..]).map_err(io::Error::other)?
            {
                self.opened.extend_from_slice(payload);
                taken += bytes;
            }
            self.input.drain(..taken);
        }
        let n = self.opened.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.opened[..n]);
        self.opened.drain(..n);
        Ok(n)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(RECORD_BYTES_MAX) {
            self.sealed.clear();
            self.sealed.extend_from_slice(piece);
            let mut record = self.sealer.seal(&mut self.sealed);
            while !record.is_sent() {
                let rest = record.rest(&self.sealed);
                match self.tunnel.over(&*self.stream).write_vectored(&rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(sent) => record.was_sent(sent),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_frame(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    stream.write_all(&(frame.len() as u32).to_le_bytes())?;
    stream.write_all(frame)
}

fn read_frame(stream: &mut impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(io::Error::other("a frame is longer than anything expected here"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}
