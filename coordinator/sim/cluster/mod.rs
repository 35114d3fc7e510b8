//! The servers: production nodes, logs and snapshots, under an edge that is simulated.
//!
//! What this does with a node is what `edge` does with it: time first, then what has arrived,
//! then `flush` and its outputs; one log thread that appends all that waits and syncs once; one
//! thread that writes snapshots; one that fetches them.
//!
//! `process` starts and ends them, `turn` is the event loop, `disk` the log and the snapshots,
//! `sending` what goes out, `observe` what the checkers are shown.

mod disk;
mod observe;
mod process;
mod sending;
mod turn;

pub use disk::rot;

use std::collections::{BTreeMap, VecDeque};

use coordinator::node::{ConnId, Node};
use coordinator::state::State;
use coordinator::store::{FaultyDisk, Identity, Position, SnapshotWriter, Wal};
use raft::eraftpb::{Entry, HardState};

use crate::network::{Micros, SECOND};

pub const TICK_MS: u64 = 20;
const SEGMENT_BYTES: u64 = 64 << 10;
const SNAPSHOTS_KEPT: usize = 2;
/// An orderly stop takes no longer than this.
const STOP_US: Micros = 3 * SECOND;

/// What has arrived and waits for the next turn of the event loop.
pub enum Arrival {
    PeerMessage { from: usize, connection: u64, message: Vec<u8> },
    LinkLost { to: usize, connection: u64 },
    ClientOpened { wire: usize },
    ClientBytes { wire: usize, bytes: Vec<u8> },
    ClientClosed { wire: usize },
    Persisted { number: u64 },
    ChunkWritten,
    SnapshotSaved,
    SnapshotFailed(String),
    Fetched { index: u64, state: Option<Box<State>> },
    Stop,
}

pub enum LogWork {
    Append { number: u64, entries: Vec<Entry>, hard_state: Option<HardState> },
    Install(Position),
    Purge(u64),
}

/// A process.
pub struct Running {
    pub node: Node,
    pub identity: Identity,
    pub wal: Wal<FaultyDisk>,
    pub log_work: VecDeque<LogWork>,
    pub log_busy: bool,
    /// What the sync under way makes durable.
    log_number: Option<u64>,
    pub writer: Option<SnapshotWriter<FaultyDisk>>,
    pub inbox: VecDeque<Arrival>,
    pub loop_scheduled: bool,
    /// Which wire a connection is, and what was not read from it yet.
    pub sockets: BTreeMap<ConnId, Socket>,
    pub stop_by: Option<Micros>,
    started_us: Micros,
}

pub struct Socket {
    pub wire: usize,
    pub unread: Vec<u8>,
}

/// A host with its disk, and the process on it when there is one.
pub struct Server {
    pub id: u8,
    /// The server list of its configuration; empty where it belongs to no ensemble.
    pub list: Vec<u8>,
    pub disk: FaultyDisk,
    /// Number of the process: events of earlier ones are void.
    pub boot: u64,
    pub running: Option<Running>,
    pub paused: bool,
    /// The wall clock is off by so much.
    pub wall_offset_ms: i64,
    /// The clock is fast by so many millionths.
    pub drift_ppm: i64,
    /// A start is on its way.
    pub starting: bool,
    /// Its disk was damaged on purpose: it may refuse to start.
    pub rotten: bool,
    /// Slow disk until then.
    pub slow_until_us: Micros,
    /// The log as handed over: index to term and checksum.
    mirror: BTreeMap<u64, (u64, u32)>,
    applied: u64,
    /// In ascending order.
    sessions: Vec<i64>,
}

impl Server {
    pub fn new(id: u8, list: Vec<u8>) -> Server {
        Server {
            id,
            list,
            disk: FaultyDisk::new(&format!("server{id}")),
            boot: 0,
            running: None,
            paused: false,
            wall_offset_ms: 0,
            drift_ppm: 0,
            starting: false,
            rotten: false,
            slow_until_us: 0,
            mirror: BTreeMap::new(),
            applied: 0,
            sessions: Vec::new(),
        }
    }

    pub fn alive(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    /// Whether its state has this session, as far as it was observed.
    pub fn holds(&self, session: i64) -> bool {
        self.sessions.binary_search(&session).is_ok()
    }

    /// Whether it takes itself for the leader.
    pub fn leads(&self) -> bool {
        self.node().is_some_and(|node| node.leader() == self.id)
    }

    pub fn node(&self) -> Option<&Node> {
        self.running.as_ref().map(|r| &r.node)
    }
}

impl Running {
    pub(super) fn conn_of(&self, wire: usize) -> Option<ConnId> {
        self.sockets.iter().find_map(|(&conn, socket)| (socket.wire == wire).then_some(conn))
    }

    /// Hands over what was received, unless the node asks for a pause.
    pub(super) fn read(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        if socket.unread.is_empty() || self.node.client_paused(conn) {
            return;
        }
        let bytes = std::mem::take(&mut socket.unread);
        self.node.client_data(conn, &bytes);
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.node.client_closed(conn);
        self.sockets.remove(&conn);
    }
}
