//! The commands of ZooKeeper's `AdminServer`, as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::environment::Environment;
use super::monitor::{self, Value as Figure};
use super::view::{ConnectionView, Parts, ResponseSize, Role, Serving, View};
use super::words::{interest, java_address};
use super::{NOT_SERVING, VERSION};
use crate::config::{Config, PeerType, Server};

/// What commands are answered from.
struct Context<'a> {
    view: &'a View,
    config: &'a Config,
    environment: &'a Environment,
}

/// One command under `/commands/`.
#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    aliases: &'static [&'static str],
    /// The lists it needs.
    pub parts: Parts,
    /// Without quorum it says no more than that.
    needs_serving: bool,
    body: fn(&Context<'_>) -> Value,
}

const NONE: Parts = Parts {
    connections: false,
    sessions: false,
    ephemerals: false,
    watches: false,
    directories: false,
    process: false,
    quotas: false,
};
const CONNECTIONS: Parts = Parts { connections: true, ..NONE };

macro_rules! command {
    ($name:literal, $aliases:expr, $parts:expr, $needs_serving:expr, $body:expr) => {
        Command {
            name: $name,
            aliases: &$aliases,
            parts: $parts,
            needs_serving: $needs_serving,
            body: $body,
        }
    };
}

/// All commands, by name.
pub const COMMANDS: &[Command] = &[
    command!("configuration", ["conf", "config"], NONE, true, configuration),
    command!("connection_stat_reset", ["crst"], NONE, false, only_reads),
    command!("connections", ["cons"], CONNECTIONS, true, connections),
    command!("dirs", [], Parts { directories: true, ..NONE }, true, dirs),
    command!("dump", [], Parts { sessions: true, ephemerals: true, ..NONE }, true, dump),
    command!("environment", ["env", "envi"], NONE, false, environment),
    command!("get_trace_mask", ["gtmk"], NONE, false, |_| json!({"tracemask": 306})),
    command!("hash", [], NONE, true, |_| json!({"digests": []})),
    command!("initial_configuration", ["icfg"], NONE, true, |_| {
        json!({"initial_configuration": null})
    }),
    command!("is_read_only", ["isro"], NONE, true, |c| {
        json!({"read_only": c.view.serving == Serving::ReadOnly})
    }),
    command!("last_snapshot", ["lsnp"], NONE, true, last_snapshot),
    command!("leader", ["lead"], NONE, true, leader),
    command!("monitor", ["mntr"], Parts { process: true, quotas: true, ..NONE }, true, monitor_all),
    command!("observer_connection_stat_reset", ["orst"], NONE, false, only_reads),
    command!("observers", ["obsr"], NONE, true, observers),
    command!("raft", [], NONE, false, raft),
    command!("ruok", [], NONE, false, |_| json!({})),
    command!("server_stats", ["srvr"], Parts { directories: true, ..NONE }, true, server_stats),
    command!("set_trace_mask", ["stmk"], NONE, false, only_reads),
    command!("stat_reset", ["srst"], NONE, false, only_reads),
    command!(
        "stats",
        ["stat"],
        Parts { directories: true, connections: true, ..NONE },
        true,
        stats
    ),
    command!("system_properties", ["sysp"], NONE, false, system_properties),
    command!("voting_view", [], NONE, true, voting_view),
    command!("watch_summary", ["wchs"], NONE, true, watch_summary),
    command!("watches", ["wchc"], Parts { watches: true, ..NONE }, true, watches),
    command!("watches_by_path", ["wchp"], Parts { watches: true, ..NONE }, true, watches_by_path),
    command!("zabstate", [], NONE, true, zabstate),
];

/// The command of a name or an alias.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name || command.aliases.contains(&name))
}

/// The whole answer; always an object with `command` and `error`.
pub fn answer(
    command: &Command,
    view: &View,
    config: &Config,
    environment: &Environment,
) -> String {
    let context = Context { view, config, environment };
    if command.needs_serving && view.serving == Serving::No {
        return failure(command.name, NOT_SERVING);
    }
    let mut body = (command.body)(&context);
    if let Value::Object(fields) = &mut body {
        fields.insert("command".to_owned(), command.name.into());
        fields.entry("error").or_insert(Value::Null);
        if context.view.lists_cut {
            fields.insert("truncated".to_owned(), true.into());
        }
    }
    text(&body)
}

