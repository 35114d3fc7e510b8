//! What a [`Driver`](super::Driver) asks of the world, and what the world reports back.
//!
//! A host has sockets, threads and clocks, and decides nothing: the server's `edge` has real ones,
//! the simulator virtual ones.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

use raft::eraftpb::{Entry, HardState};

use super::log::LogWork;
use super::snapshot::SnapshotWork;
use crate::admin::view::{Parts, View};
use crate::config::Server;
use crate::node::{Level, Node, Output};
use crate::state::State;
use crate::store::{Disk, StoreError};

/// What an inline write came to: how long its sync took, if one was made.
pub type Written = Result<Option<Duration>, StoreError>;

/// The world around one server. A turn calls it from the server's thread alone.
pub trait Host {
    type Disk: Disk;

    /// Monotonic time, from an origin at least some minutes before the start.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970, for people and for znodes' times.
    fn wall_ms(&self) -> i64;

    /// Hands the node what its sockets have received.
    fn receive(&mut self, node: &mut Node);
    /// What other threads have finished, oldest first.
    fn completed(&mut self) -> Option<Completion>;
    /// Dials members that are not linked, ends handshakes that take too long.
    fn tend_links(&mut self, node: &mut Node);
    /// Ends both connections to a member and dials it anew.
    fn redial(&mut self, member: u8, node: &mut Node);
    /// Ends the link to a member.
    fn disconnect(&mut self, member: u8, node: &mut Node);
    /// Sends what the node has for other members.
    fn send_to_peers(&mut self, node: &mut Node);
    /// Sends what the node has for its clients; closes connections that are done.
    fn send_to_clients(&mut self, node: &mut Node);

    /// Gives work to the log thread, which does it with [`LogWriter`](super::log::LogWriter).
    fn log_work(&mut self, work: LogWork);
    /// Appends and syncs on this thread with [`LogWriter::write`](super::log::LogWriter::write);
    /// `None` while the log thread holds the writer.
    fn write_log(&mut self, entries: &[Entry], hard_state: Option<&HardState>) -> Option<Written>;
    /// Gives work to the thread that writes snapshots.
    fn snapshot_work(&mut self, work: SnapshotWork);
    /// Fetches a member's snapshot; ends with [`Completion::Fetched`].
    fn fetch_snapshot(&mut self, member: u8, index: u64);
    /// The ensemble has decided where its members are found.
    fn set_members(&mut self, members: BTreeMap<u8, Server>, node: &mut Node);

    /// Writes a line of the server's log.
    fn log(&mut self, level: Level, text: &str);
    /// Gives lines to whoever writes the audit log; never waits for it.
    fn audit(&mut self, lines: String);
    /// The server has got this far.
    fn reached(&mut self, milestone: Milestone);
    /// Adds to a view what only the system knows.
    fn complete_view(&self, view: &mut View, parts: Parts);
    /// For checkers: what one flush has come to, before anything of it leaves.
    #[inline]
    fn observe(&mut self, _node: &Node, _outputs: &[Output]) {}
}

/// What another thread has finished, or asks for.
pub enum Completion {
    /// The log is durable up to this ready; the sync took this long.
    Persisted {
        number: u64,
        sync: Option<Duration>,
    },
    /// The chunk comes back, to be filled again.
    SnapshotChunkWritten(Vec<u8>),
    /// The snapshot of this index is on disk.
    SnapshotSaved(u64),
    SnapshotFailed(String),
    /// A snapshot was fetched from a member, or could not be.
    Fetched {
        index: u64,
        state: Option<Box<State>>,
    },
    /// A command of the admin socket.
    Command {
        line: String,
        answer: Sender<String>,
    },
    /// A backup is wanted; the answer is the index of its snapshot.
    Backup {
        answer: Sender<Result<u64, String>>,
    },
    /// Somebody looks at the server over HTTP.
    View {
        parts: Parts,
        answer: Sender<Box<View>>,
    },
    /// SIGTERM or SIGINT.
    Stop,
    /// The server must not go on: its disk does not keep what it is given.
    Fatal(String),
}

/// Moments in a server's life that others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// Its data directory belongs to an ensemble.
    Joined,
    /// It serves clients for the first time.
    Serving,
    Stopping,
}
