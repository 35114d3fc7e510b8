//! Sockets of clients: read what is there, write what the node has for them.

use std::io::{self, Read as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::peers::drain;
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

/// All client sockets, by the node's numbers.
pub(super) struct Clients {
    sockets: Vec<Option<Socket>>,
    free: Vec<ConnId>,
    count: usize,
    limit: usize,
    buffer: Vec<u8>,
    /// Accepting failed for want of file descriptors; try again at the next tick.
    pub accept_again: bool,
}

impl Clients {
    /// `limit`: connections at most, 0 for no limit (`maxCnxns`).
    pub(super) fn new(limit: usize) -> Self {
        Clients {
            sockets: Vec::new(),
            free: Vec::new(),
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
            if self.limit > 0 && self.count >= self.limit {
                continue;
            }
            let conn = self.free.pop().unwrap_or(self.sockets.len() as ConnId);
            if node.client_opened(conn, address) {
                self.open(conn, stream, registry, node);
            } else {
                self.give_back(conn);
            }
        }
    }

    fn open(&mut self, conn: ConnId, mut stream: TcpStream, registry: &Registry, node: &mut Node) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(CLIENTS + conn as usize);
        if registry.register(&mut stream, token, interest).is_err() {
            node.client_closed(conn);
            self.give_back(conn);
            return;
        }
        let at = conn as usize;
        if self.sockets.len() <= at {
            self.sockets.resize_with(at + 1, || None);
        }
        let socket =
            Socket { stream, readable: false, writable: true, hangup: false, ended: false };
        self.sockets[at] = Some(socket);
        self.count += 1;
    }

    fn give_back(&mut self, conn: ConnId) {
        if conn as usize >= self.sockets.len() {
            self.sockets.resize_with(conn as usize + 1, || None);
        }
        self.free.push(conn);
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
        let conn = (token - CLIENTS) as ConnId;
        let Some(socket) = self.sockets.get_mut(conn as usize).and_then(Option::as_mut) else {
            return;
        };
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
            let Some(socket) = self.sockets.get_mut(conn as usize).and_then(Option::as_mut) else {
                return;
            };
            if !socket.readable || node.client_paused(conn) {
                return;
            }
            match socket.stream.read(&mut self.buffer) {
                Ok(0) => {
                    socket.readable = false;
                    socket.ended = true;
                    // A half-closed client (`echo srvr | nc`) still gets its answer.
                    if node.client_output(conn).is_none_or(|o| o.is_empty()) {
                        self.close(conn, node);
                    }
                    return;
                }
                Ok(n) => {
                    // A short read has emptied the socket: the next bytes bring a new event.
                    socket.readable = socket.hangup || n == self.buffer.len();
                    node.client_data(conn, &self.buffer[..n]);
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
        let Some(socket) = self.sockets.get_mut(conn as usize).and_then(Option::as_mut) else {
            return;
        };
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
        let ended = socket.ended;
        if empty && (ended || closing) {
            return self.close(conn, node);
        }
        node.client_sent(conn);
        self.read(conn, node);
    }

    fn close(&mut self, conn: ConnId, node: &mut Node) {
        node.client_closed(conn);
        if self.sockets.get_mut(conn as usize).and_then(Option::take).is_some() {
            self.count -= 1;
            self.free.push(conn);
        }
    }
}

/// Whether a close now sends what waits to be sent: with bytes unread it resets the connection instead.
fn nothing_unread(stream: &TcpStream) -> bool {
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(stream, &mut [0_u8; 1][..], peek), Err(Errno::AGAIN) | Ok((0, _)))
}
