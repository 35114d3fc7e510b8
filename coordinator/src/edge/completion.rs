//! What other threads tell the server's thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mio::Waker;

use crate::admin::view::{Parts, View};
use crate::state::State;

/// Something has happened elsewhere.
pub(super) enum Completion {
    /// The log is durable up to this ready.
    Persisted {
        number: u64,
        sync: Option<Duration>,
    },
    /// The chunk comes back, to be filled again.
    SnapshotChunkWritten(Vec<u8>),
    SnapshotSaved,
    SnapshotFailed(String),
    /// A snapshot was fetched from a peer, or was not to be had.
    Fetched {
        index: u64,
        state: Option<Box<State>>,
    },
    /// The addresses of a member's host name.
    Resolved {
        member: u8,
        addresses: Vec<SocketAddr>,
    },
    /// A command on the admin socket; the answer goes back the same way.
    Command {
        line: String,
        answer: Sender<String>,
    },
    /// A backup is wanted; the index of its snapshot is the answer.
    Backup {
        answer: Sender<Result<u64, String>>,
    },
    /// Somebody looks at the server over HTTP.
    View {
        parts: Parts,
        answer: Sender<Box<View>>,
    },
    /// SIGTERM or SIGINT.
    Stop,
    /// The server must not go on: its disk does not keep what it is told.
    Fatal(String),
}

/// The way to the server's thread; waking it up included.
#[derive(Clone)]
pub(super) struct Completions {
    sender: Sender<Completion>,
    waker: Arc<Waker>,
}

impl Completions {
    pub(super) fn new(waker: Arc<Waker>) -> (Self, Receiver<Completion>) {
        let (sender, receiver) = channel();
        (Completions { sender, waker }, receiver)
    }

    /// Delivers; after the end of the server's thread nobody is left to be told.
    pub(super) fn send(&self, completion: Completion) {
        if self.sender.send(completion).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
