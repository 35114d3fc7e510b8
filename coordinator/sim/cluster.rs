//! The servers: production nodes, logs and snapshots, under an edge that is simulated.
//!
//! What this does with a node is what `edge` does with it: time first, then what has arrived,
//! then `flush` and its outputs; one log thread that appends all that waits and syncs once; one
//! thread that writes snapshots; one that fetches them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use coordinator::node::peer::PeerMessage;
use coordinator::node::{self, Level, Node, NodeConfig, Output, SnapshotPoint, split_frames};
use coordinator::state::{Restore, State};
use coordinator::store::{
    Disk, FaultyDisk, Identity, Position, SnapshotMeta, SnapshotReader, SnapshotWriter, StoreError,
    Wal, WalOptions, list_snapshots, newest_snapshot, prepare_spare, purge_snapshots,
    remove_partial,
};
use raft::eraftpb::{Entry, HardState};

use crate::network::{MS, Micros, SECOND};
use crate::world::{What, World};

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
    /// By connection id: which wire it is, and what was not read from it yet.
    pub sockets: Vec<Option<Socket>>,
    pub free: Vec<u32>,
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
    sessions: BTreeSet<i64>,
}

impl Server {
    pub fn new(id: u8) -> Server {
        Server {
            id,
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
            sessions: BTreeSet::new(),
        }
    }

    pub fn alive(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    pub fn node(&self) -> Option<&Node> {
        self.running.as_ref().map(|r| &r.node)
    }
}

fn checksum(entry: &Entry) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(entry.entry_type as u32).to_le_bytes());
    hasher.update(&entry.context);
    hasher.update(&entry.data);
    hasher.finalize()
}

impl World {
    fn times(&self, s: usize) -> (u64, i64) {
        let server = &self.servers[s];
        let drift = self.now_us as i64 / 1_000_000 * server.drift_ppm;
        let monotonic_us = self.now_us as i64 + drift;
        let wall_ms = 1_700_000_000_000 + monotonic_us / 1000 + server.wall_offset_ms;
        (monotonic_us as u64 / 1000 + 1_000_000, wall_ms)
    }

    // ---- start and end of a process ----

