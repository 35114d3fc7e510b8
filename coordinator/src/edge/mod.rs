//! The edge: sockets, files, threads, clocks.
//!
//! One thread runs the server. It sleeps in epoll or polls, reads all sockets, feeds the
//! [`Node`](crate::node::Node), carries out its outputs, and writes once per socket. The log thread
//! appends and syncs; the snapshot thread writes snapshots. Both answer through one channel that
//! wakes the server's thread. So no lock stands between a reader and the applier.

mod admin_socket;
mod backoff;
mod backup;
mod busy_poll;
mod clients;
mod completion;
mod event_loop;
mod group_commit;
mod log_thread;
mod logging;
mod notify;
mod operators;
mod peer_auth;
mod peers;
mod serve;
mod snapshot_transfer;
mod snapshot_writer;

pub use admin_socket::command;
pub use backup::{BackupReport, backup};
pub use serve::serve;
pub(crate) use serve::{node_config, random_u128, recover};

/// The server's log: stderr, for the journal.
pub use logging::Logger;