/// The answer to a name that is no command, or when nothing could be learned of the server.
pub fn failure(name: &str, error: &str) -> String {
    text(&json!({"command": name, "error": error}))
}

fn text(body: &Value) -> String {
    format!("{body:#}\n")
}

/// Commands that change something in ZooKeeper.
fn only_reads(_: &Context<'_>) -> Value {
    json!({"error": "the admin server only reads: send the four-letter word to the client port"})
}

fn configuration(context: &Context<'_>) -> Value {
    let config = context.config;
    let mut body = json!({
        "client_port": config.client_listen.as_ref().map_or(-1, |listen| i32::from(listen.port)),
        "data_dir": config.data_dir.display().to_string(),
        "data_log_dir": config.data_log_dir.display().to_string(),
        "tick_time": config.tick_time_ms,
        "max_client_cnxns": config.max_client_cnxns,
        "min_session_timeout": config.min_session_timeout_ms,
        "max_session_timeout": config.max_session_timeout_ms,
        "server_id": config.id,
        "client_port_listen_backlog": -1,
    });
    if let Some(own) = config.own_server() {
        body["init_limit"] = config.init_limit_ticks.into();
        body["sync_limit"] = config.sync_limit_ticks.into();
        body["election_alg"] = 3.into();
        body["election_port"] = own.first().election_port.into();
        body["quorum_port"] = own.first().quorum_port.into();
        body["peer_type"] = u8::from(own.role == PeerType::Observer).into();
    }
    body
}

fn brief_connection(connection: &ConnectionView) -> Value {
    json!({
        "remote_socket_address": java_address(connection.peer),
        "interest_ops": interest(connection),
        "outstanding_requests": connection.queued,
        "packets_received": connection.received,
        "packets_sent": connection.sent,
    })
}

fn connections(context: &Context<'_>) -> Value {
    let list = context.view.connection_list.iter().map(|connection| {
        let mut body = brief_connection(connection);
        if connection.session != 0 {
            body["session_id"] = connection.session.into();
            body["last_operation"] = connection.last_operation.into();
            body["established"] = connection.established_ms.into();
            body["session_timeout"] = connection.timeout_ms.into();
            body["last_cxid"] = connection.last_cxid.into();
            body["last_zxid"] = connection.last_zxid.into();
            body["last_response_time"] = connection.last_response_ms.into();
            body["last_latency"] = connection.last_latency_ms.into();
            body["min_latency"] = connection.min_latency_ms.into();
            body["avg_latency"] = connection.avg_latency_ms.into();
            body["max_latency"] = connection.max_latency_ms.into();
        }
        body
    });
    json!({"connections": list.collect::<Vec<_>>(), "secure_connections": []})
}

fn dirs(context: &Context<'_>) -> Value {
    let sizes = context.view.directories.unwrap_or_default();
    json!({"datadir_size": sizes.data_bytes, "logdir_size": sizes.log_bytes})
}

fn dump(context: &Context<'_>) -> Value {
    let view = context.view;
    let mut by_expiry: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for session in &view.session_list {
        if let Some(expires_ms) = session.expires_ms {
            by_expiry.entry(expires_ms).or_default().push(session.id);
        }
    }
    let ephemerals: BTreeMap<i64, &Vec<String>> =
        view.ephemeral_list.iter().map(|(session, paths)| (*session, paths)).collect();
    json!({
        "expiry_time_to_session_ids": by_expiry,
        "session_id_to_ephemeral_paths": ephemerals,
    })
}

fn environment(context: &Context<'_>) -> Value {
    let mut fields = Map::new();
    fields.insert("zookeeper.version".to_owned(), VERSION.into());
    for (name, value) in &context.environment.lines {
        fields.insert((*name).to_owned(), value.as_str().into());
    }
    Value::Object(fields)
}

fn last_snapshot(context: &Context<'_>) -> Value {
    let snapshot = context.view.log.last_snapshot;
    json!({
        "zxid": format!("{:x}", snapshot.map_or(0, |s| s.zxid)),
        "timestamp": snapshot.map_or(0, |s| s.time_ms / 1000),
    })
}

