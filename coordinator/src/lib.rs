//! A replicated coordination server that speaks the protocol of Apache ZooKeeper.
//!
//! The layers, in the order in which a request meets them: `edge` (sockets, files, clocks) → `driver`
//! (carries out what the node asks) → `node` (the whole server without I/O) → `state` (the replicated
//! state machine) → `tree` (znodes). `wire` is what stands on the clients' wire, `store` is what stands
//! on disk, `offline` works on it while no server does, `admin` is what operators read, `client` is
//! the other end.
//!
//! Rooms without an attribute here are pure: no clock, no file, no socket, no process (`clippy.toml`).

pub mod access;
pub mod admin;
pub mod answers;
#[expect(clippy::disallowed_methods, reason = "reads and writes Apache ZooKeeper's files")]
pub mod apache;
pub mod brokers;
pub mod bytes;
pub mod cli;
#[expect(clippy::disallowed_methods, reason = "sockets and clocks of a client")]
pub mod client;
#[expect(
    clippy::disallowed_methods,
    reason = "reads the configuration and the files that it names"
)]
pub mod config;
pub mod driver;
#[expect(clippy::disallowed_methods, reason = "the server's sockets, threads and clocks")]
pub mod edge;
pub mod exit;
#[expect(clippy::disallowed_methods, reason = "time that a connection has left")]
pub mod hasty;
pub mod node;
#[expect(clippy::disallowed_methods, reason = "works on data directories")]
pub mod offline;
#[expect(clippy::disallowed_methods, reason = "a terminal")]
pub mod password;
pub mod random;
pub mod sasl;
pub mod session_password;
#[expect(clippy::disallowed_methods, reason = "a terminal, and a client's clocks")]
pub mod shell;
pub mod state;
#[expect(clippy::disallowed_methods, reason = "asks servers, and measures how long that takes")]
pub mod status;
#[expect(clippy::disallowed_methods, reason = "the disk")]
pub mod store;
pub mod tls;
pub mod tree;
pub mod wire;
