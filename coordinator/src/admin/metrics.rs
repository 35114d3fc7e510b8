//! `/metrics`: Prometheus text, version 0.0.4, names as ZooKeeper's provider has them, then ours.

use std::fmt::Write;

use super::histogram::Histogram;
use super::monitor::{self, Summary, Value};
use super::view::{Role, Serving, View};

/// Upper bounds of our own time histograms, in microseconds.
const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// Renders everything.
pub fn render(view: &View) -> String {
    let mut out = Text(String::with_capacity(16 * 1024));
    for metric in monitor::gather(view) {
        let kind = if metric.counter { "counter" } else { "gauge" };
        match metric.value {
            Value::Integer(value) => out.simple(metric.name, metric.name, kind, value as f64),
            Value::Double(value) => out.simple(metric.name, metric.name, kind, value),
            Value::Summary(summary) => out.summary(metric.name, &summary),
        }
    }
    quotas(view, &mut out);
    process(view, &mut out);
    ours(view, &mut out);
    out.0
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value:?}");
    }

    fn simple(&mut self, name: &str, help: &str, kind: &str, value: f64) {
        self.head(name, help, kind);
        self.line(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.simple(name, help, "gauge", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.simple(name, help, "counter", value as f64);
    }

    fn summary(&mut self, name: &str, summary: &Summary) {
        self.head(name, name, "summary");
        for (_, share, value) in &summary.quantiles {
            self.line(name, &format!("{{quantile=\"{share}\",}}"), *value as f64);
        }
        self.line(&format!("{name}_count"), "", summary.count as f64);
        self.line(&format!("{name}_sum"), "", summary.sum as f64);
    }

    /// A histogram in seconds of times kept in microseconds.
    fn seconds(&mut self, name: &str, help: &str, histogram_us: &Histogram) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        for bound in BOUNDS_US {
            let labels = format!("{{le=\"{:?}\"}}", bound as f64 / 1e6);
            self.line(&bucket, &labels, histogram_us.count_to(bound) as f64);
        }
        self.line(&bucket, "{le=\"+Inf\"}", histogram_us.count() as f64);
        self.line(&format!("{name}_count"), "", histogram_us.count() as f64);
        self.line(&format!("{name}_sum"), "", histogram_us.sum() as f64 / 1e6);
    }
}

/// ZooKeeper's provider labels the members of a set `key`.
fn quotas(view: &View, out: &mut Text) {
    for (name, grows, figure) in monitor::QUOTA_FIGURES {
        let known: Vec<_> =
            view.quota_list.iter().filter(|quota| !grows || figure(quota) > 0).collect();
        if known.is_empty() {
            continue;
        }
        out.head(name, name, if grows { "counter" } else { "gauge" });
        for quota in known {
            let key =
                quota.namespace.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            out.line(name, &format!("{{key=\"{key}\",}}"), figure(quota) as f64);
        }
    }
}

/// As Prometheus' own collectors name them.
fn process(view: &View, out: &mut Text) {
    let Some(process) = view.process else { return };
    out.simple(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        "counter",
        process.cpu_ms as f64 / 1e3,
    );
    out.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        process.start_ms as f64 / 1e3,
    );
    out.gauge("process_open_fds", "Number of open file descriptors.", process.open_files as f64);
    out.gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        process.max_files as f64,
    );
    out.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        process.resident_bytes as f64,
    );
    out.gauge("process_threads", "Number of threads.", process.threads as f64);
}

