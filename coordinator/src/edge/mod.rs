//! The rim: sockets, files, threads, clocks. Nothing here decides anything.
//!
//! One thread runs the server: it sleeps in epoll, or looks again at once where requests come
//! quickly, reads what has arrived on all sockets, feeds the [`Node`](crate::node::Node), carries
//! out its outputs, and writes once per socket. The log thread appends and syncs, the bulk thread writes snapshots; they answer through one channel and
//! wake the sleeper. So there is no lock between a reader and the applier, and no thread per
//! connection to wake.

mod admin_socket;
mod backup;
mod bulk;
mod clients;
mod completion;
mod convoy;
mod event_loop;
mod log_thread;
mod logging;
mod notify;
mod operators;
mod peers;
mod proof;
mod serve;
mod skips;
mod transfer;
mod vigil;

pub use admin_socket::command;
pub use backup::{BackupReport, backup};
pub use serve::serve;
pub(crate) use serve::{node_config, random_u128, recover};

/// Where the server says what it does: stderr, for the journal.
pub use logging::Logger;
