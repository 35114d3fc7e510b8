//! What other threads tell the server's thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;

use crate::driver::Completion;

/// Something has happened elsewhere.
pub(super) enum Letter {
    /// For the driver.
    Completed(Completion),
    /// The addresses of a member's host names, each with the name that led there.
    Resolved { member: u8, addresses: Vec<(SocketAddr, String)> },
}

/// The way to the server's thread; waking it up included.
#[derive(Clone)]
pub(super) struct Completions {
    sender: Sender<Letter>,
    waker: Arc<Waker>,
}

impl Completions {
    pub(super) fn new(waker: Arc<Waker>) -> (Self, Receiver<Letter>) {
        let (sender, receiver) = channel();
        (Completions { sender, waker }, receiver)
    }

    /// Delivers; after the end of the server's thread nobody is left to be told.
    pub(super) fn send(&self, completion: Completion) {
        self.deliver(Letter::Completed(completion));
    }

    pub(super) fn resolved(&self, member: u8, addresses: Vec<(SocketAddr, String)>) {
        self.deliver(Letter::Resolved { member, addresses });
    }

    fn deliver(&self, letter: Letter) {
        if self.sender.send(letter).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
