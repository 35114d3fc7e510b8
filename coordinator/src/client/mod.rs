//! The other end of the wire: a small blocking client for `shell`, `status`, tests and load.
//!
//! One thread, one connection at a time. [`Client::submit`] and [`Client::collect`] pipeline;
//! the named operations are a submit and a collect each and know the chroot. A lost connection
//! is an error of the calls that were in flight; the next call goes to another server and
//! re-attaches the session with its credentials and watches. An expired session stays expired.

mod connection;
mod error;
mod link;
mod login;
mod operations;
mod options;
mod servers;
mod transaction;
mod watches;

pub use connection::{Client, Event, Response, Session};
pub use error::Error;
pub use link::{Link, word, word_over};
pub use operations::{CreateOptions, world};
pub use options::{Login, Options};
pub use servers::Servers;
pub use transaction::Transaction;
