//! Sockets of clients: read what is there, write what the node has for them.

use std::io::{self, Read as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::peer_io::drain;
use super::tls_port::Arrival;
use crate::node::{ConnId, Node};
use crate::tls::Session;

/// Client connections are numbered from here.
pub(super) const CLIENTS: usize = 0x100_0000;

const READ_BYTES: usize = 256 << 10;
/// Accepted at once: whoever connects without end must not keep this thread from everybody else.
const ACCEPTS_AT_ONCE: usize = 1024;

struct Socket {
    stream: TcpStream,
    /// Stands between the stream and the node.
    tls: Option<Session>,
    /// There may be more to read: epoll tells it once.
    readable: bool,
    writable: bool,
    /// The end has come, perhaps behind bytes still to be read; no event tells it again.
    hangup: bool,
    /// The other side has said its last; what it asked before is still answered.
    ended: bool,
}

/// All client sockets, each at the place of its connection.
pub(super) struct Clients {
    sockets: Vec<Option<(ConnId, Socket)>>,
    count: usize,
    limit: usize,
    buffer: Vec<u8>,
    /// What a TLS session has decrypted.
    plain: Vec<u8>,
    /// Accepting failed for want of file descriptors, or more may wait; try again at the next tick.
    pub accept_again: bool,
}

impl Clients {
    /// At most `limit` connections, 0 for any number (`maxCnxns`), and no more than there are
    /// `descriptors` for.
    pub(super) fn new(limit: usize, descriptors: usize) -> Self {
        let limit = if limit == 0 { descriptors } else { limit.min(descriptors) };
        Clients {
            sockets: Vec::new(),
            count: 0,
            limit,
            buffer: vec![0; READ_BYTES],
            plain: Vec::new(),
            accept_again: false,
        }
    }

    pub(super) fn accept(&mut self, listener: &TcpListener, registry: &Registry, node: &mut Node) {
        for _ in 0..ACCEPTS_AT_ONCE {
            let (stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.accept_again |= e.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            };
            if let Some(conn) = self.opened(address, node) {
                self.open(conn, stream, None, registry, node);
            }
        }
        self.accept_again = true;
    }

    /// Takes over a connection whose TLS handshake another thread has made.
    pub(super) fn adopt(&mut self, arrival: Arrival, registry: &Registry, node: &mut Node) {
        let Arrival { stream, address, tls, early } = arrival;
        let Some(conn) = self.opened(address, node) else { return };
        let subject = tls.as_ref().and_then(Session::peer_subject);
        self.open(conn, stream, tls, registry, node);
        if let Some(subject) = subject {
            node.client_proved_subject(conn, &subject);
        }
        if !early.is_empty() {
            node.client_data(conn, &early);
        }
    }

    /// The node's name for a connection, if there is place for it.
    fn opened(&self, address: SocketAddr, node: &mut Node) -> Option<ConnId> {
        // Whoever is to make place is closed in this turn, behind what is accepted before.
        if self.count >= self.limit && !node.make_place(None) {
            node.client_refused(self.limit);
            return None;
        }
        node.client_opened(address)
    }

    fn open(
        &mut self,
        conn: ConnId,
        mut stream: TcpStream,
        tls: Option<Session>,
        registry: &Registry,
        node: &mut Node,
    ) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(CLIENTS + conn.as_u64() as usize);
        if registry.register(&mut stream, token, interest).is_err() {
            return node.client_closed(conn);
        }
        let at = conn.slot() as usize;
        if self.sockets.len() <= at {
            self.sockets.resize_with(at + 1, || None);
        }
        let socket =
            Socket { stream, tls, readable: false, writable: true, hangup: false, ended: false };
        self.sockets[at] = Some((conn, socket));
        self.count += 1;
    }

    fn get(&mut self, conn: ConnId) -> Option<&mut Socket> {
        let (at, socket) = self.sockets.get_mut(conn.slot() as usize)?.as_mut()?;
        (*at == conn).then_some(socket)
    }

    /// epoll has something to say about a connection.
    pub(super) fn ready(
        &mut self,
        token: usize,
        readable: bool,
        hangup: bool,
        writable: bool,
        node: &mut Node,
    ) {
        let conn = ConnId::from_u64((token - CLIENTS) as u64);
        let Some(socket) = self.get(conn) else { return };
        socket.readable |= readable;
        socket.hangup |= hangup;
        if writable && !socket.writable {
            socket.writable = true;
            self.write(conn, node);
        }
        if readable {
            self.read(conn, node);
        }
    }

    /// Reads what is there, unless the node asks for a pause.
    fn read(&mut self, conn: ConnId, node: &mut Node) {
        loop {
            let Clients { sockets, buffer, plain, .. } = self;
            let Some((at, socket)) = sockets.get_mut(conn.slot() as usize).and_then(Option::as_mut)
            else {
                return;
            };
            if *at != conn || !socket.readable || node.client_paused(conn) {
                return;
            }
            match socket.stream.read(buffer) {
                Ok(0) => {
                    socket.readable = false;
                    socket.ended = true;
                    // A half-closed client (`echo srvr | nc -N`) still gets its answers.
                    if node.client_idle(conn) {
                        self.close(conn, node);
                    }
                    return;
                }
                Ok(n) => {
                    // A short read has emptied the socket: the next bytes bring a new event.
                    socket.readable = socket.hangup || n == buffer.len();
                    let Some(tls) = &mut socket.tls else {
                        node.client_data(conn, &buffer[..n]);
                        continue;
                    };
                    plain.clear();
                    let received = tls.receive(&buffer[..n], plain);
                    if !plain.is_empty() {
                        node.client_data(conn, plain);
                    }
                    match received {
                        Ok(received) if !received.ended => {}
                        Ok(_) => {
                            socket.readable = false;
                            socket.ended = true;
                            if node.client_idle(conn) {
                                self.close(conn, node);
                            }
                            return;
                        }
                        Err(_) => {
                            let _ = tls.send(&mut socket.stream); // the alert
                            return self.close(conn, node);
                        }
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => socket.readable = false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(conn, node),
            }
        }
    }

    /// Sends what the node has for its connections; closes those that are done.
    pub(super) fn send(&mut self, node: &mut Node) {
        for conn in node.take_dirty_clients() {
            self.write(conn, node);
        }
    }

    fn write(&mut self, conn: ConnId, node: &mut Node) {
        let Some(socket) = self.get(conn) else { return };
        let closing = node.client_closing(conn);
        let Some(output) = node.client_output(conn) else { return self.close(conn, node) };
        let sent = match &mut socket.tls {
            None => socket.give(output, closing).map_err(io::Error::from),
            Some(_) => socket.give_encrypted(output),
        };
        let Ok(sent) = sent else { return self.close(conn, node) };
        drain(output, sent);
        let empty = output.is_empty() && !socket.tls.as_ref().is_some_and(Session::has_output);
        let ended = socket.ended && node.client_idle(conn);
        if empty && (ended || closing) {
            return self.close(conn, node);
        }
        node.client_sent(conn);
        self.read(conn, node);
    }

    fn close(&mut self, conn: ConnId, node: &mut Node) {
        node.client_closed(conn);
        if let Some(socket) = self.get(conn) {
            if let Some(tls) = &mut socket.tls {
                tls.finish();
                // Whoever does not take it learns of the end by the socket.
                let _ = tls.send(&mut socket.stream);
            }
            self.sockets[conn.slot() as usize] = None;
            self.count -= 1;
        }
    }
}

impl Socket {
    /// Sends from the front of the output what the socket takes.
    fn give(&mut self, output: &[u8], closing: bool) -> Result<usize, Errno> {
        let mut sent = 0;
        let mut flags = SendFlags::NOSIGNAL;
        if closing && nothing_unread(&self.stream) {
            flags |= SendFlags::MORE; // the last words leave in one packet with the end
        }
        while self.writable && sent < output.len() {
            match send(&self.stream, &output[sent..], flags) {
                Ok(n) => sent += n,
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Encrypts from the front of the output as long as the socket takes what comes of it; so much
    /// of the output is not needed any more.
    fn give_encrypted(&mut self, output: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let mut taken = 0;
        while self.writable {
            if tls.has_output() {
                match tls.send(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.writable = false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            } else if taken < output.len() {
                taken += tls.encrypt(&output[taken..]);
            } else {
                break;
            }
        }
        Ok(taken)
    }
}

/// Whether a close now sends what waits to be sent: with bytes unread it resets the connection instead.
fn nothing_unread(stream: &TcpStream) -> bool {
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(stream, &mut [0_u8; 1][..], peek), Err(Errno::AGAIN) | Ok((0, _)))
}
