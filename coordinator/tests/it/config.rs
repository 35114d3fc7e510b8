//! Configuration files to what the server understands: `tests/cases/config`.
//!
//! A case is a properties file. Lines `#% myid TEXT`, `#% -D NAME=VALUE` and `#% file PATH TEXT`
//! in it say what else there is. The output is what differs from the defaults, then warnings.

use std::fmt::Write;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use coordinator::config::{Config, HttpPort};

#[test]
fn cases() {
    crate::cases::check("config", run);
}

fn run(input: &str) -> String {
    let mut files = Vec::new();
    let mut overrides = Vec::new();
    for line in input.lines().filter_map(|line| line.strip_prefix("#% ")) {
        match line.split_once(' ').unwrap() {
            ("myid", text) => files.push((PathBuf::from("/data/myid"), unescape(text))),
            ("-D", pair) => overrides.push(pair.to_owned()),
            ("file", rest) => {
                let (path, text) = rest.split_once(' ').unwrap();
                files.push((PathBuf::from(path), unescape(text)));
            }
            (other, _) => panic!("`{other}` is no directive of these cases"),
        }
    }
    let mut read = |path: &Path| {
        let found = files.iter().find(|(name, _)| name == path);
        found.map(|(_, text)| text.clone().into_bytes()).ok_or(Error::from(ErrorKind::NotFound))
    };
    match Config::parse(Path::new("zoo.cfg"), input.as_bytes(), &overrides, &mut read) {
        Err(error) => format!("error: {error}"),
        Ok((config, warnings)) => {
            let mut out = String::new();
            for (field, default) in describe(&config).iter().zip(describe(&defaults())) {
                if *field != default {
                    writeln!(out, "{field}").unwrap();
                }
            }
            for warning in warnings {
                writeln!(out, "warning: {warning}").unwrap();
            }
            out
        }
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r")
}

fn defaults() -> Config {
    let mut read = |_: &Path| Err(Error::from(ErrorKind::NotFound));
    Config::parse(Path::new("zoo.cfg"), b"dataDir=/data", &[], &mut read).unwrap().0
}

fn https(port: &HttpPort) -> String {
    let tls = port.tls.as_ref();
    let tls = tls.map(|tls| {
        let asked = tls.stores.settings.client_auth;
        format!(" TLS, asks {asked:?}, plain too: {}", tls.plain_too)
    });
    tls.unwrap_or_default()
}

/// One line a field, the same fields in the same order for every configuration.
fn describe(config: &Config) -> Vec<String> {
    let servers: Vec<String> =
        config.servers.iter().map(|(id, server)| format!("{id}={server}")).collect();
    let listen = config.client_listen.as_ref().map(ToString::to_string);
    let admin = config.admin.as_ref();
    let admin = admin.map(|a| format!("{} {}{}", a.port.listen, a.command_url, https(&a.port)));
    let metrics: Vec<String> =
        config.metrics.iter().map(|port| format!("{}{}", port.listen, https(port))).collect();
    vec![
        format!("id {}", config.id),
        format!("standalone {}", config.standalone),
        format!("participant {}", config.is_participant()),
        format!("servers {servers:?}"),
        format!("tick {} ms", config.tick_time_ms),
        format!("init {} sync {} ticks", config.init_limit_ticks, config.sync_limit_ticks),
        format!("data {}", config.data_dir.display()),
        format!("log {}", config.data_log_dir.display()),
        format!("clients at {listen:?}"),
        format!("connections {} per address, {} in all", config.max_client_cnxns, config.max_cnxns),
        format!(
            "session {} to {} ms",
            config.min_session_timeout_ms, config.max_session_timeout_ms
        ),
        format!("quorum on all addresses {}", config.quorum_listen_on_all_ips),
        format!("snapshot every {}", config.snap_count),
        format!("keep {}", config.snap_retain_count),
        format!("fsync {} warn {} ms", config.force_sync, config.fsync_warning_ms),
        format!("words {:?}", config.whitelist),
        format!("ttl {}", config.extended_types_enabled),
        format!(
            "containers every {} ms, unused after {:?}",
            config.container_check_interval_ms, config.container_never_used_ms
        ),
        format!("frame {} bytes", config.jute_max_buffer),
        format!("skip acl {}", config.skip_acl),
        format!("quotas enforced {}", config.enforce_quota),
        format!("super {:?}", config.super_digest),
        format!("reconfig {} two voters {}", config.reconfig_enabled, config.standalone_enabled),
        format!("local sessions {}, {}", config.local_sessions, config.local_sessions_upgrade),
        format!("{:?}", config.security),
        format!(
            "{:?}",
            config.client_tls.as_ref().map(|tls| (
                &tls.listen,
                tls.stores.settings.client_auth,
                &tls.stores.key_store,
                &tls.stores.trust_store
            ))
        ),
        format!(
            "members {:?}",
            config.quorum_tls.as_ref().map(|tls| (
                tls.dials,
                tls.plain_too,
                tls.names_of_diallers,
                tls.names_of_dialled,
                tls.stores.settings.client_auth,
                &tls.stores.key_store,
                &tls.stores.trust_store
            ))
        ),
        format!("read-only mode {}", config.read_only_mode),
        format!("admin {admin:?}"),
        format!("metrics {metrics:?}"),
        format!("election {} heartbeat {} ms", config.election_timeout_ms, config.heartbeat_ms),
        format!("busy poll {}", config.busy_poll),
        format!("secret {:?}", config.secret),
        format!("admin socket {}", config.admin_socket.display()),
        format!("passwords {:?}", config.session_passwords),
        format!("audit {:?}", config.audit),
    ]
}
