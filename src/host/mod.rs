//! Runs scripts on hosts. A [`Link`] is one login; on it commands run one after the other, each a
//! script on stdin or, where it may be seen, in the command itself, payloads behind it, and frames back.

mod conversation;
pub mod execute;
pub mod fleet;
pub mod lock;
mod refused;
pub mod session;
pub mod ssh;
mod ssh_config;

pub use conversation::{Ended, Event, Payload, Unsent};
pub use ssh::{Connector, Link};
