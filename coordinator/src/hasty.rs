//! A connection that must be done by a time, however slowly its bytes come and go: for threads that
//! have one connection each.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The stream of one thread, with the time that all reads and writes together may take.
pub struct Hasty<'a> {
    pub stream: &'a TcpStream,
    pub until: Instant,
}

impl Hasty<'_> {
    /// The time that is left; an error when none is.
    pub fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    /// The first byte, which stays where it is; `None` at the end of the stream.
    pub fn peek(&self) -> io::Result<Option<u8>> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        let mut first = [0];
        Ok((self.stream.peek(&mut first)? > 0).then_some(first[0]))
    }
}

impl Read for Hasty<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Hasty<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// More than all buffers on the way hold.
    const ANSWER: usize = 64 << 20;

    #[test]
    fn a_reader_that_takes_a_little_now_and_then_gains_no_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let reads = std::thread::spawn(move || {
            let mut some = vec![0; 1024];
            for _ in 0..200 {
                let _ = reader.read(&mut some);
                std::thread::sleep(Duration::from_millis(20));
            }
            // Whoever is waited for without end is served in the end.
            let _ = io::copy(&mut reader, &mut io::sink());
        });
        let until = Instant::now() + Duration::from_millis(200);
        let written = Hasty { stream: &stream, until }.write_all(&vec![0; ANSWER]);
        let kind = written.expect_err("it is not read in time").kind();
        assert!(matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock), "{kind:?}");
        drop(stream);
        reads.join().unwrap();
    }
}