    pub fn start_server(&mut self, s: usize) {
        self.servers[s].starting = false;
        if self.servers[s].running.is_some() {
            return;
        }
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        match self.recover(s) {
            Ok((recovered, wal, identity, blank)) => {
                self.begin_process(s, recovered, wal, identity, blank);
            }
            Err(e) if e.is_damage() && self.servers[s].rotten => {
                self.say(|| {
                    format!("server {} refuses to start: {e}; it gets an empty disk", s + 1)
                });
                self.stats.rot_refused += 1;
                self.wipe(s);
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(StoreError::Io { .. }) => {
                self.servers[s].disk.process_died();
                self.servers[s].starting = true;
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(e) => self.fail(format!("server {} cannot start: {e}", s + 1)),
        }
    }

    fn recover(
        &mut self,
        s: usize,
    ) -> Result<(node::Recovered, Wal<FaultyDisk>, Identity, bool), StoreError> {
        let disk = self.servers[s].disk.clone();
        remove_partial(&disk)?;
        let fresh = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let identity = Identity::open_or_create(&disk, self.servers[s].id, fresh)?;
        let (snapshot, damaged) = newest_snapshot(&disk, restore)?;
        if snapshot.is_none()
            && let Some(error) = damaged.into_iter().next()
        {
            return Err(error);
        }
        let (point, state) = match snapshot {
            Some((meta, state)) => (point_of(&meta), state),
            None => (SnapshotPoint::default(), State::new()),
        };
        let position = Position { index: point.index, term: point.term };
        let options = options(&identity);
        let (wal, log) = Wal::open(disk, options, position)?;
        let blank = identity.cluster_id == 0;
        self.say(|| {
            format!(
                "server {} starts: snapshot {position:?}, {} entries, {:?}",
                s + 1,
                log.entries.len(),
                log.hard_state
            )
        });
        let recovered = node::Recovered {
            snapshot: point,
            state,
            hard_state: log.hard_state,
            entries: log.entries,
        };
        Ok((recovered, wal, identity, blank))
    }

    fn begin_process(
        &mut self,
        s: usize,
        recovered: node::Recovered,
        wal: Wal<FaultyDisk>,
        identity: Identity,
        blank: bool,
    ) {
        let mut secret = [0; 32];
        for byte in &mut secret {
            *byte = self.random.next_u64() as u8;
        }
        let config = NodeConfig {
            id: self.servers[s].id,
            voters: self.setting.voters(),
            observers: self.setting.observers(),
            tick_ms: TICK_MS,
            heartbeat_ms: 100,
            election_timeout_ms: 1000,
            session_timeout_min_ms: 2000,
            session_timeout_max_ms: 20_000,
            max_client_connections: 0,
            frame_bytes_max: 1 << 20,
            snapshot_ops: self.setting.snapshot_ops,
            reap_interval_ms: 5_000,
            extended_types: true,
            super_digest: None,
            skip_acl: false,
            incarnation: identity.incarnation,
            blank,
            initialize: false,
            fresh_cluster_id: u128::from(self.random.next_u64()) << 64 | 1,
            fresh_secret: secret,
            boot: self.random.next_u64(),
            published_members: None,
        };
        let (now_ms, wall_ms) = self.times(s);
        let seed = self.random.next_u64();
        let server = &mut self.servers[s];
        server.mirror =
            recovered.entries.iter().map(|e| (e.index, (e.term, checksum(e)))).collect();
        server.applied = recovered.snapshot.index;
        server.sessions = recovered.state.sessions().map(|(id, _)| id).collect();
        let node = Node::new(config, recovered, now_ms, wall_ms, seed);
        server.running = Some(Running {
            node,
            identity,
            wal,
            log_work: VecDeque::new(),
            log_busy: false,
            log_number: None,
            writer: None,
            inbox: VecDeque::new(),
            loop_scheduled: false,
            sockets: Vec::new(),
            free: Vec::new(),
            stop_by: None,
            started_us: self.now_us,
        });
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
            link.retry_us = self.now_us;
        }
        self.tick(s);
    }

    /// The process is gone; what that does to the disk is up to the caller.
    pub fn end_process(&mut self, s: usize) {
        let Some(running) = self.servers[s].running.take() else { return };
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        self.say(|| format!("server {} is gone", s + 1));
        for socket in running.sockets.into_iter().flatten() {
            self.server_closed_wire(socket.wire);
        }
        for wire in running.inbox.into_iter().filter_map(|a| match a {
            Arrival::ClientOpened { wire } => Some(wire),
            _ => None,
        }) {
            self.server_closed_wire(wire);
        }
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
            // Those who dialled it hear of it at once, or when their packets come back.
            let late = if self.random.chance(1, 4) { 500 * MS } else { 2 * MS };
            let delay = self.random.range(100, late);
            self.lose_link(other, s, delay);
        }
    }

    /// The dialler `from` finds its connection ended after `delay`.
    pub fn lose_link(&mut self, from: usize, to: usize, delay: Micros) {
        let link = self.network.link(from, to);
        link.waiting.clear();
        let Some(connection) = link.up else { return };
        link.heard = link.heard.max(connection + 1);
        self.schedule(
            delay,
            What::Arrive {
                server: from,
                boot: self.servers[from].boot,
                arrival: Arrival::LinkLost { to, connection },
            },
        );
    }

    pub fn wipe(&mut self, s: usize) {
        let server = &mut self.servers[s];
        server.disk = FaultyDisk::new(&format!("server{}", server.id));
        server.rotten = false;
    }

    /// The process ends by itself, as after a failed fsync, and is started again.
    fn process_fails(&mut self, s: usize, error: &StoreError) {
        self.say(|| format!("server {} stops: {error}", s + 1));
        self.stats.fatal += 1;
        self.end_process(s);
        self.servers[s].disk.process_died();
        self.servers[s].starting = true;
        let delay = self.random.range(200 * MS, 3 * SECOND);
        self.schedule(delay, What::Start { server: s });
    }

