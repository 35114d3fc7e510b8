//! What must hold in every run, each promise in a room of its own. Checkers see what clients and
//! disks see; they know nothing of how the load or the faults are made.

pub mod access;
pub mod digest;
pub mod durable;
pub mod order;
pub mod reaped;
pub mod session;
pub mod stream;
pub mod watch;

/// A broken promise, said for the one who has to find out why.
pub type Verdict = Result<(), String>;

/// All that is known about a run so far.
#[derive(Default)]
pub struct Checks {
    pub order: order::Order,
    pub digest: digest::Digests,
    pub durable: durable::History,
    pub session: session::Sessions,
    pub access: access::Access,
    pub times: reaped::Times,
}
