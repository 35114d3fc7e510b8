//! The figures of `mntr`, of the command `monitor` and of `/metrics`: one list, three renderings.
//!
//! Names are ZooKeeper's where a figure means the same there; its figures about queues between
//! its threads have no counterpart.

use super::histogram::Histogram;
use super::view::{MemberView, QuotaView, Role, Serving, View};

/// One figure, named as ZooKeeper's providers name it (without `zk_`).
pub(super) struct Metric {
    pub(super) name: &'static str,
    /// A counter only grows.
    pub(super) counter: bool,
    pub(super) value: Value,
}

pub(super) enum Value {
    Integer(i64),
    Double(f64),
    Summary(Summary),
}

/// What is shown of a distribution; times in milliseconds, as in ZooKeeper.
pub(super) struct Summary {
    pub(super) average: f64,
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) count: u64,
    pub(super) sum: u64,
    /// Name in `mntr`, share, value: only for the distributions of which ZooKeeper shows them.
    pub(super) quantiles: Vec<(&'static str, f64, u64)>,
}

impl Summary {
    fn new(histogram: &Histogram, divisor: u64, detailed: bool) -> Summary {
        let shares = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];
        let quantiles = shares.into_iter().filter(|_| detailed);
        Summary {
            average: histogram.average() / divisor as f64,
            min: histogram.min() / divisor,
            max: histogram.max() / divisor,
            count: histogram.count(),
            sum: histogram.sum() / divisor,
            quantiles: quantiles
                .map(|(name, share)| (name, share, histogram.quantile(share) / divisor))
                .collect(),
        }
    }

    /// Something that happened once.
    fn single(value: u64) -> Summary {
        Summary {
            average: value as f64,
            min: value,
            max: value,
            count: 1,
            sum: value,
            quantiles: Vec::new(),
        }
    }
}

/// The word for what this server is, as `srvr` and `mntr` say it.
pub(super) fn server_state(view: &View) -> &'static str {
    match (view.serving, view.role) {
        (Serving::ReadOnly, _) => "read-only",
        (_, Role::Standalone) => "standalone",
        (_, Role::Leader) => "leader",
        (_, Role::Follower) => "follower",
        (_, Role::Observer) => "observer",
        (_, Role::Looking) => "looking",
    }
}

/// `zk_peer_state`; `None` when standalone.
pub(super) fn peer_state(view: &View) -> Option<&'static str> {
    match view.role {
        Role::Standalone => None,
        Role::Leader => Some("leading - broadcast"),
        Role::Follower => Some("following - broadcast"),
        Role::Observer => Some("observing - broadcast"),
        Role::Looking => Some("looking - election"),
    }
}

