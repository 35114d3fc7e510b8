//! One handshake on its way, without blocking.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::InvalidMessage;

use super::stores::Handshaker;
use crate::tls::Session;

/// The first byte of a TLS record that carries a handshake.
pub(super) const HANDSHAKE_RECORD: u8 = 0x16;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Somebody has made it, to the port at this place.
    Port(usize),
    /// This server has made it, and gave it this number.
    Dialled(u64),
}

pub(super) struct Handshake {
    pub stream: TcpStream,
    pub address: SocketAddr,
    /// `None`: the first byte will tell.
    pub tls: Option<Session>,
    /// What the other side has said already, decrypted.
    pub early: Vec<u8>,
    pub deadline: Instant,
    pub origin: Origin,
}

/// What became of a connection when it was looked at.
pub(super) enum Step {
    Waits,
    Ready,
    Failed(String),
}

impl Handshake {
    /// Goes on as far as the socket allows.
    pub(super) fn step(&mut self, handshaker: &Handshaker, buffer: &mut [u8]) -> Step {
        let Some(tls) = &mut self.tls else {
            let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let mut first = [0_u8; 1];
            return match recv(&self.stream, &mut first[..], peek) {
                Ok((0, _)) => Step::Failed("left without a word".to_owned()),
                Ok(_) if first[0] == HANDSHAKE_RECORD => match handshaker.accept() {
                    Ok(session) => {
                        self.tls = Some(session);
                        self.step(handshaker, buffer)
                    }
                    Err(why) => Step::Failed(why),
                },
                Ok(_) => Step::Ready,
                Err(Errno::AGAIN | Errno::INTR) => Step::Waits,
                Err(error) => Step::Failed(error.to_string()),
            };
        };
        loop {
            while tls.has_output() {
                match tls.send(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waits,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Step::Failed(error.to_string()),
                }
            }
            if !tls.is_handshaking() {
                return Step::Ready;
            }
            match self.stream.read(buffer) {
                Ok(0) => {
                    let dialled = matches!(self.origin, Origin::Dialled(_));
                    let hint = if dialled { "; does it speak TLS there?" } else { "" };
                    return Step::Failed(format!("it left in the middle of the handshake{hint}"));
                }
                Ok(count) => {
                    if let Err(error) = tls.receive(&buffer[..count], &mut self.early) {
                        // The alert says why; whoever does not take it does not learn it.
                        let _ = tls.send(&mut self.stream);
                        return Step::Failed(explained(&error));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Waits,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Step::Failed(error.to_string()),
            }
        }
    }
}

/// Why a blocking handshake or read of TLS failed.
pub(super) fn why(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.map_or_else(|| error.to_string(), explained)
}

/// rustls's words, with what they mean for who reads the log.
pub(super) fn explained(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it refuses this server's TLS or certificate: {alert:?}")
        }
        rustls::Error::InvalidCertificate(why) => format!("its certificate is refused: {why}"),
        other => other.to_string(),
    }
}