    // ---- the event loop ----

    /// Makes the server's thread turn once within `delay`.
    pub fn wake(&mut self, s: usize, delay: Micros) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        if !running.loop_scheduled {
            running.loop_scheduled = true;
            self.schedule(delay, What::Turn { server: s, boot });
        }
    }

    pub fn arrive(&mut self, s: usize, arrival: Arrival) {
        let Some(running) = &mut self.servers[s].running else { return };
        running.inbox.push_back(arrival);
        let delay = self.random.range(5, 200);
        self.wake(s, delay);
    }

    /// Once around: time, arrivals, work, outputs.
    pub fn turn(&mut self, s: usize) {
        if self.servers[s].paused {
            return; // stays scheduled: `resume` turns it
        }
        let (now_ms, wall_ms) = self.times(s);
        let Some(running) = &mut self.servers[s].running else { return };
        running.loop_scheduled = false;
        running.node.tick(now_ms, wall_ms);
        while let Some(arrival) = self.servers[s].running.as_mut().and_then(|r| r.inbox.pop_front())
        {
            self.take(s, arrival);
        }
        self.dial(s);
        self.carry_out(s);
        let Some(running) = &mut self.servers[s].running else { return };
        if let Some(by) = running.stop_by
            && (running.node.stopped() || self.now_us >= by)
        {
            self.carry_out(s);
            self.say(|| format!("server {} has stopped in order", s + 1));
            self.end_process(s);
            self.servers[s].disk.process_died();
            return;
        }
        if running.node.busy() || running.node.pending() {
            let delay = self.random.range(20, 500);
            self.wake(s, delay);
        }
    }

    /// An idle server wakes this often.
    pub fn tick(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        self.schedule(TICK_MS * MS, What::Tick { server: s, boot });
        self.wake(s, 0);
    }

    fn take(&mut self, s: usize, arrival: Arrival) {
        self.hash_arrival(s, &arrival);
        if let Arrival::PeerMessage { from, message, .. } = &arrival {
            self.say(|| format!("{} <- {}: {}", s + 1, from + 1, brief(message)));
        }
        let id_of = |s: usize| s as u8 + 1;
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        let node = &mut running.node;
        match arrival {
            Arrival::PeerMessage { from, connection, message } => {
                if self.network.link(from, s).heard == connection {
                    node.peer_message(id_of(from), &message);
                }
            }
            Arrival::LinkLost { to, connection } => {
                let link = self.network.link(s, to);
                if link.up == Some(connection) {
                    link.up = None;
                    link.waiting.clear();
                    link.retry_us = self.now_us + self.random.range(20 * MS, 500 * MS);
                    node.peer_disconnected(id_of(to));
                }
            }
            Arrival::ClientOpened { wire } => {
                let conn = running.free.pop().unwrap_or(running.sockets.len() as u32);
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
                assert!(node.client_opened(conn, address), "no limit is set");
                if running.sockets.len() <= conn as usize {
                    running.sockets.resize_with(conn as usize + 1, || None);
                }
                running.sockets[conn as usize] = Some(Socket { wire, unread: Vec::new() });
            }
            Arrival::ClientBytes { wire, bytes } => {
                if let Some(conn) = running.conn_of(wire) {
                    let socket = running.sockets[conn as usize].as_mut().expect("it is open");
                    socket.unread.extend_from_slice(&bytes);
                    running.read(conn);
                }
            }
            Arrival::ClientClosed { wire } => {
                if let Some(conn) = running.conn_of(wire) {
                    running.close(conn);
                    self.server_closed_wire(wire);
                }
            }
            Arrival::Persisted { number } => {
                node.persisted(number);
                self.say(|| format!("server {} has persisted ready {number}", s + 1));
            }
            Arrival::ChunkWritten => node.snapshot_chunk_written(),
            Arrival::SnapshotSaved => {
                node.snapshot_saved();
                if let Ok(snapshots) = list_snapshots(&disk)
                    && let Some((oldest, _)) = snapshots.last()
                {
                    running.log_work.push_back(LogWork::Purge(oldest.index));
                    self.work_log(s);
                }
            }
            Arrival::SnapshotFailed(why) => node.snapshot_failed(&why),
            Arrival::Fetched { index, state } => node.snapshot_fetched(index, state),
            Arrival::Stop => {
                node.stop();
                running.stop_by = Some(self.now_us + STOP_US);
            }
        }
    }

    /// Dials whoever is not connected and due.
    fn dial(&mut self, s: usize) {
        for to in 0..self.servers.len() {
            let now_us = self.now_us;
            let link = self.network.link(s, to);
            if to == s || link.up.is_some() || now_us < link.retry_us {
                continue;
            }
            link.retry_us = now_us + self.random.range(20 * MS, 500 * MS);
            if !self.servers[to].alive() || !self.network.reachable(s, to) {
                continue;
            }
            let (Some(mine), Some(theirs)) =
                (self.servers[s].node().map(Node::hello), self.servers[to].node().map(Node::hello))
            else {
                continue;
            };
            let accepts = self.servers[to].node().map(|n| n.check_hello(&mine));
            let Some(running) = &mut self.servers[s].running else { return };
            match accepts.map(|a| a.and_then(|()| running.node.check_hello(&theirs))) {
                Some(Ok(())) => {}
                Some(Err(why)) => {
                    self.fail(format!("servers {} and {} refuse each other: {why}", s + 1, to + 1));
                    return;
                }
                None => continue,
            }
            let connection = self.network.next_connection();
            let link = self.network.link(s, to);
            link.up = Some(connection);
            link.heard = connection;
            link.waiting.clear();
            link.last_us = 0;
            running.node.peer_connected(theirs);
        }
    }

    fn carry_out(&mut self, s: usize) {
        for _ in 0..8 {
            let Some(running) = &mut self.servers[s].running else { return };
            running.node.flush();
            for output in running.node.take_outputs() {
                self.carry_out_one(s, output);
            }
            self.join_ensemble(s);
            self.observe(s);
            self.send_to_peers(s);
            self.send_to_clients(s);
            if !self.servers[s].node().is_some_and(Node::pending) {
                break;
            }
        }
    }

    /// The data directory belongs to the ensemble once the state says which one that is. A failing
    /// disk is met again at the next turn.
    fn join_ensemble(&mut self, s: usize) {
        let server = &mut self.servers[s];
        let Some(running) = &mut server.running else { return };
        let cluster_id = running.node.state().roster().cluster_id;
        if running.identity.cluster_id != cluster_id {
            let _ = running.identity.join(&server.disk, cluster_id);
        }
    }

    fn carry_out_one(&mut self, s: usize, output: Output) {
        let boot = self.servers[s].boot;
        let disk = self.servers[s].disk.clone();
        let server = &mut self.servers[s];
        let Some(running) = &mut server.running else { return };
        match output {
            Output::Persist { number, entries, hard_state } => {
                for entry in &entries {
                    server.mirror.split_off(&entry.index);
                    server.mirror.insert(entry.index, (entry.term, checksum(entry)));
                }
                let count = entries.len();
                running.log_work.push_back(LogWork::Append { number, entries, hard_state });
                self.say(|| format!("server {} persists ready {number}, {count} entries", s + 1));
                self.work_log(s);
            }
            Output::Install { point } => {
                server.mirror.clear();
                server.applied = point.index;
                let position = Position { index: point.index, term: point.term };
                running.log_work.push_back(LogWork::Install(position));
                self.stats.installs += 1;
                self.work_log(s);
            }
            Output::SnapshotBegin { point, zxid, cluster_id } => {
                let meta = SnapshotMeta {
                    index: point.index,
                    term: point.term,
                    conf_state: point.conf_state,
                    zxid,
                    cluster_id,
                };
                match SnapshotWriter::create(disk, &meta) {
                    Ok(writer) => running.writer = Some(writer),
                    Err(e) => self.snapshot_failed(s, &e),
                }
            }
            Output::SnapshotChunk(chunk) => {
                let written = running.writer.as_mut().map_or(Ok(()), |w| w.chunk(&chunk));
                let delay = self.random.range(50, 5 * MS);
                let arrival = Arrival::ChunkWritten;
                self.schedule(delay, What::Arrive { server: s, boot, arrival });
                if let Err(e) = written {
                    self.snapshot_failed(s, &e);
                }
            }
            Output::SnapshotEnd => {
                let delay = self.random.range(MS, 50 * MS);
                self.schedule(delay, What::SnapshotEnds { server: s, boot });
            }
            Output::FetchSnapshot { from, index, .. } => {
                let delay = self.random.range(5 * MS, 800 * MS);
                let from = usize::from(from) - 1;
                self.schedule(delay, What::Fetch { server: s, boot, from, index });
            }
            Output::Disconnect(id) => self.fail(format!("server {} cuts off server {id}", s + 1)),
            Output::Word { .. } => self.fail("nobody asked a four-letter word".to_owned()),
            Output::Log(level, text) => {
                if level == Level::Error {
                    self.stats.errors_logged += 1;
                }
                self.say(|| format!("server {} says: {text}", s + 1));
            }
        }
    }

    fn snapshot_failed(&mut self, s: usize, error: &StoreError) {
        if let Some(running) = &mut self.servers[s].running {
            running.writer = None;
        }
        self.arrive(s, Arrival::SnapshotFailed(error.to_string()));
    }

    pub fn snapshot_ends(&mut self, s: usize) {
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        let Some(writer) = running.writer.take() else { return };
        match writer.finish().and_then(|()| purge_snapshots(&disk, SNAPSHOTS_KEPT)) {
            Ok(()) => {
                self.stats.snapshots += 1;
                self.arrive(s, Arrival::SnapshotSaved);
            }
            Err(e) => self.snapshot_failed(s, &e),
        }
    }

    /// A snapshot comes from the disk of another server, is written and restored here.
    pub fn fetch(&mut self, s: usize, from: usize, index: u64) {
        let reachable = self.network.reachable(s, from) && self.servers[from].alive();
        let state = if reachable {
            let source = self.servers[from].disk.clone();
            match copy_snapshot(&source, &self.servers[s].disk.clone(), index) {
                Ok(state) => state,
                Err(e) => {
                    self.say(|| format!("server {} cannot fetch snapshot {index}: {e}", s + 1));
                    None
                }
            }
        } else {
            None
        };
        self.arrive(s, Arrival::Fetched { index, state: state.map(Box::new) });
    }

    // ---- the log thread ----

    /// Appends all that waits, and is busy with the sync until `log_done`.
    fn work_log(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        if running.log_busy || running.log_work.is_empty() {
            return;
        }
        let mut number = None;
        let mut failed = None;
        for work in std::mem::take(&mut running.log_work) {
            let done = match work {
                LogWork::Append { number: n, entries, hard_state } => {
                    number = Some(n);
                    running.wal.append(&entries, hard_state.as_ref())
                }
                LogWork::Install(position) => running.wal.reset(position),
                LogWork::Purge(index) => running.wal.purge(index),
            };
            if let Err(e) = done {
                failed = Some(e);
                break;
            }
        }
        running.log_busy = true;
        running.log_number = number;
        if let Some(error) = failed {
            return self.process_fails(s, &error);
        }
        let slow = self.now_us < self.servers[s].slow_until_us;
        let (low, high) = if slow { (50 * MS, 800 * MS) } else { self.setting.sync_us };
        let delay = self.random.range(low, high);
        self.schedule(delay, What::LogDone { server: s, boot });
    }

    pub fn log_done(&mut self, s: usize) {
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        running.log_busy = false;
        let number = running.log_number.take();
        if let Err(e) = running.wal.sync() {
            return self.process_fails(s, &e);
        }
        if running.wal.wants_spare()
            && let Ok(Some(identity)) = Identity::read(&disk)
        {
            // For want of space there is none; the append that needs it says so.
            let _ = prepare_spare(&disk, &options(&identity));
        }
        if let Some(number) = number {
            self.arrive(s, Arrival::Persisted { number });
        }
        self.work_log(s);
    }

    // ---- what comes out ----

    fn send_to_peers(&mut self, s: usize) {
        for to in 0..self.servers.len() {
            if to == s {
                continue;
            }
            let Some(running) = &mut self.servers[s].running else { return };
            let Some(connection) = self.network.link(s, to).up else { continue };
            let Some(output) = running.node.peer_output(to as u8 + 1) else { continue };
            let bytes = std::mem::take(output);
            let mut messages = Vec::new();
            let taken = split_frames(&bytes, |m| messages.push(m.to_vec()));
            assert!(taken == Some(bytes.len()), "a server writes whole frames");
            for message in messages {
                self.transmit(s, to, connection, message);
            }
        }
    }

    /// One message on its way, with whatever befalls it.
    pub fn transmit(&mut self, from: usize, to: usize, connection: u64, message: Vec<u8>) {
        const KIND_RAFT: u8 = 1;
        if self.network.link(from, to).cut {
            self.network.link(from, to).waiting.push_back((connection, message));
            return;
        }
        let weather = self.network.weather.clone();
        let delay = weather.delay(&mut self.random);
        let mut at = self.now_us + delay;
        let raft = message.first() == Some(&KIND_RAFT);
        let mut copies = 1;
        if raft {
            if self.random.chance(weather.lost, 1000) {
                return;
            }
            copies += u64::from(self.random.chance(weather.doubled, 1000));
        }
        let overtaken = raft && self.random.chance(weather.overtaken, 1000);
        let link = self.network.link(from, to);
        if overtaken {
            at += self.random.range(MS, 300 * MS);
        } else {
            at = at.max(link.last_us + 1);
            link.last_us = at;
        }
        let boot = self.servers[to].boot;
        for copy in 0..copies {
            let arrival = Arrival::PeerMessage { from, connection, message: message.clone() };
            let at = at + copy * self.random.range(1, 50 * MS);
            self.schedule_at(at, What::Arrive { server: to, boot, arrival });
        }
    }

    fn send_to_clients(&mut self, s: usize) {
        let Some(running) = &mut self.servers[s].running else { return };
        for conn in running.node.take_dirty_clients() {
            self.write_client(s, conn);
        }
    }

    fn write_client(&mut self, s: usize, conn: u32) {
        let Some(running) = &mut self.servers[s].running else { return };
        let Some(socket) = running.sockets.get(conn as usize).and_then(Option::as_ref) else {
            return;
        };
        let wire = socket.wire;
        let Some(output) = running.node.client_output(conn) else {
            running.close(conn);
            return self.server_closed_wire(wire);
        };
        let bytes = std::mem::take(output);
        let closing = running.node.client_closing(conn);
        if closing {
            running.close(conn);
        } else {
            running.node.client_sent(conn);
            running.read(conn);
        }
        if !bytes.is_empty() {
            self.server_sent(s, wire, bytes);
        }
        if closing {
            self.server_closed_wire(wire);
        }
    }

    // ---- what the checkers see ----

    fn observe(&mut self, s: usize) {
        let now_us = self.now_us;
        let server = &mut self.servers[s];
        let Some(running) = &server.running else { return };
        let applied = running.node.applied_index();
        if applied == server.applied {
            return;
        }
        let mut verdict = Ok(());
        for index in server.applied + 1..=applied {
            if let Some(&(term, checksum)) = server.mirror.get(&index) {
                verdict = verdict.and(self.checks.order.applied(server.id, index, term, checksum));
            }
        }
        server.applied = applied;
        let state = running.node.state();
        if self.setting.digest_always || self.random.chance(1, 4) {
            verdict = verdict.and(self.checks.digest.observe(server.id, applied, state.digest()));
        }
        let sessions: BTreeSet<i64> = state.sessions().map(|(id, _)| id).collect();
        for &session in server.sessions.difference(&sessions) {
            self.checks.session.gone(session, now_us);
        }
        server.sessions = sessions;
        self.judge(verdict);
    }

    /// Servers in ascending order of what they have applied, for messages.
    pub fn describe(&self) -> String {
        let one = |server: &Server| match &server.running {
            None => format!("{}: down", server.id),
            Some(r) => format!(
                "{}: leader {} applied {} serving {}{} up {} ms",
                server.id,
                r.node.leader(),
                r.node.applied_index(),
                r.node.serving(),
                if server.paused { " paused" } else { "" },
                (self.now_us - r.started_us) / MS
            ),
        };
        self.servers.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

impl Running {
    fn conn_of(&self, wire: usize) -> Option<u32> {
        let at = self.sockets.iter().position(|s| s.as_ref().is_some_and(|s| s.wire == wire))?;
        Some(at as u32)
    }

    /// Hands over what was received, unless the node asks for a pause.
    fn read(&mut self, conn: u32) {
        let Some(socket) = self.sockets.get_mut(conn as usize).and_then(Option::as_mut) else {
            return;
        };
        if socket.unread.is_empty() || self.node.client_paused(conn) {
            return;
        }
        let bytes = std::mem::take(&mut socket.unread);
        self.node.client_data(conn, &bytes);
    }

    fn close(&mut self, conn: u32) {
        self.node.client_closed(conn);
        self.sockets[conn as usize] = None;
        self.free.push(conn);
    }
}

/// A message between servers in one line.
fn brief(message: &[u8]) -> String {
    match node::peer::parse(message) {
        Ok(PeerMessage::Raft(m)) => {
            let entries: Vec<_> = m.entries.iter().map(|e| (e.index, e.term)).collect();
            format!(
                "{:?} term {} log_term {} index {} commit {} reject {} {entries:?}",
                m.msg_type, m.term, m.log_term, m.index, m.commit, m.reject
            )
        }
        Ok(other) => format!("{other:?}").chars().take(120).collect(),
        Err(_) => "what nobody sends".to_owned(),
    }
}

fn options(identity: &Identity) -> WalOptions {
    WalOptions { segment_bytes: SEGMENT_BYTES, ..WalOptions::new(identity.incarnation as u64) }
}

fn point_of(meta: &SnapshotMeta) -> SnapshotPoint {
    SnapshotPoint { index: meta.index, term: meta.term, conf_state: meta.conf_state.clone() }
}

fn restore(reader: &mut SnapshotReader<FaultyDisk>) -> Result<State, StoreError> {
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        restore.chunk(&chunk).map_err(|e| reader.damage(e.to_string()))?;
    }
    restore.finish().map_err(|e| reader.damage(e.to_string()))
}

