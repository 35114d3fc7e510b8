//! What operators read: four-letter words, the admin server's JSON, Prometheus metrics.
//!
//! The server fills a [`view::View`]; everything else here is functions of it. `http` is the
//! only part with sockets, `environment` the only one that asks the system.

pub mod calendar;
#[expect(clippy::disallowed_methods, reason = "asks the system")]
pub mod environment;
pub mod histogram;
#[expect(clippy::disallowed_methods, reason = "the sockets of the admin server")]
pub mod http;
pub mod json;
pub mod metrics;
mod monitor;
pub mod view;
pub mod words;

/// The release of Apache ZooKeeper whose protocol and behaviour are served, before our own. The
/// shape is what clients parse: go-zk a date in this order, kazoo the digits up to the first `-`.
pub const VERSION: &str =
    concat!("3.8.0-coordinator-", env!("CARGO_PKG_VERSION"), ", built on 11/25/2026 00:00 GMT");

/// What a server says besides whose state is not the majority's.
pub const DIFFERS: &str = "Its state differs from the other members' (see its log)";

/// What a server without quorum says, on the client port and over HTTP.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
