//! `zookeeper.properties` and `myid`: what the server is told, checked before anything starts.
//!
//! A key that would change what the ensemble promises, and that is not supported, is an error;
//! an unknown one is a warning by name; none is ignored in silence.

mod audit;
mod builder;
mod client;
mod dynamic;
mod entries;
mod error;
mod http;
mod keys;
mod properties;
mod secret;
mod security;
mod server;
mod store_file;
mod tls;
mod whitelist;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::session_password::PasswordRule;

pub use audit::AuditConfig;
pub use client::{ClientConfig, ClientStores};
pub use error::{ConfigError, EXIT_CODE, Warning};
pub use http::{AdminConfig, HttpPort, HttpTls};
pub use secret::Secret;
pub use security::Security;
pub use server::{Listen, PeerAddress, PeerType, Server};
pub use store_file::{Password, StoreFile, read_line};
pub use tls::{ClientTls, QuorumTls, TlsStores};
pub use whitelist::Whitelist;

/// The keys and values of a `.properties` file, as Java reads them; `None` where Java refuses the file.
pub fn read_properties(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let all = properties::parse(bytes).ok()?;
    Some(all.into_iter().map(|property| (property.key, property.value)).collect())
}

/// `jute.maxbuffer` where nothing else is said: 1 MiB less one byte.
pub const JUTE_MAX_BUFFER_DEFAULT: u32 = 0xf_ffff;

/// The longest frame of a client: with what travels beside it, it fits into one message between
/// servers.
pub const JUTE_MAX_BUFFER_MAX: u32 = 60 << 20;

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// The server's own id, from `myid`; 1 for a standalone server that has none.
    pub id: u8,
    /// No peers and no quorum port: no `server.N` line, or one with `standaloneEnabled`.
    pub standalone: bool,
    /// All members by id, this server included; empty when standalone.
    pub servers: BTreeMap<u8, Server>,
    pub tick_time_ms: u32,
    /// 0 when standalone.
    pub init_limit_ticks: u32,
    /// 0 when standalone.
    pub sync_limit_ticks: u32,
    pub data_dir: PathBuf,
    pub data_log_dir: PathBuf,
    /// Where clients connect: `clientPort`, else what stands behind `;` in the own line.
    pub client_listen: Option<Listen>,
    /// Connections allowed from one address; 0 for any number.
    pub max_client_cnxns: u32,
    /// Connections allowed in all; 0 for any number.
    pub max_cnxns: u32,
    pub min_session_timeout_ms: u32,
    pub max_session_timeout_ms: u32,
    /// Bind the peers' ports on all addresses instead of the own line's host.
    pub quorum_listen_on_all_ips: bool,
    /// Operations between snapshots, before they are spread out.
    pub snap_count: u32,
    pub snap_retain_count: u32,
    /// False: acknowledge before the disk has it. Unsafe.
    pub force_sync: bool,
    pub fsync_warning_ms: u32,
    pub whitelist: Whitelist,
    /// May clients create TTL nodes?
    pub extended_types_enabled: bool,
    /// How often the leader looks for empty containers and outlived TTL nodes.
    pub container_check_interval_ms: u32,
    /// How many of them it deletes in a minute.
    pub container_max_per_minute: u32,
    /// Containers that never had a child go after this; `None`: never.
    pub container_never_used_ms: Option<u32>,
    /// Longest frame a client may send, in bytes.
    pub jute_max_buffer: u32,
    /// Requests of all clients that are not answered; beyond it each connection gets one at a time.
    pub requests_in_flight_max: u32,
    /// The same for their bytes, with those of answers that are not sent.
    pub bytes_in_flight_max: u32,
    pub skip_acl: bool,
    /// Refuse what goes over hard quotas.
    pub enforce_quota: bool,
    /// `NAME:DIGEST` that passes every permission check.
    pub super_digest: Option<String>,
    /// Clients may change the members.
    pub reconfig_enabled: bool,
    /// Fewer than two voters are no ensemble.
    pub standalone_enabled: bool,
    /// New sessions are not replicated.
    pub local_sessions: bool,
    /// Local sessions are replicated from their first ephemeral on.
    pub local_sessions_upgrade: bool,
    /// Where changes are told to auditors; `None`: nowhere.
    pub audit: Option<AuditConfig>,
    /// Who may log in, and who must.
    pub security: Security,
    /// TLS for clients; `None` without a port for it.
    pub client_tls: Option<ClientTls>,
    /// TLS between members; `None`: it is not spoken.
    pub quorum_tls: Option<QuorumTls>,
    /// Serve reads to clients that allow it while there is no quorum.
    pub read_only_mode: bool,
    /// The HTTP server under `admin.*`; `None` when switched off.
    pub admin: Option<AdminConfig>,
    /// Where Prometheus finds `/metrics`; none without its provider.
    pub metrics: Vec<HttpPort>,
    pub election_timeout_ms: u32,
    pub heartbeat_ms: u32,
    /// Poll briefly instead of sleeping while requests come quickly; false saves CPU.
    pub busy_poll: bool,
    /// What peers prove knowledge of; `None` trusts the network.
    pub secret: Option<Secret>,
    pub admin_socket: PathBuf,
    /// How passwords of new sessions are made.
    pub session_passwords: PasswordRule,
}

