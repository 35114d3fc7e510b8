//! How a client connects, and as whom.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::Dialler;

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to ask for; the server may give more or less.
    pub session_timeout_ms: i32,
    /// How long to look for a server that serves, at first and after a loss.
    pub connect_timeout: Duration,
    /// May be served by a server without a quorum.
    pub read_only: bool,
    /// Send the handshake's last byte; clients such as go-zk do not.
    pub read_only_byte: bool,
    /// How handshakes of TLS are made; `None`: without TLS.
    pub tls: Option<Arc<Dialler>>,
    /// Who logs in by SASL, on each connection anew.
    pub login: Option<Login>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_timeout_ms: 30_000,
            connect_timeout: Duration::from_secs(10),
            read_only: false,
            read_only_byte: true,
            tls: None,
            login: None,
        }
    }
}

/// A user of SASL, and the password that is never sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)
    }
}
