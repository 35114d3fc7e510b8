//! What a server counts about itself, since its start or since `srst`.

use std::collections::BTreeMap;

use crate::admin::histogram::Histogram;
use crate::admin::view::ResponseSize;

/// Counters and distributions; shown through [`View`](crate::admin::view::View).
#[derive(Debug, Clone, Default)]
pub struct Stats {
    pub received: u64,
    pub sent: u64,
    pub bytes_received: u64,
    pub latency_us: Histogram,
    pub read_latency_us: Histogram,
    pub write_latency_us: Histogram,
    pub auth_failed: u64,
    pub frames_refused: u64,
    pub connections_accepted: u64,
    pub connections_rejected: u64,
    pub connections_dropped: u64,
    pub sessions_closed: u64,
    pub sessions_expired: u64,
    pub sessions_attached: u64,
    pub elections: u64,
    pub leader_changes: u64,
    pub leader_since_ms: u64,
    pub proposals: u64,
    pub proposal_size: ResponseSize,
    pub entries_applied: u64,
    /// Entries that no release can read, passed over.
    pub entries_unreadable: u64,
    /// Messages with writes that no server sends on.
    pub forwards_refused: u64,
    pub forwarded: u64,
    pub resent: u64,
    pub snapshots_saved: u64,
    pub snapshots_received: u64,
    /// Writes refused for a hard quota, by the first name of their paths; as leader.
    pub quota_exceeded: BTreeMap<String, u64>,
    pub quota_told_ms: u64,
    pub sync_us: Histogram,
    pub batch_entries: Histogram,
}
