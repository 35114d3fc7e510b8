//! TLS over a stream that blocks, or nothing over it: for threads that have one connection each.

use std::io::{self, Read, Write};

use super::Session;

const READ_BYTES: usize = 16 << 10;

/// What stands between a stream and who talks over it.
#[derive(Default)]
pub struct Tunnel {
    tls: Option<Session>,
    encrypted: Vec<u8>,
    /// Decrypted and not yet taken, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
}

impl Tunnel {
    /// Makes the handshake to its end. The stream's own limits of time hold for it.
    pub fn shake(session: Session, stream: &mut (impl Read + Write)) -> io::Result<Tunnel> {
        let encrypted = vec![0; READ_BYTES];
        let mut tunnel = Tunnel { tls: Some(session), encrypted, ..Tunnel::default() };
        loop {
            tunnel.flush(stream)?;
            if tunnel.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                return Ok(tunnel);
            }
            if !tunnel.receive(stream)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The stream as its user sees it.
    pub fn over<S>(&mut self, stream: S) -> Through<'_, S> {
        Through { tunnel: self, stream }
    }

    pub fn tls(&self) -> Option<&Session> {
        self.tls.as_ref()
    }

    /// Nothing more will be said; the other side shall know that the end is meant.
    pub fn finish(&mut self, stream: &mut impl Write) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.finish();
        }
        self.flush(stream)
    }

    fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.has_output() {
            if tls.send(stream)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// One read of the stream; `false` at its end.
    fn receive(&mut self, stream: &mut (impl Read + Write)) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let count = stream.read(&mut self.encrypted)?;
        if self.taken > 0 {
            self.plain.drain(..self.taken);
            self.taken = 0;
        }
        let held = self.plain.len();
        match tls.receive(&self.encrypted[..count], &mut self.plain) {
            Ok(received) => Ok(count > 0 && !(received.ended && self.plain.len() == held)),
            Err(error) => {
                // The alert; whoever does not take it learns of the end by the socket.
                let _ = tls.send(stream);
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}

/// A stream and its tunnel.
pub struct Through<'a, S> {
    tunnel: &'a mut Tunnel,
    stream: S,
}

impl<S> Through<'_, S> {
    pub fn tls(&self) -> Option<&Session> {
        self.tunnel.tls()
    }
}

impl<S: Read + Write> Read for Through<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.tunnel.tls.is_none() {
            return self.stream.read(buffer);
        }
        while self.tunnel.taken == self.tunnel.plain.len() {
            if !self.tunnel.receive(&mut self.stream)? {
                return Ok(0);
            }
        }
        let held = &self.tunnel.plain[self.tunnel.taken..];
        let count = held.len().min(buffer.len());
        buffer[..count].copy_from_slice(&held[..count]);
        self.tunnel.taken += count;
        Ok(count)
    }
}

impl<S: Read + Write> Write for Through<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tunnel.tls else { return self.stream.write(bytes) };
        let taken = tls.encrypt(bytes);
        self.tunnel.flush(&mut self.stream)?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tunnel.flush(&mut self.stream)?;
        self.stream.flush()
    }
}