impl Config {
    /// Reads the file, `myid` and the secret. `overrides` are `NAME=VALUE` pairs in the manner of
    /// Java's `-D`: they beat the file, and `zookeeper.` before a key of the file is dropped.
    pub fn load(
        path: &Path,
        overrides: &[String],
    ) -> Result<(Config, Vec<Warning>), Box<ConfigError>> {
        let text = std::fs::read(path).map_err(|error| ConfigError {
            file: path.to_owned(),
            line: None,
            key: None,
            message: format!("cannot read the file: {error}"),
            hint: "name the path of a zookeeper.properties file that this user may read".to_owned(),
        })?;
        Config::parse(path, &text, overrides, &mut |file| std::fs::read(file))
    }

    /// As [`Config::load`], of text; other files (`myid`, the secret) come from `read`.
    pub fn parse(
        path: &Path,
        text: &[u8],
        overrides: &[String],
        read: &mut dyn FnMut(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<(Config, Vec<Warning>), Box<ConfigError>> {
        entries::Entries::new(path, text, overrides)?.build(read)
    }

    /// The own line among the members; `None` when standalone.
    pub fn own_server(&self) -> Option<&Server> {
        self.servers.get(&self.id)
    }

    /// The data of `/zookeeper/config`: the members as clients read them to learn of servers
    /// (`QuorumMaj.toString`). `None` when standalone, and when the own line has a wildcard: sent
    /// to clients it would lead them to themselves.
    pub fn published_members(&self) -> Option<String> {
        if self.servers.is_empty() || self.servers.values().any(Server::is_wildcard) {
            return None;
        }
        let lines = self.servers.iter().map(|(id, server)| format!("server.{id}={server}\n"));
        // The ensemble's own list has the zxid of its entry for a version.
        let version = if self.reconfig_enabled { "version=" } else { "version=0" };
        Some(lines.collect::<String>() + version)
    }

    /// Is this server a voter?
    pub fn is_participant(&self) -> bool {
        self.own_server().is_none_or(|server| server.role == PeerType::Participant)
    }

    /// The timeout a client gets that asks for `requested_ms`.
    pub fn clamp_session_timeout_ms(&self, requested_ms: i32) -> i32 {
        let requested = u32::try_from(requested_ms).unwrap_or(0);
        let allowed = requested.clamp(self.min_session_timeout_ms, self.max_session_timeout_ms);
        i32::try_from(allowed).unwrap_or(i32::MAX)
    }
}
