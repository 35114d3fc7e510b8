//! One TLS connection between two byte strings: what the socket gave, and what it shall take.

use std::io::{self, Read as _, Write};

use rustls::Connection;

use super::subject::subject;

/// Encrypted bytes that may wait for the socket.
const WAITING_MAX: usize = 64 << 10;

/// Both directions of a connection, without its socket.
pub struct Session(Box<Connection>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// What came of received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The peer has said that nothing more comes.
    pub ended: bool,
}

impl Session {
    pub(super) fn new(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(WAITING_MAX));
        Session(Box::new(connection))
    }

    /// Takes bytes of the socket, all of them, and appends what they say to `plain`. After an error
    /// an alert waits to be sent, and then the connection must end.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<Received, rustls::Error> {
        let mut ended = false;
        while !bytes.is_empty() {
            // It takes so much at a time as it can judge at once.
            self.0
                .read_tls(&mut bytes)
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            let state = self.0.process_new_packets()?;
            let count = state.plaintext_bytes_to_read();
            if count > 0 {
                let start = plain.len();
                plain.resize(start + count, 0);
                self.0
                    .reader()
                    .read_exact(&mut plain[start..])
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
            }
            if state.peer_has_closed() {
                ended = true;
                break;
            }
        }
        Ok(Received { ended })
    }

    /// Encrypts from the front of `plain`, as much as may wait; returns how much that was.
    pub fn encrypt(&mut self, plain: &[u8]) -> usize {
        self.0.writer().write(plain).unwrap_or(0)
    }

    /// Whether encrypted bytes wait.
    pub fn has_output(&self) -> bool {
        self.0.wants_write()
    }

    /// Gives waiting bytes to the socket.
    pub fn send(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.0.write_tls(socket)
    }

    /// Nothing more will be encrypted; the peer shall know that the end is meant.
    pub fn finish(&mut self) {
        self.0.send_close_notify();
    }

    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// The peer's own certificate, which the handshake has proved.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.0.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// The peer's subject as Java prints it.
    pub fn peer_subject(&self) -> Option<String> {
        subject(self.peer_certificate()?)
    }
}