fn ours(view: &View, out: &mut Text) {
    let raft = &view.raft;
    let flag = |set: bool| f64::from(u8::from(set));
    out.gauge(
        "coordinator_serving",
        "1 while clients are served with writes.",
        flag(view.serving == Serving::ReadWrite),
    );
    out.gauge(
        "coordinator_leader",
        "1 on the leader and on a standalone server.",
        flag(matches!(view.role, Role::Leader | Role::Standalone)),
    );
    out.gauge(
        "coordinator_peers_authenticated",
        "1 where every member has to know a secret.",
        flag(raft.peers_authenticated),
    );
    out.gauge(
        "coordinator_peers_unencrypted",
        "Linked members to which everything goes in a form that can be read on the way.",
        raft.peers_unencrypted as f64,
    );
    out.gauge("coordinator_raft_term", "Term of the replication.", raft.term as f64);
    for (name, help, index) in [
        ("commit", "Last entry known to be committed.", raft.commit_index),
        ("applied", "Last entry applied here.", raft.applied_index),
        ("last", "Last entry in the log.", raft.last_index),
        ("first", "First entry in the log.", raft.first_index),
    ] {
        out.gauge(&format!("coordinator_raft_{name}_index"), help, index as f64);
    }
    out.counter("coordinator_raft_elections_total", "Elections begun here.", raft.elections);
    out.counter("coordinator_raft_leader_changes_total", "New leaders seen.", raft.leader_changes);
    out.counter("coordinator_forwarded_writes_total", "Writes sent to a leader.", raft.forwarded);
    out.counter(
        "coordinator_resent_writes_total",
        "Writes sent again after a leader change.",
        raft.resent,
    );
    out.counter(
        "coordinator_snapshots_received_total",
        "Snapshots received whole.",
        raft.snapshots_received,
    );
    out.gauge(
        "coordinator_lease_seconds",
        "How long clients may be answered without word from the leader.",
        raft.lease_remaining_ms as f64 / 1e3,
    );
    members(view, out);
    out.seconds(
        "coordinator_fsync_seconds",
        "Time of one fdatasync of the log.",
        &view.log.fsync_us,
    );
    out.seconds(
        "coordinator_request_seconds",
        "From receipt of a request to its reply.",
        &view.traffic.latency_us,
    );
    out.seconds(
        "coordinator_quorum_seconds",
        "From proposal to commit, on the leader.",
        &raft.quorum_ack_us,
    );
    out.counter(
        "coordinator_log_bytes_total",
        "Bytes written to the log.",
        view.log.appended_bytes,
    );
    out.gauge("coordinator_log_segments", "Files of the log.", view.log.segments as f64);
    out.gauge(
        "coordinator_tree_memory_bytes",
        "Memory that the znodes take.",
        view.tree.memory_bytes as f64,
    );
    out.counter("coordinator_sessions_closed_total", "Sessions closed.", view.sessions.closed);
    out.counter("coordinator_sessions_expired_total", "Sessions expired.", view.sessions.expired);
    let traffic = &view.traffic;
    out.head("coordinator_events_total", "Watch events sent.", "counter");
    for (kind, count) in [
        ("node_created", traffic.events_node_created),
        ("node_deleted", traffic.events_node_deleted),
        ("node_data_changed", traffic.events_node_changed),
        ("node_children_changed", traffic.events_node_children),
    ] {
        out.line("coordinator_events_total", &format!("{{type=\"{kind}\"}}"), count as f64);
    }
    for extra in &view.extra {
        let kind = if extra.counter { "counter" } else { "gauge" };
        out.simple(&format!("coordinator_{}", extra.name), extra.help, kind, extra.value);
    }
}

fn members(view: &View, out: &mut Text) {
    let members = &view.raft.members;
    let label = |id: u8| format!("{{id=\"{id}\"}}");
    out.head("coordinator_member_connected", "1 while a member is connected.", "gauge");
    for member in members {
        let connected = f64::from(u8::from(member.connected));
        out.line("coordinator_member_connected", &label(member.id), connected);
    }
    out.head("coordinator_member_voter", "1 while a member votes.", "gauge");
    for member in members {
        out.line("coordinator_member_voter", &label(member.id), f64::from(u8::from(member.voter)));
    }
    if view.role != Role::Leader {
        return;
    }
    out.head(
        "coordinator_member_lag_entries",
        "Entries of the log that a member is not known to have.",
        "gauge",
    );
    for member in members {
        let lag = view.raft.last_index.saturating_sub(member.match_index);
        out.line("coordinator_member_lag_entries", &label(member.id), lag as f64);
    }
}