/// Milliseconds with the four decimals of ZooKeeper.
pub(super) fn four_decimals(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// All figures of the view.
pub(super) fn gather(view: &View) -> Vec<Metric> {
    let mut list = List(Vec::with_capacity(80));
    clients(view, &mut list);
    tree(view, &mut list);
    replication(view, &mut list);
    disk(view, &mut list);
    list.0
}

/// The figures that `quota_figures` names for one quota, as the metrics of `QuotaMetricsUtils`.
type QuotaFigure = (&'static str, bool, fn(&QuotaView) -> i64);

/// Name, whether it only grows, and the figure: the same for every name that quotas begin with.
pub(super) const QUOTA_FIGURES: [QuotaFigure; 5] = [
    ("quota_count_limit_per_namespace", false, |quota| quota.usage.count_limit),
    ("quota_bytes_limit_per_namespace", false, |quota| quota.usage.bytes_limit),
    ("quota_count_usage_per_namespace", false, |quota| quota.usage.count),
    ("quota_bytes_usage_per_namespace", false, |quota| quota.usage.bytes),
    ("quota_exceeded_error_per_namespace", true, |quota| quota.refused as i64),
];

/// Figures of the quotas, with the names that `mntr` gives them: the namespace first.
pub(super) fn quotas(view: &View) -> Vec<(String, i64)> {
    let figures = QUOTA_FIGURES.iter().flat_map(|(name, grows, figure)| {
        // A counter is there from its first event.
        let known = view.quota_list.iter().filter(move |quota| !grows || figure(quota) > 0);
        known.map(move |quota| (format!("{}_{name}", quota.namespace), figure(quota)))
    });
    figures.collect()
}

struct List(Vec<Metric>);

impl List {
    fn push(&mut self, name: &'static str, counter: bool, value: Value) {
        self.0.push(Metric { name, counter, value });
    }

    fn gauge(&mut self, name: &'static str, value: impl TryInto<i64>) {
        self.push(name, false, Value::Integer(value.try_into().unwrap_or(i64::MAX)));
    }

    fn double(&mut self, name: &'static str, value: f64) {
        self.push(name, false, Value::Double(value));
    }

    fn counter(&mut self, name: &'static str, value: u64) {
        self.push(name, true, Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn summary(&mut self, name: &'static str, summary: Summary) {
        self.push(name, false, Value::Summary(summary));
    }

    /// A basic summary of times kept in microseconds.
    fn times(&mut self, name: &'static str, histogram_us: &Histogram) {
        self.summary(name, Summary::new(histogram_us, 1000, false));
    }

    /// The same with quantiles.
    fn quantiles(&mut self, name: &'static str, histogram_us: &Histogram) {
        self.summary(name, Summary::new(histogram_us, 1000, true));
    }
}

fn clients(view: &View, list: &mut List) {
    let traffic = &view.traffic;
    list.double("avg_latency", four_decimals(traffic.latency_us.average() / 1000.0));
    list.gauge("min_latency", traffic.latency_us.min() / 1000);
    list.gauge("max_latency", traffic.latency_us.max() / 1000);
    list.gauge("packets_received", traffic.received);
    list.gauge("packets_sent", traffic.sent);
    list.gauge("num_alive_connections", traffic.connections);
    list.gauge("outstanding_requests", traffic.outstanding);
    list.gauge("last_client_response_size", traffic.response_size.last);
    list.gauge("min_client_response_size", traffic.response_size.min);
    list.gauge("max_client_response_size", traffic.response_size.max);
    list.gauge("auth_failed_count", traffic.auth_failed);
    list.double("connection_drop_probability", 0.0);
    list.gauge("outstanding_tls_handshake", 0);
    list.gauge("non_mtls_local_conn_count", 0);
    list.gauge("non_mtls_remote_conn_count", 0);
    list.gauge("peers_authenticated", view.raft.peers_authenticated);
    list.gauge("peers_unencrypted", view.raft.peers_unencrypted);
    list.gauge("global_sessions", view.sessions.count);
    list.gauge("local_sessions", view.sessions.local);
    list.counter("bytes_received_count", traffic.bytes_received);
    list.counter("response_bytes", traffic.bytes_sent);
    list.counter("connection_request_count", traffic.connections_accepted);
    list.counter("connection_rejected", traffic.connections_rejected);
    list.counter("connection_drop_count", traffic.connections_dropped);
    list.counter("connection_revalidate_count", view.sessions.attached);
    list.counter("revalidate_count", view.sessions.attached);
    list.counter("stale_sessions_expired", view.sessions.expired);
    list.counter("large_requests_rejected", traffic.frames_refused);
    list.quantiles("readlatency", &traffic.read_latency_us);
    list.quantiles("updatelatency", &traffic.update_latency_us);
    list.quantiles("propagation_latency", &traffic.propagation_latency_us);
}

fn tree(view: &View, list: &mut List) {
    list.gauge("znode_count", view.tree.node_count);
    list.gauge("ephemerals_count", view.tree.ephemerals_count);
    list.gauge("approximate_data_size", view.tree.approximate_data_size);
    list.gauge("watch_count", view.watches.total);
    list.gauge("uptime", view.uptime_ms);
    if let Some(process) = view.process {
        list.gauge("open_file_descriptor_count", process.open_files);
        list.gauge("max_file_descriptor_count", process.max_files);
    }
}

fn replication(view: &View, list: &mut List) {
    let raft = &view.raft;
    list.counter("looking_count", raft.elections);
    list.counter("proposal_count", raft.proposals);
    list.counter("commit_count", raft.commits);
    list.counter("snap_count", raft.snapshots_sent);
    list.counter("diff_count", 0);
    list.counter("digest_mismatches_count", 0);
    list.counter("unrecoverable_error_count", 0);
    if view.role == Role::Standalone {
        return;
    }
    let count = |wanted: &dyn Fn(&MemberView) -> bool| {
        raft.members.iter().filter(|member| wanted(member)).count()
    };
    list.gauge("quorum_size", count(&|member| !member.observer));
    list.times("election_time", &raft.election_us);
    list.times("unavailable_time", &raft.unavailable_us);
    list.times("leader_unavailable_time", &raft.unavailable_us);
    list.quantiles("quorum_ack_latency", &raft.quorum_ack_us);
    if view.role != Role::Leader {
        return;
    }
    let others = |member: &MemberView| Some(member.id) != raft.leader;
    list.gauge("leader_uptime", raft.leader_uptime_ms);
    list.gauge("learners", count(&|member| others(member) && member.connected));
    list.gauge("synced_followers", count(&|m| others(m) && m.synced && m.voter));
    list.gauge(
        "synced_non_voting_followers",
        count(&|m| others(m) && m.synced && !m.voter && !m.observer),
    );
    list.gauge("synced_observers", count(&|m| others(m) && m.synced && m.observer));
    list.gauge("pending_syncs", 0);
    list.gauge("last_proposal_size", raft.proposal_size.last);
    list.gauge("min_proposal_size", raft.proposal_size.min);
    list.gauge("max_proposal_size", raft.proposal_size.max);
}

fn disk(view: &View, list: &mut List) {
    let log = &view.log;
    list.times("fsynctime", &log.fsync_us);
    list.times("snapshottime", &log.snapshot_us);
    list.summary("sync_processor_batch_size", Summary::new(&log.batch_entries, 1, false));
    list.summary("dbinittime", Summary::single(log.load_ms));
    list.summary("startup_txns_loaded", Summary::single(log.load_entries));
}