fn copy_snapshot(
    source: &FaultyDisk,
    target: &FaultyDisk,
    index: u64,
) -> Result<Option<State>, StoreError> {
    let Some((_, name)) = list_snapshots(source)?.into_iter().find(|(p, _)| p.index == index)
    else {
        return Ok(None);
    };
    let mut reader = SnapshotReader::open(source, &name)?;
    let mut writer = SnapshotWriter::create(target.clone(), reader.meta())?;
    let mut restore = Restore::new();
    let mut chunk = Vec::new();
    while reader.chunk(&mut chunk)? {
        writer.chunk(&chunk)?;
        restore.chunk(&chunk).map_err(|e| reader.damage(e.to_string()))?;
    }
    let state = restore.finish().map_err(|e| reader.damage(e.to_string()))?;
    writer.finish()?;
    Ok(Some(state))
}

/// Flips a bit in the older half of the log, where no crash can have torn anything.
pub fn rot(disk: &FaultyDisk, random: &mut coordinator::random::Seeded) -> Option<String> {
    let names = disk.list().ok()?;
    let logs: Vec<_> = names.iter().filter(|n| n.starts_with("log-")).collect();
    let name = logs.first()?;
    let content = disk.content(name);
    let used = content.iter().rposition(|&b| b != 0)?;
    if used < 16 << 10 {
        return None;
    }
    let offset = random.below(used as u64 / 4);
    disk.rot(name, offset, random.next_u64() as u8);
    Some(format!("{name} at {offset}"))
}
