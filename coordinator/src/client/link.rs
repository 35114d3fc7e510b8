//! One TCP connection, with or without TLS: whole frames in, bytes out, nothing known of sessions.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::tls::{Dialler, Session};

use crate::wire::frame::{self, Next};

/// Far above what a server sends in one reply; beyond it, it is no server of ours.
const REPLY_BYTES_MAX: usize = 256 << 20;
const READ_BYTES: usize = 64 << 10;
/// How long a full socket may block before replies are drained again.
const WRITE_STALL: Duration = Duration::from_millis(20);
/// So many times as long as a server may be silent, it may take none of what it is sent, and send a
/// whole answer.
const PATIENCE: u32 = 4;

/// A connection to one server, with what was received and not yet taken.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    tls: Option<Session>,
    /// What comes before it is decrypted; empty without TLS.
    encrypted: Vec<u8>,
    received: Vec<u8>,
    /// Bytes of `received` already taken.
    taken: usize,
    read_timeout: Option<Duration>,
    /// How long the server may take nothing of what it is sent.
    stall_max: Duration,
}

impl Link {
    /// Connects, and makes the handshake of TLS where there is something to make it with.
    pub fn open(address: &str, timeout: Duration, tls: Option<&Dialler>) -> io::Result<Self> {
        let mut link = Self::connect(address, timeout)?;
        if let Some(dialler) = tls {
            let session = dialler.dial(host_of(address)).map_err(io::Error::other)?;
            link.tls = Some(session);
            link.encrypted = vec![0; READ_BYTES];
            link.shake(Instant::now() + timeout)?;
        }
        Ok(link)
    }

    fn shake(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            self.send(&[])?;
            if self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "the TLS handshake does not end: does this port speak TLS?";
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            self.receive(left).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "server closed the connection during the TLS handshake: does this port speak TLS?",
                ),
                _ => error,
            })?;
        }
    }

    /// Connects to the first of the host's addresses that accepts.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "name has no address");
        for resolved in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&resolved, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(WRITE_STALL))?;
                    return Ok(Self {
                        stream,
                        tls: None,
                        encrypted: Vec::new(),
                        received: Vec::new(),
                        taken: 0,
                        read_timeout: None,
                        stall_max: timeout * PATIENCE,
                    });
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
                if matches!(prefix, [0x15 | 0x16, 3, ..]) {
                    "the server speaks TLS on this port: name its trust store".to_owned()
                } else {
                    format!("not a server of this protocol, it says `{}`", prefix.escape_ascii())
                },
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
        if self.tls.is_some() {
            return self.receive_encrypted();
        }
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

    /// As [`Link::receive`], through TLS.
    fn receive_encrypted(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let closed = || io::Error::new(ErrorKind::UnexpectedEof, "server closed the connection");
        match self.stream.read(&mut self.encrypted) {
            Ok(0) => Err(closed()),
            Ok(count) => {
                let held = self.received.len();
                match tls.receive(&self.encrypted[..count], &mut self.received) {
                    Ok(received) if received.ended && self.received.len() == held => Err(closed()),
                    Ok(_) => Ok(true),
                    Err(error) => {
                        // The alert; whoever does not take it learns of the end by the socket.
                        let _ = tls.send(&mut self.stream);
                        Err(io::Error::new(ErrorKind::InvalidData, format!("TLS: {error}")))
                    }
                }
            }
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends all. While the server does not take it, receives: a server that waits for its
    /// replies to be read would otherwise wait for ever. One that takes nothing for long, whatever it
    /// says meanwhile, is given up.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut moved = Instant::now();
        loop {
            let sent = match &mut self.tls {
                Some(tls) if tls.has_output() => tls.send(&mut self.stream),
                _ if bytes.is_empty() => return Ok(()),
                Some(tls) => {
                    let taken = tls.encrypt(bytes);
                    bytes = &bytes[taken..];
                    continue;
                }
                None => self.stream.write(bytes).inspect(|&count| bytes = &bytes[count..]),
            };
            match sent {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => moved = Instant::now(),
                Err(error) if is_timeout(&error) => {
                    if moved.elapsed() > self.stall_max {
                        let why = "server does not take what it is sent";
                        return Err(io::Error::new(ErrorKind::TimedOut, why));
                    }
                    self.receive(Duration::ZERO)?;
                    if self.received.len() > REPLY_BYTES_MAX {
                        let why = "server says too much, and takes nothing";
                        return Err(io::Error::new(ErrorKind::InvalidData, why));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All that comes until the end of the stream, at most `bytes_max`.
    fn rest(&mut self, bytes_max: usize, timeout: Duration) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + timeout * PATIENCE;
        loop {
            match self.receive(timeout) {
                Ok(true) if Instant::now() > deadline => {
                    let why = "the answer does not end";
                    return Err(io::Error::new(ErrorKind::TimedOut, why));
                }
                Ok(true) if self.received.len() <= bytes_max => {}
                Ok(true) => break,
                Ok(false) => return Err(ErrorKind::TimedOut.into()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.received))
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

/// The host of `host:port`, an IPv6 address without its brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
}

/// Asks a four-letter word and returns the whole answer.
pub fn word(address: &str, word: &str, timeout: Duration) -> io::Result<String> {
    word_over(None, address, word, timeout)
}

/// As [`word`], through TLS where there is something to make it with.
pub fn word_over(
    tls: Option<&Dialler>,
    address: &str,
    word: &str,
    timeout: Duration,
) -> io::Result<String> {
    const ANSWER_BYTES_MAX: usize = 64 << 20;
    let mut link = Link::open(address, timeout, tls)?;
    link.send(word.as_bytes())?;
    let answer = link.rest(ANSWER_BYTES_MAX, timeout)?;
    String::from_utf8(answer)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "answer is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What a server does with the one connection it gets.
    fn served(by: impl FnOnce(TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || by(listener.accept().unwrap().0));
        address
    }

    #[test]
    fn a_server_that_takes_nothing_is_given_up() {
        // It goes when the test does.
        let mute = served(|stream| {
            let _ = (&stream).read(&mut [0; 1]);
            std::thread::park();
        });
        let mut link = Link::connect(&mute, Duration::from_millis(25)).unwrap();
        let error = link.send(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.to_string(), "server does not take what it is sent");
    }

    #[test]
    fn an_answer_without_end_is_given_up() {
        let dripping = served(|mut stream| while stream.write_all(b"x").is_ok() {});
        let error = word(&dripping, "ruok", Duration::from_millis(25)).unwrap_err();
        assert_eq!(error.to_string(), "the answer does not end");
    }
}
