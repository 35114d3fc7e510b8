//! A blocking client for what is not measured by the operation: preparing znodes, asking who
//! leads, and the one careful writer of the start and failover scenarios.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::wire::{self, Session};

pub struct Plain {
    stream: TcpStream,
    pub session: Session,
    xid: i32,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Plain {
    pub fn connect(server: SocketAddr, timeout_ms: i32) -> Result<Plain> {
        Plain::attach(server, timeout_ms, &Session::default(), Duration::from_secs(20))
    }

    /// Opens a session, or takes `session` to `server`.
    pub fn attach(
        server: SocketAddr,
        timeout_ms: i32,
        session: &Session,
        patience: Duration,
    ) -> Result<Plain> {
        let stream = TcpStream::connect_timeout(&server, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut plain = Plain {
            stream,
            session: *session,
            xid: 0,
            out: Vec::with_capacity(256),
            input: Vec::with_capacity(256),
        };
        wire::connect(&mut plain.out, timeout_ms, session);
        plain.flush()?;
        plain.read_frame()?;
        let granted = Session::from_connect_response(&plain.input).context("session refused")?;
        plain.session = Session { last_zxid: session.last_zxid, ..granted };
        Ok(plain)
    }

    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience)).context("read timeout")
    }

    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Result<()> {
        let xid = self.next_xid();
        wire::create(&mut self.out, xid, path.as_bytes(), data, flags);
        let code = self.finish(xid)?;
        ensure!(code == 0 || code == wire::NODE_EXISTS, "create {path}: error {code}");
        Ok(())
    }

    /// Creates all of `paths`, a hundred on their way at a time.
    pub fn create_all(&mut self, paths: &[String], data: &[u8]) -> Result<()> {
        self.create_many(paths, data, 0)
    }

    /// The same, each of them ephemeral.
    pub fn create_all_ephemeral(&mut self, paths: &[String]) -> Result<()> {
        self.create_many(paths, b"", 1)
    }

    fn create_many(&mut self, paths: &[String], data: &[u8], flags: i32) -> Result<()> {
        for some in paths.chunks(100) {
            self.out.clear();
            let first = self.xid + 1;
            for path in some {
                self.xid += 1;
                wire::create(&mut self.out, self.xid, path.as_bytes(), data, flags);
            }
            self.flush()?;
            for (xid, path) in (first..).zip(some) {
                let code = self.reply_to(xid)?;
                ensure!(code == 0 || code == wire::NODE_EXISTS, "create {path}: error {code}");
            }
        }
        Ok(())
    }

    pub fn delete(&mut self, path: &str) -> Result<()> {
        let xid = self.next_xid();
        wire::frame(&mut self.out, |out| {
            wire::put_i32(out, xid);
            wire::put_i32(out, wire::DELETE);
            wire::put_bytes(out, path.as_bytes());
            wire::put_i32(out, -1);
        });
        let code = self.finish(xid)?;
        ensure!(code == 0, "delete {path}: error {code}");
        Ok(())
    }

    pub fn set(&mut self, path: &str, data: &[u8]) -> Result<()> {
        let xid = self.next_xid();
        wire::set(&mut self.out, xid, path.as_bytes(), data);
        let code = self.finish(xid)?;
        ensure!(code == 0, "set {path}: error {code}");
        Ok(())
    }

    /// Sends a ping and waits for its answer. Nothing else may be on its way.
    pub fn ping(&mut self) -> Result<()> {
        self.out.clear();
        wire::header_only(&mut self.out, wire::XID_PING, wire::PING);
        self.flush()?;
        loop {
            self.read_frame()?;
            let shown = self.input.get(..4).context("an answer without a header")?;
            if shown == wire::XID_PING.to_be_bytes() {
                return Ok(());
            }
        }
    }

    /// Watches a path, whether it is there or not.
    pub fn watch(&mut self, path: &str) -> Result<()> {
        let xid = self.next_xid();
        wire::read(&mut self.out, xid, wire::EXISTS, path.as_bytes(), true);
        self.finish(xid).map(drop)
    }

    pub fn close(mut self) -> Result<()> {
        let xid = self.next_xid();
        wire::header_only(&mut self.out, xid, wire::CLOSE);
        self.finish(xid).map(|_| ())
    }

    fn next_xid(&mut self) -> i32 {
        self.out.clear();
        self.xid += 1;
        self.xid
    }

    fn finish(&mut self, xid: i32) -> Result<i32> {
        self.flush()?;
        self.reply_to(xid)
    }

    fn reply_to(&mut self, xid: i32) -> Result<i32> {
        loop {
            self.read_frame()?;
            ensure!(self.input.len() >= wire::REPLY_HEADER, "reply of {} bytes", self.input.len());
            let got = wire::get_i32(&self.input, 0);
            if got == wire::XID_NOTIFICATION || got == wire::XID_PING {
                continue;
            }
            if got != xid {
                bail!("reply for xid {got}, expected {xid}");
            }
            self.session.last_zxid = self.session.last_zxid.max(wire::get_i64(&self.input, 4));
            return Ok(wire::get_i32(&self.input, 12));
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn read_frame(&mut self) -> Result<()> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        ensure!(length < 16 << 20, "frame of {length} bytes");
        self.input.resize(length, 0);
        self.stream.read_exact(&mut self.input)?;
        Ok(())
    }
}

/// Sends a four-letter word, returns all that comes back.
pub fn four_letter_word(server: SocketAddr, word: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
