//! A connection between members: bytes to and fro without blocking, through TLS where it is spoken.

use std::io::{self, IoSlice, Read as _, Write as _};

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::handshake::explained;
use super::tls_port::Arrival;
use crate::tls::Session;

/// A socket, and what stands between it and the messages.
pub(super) struct Channel {
    stream: TcpStream,
    tls: Option<Session>,
}

/// What one read has brought.
pub(super) enum Read {
    Some,
    /// Bytes, and no more for now.
    Last,
    Nothing,
    End,
}

impl Channel {
    pub(super) fn plain(stream: TcpStream) -> Channel {
        Channel { stream, tls: None }
    }

    /// A connection behind its handshake, and what came with the handshake's end.
    pub(super) fn arrived(arrival: Arrival) -> (Channel, Vec<u8>) {
        (Channel { stream: arrival.stream, tls: arrival.tls }, arrival.early)
    }

    pub(super) fn tls(&self) -> Option<&Session> {
        self.tls.as_ref()
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.stream.register(registry, token, interest)
    }

    /// Appends what one read of the socket brings.
    pub(super) fn read(&mut self, buffer: &mut [u8], into: &mut Vec<u8>) -> io::Result<Read> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(Read::End),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            match &mut self.tls {
                None => into.extend_from_slice(&buffer[..count]),
                Some(tls) => {
                    if let Err(error) = tls.receive(&buffer[..count], into) {
                        // The alert; whoever does not take it learns of the end by the socket.
                        let _ = tls.send(&mut self.stream);
                        return Err(io::Error::other(explained(&error)));
                    }
                }
            }
            // A short read has emptied the socket: the next bytes bring a new event.
            return Ok(if count < buffer.len() { Read::Last } else { Read::Some });
        }
    }

    /// Takes bytes from the front, as many as the socket has room for; `WouldBlock`: none.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.stream.write(bytes);
        }
        self.flush()?;
        let taken = self.tls.as_mut().map_or(0, |tls| tls.encrypt(bytes));
        match self.flush() {
            // What is encrypted waits here.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            flushed => flushed.map(|()| taken),
        }
    }

    /// The same with bytes that stand in several places.
    pub(super) fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.stream.write_vectored(parts);
        }
        let first = parts.iter().find(|part| !part.is_empty());
        first.map_or(Ok(0), |part| self.write(part))
    }

    /// Whether encrypted bytes wait for room.
    pub(super) fn has_output(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::has_output)
    }

    /// Sends what waits; `WouldBlock`: not all of it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.has_output() {
            match tls.send(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
