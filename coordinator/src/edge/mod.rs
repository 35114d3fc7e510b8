//! The edge: sockets, files, threads, clocks.
//!
//! The real [`Host`](crate::driver::Host); it decides nothing. One thread runs the server: it waits
//! in epoll as the [`Driver`](crate::driver::Driver) says, reads all sockets, and writes once per
//! socket. The log thread appends and syncs; the snapshot thread writes snapshots. Both answer
//! through one channel that wakes the server's thread. So no lock stands between a reader and the
//! applier.

mod addresses;
mod admin_socket;
mod audit;
mod backup;
mod channel;
mod clients;
mod completion;
mod descriptors;
mod event_loop;
mod handshake;
mod http;
mod lobby;
mod log_thread;
mod logging;
mod notify;
mod peer_auth;
mod peer_io;
mod peer_tls;
mod peers;
mod peers_accepted;
mod records;
mod secured;
mod serve;
mod snapshot_transfer;
mod snapshot_writer;
mod stores;
mod tls_port;

pub use admin_socket::command;
pub use backup::backup;
pub use serve::serve;
pub(crate) use serve::{node_config, random_u128, recover};

/// The server's log: stderr, for the journal.
pub use logging::Logger;