fn leader(context: &Context<'_>) -> Value {
    let (view, config) = (context.view, context.config);
    let Some(id) = view.raft.leader.filter(|_| !config.standalone) else {
        return json!({"is_leader": view.role == Role::Standalone});
    };
    json!({
        "is_leader": view.role == Role::Leader,
        "leader_id": id,
        "leader_ip": config.servers.get(&id).map(|server| server.first().host.as_str()),
    })
}

fn monitor_all(context: &Context<'_>) -> Value {
    let view = context.view;
    let mut fields = Map::new();
    fields.insert("version".to_owned(), VERSION.into());
    fields.insert("server_state".to_owned(), monitor::server_state(view).into());
    if let Some(state) = monitor::peer_state(view) {
        fields.insert("peer_state".to_owned(), state.into());
    }
    for (name, value) in monitor::quotas(view) {
        fields.insert(name, value.into());
    }
    for metric in monitor::gather(view) {
        let name = metric.name;
        match metric.value {
            Figure::Integer(value) => {
                fields.insert(name.to_owned(), value.into());
            }
            Figure::Double(value) => {
                fields.insert(name.to_owned(), value.into());
            }
            Figure::Summary(summary) => {
                let average = monitor::four_decimals(summary.average);
                fields.insert(format!("avg_{name}"), average.into());
                fields.insert(format!("min_{name}"), summary.min.into());
                fields.insert(format!("max_{name}"), summary.max.into());
                fields.insert(format!("cnt_{name}"), summary.count.into());
                fields.insert(format!("sum_{name}"), summary.sum.into());
                for (quantile, _, value) in summary.quantiles {
                    fields.insert(format!("{quantile}_{name}"), value.into());
                }
            }
        }
    }
    Value::Object(fields)
}

fn observers(context: &Context<'_>) -> Value {
    let members = context.view.raft.members.iter().filter(|member| member.observer);
    let synced = members.clone().filter(|member| member.synced).count();
    let list = members.map(|member| json!({"sid": member.id, "connected": member.connected}));
    json!({"synced_observers": synced, "observers": list.collect::<Vec<_>>()})
}

/// Ours: the replication as it is.
fn raft(context: &Context<'_>) -> Value {
    let raft = &context.view.raft;
    let members = raft.members.iter().map(|member| {
        json!({
            "id": member.id,
            "voter": member.voter,
            "observer": member.observer,
            "connected": member.connected,
            "synced": member.synced,
            "match_index": member.match_index,
            "last_heard_ms": member.last_heard_ms,
        })
    });
    json!({
        "server_id": context.config.id,
        "cluster_id": format!("{:032x}", raft.cluster_id),
        "peers_authenticated": raft.peers_authenticated,
        "peers_unencrypted": raft.peers_unencrypted,
        "role": monitor::server_state(context.view),
        "serving": context.view.serving != Serving::No,
        "zxid": format!("{:#x}", context.view.zxid),
        "term": raft.term,
        "leader": raft.leader,
        "commit_index": raft.commit_index,
        "applied_index": raft.applied_index,
        "last_index": raft.last_index,
        "first_index": raft.first_index,
        "lease_remaining_ms": raft.lease_remaining_ms,
        "elections": raft.elections,
        "leader_changes": raft.leader_changes,
        "members": members.collect::<Vec<_>>(),
    })
}

fn buffer_sizes(size: ResponseSize) -> Value {
    json!({
        "last_buffer_size": size.last,
        "min_buffer_size": size.min,
        "max_buffer_size": size.max,
    })
}

