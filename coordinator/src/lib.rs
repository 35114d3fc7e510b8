//! A replicated coordination server that speaks the protocol of Apache ZooKeeper.
//!
//! The layers, in the order in which a request meets them:
//!
//! `edge` (sockets, files, clocks) → `driver` (carries out what the node asks) → `node` (the whole server without I/O) → `state` (the
//! replicated state machine) → `tree` (znodes). `wire` is what stands on the clients' wire,
//! `store` is what stands on disk, `offline` works on it while no server does, `admin` is what operators read, `client` is the other end.

pub mod access;
pub mod admin;
pub mod apache;
pub mod brokers;
mod bytes;
pub mod cli;
pub mod client;
pub mod config;
pub mod driver;
pub mod edge;
pub mod node;
pub mod offline;
pub mod random;
pub mod sasl;
pub mod shell;
pub mod state;
pub mod status;
pub mod store;
pub mod tls;
pub mod tree;
pub mod wire;
