//! The servers: production drivers, nodes, logs and snapshots on hosts that are simulated.
//!
//! Nothing here decides what a server does: `host` implements the driver's `Host` with the virtual
//! network, disk and clock, and the rest moves time.
//!
//! `process` starts and ends servers, `turn` lets their threads turn, `disk` is what the log's and
//! the snapshots' threads do, `host` and `sending` are what a server sees and sends, `observe` what
//! the checkers are shown.

mod disk;
mod host;
mod observe;
mod process;
mod sending;
mod turn;

pub use disk::rot;

use std::collections::{BTreeMap, VecDeque};

use coordinator::driver::{
    Chores, Completion, Driver, LogWork, LogWriter, SnapshotThread, SnapshotWork,
};
use coordinator::node::feature::LEVEL;
use coordinator::node::{ConnId, Node};
use coordinator::store::FaultyDisk;

use crate::network::{Micros, SECOND};
use crate::world::What;

const SEGMENT_BYTES: u64 = 64 << 10;
const SNAPSHOTS_KEPT: usize = 2;

/// What has arrived and waits for the next turn of the server's thread.
pub enum Arrival {
    PeerMessage {
        from: usize,
        connection: u64,
        message: Vec<u8>,
    },
    LinkLost {
        to: usize,
        connection: u64,
    },
    ClientOpened {
        wire: usize,
    },
    ClientBytes {
        wire: usize,
        bytes: Vec<u8>,
    },
    ClientHalfClosed {
        wire: usize,
    },
    ClientClosed {
        wire: usize,
    },
    /// From another thread of the process.
    Completed(Completion),
}

/// A process.
pub struct Running {
    /// Away while its turn runs.
    driver: Option<Box<Driver<FaultyDisk>>>,
    log: LogWriter<FaultyDisk>,
    log_work: VecDeque<LogWork>,
    log_busy: bool,
    /// What the sync under way makes durable.
    log_number: Option<u64>,
    chores: Chores<FaultyDisk>,
    snapshots: SnapshotThread<FaultyDisk>,
    snapshot_work: VecDeque<SnapshotWork>,
    snapshot_busy: bool,
    inbox: VecDeque<Arrival>,
    /// When the next turn begins, and the number of its event: others are void.
    next_turn: Option<(Micros, u64)>,
    /// The server's thread is in its last turn until then.
    busy_until_us: Micros,
    /// Which wire a connection is, and what was not read from it yet.
    sockets: BTreeMap<ConnId, Socket>,
    started_us: Micros,
}

struct Socket {
    wire: usize,
    unread: Vec<u8>,
    /// The client has said its last; what it asked before is still answered.
    ended: bool,
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
    /// It stops in order.
    pub stopping: bool,
    /// When its state was replaced by a snapshot, which ends all connections.
    installed_us: Micros,
    /// What its other threads would have done while it was paused.
    pub frozen: Vec<What>,
    /// The wall clock is off by so much.
    pub wall_offset_ms: i64,
    /// The clock is fast by so many millionths.
    pub drift_ppm: i64,
    /// A start is on its way.
    pub starting: bool,
    /// Its disk was damaged on purpose: it may refuse to start.
    pub rotten: bool,
    /// What its release knows.
    pub level: u16,
    /// Its state is damaged when it starts the next time.
    pub damaged: bool,
    /// Slow disk until then.
    pub slow_until_us: Micros,
    /// No sync ends before.
    pub hangs_until_us: Micros,
    /// Others want its core until then: turns take long.
    pub sluggish_until_us: Micros,
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
            stopping: false,
            installed_us: 0,
            frozen: Vec::new(),
            wall_offset_ms: 0,
            drift_ppm: 0,
            starting: false,
            rotten: false,
            level: LEVEL,
            damaged: false,
            slow_until_us: 0,
            hangs_until_us: 0,
            sluggish_until_us: 0,
            mirror: BTreeMap::new(),
            applied: 0,
            sessions: Vec::new(),
        }
    }

    pub fn alive(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    /// Whether it has just ended all its connections for good reason.
    pub fn closes_all(&self, now_us: Micros) -> bool {
        self.stopping || self.installed_us > 0 && now_us < self.installed_us + SECOND
    }

    /// Whether its state has this session, as far as it was observed.
    pub fn holds(&self, session: i64) -> bool {
        self.sessions.binary_search(&session).is_ok()
    }

    /// Whether it takes itself for the leader.
    pub fn leads(&self) -> bool {
        self.node().is_some_and(|node| node.leader() == self.id)
    }

    /// Its node, but for the time of its own turn.
    pub fn node(&self) -> Option<&Node> {
        self.running.as_ref()?.driver.as_deref().map(Driver::node)
    }

    /// A line of the admin socket, carried out by the server's thread.
    pub fn command(&mut self, line: &str) -> Option<String> {
        Some(self.running.as_mut()?.driver.as_mut()?.command(line))
    }
}

impl Running {
    fn conn_of(&self, wire: usize) -> Option<ConnId> {
        self.sockets.iter().find_map(|(&conn, socket)| (socket.wire == wire).then_some(conn))
    }

    /// Hands over what was received, unless the node asks for a pause.
    fn read(&mut self, conn: ConnId, node: &mut Node) {
        let Some(socket) = self.sockets.get_mut(&conn) else { return };
        if socket.unread.is_empty() || node.client_paused(conn) {
            return;
        }
        let bytes = std::mem::take(&mut socket.unread);
        node.client_data(conn, &bytes);
    }

    fn close(&mut self, conn: ConnId, node: &mut Node) {
        node.client_closed(conn);
        self.sockets.remove(&conn);
    }

    /// Sockets with something to say; what other threads have to say counts as one.
    fn ready(&self) -> usize {
        let mut sockets: Vec<(u8, usize)> = self
            .inbox
            .iter()
            .map(|arrival| match arrival {
                Arrival::PeerMessage { from, .. } => (0, *from),
                Arrival::LinkLost { to, .. } => (1, *to),
                Arrival::ClientOpened { .. } => (2, 0),
                Arrival::ClientBytes { wire, .. }
                | Arrival::ClientHalfClosed { wire }
                | Arrival::ClientClosed { wire } => (3, *wire),
                Arrival::Completed(_) => (4, 0),
            })
            .collect();
        sockets.sort_unstable();
        sockets.dedup();
        sockets.len()
    }
}