fn server_stats(context: &Context<'_>) -> Value {
    let view = context.view;
    let traffic = &view.traffic;
    let sizes = view.directories.unwrap_or_default();
    let mut body = json!({
        "version": VERSION,
        "read_only": view.serving == Serving::ReadOnly,
        "server_stats": {
            "packets_sent": traffic.sent,
            "packets_received": traffic.received,
            "fsync_threshold_exceed_count": 0,
            "client_response_stats": buffer_sizes(traffic.response_size),
            "provider_null": false,
            "server_state": monitor::server_state(view),
            "outstanding_requests": traffic.outstanding,
            "min_latency": traffic.latency_us.min() / 1000,
            "avg_latency": monitor::four_decimals(traffic.latency_us.average() / 1000.0),
            "max_latency": traffic.latency_us.max() / 1000,
            "data_dir_size": sizes.data_bytes,
            "log_dir_size": sizes.log_bytes,
            "last_processed_zxid": view.zxid,
            "num_alive_client_connections": traffic.connections,
            "auth_failed_count": traffic.auth_failed,
            "non_mtlsremote_conn_count": 0,
            "non_mtlslocal_conn_count": 0,
            "uptime": view.uptime_ms,
        },
        "client_response": buffer_sizes(traffic.response_size),
        "node_count": view.tree.node_count,
    });
    if view.role == Role::Leader {
        body["proposal_stats"] = buffer_sizes(view.raft.proposal_size);
    }
    body
}

fn stats(context: &Context<'_>) -> Value {
    let mut body = server_stats(context);
    let list = context.view.connection_list.iter().map(brief_connection);
    body["connections"] = list.collect();
    body["secure_connections"] = json!([]);
    body
}

fn system_properties(context: &Context<'_>) -> Value {
    let config = context.config;
    let mut fields = Map::new();
    for (name, value) in &context.environment.lines {
        fields.insert((*name).to_owned(), value.as_str().into());
    }
    for (id, server) in &config.servers {
        fields.insert(format!("zookeeper.server.{id}"), server.to_string().into());
    }
    fields.insert("jute.maxbuffer".to_owned(), config.jute_max_buffer.to_string().into());
    Value::Object(fields)
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn client_address(context: &Context<'_>, id: u8, server: &Server) -> String {
    let own = context.config.client_listen.as_ref().filter(|_| id == context.config.id);
    own.or(server.client.as_ref()).map(ToString::to_string).unwrap_or_default()
}

fn voting_view(context: &Context<'_>) -> Value {
    let members = context.config.servers.iter().filter(|(_, s)| s.role == PeerType::Participant);
    let members: BTreeMap<String, Value> = members
        .map(|(id, server)| {
            let body = json!({
                "server_addresses": texts(&server.quorum_addresses()),
                "election_addresses": texts(&server.election_addresses()),
                "client_address": client_address(context, *id, server),
                "learner_type": server.role.to_string(),
            });
            (id.to_string(), body)
        })
        .collect();
    json!({"current_config": members})
}

fn watch_summary(context: &Context<'_>) -> Value {
    let watches = context.view.watches;
    json!({
        "num_connections": watches.data_connections,
        "num_paths": watches.data_paths,
        "num_total_watches": watches.data_total,
    })
}

fn watches(context: &Context<'_>) -> Value {
    let mut map: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (session, path) in &context.view.watch_list {
        map.entry(*session).or_default().push(path);
    }
    json!({"session_id_to_watched_paths": map})
}

fn watches_by_path(context: &Context<'_>) -> Value {
    let mut map: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (session, path) in &context.view.watch_list {
        map.entry(path).or_default().push(*session);
    }
    json!({"path_to_session_ids": map})
}

fn zabstate(context: &Context<'_>) -> Value {
    let (view, config) = (context.view, context.config);
    let mut body = json!({
        "myid": config.id,
        "is_leader": view.role == Role::Leader,
        "voting": config.is_participant(),
        "last_zxid": format!("{:#x}", view.zxid),
        "zab_epoch": view.zxid >> 32,
        "zab_counter": view.zxid & 0xffff_ffff,
        "zabstate": "broadcast",
    });
    if let Some(own) = config.own_server() {
        body["quorum_address"] = addresses(&own.quorum_addresses());
        body["election_address"] = addresses(&own.election_addresses());
        body["client_address"] = client_address(context, config.id, own).into();
    }
    body
}

fn texts(addresses: &[(String, u16)]) -> Vec<String> {
    addresses.iter().map(|(host, port)| address(host, *port)).collect()
}

fn addresses(addresses: &[(String, u16)]) -> Value {
    let texts = texts(addresses);
    let (hosts, ports): (Vec<&str>, Vec<u16>) =
        addresses.iter().map(|(host, port)| (host.as_str(), *port)).unzip();
    json!({
        "empty": false,
        "one": texts.first(),
        "all_addresses": texts,
        "all_ports": ports,
        "all_host_strings": hosts,
    })
}
