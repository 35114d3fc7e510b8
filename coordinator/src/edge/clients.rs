//! Sockets of clients: read what is there, write what the node has for them.

use std::io::{self, Read as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::peer_io::drain;
use crate::node::{ConnId, Node};

/// Client connections are numbered from here.
pub(super) const CLIENTS: usize = 0x100_0000;

const READ_BYTES: usize = 256 << 10;

struct Socket {
    stream: TcpStream,
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
    /// Accepting failed for want of file descriptors; try again at the next tick.
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
            accept_again: false,
        }
    }

    pub(super) fn accept(&mut self, listener: &TcpListener, registry: &Registry, node: &mut Node) {
        self.accept_again = false;
        loop {
            let (stream, address) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.accept_again = e.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            };
            // Whoever is to make place is closed in this turn, behind what is accepted before.
            if self.count >= self.limit && !node.make_place(None) {
                node.client_refused(self.limit);
                continue;
            }
            if let Some(conn) = node.client_opened(address) {
                self.open(conn, stream, registry, node);
            }
        }
    }

    fn open(&mut self, conn: ConnId, mut stream: TcpStream, registry: &Registry, node: &mut Node) {
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
            Socket { stream, readable: false, writable: true, hangup: false, ended: false };
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
            let Clients { sockets, buffer, .. } = self;
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
                    node.client_data(conn, &buffer[..n]);
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
        let mut sent = 0;
        let mut flags = SendFlags::NOSIGNAL;
        if closing && nothing_unread(&socket.stream) {
            flags |= SendFlags::MORE; // the last words leave in one packet with the end
        }
        while socket.writable && sent < output.len() {
            match send(&socket.stream, &output[sent..], flags) {
                Ok(n) => sent += n,
                Err(Errno::AGAIN) => socket.writable = false,
                Err(Errno::INTR) => {}
                Err(_) => return self.close(conn, node),
            }
        }
        drain(output, sent);
        let empty = output.is_empty();
        let ended = socket.ended && node.client_idle(conn);
        if empty && (ended || closing) {
            return self.close(conn, node);
        }
        node.client_sent(conn);
        self.read(conn, node);
    }

    fn close(&mut self, conn: ConnId, node: &mut Node) {
        node.client_closed(conn);
        if self.get(conn).is_some() {
            self.sockets[conn.slot() as usize] = None;
            self.count -= 1;
        }
    }
}

/// Whether a close now sends what waits to be sent: with bytes unread it resets the connection instead.
fn nothing_unread(stream: &TcpStream) -> bool {
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(stream, &mut [0_u8; 1][..], peek), Err(Errno::AGAIN) | Ok((0, _)))
}
