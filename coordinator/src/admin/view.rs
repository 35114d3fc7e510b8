//! All that operators may see of a server at one moment.
//!
//! The cheap numbers are always filled; the lists cost time and memory in proportion to clients
//! and znodes, so they are gathered when [`Parts`] asks for them. Times of day are milliseconds
//! since 1970 of this server's clock.

use std::net::SocketAddr;

use super::histogram::Histogram;
use crate::state::QuotaUsage;

/// The lists that an answer needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub connections: bool,
    pub sessions: bool,
    pub ephemerals: bool,
    pub watches: bool,
    /// Sizes of the directories on disk.
    pub directories: bool,
    /// Open files, memory and processor time.
    pub process: bool,
    pub quotas: bool,
}

/// What this server is among the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    Standalone,
    Leader,
    Follower,
    Observer,
    /// No leader known.
    #[default]
    Looking,
}

/// What clients get from this server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serving {
    /// Connections are closed: still starting, or no leader, or no lease.
    #[default]
    No,
    ReadWrite,
    /// Reads only, for clients that asked for no more.
    ReadOnly,
}

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub now_ms: i64,
    /// Since the process began.
    pub uptime_ms: u64,
    pub role: Role,
    pub serving: Serving,
    /// Last operation applied here.
    pub zxid: i64,
    pub tree: TreeView,
    pub sessions: SessionsView,
    pub traffic: TrafficView,
    pub watches: WatchesView,
    pub raft: RaftView,
    pub log: LogView,

    /// A list stops before its end: it would have kept everybody waiting.
    pub lists_cut: bool,

    // The lists, empty unless asked for.
    pub connection_list: Vec<ConnectionView>,
    /// In order of id.
    pub session_list: Vec<SessionView>,
    /// Sessions that own ephemerals in order of id, each with its paths in order.
    pub ephemeral_list: Vec<(i64, Vec<String>)>,
    /// Data watches as (session, path).
    pub watch_list: Vec<(i64, String)>,
    pub quota_list: Vec<QuotaView>,
    pub directories: Option<DirectoriesView>,
    pub process: Option<ProcessView>,
    /// Further figures that have no counterpart in ZooKeeper.
    pub extra: Vec<Extra>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct TreeView {
    /// As ZooKeeper counts, the root twice: 5 in a fresh tree.
    pub node_count: u64,
    pub ephemerals_count: u64,
    /// Bytes of paths and data.
    pub approximate_data_size: u64,
    /// Bytes of memory the tree takes, all included.
    pub memory_bytes: u64,
}

