//! Snapshot transfer between members, on the election port, so that it never delays a heartbeat.
//!
//! The member that needs a snapshot dials, both authenticate, and it names the index. The chunks of
//! the file follow as frames of `length u32` (little-endian). An empty frame ends the transfer.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::completion::Completions;
use super::logging::Logger;
use super::peer_auth::{self, AuthError, Key, Port};
use super::peers::fresh_nonce;
use crate::driver::{Completion, ReceivedSnapshot, open_snapshot};
use crate::node::PeerHello;
use crate::state::State;
use crate::store::{RealDisk, SnapshotMeta};

/// Snapshots sent at the same time.
const SENDERS_MAX: usize = 4;
const SILENCE_MAX: Duration = Duration::from_secs(20);
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// What both ends need.
#[derive(Clone)]
pub(super) struct SnapshotTransfer {
    pub key: Key,
    pub disk: RealDisk,
    pub logger: Logger,
    /// Says who this server is; only its id counts here.
    pub hello: PeerHello,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl SnapshotTransfer {
    /// Serves snapshots until the process ends.
    pub(super) fn listen(self, listener: TcpListener) -> io::Result<()> {
        let running = Arc::new(AtomicUsize::new(0));
        std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    std::thread::sleep(Duration::from_millis(100)); // out of descriptors
                    continue;
                };
                if running.load(Ordering::Relaxed) >= SENDERS_MAX {
                    continue;
                }
                running.fetch_add(1, Ordering::Relaxed);
                let (this, running) = (self.clone(), running.clone());
                std::thread::spawn(move || {
                    let who = stream.peer_addr().map(|a| a.to_string()).unwrap_or_default();
                    match this.introduced(stream) {
                        Ok((stream, hello)) => this.send_logged(stream, &hello),
                        Err(why) => this
                            .logger
                            .warn(&format!("a connection from {who} to the election port: {why}")),
                    }
                    running.fetch_sub(1, Ordering::Relaxed);
                });
            }
        })?;
        Ok(())
    }

    /// Nothing more of a stranger is decoded.
    fn introduced(&self, mut stream: TcpStream) -> Outcome<(TcpStream, PeerHello)> {
        prepare(&stream)?;
        let nonce = fresh_nonce();
        let opening = read_frame(&mut stream, peer_auth::FRAME_BYTES_MAX)?;
        let challenge =
            peer_auth::challenge(&self.key, Port::Snapshot, &opening, &nonce).map_err(told)?;
        write_frame(&mut stream, &challenge)?;
        let answer = read_frame(&mut stream, peer_auth::FRAME_BYTES_MAX)?;
        let hello = peer_auth::check_answer(&self.key, Port::Snapshot, &opening, &nonce, &answer)
            .map_err(told)?;
        let welcome =
            peer_auth::welcome(&self.key, Port::Snapshot, &opening, &nonce, Ok(&self.hello));
        write_frame(&mut stream, &welcome)?;
        Ok((stream, hello))
    }

    fn send_logged(&self, stream: TcpStream, to: &PeerHello) {
        match self.send(stream) {
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
    fn send(&self, mut stream: TcpStream) -> Outcome<(u64, usize)> {
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
    pub(super) fn fetch(self, (host, port): (String, u16), index: u64, completions: Completions) {
        std::thread::spawn(move || {
            let state = match self.receive(&host, port, index) {
                Ok(state) => Some(Box::new(state)),
                Err(error) => {
                    self.logger.warn(&format!(
                        "fetching the snapshot of index {index} from {host}:{port}: {error}"
                    ));
                    None
                }
            };
            completions.send(Completion::Fetched { index, state });
        });
    }

    fn receive(&self, host: &str, port: u16, index: u64) -> Outcome<State> {
        let address =
            (host, port).to_socket_addrs()?.next().ok_or("cannot resolve the host name")?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        prepare(&stream)?;
        let nonce = fresh_nonce();
        write_frame(&mut stream, &peer_auth::opening(&nonce))?;
        let challenge = read_frame(&mut stream, peer_auth::FRAME_BYTES_MAX)?;
        let (answer, theirs) =
            peer_auth::answer(&self.key, Port::Snapshot, &nonce, &challenge, &self.hello)
                .map_err(told)?;
        write_frame(&mut stream, &answer)?;
        let welcome = read_frame(&mut stream, peer_auth::FRAME_BYTES_MAX)?;
        peer_auth::check_welcome(&self.key, Port::Snapshot, (&nonce, &theirs), &welcome)
            .map_err(told)?;

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

fn told(AuthError(why): AuthError) -> String {
    why
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))
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
