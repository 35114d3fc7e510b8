//! One TCP connection: whole frames in, bytes out, nothing known of sessions.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::wire::frame::{self, Next};

/// Far above what a server sends in one reply; beyond it, it is no server of ours.
const REPLY_BYTES_MAX: usize = 256 << 20;
const READ_BYTES: usize = 64 << 10;
/// How long a full socket may block before replies are drained again.
const WRITE_STALL: Duration = Duration::from_millis(20);

/// A connection to one server, with what was received and not yet taken.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of `received` already taken.
    taken: usize,
    read_timeout: Option<Duration>,
}

impl Link {
    /// Connects to the first of the host's addresses that accepts.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "name has no address");
        for resolved in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&resolved, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(WRITE_STALL))?;
                    return Ok(Self { stream, received: Vec::new(), taken: 0, read_timeout: None });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The next whole frame, if it has been received. Its bytes stay valid until the next call.
    pub fn take_frame(&mut self) -> io::Result<Option<&[u8]>> {
        let start = self.taken;
        match frame::next(&self.received[start..], false, REPLY_BYTES_MAX) {
            Next::Frame(payload) => {
                let length = payload.len();
                self.taken += 4 + length;
                Ok(Some(&self.received[start + 4..start + 4 + length]))
            }
            Next::NeedMore(_) => Ok(None),
            Next::BadLength(prefix) | Next::Word(prefix) => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("not a server of this protocol, it says `{}`", prefix.escape_ascii()),
            )),
        }
    }

    /// Receives once; false if nothing came in time. The end of the stream is an error.
    pub fn receive(&mut self, timeout: Duration) -> io::Result<bool> {
        // Zero means "for ever" to the socket.
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        if self.read_timeout != timeout {
            self.stream.set_read_timeout(timeout)?;
            self.read_timeout = timeout;
        }
        self.received.drain(..self.taken);
        self.taken = 0;
        let held = self.received.len();
        self.received.resize(held + READ_BYTES, 0);
        let outcome = self.stream.read(&mut self.received[held..]);
        self.received.truncate(held + *outcome.as_ref().unwrap_or(&0));
        match outcome {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "server closed the connection")),
            Ok(_) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends all. While the server does not take it, receives: a server that waits for its
    /// replies to be read would otherwise wait for ever.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_timeout(&error) => {
                    self.receive(Duration::ZERO)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads to the end of the stream, at most `bytes_max`.
    fn read_to_end(&mut self, bytes_max: u64, timeout: Duration) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(timeout))?;
        let mut text = Vec::new();
        (&mut self.stream).take(bytes_max).read_to_end(&mut text)?;
        Ok(text)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The peer may be gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Asks a four-letter word and returns the whole answer.
pub fn word(address: &str, word: &str, timeout: Duration) -> io::Result<String> {
    const ANSWER_BYTES_MAX: u64 = 64 << 20;
    let mut link = Link::connect(address, timeout)?;
    link.send(word.as_bytes())?;
    let answer = link.read_to_end(ANSWER_BYTES_MAX, timeout)?;
    String::from_utf8(answer)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "answer is not text"))
}