/// Quotas on paths that begin with the same name.
#[derive(Clone, Debug, Default)]
pub struct QuotaView {
    pub namespace: String,
    pub usage: QuotaUsage,
    /// Writes that this server, as leader, has refused.
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct SessionsView {
    pub count: u64,
    /// Ended by their clients, since the start.
    pub closed: u64,
    /// Ended by the leader's clock, since the start; as this server applied them.
    pub expired: u64,
    /// Moved here from another server, since the start.
    pub attached: u64,
    /// Known to this server alone; not among the others.
    pub local: u64,
}

/// Clients and what passes between them and this server. Counters run since the start or the
/// last `srst`.
#[derive(Clone, Debug, Default)]
pub struct TrafficView {
    /// Client connections open now.
    pub connections: u64,
    /// Requests received, pings included.
    pub received: u64,
    /// Replies and notifications sent.
    pub sent: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Requests received whose reply is not yet made.
    pub outstanding: u64,
    /// From receipt to reply, all requests; feeds `min/avg/max_latency`.
    pub latency_us: Histogram,
    pub read_latency_us: Histogram,
    pub update_latency_us: Histogram,
    /// From the leader's stamp to apply on this server.
    pub propagation_latency_us: Histogram,
    pub response_size: ResponseSize,
    pub connections_accepted: u64,
    /// Over `maxClientCnxns` or `maxCnxns`.
    pub connections_rejected: u64,
    /// Closed by this server for other reasons than a close of the session.
    pub connections_dropped: u64,
    pub auth_failed: u64,
    /// Frames over `jute.maxbuffer`, or malformed.
    pub frames_refused: u64,
    /// Watch events sent, by kind.
    pub events_node_created: u64,
    pub events_node_deleted: u64,
    pub events_node_changed: u64,
    pub events_node_children: u64,
}

/// Bytes of the replies sent, in ZooKeeper's three figures; −1 before the first.
#[derive(Clone, Copy, Debug)]
pub struct ResponseSize {
    pub last: i64,
    pub min: i64,
    pub max: i64,
}

impl Default for ResponseSize {
    fn default() -> Self {
        ResponseSize { last: -1, min: -1, max: -1 }
    }
}

impl ResponseSize {
    pub fn record(&mut self, bytes: usize) {
        let bytes = bytes as i64;
        self.last = bytes;
        self.min = if self.min < 0 { bytes } else { self.min.min(bytes) };
        self.max = self.max.max(bytes);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct WatchesView {
    /// Of every kind.
    pub total: u64,
    /// Data watches alone, as `wchs` counts.
    pub data_total: u64,
    /// Connections that hold data watches.
    pub data_connections: u64,
    /// Paths with data watches.
    pub data_paths: u64,
}

#[derive(Clone, Debug, Default)]
pub struct RaftView {
    pub cluster_id: u128,
    /// Every member has to know a secret.
    pub peers_authenticated: bool,
    /// Linked members to which everything goes in a form that can be read on the way.
    pub peers_unencrypted: u64,
    /// This member's state is not the majority's: it serves nobody.
    pub state_differs: bool,
    pub term: u64,
    pub leader: Option<u8>,
    pub commit_index: u64,
    pub applied_index: u64,
    pub last_index: u64,
    pub first_index: u64,
    /// Elections this server began.
    pub elections: u64,
    /// Leaders this server has seen come.
    pub leader_changes: u64,
    /// How long there was no leader, each time.
    pub unavailable_us: Histogram,
    /// From the start of an election here to its end.
    pub election_us: Histogram,
    /// Entries this server proposed as leader.
    pub proposals: u64,
    /// Entries applied.
    pub commits: u64,
    /// Bytes of proposals, in ZooKeeper's three figures.
    pub proposal_size: ResponseSize,
    /// From proposal to commit, on the leader.
    pub quorum_ack_us: Histogram,
    /// Writes sent on to a leader, and sent again after a leader change.
    pub forwarded: u64,
    pub resent: u64,
    /// Since this server became leader; 0 on others.
    pub leader_uptime_ms: u64,
    /// How long clients may still be answered without word from the leader.
    pub lease_remaining_ms: u64,
    /// Snapshots sent to members and received from the leader.
    pub snapshots_sent: u64,
    pub snapshots_received: u64,
    /// All members in order of id, this one included.
    pub members: Vec<MemberView>,
}

#[derive(Clone, Debug, Default)]
pub struct MemberView {
    pub id: u8,
    /// Votes now; a participant that lost its data does not.
    pub voter: bool,
    /// Set down as an observer.
    pub observer: bool,
    /// A connection to it is open, and it has proved itself.
    pub connected: bool,
    /// On the leader: the last entry the member is known to have.
    pub match_index: u64,
    /// On the leader: it follows closely, and would be up to date within a heartbeat.
    pub synced: bool,
    /// Since anything was heard from it.
    pub last_heard_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct LogView {
    pub fsync_us: Histogram,
    /// Entries made durable by one fsync.
    pub batch_entries: Histogram,
    pub appended_bytes: u64,
    pub segments: u64,
    pub snapshot_us: Histogram,
    pub last_snapshot: Option<SnapshotView>,
    /// Reading snapshot and log at the start.
    pub load_ms: u64,
    /// Entries replayed at the start.
    pub load_entries: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SnapshotView {
    pub zxid: i64,
    pub index: u64,
    pub time_ms: i64,
    pub bytes: u64,
}

/// One client connection.
#[derive(Clone, Debug)]
pub struct ConnectionView {
    pub peer: SocketAddr,
    /// 0 before the handshake, and for the connection that asks.
    pub session: i64,
    /// Requests are being read, not held back.
    pub reading: bool,
    pub queued: u64,
    pub received: u64,
    pub sent: u64,
    pub established_ms: i64,
    pub timeout_ms: i32,
    /// Four letters, see `wire::opcode`; `NA` before the first request.
    pub last_operation: &'static str,
    /// Negative when the last request had none.
    pub last_cxid: i64,
    pub last_zxid: i64,
    /// When the last reply was made.
    pub last_response_ms: i64,
    pub last_latency_ms: u64,
    pub min_latency_ms: u64,
    pub avg_latency_ms: u64,
    pub max_latency_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SessionView {
    pub id: i64,
    pub timeout_ms: i32,
    /// When the leader lets it expire unless it is heard of; known to the leader alone.
    pub expires_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct DirectoriesView {
    pub data_bytes: u64,
    pub log_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessView {
    pub open_files: u64,
    pub max_files: u64,
    pub resident_bytes: u64,
    pub cpu_ms: u64,
    pub start_ms: i64,
    pub threads: u64,
}

/// A figure of ours.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    /// As Prometheus writes names, with the unit last; `coordinator_` is put before it.
    pub name: &'static str,
    pub help: &'static str,
    /// A counter only grows; anything else is a gauge.
    pub counter: bool,
    pub value: f64,
}
