//! From properties to [`Config`]: defaults, and the rules across keys.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::entries::{Entries, Result};
use super::error::{ConfigError, Warning};
use super::secret::Secret;
use super::whitelist::Whitelist;
use crate::session_password::PasswordRule;

use super::{
    Config, JUTE_MAX_BUFFER_DEFAULT, JUTE_MAX_BUFFER_MAX, Listen, PeerType, QuorumTls, Server,
};

pub(super) type Read<'a> = &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>;

/// `autopurge.snapRetainCount` is raised to this, as in ZooKeeper.
const SNAP_RETAIN_MIN: u32 = 3;
/// A frame of fewer bytes than this could not carry a handshake and a path.
const JUTE_MAX_BUFFER_MIN: u32 = 1024;
/// The longest `myid` that is read at all.
const MYID_BYTES_MAX: usize = 64;
/// More voters than this slow every write and make nothing safer.
const PARTICIPANTS_USUAL_MAX: usize = 7;

impl Entries {
    pub(super) fn build(mut self, read: Read<'_>) -> Result<(Config, Vec<Warning>)> {
        self.take_dynamic_file(&mut *read)?;
        let tick_time_ms = self.number("tickTime", 3000, 1..=3_600_000)?;
        let data_dir = self.required_path("dataDir")?;
        let data_log_dir = self.path("dataLogDir").unwrap_or_else(|| data_dir.clone());
        let read_only_mode = self.switch("readonlymode.enabled", false)?;
        // Old snapshots and logs go whenever a new snapshot is complete, so only its form counts.
        self.number::<u32>("autopurge.purgeInterval", 0, 0..=100_000)?;
        let standalone_enabled = self.switch("standaloneEnabled", true)?;

        let mut servers = self.servers()?;
        let standalone = self.is_standalone(&servers, standalone_enabled)?;
        let id = self.own_id(&data_dir, &servers, standalone, &mut *read)?;
        self.check_servers(&servers, id, standalone)?;
        let own_client = servers.get(&id).and_then(|server| server.client.clone());
        let client_listen = self.client_listen(own_client)?;
        if standalone {
            servers.clear();
        }
        let (init_limit_ticks, sync_limit_ticks) = if standalone {
            (0, 0)
        } else {
            (self.required_ticks("initLimit")?, self.required_ticks("syncLimit")?)
        };
        self.check_peer_type(servers.get(&id), id)?;
        let (min_session_timeout_ms, max_session_timeout_ms) =
            self.session_timeouts(tick_time_ms)?;
        let whitelist = match self.text("4lw.commands.whitelist") {
            Some(value) => Whitelist::parse(&value),
            None => Whitelist::default_with(read_only_mode),
        };
        let (election_timeout_ms, heartbeat_ms) = self.raft_timers()?;
        let quorum_tls = self.quorum_tls(standalone)?;
        let proved = standalone || quorum_tls.as_ref().is_some_and(QuorumTls::is_mutual);
        let config = Config {
            file: self.file.clone(),
            id,
            standalone,
            tick_time_ms,
            init_limit_ticks,
            sync_limit_ticks,
            client_listen,
            max_client_cnxns: self.number("maxClientCnxns", 60, 0..=i32::MAX)?,
            max_cnxns: self.number("maxCnxns", 0, 0..=i32::MAX)?,
            min_session_timeout_ms,
            max_session_timeout_ms,
            quorum_listen_on_all_ips: self.switch("quorumListenOnAllIPs", false)?,
            snap_count: self.number("snapCount", 250_000, 2..=i32::MAX)?,
            snap_retain_count: self.snap_retain_count()?,
            force_sync: self.force_sync()?,
            fsync_warning_ms: self.number("fsync.warningthresholdms", 1000, 0..=i32::MAX)?,
            whitelist,
            extended_types_enabled: self.switch("extendedTypesEnabled", false)?,
            container_check_interval_ms: self.number(
                "znode.container.checkIntervalMs",
                60_000,
                1..=i32::MAX,
            )?,
            container_max_per_minute: self.number(
                "znode.container.maxPerMinute",
                10_000,
                1..=i32::MAX,
            )?,
            container_never_used_ms: Some(self.number(
                "znode.container.maxNeverUsedIntervalMs",
                0,
                0..=i32::MAX,
            )?)
            .filter(|&ms| ms > 0),
            jute_max_buffer: self.jute_max_buffer()?,
            requests_in_flight_max: self.number("globalOutstandingLimit", 100_000, 1..=i32::MAX)?,
            bytes_in_flight_max: self.number("largeRequestMaxBytes", 100 << 20, 1..=i32::MAX)?,
            skip_acl: self.yes_no("skipACL", false)?,
            enforce_quota: self.switch("enforceQuota", false)?,
            super_digest: self.super_digest()?,
            audit: self.audit()?,
            security: self.security(&mut *read)?,
            client_tls: self.client_tls()?,
            quorum_tls,
            read_only_mode,
            reconfig_enabled: self.switch("reconfigEnabled", false)?,
            standalone_enabled,
            local_sessions: self.local_sessions(standalone)?,
            local_sessions_upgrade: self.switch("localSessionsUpgradingEnabled", false)?,
            admin: self.admin()?,
            metrics: self.metrics()?,
            election_timeout_ms,
            heartbeat_ms,
            busy_poll: self.busy_poll()?,
            secret: self.secret(proved, &mut *read)?,
            admin_socket: self
                .path("coordinator.adminSocket")
                .unwrap_or_else(|| data_dir.join("coordinator").join("admin.sock")),
            session_passwords: self.session_passwords()?,
            data_dir,
            data_log_dir,
            servers,
        };
        Ok((config, self.warnings))
    }

    // Members.

    fn servers(&self) -> Result<BTreeMap<u8, Server>> {
        let several = self.switch("multiAddress.enabled", false)?;
        let mut servers = BTreeMap::new();
        for (key, value) in self.iter() {
            let Some(number) = key.strip_prefix("server.") else { continue };
            let form = "write server.N=host:quorumPort:electionPort[:participant|observer][;[host:]clientPort], N from 1 to 254";
            let Ok(id @ 1..=254) = number.parse::<u8>() else {
                let message = format!("id `{number}` is not a number from 1 to 254");
                return Err(self.error(key, message, form));
            };
            let server = Server::parse(value).map_err(|what| self.error_value(key, what, form))?;
            if server.addresses.len() > 1 && !several {
                return Err(self.error_value(
                    key,
                    "several addresses (`|`) need multiAddress.enabled=true",
                    "name one address, or set multiAddress.enabled=true on all servers",
                ));
            }
            if servers.insert(id, server).is_some() {
                return Err(self.error(key, format!("id {id} is given twice"), form));
            }
        }
        Ok(servers)
    }

    fn is_standalone(
        &self,
        servers: &BTreeMap<u8, Server>,
        standalone_enabled: bool,
    ) -> Result<bool> {
        let voters = servers.values().filter(|s| s.role == PeerType::Participant).count();
        if voters == 0 && !standalone_enabled && servers.is_empty() {
            return Err(self.error(
                "standaloneEnabled",
                "false needs at least one server.N line",
                "add the server.N lines, or set standaloneEnabled to true",
            ));
        }
        if voters < servers.len() && (voters == 0 || (voters == 1 && standalone_enabled)) {
            let first = servers.keys().next().map(|id| format!("server.{id}")).unwrap_or_default();
            return Err(self.error(
                &first,
                format!("observers need an ensemble, {voters} participants are given"),
                "name the participants, and set standaloneEnabled=false if there is only one",
            ));
        }
        Ok(servers.is_empty() || (servers.len() == 1 && standalone_enabled))
    }

    fn check_servers(
        &mut self,
        servers: &BTreeMap<u8, Server>,
        own: u8,
        standalone: bool,
    ) -> Result<()> {
        if standalone {
            if let Some(id) = servers.keys().next() {
                self.warn(
                    &format!("server.{id}"),
                    "the only server: it runs standalone and listens for no peers".to_owned(),
                );
            }
            return Ok(());
        }
        let mut taken = BTreeMap::new();
        for (&id, server) in servers {
            let key = format!("server.{id}");
            if id != own && server.is_wildcard() {
                return Err(self.error_value(
                    &key,
                    format!("the wildcard address is for the own id ({own}) only"),
                    "name the address at which the others reach that server",
                ));
            }
            let ports = server.quorum_addresses().into_iter().chain(server.election_addresses());
            for (host, port) in ports {
                if let Some(other) = taken.insert((host, port), id) {
                    return Err(self.error_value(
                        &key,
                        format!("server.{other} has the same host and port {port}"),
                        "give every server its own host or its own ports",
                    ));
                }
            }
        }
        let voters = servers.values().filter(|s| s.role == PeerType::Participant).count();
        if voters == 2 {
            self.warn_file("two participants tolerate no failure: three are the least that do");
        } else if voters.is_multiple_of(2) {
            self.warn_file(&format!(
                "{voters} participants tolerate no more failures than {}",
                voters - 1
            ));
        }
        if voters > PARTICIPANTS_USUAL_MAX {
            self.warn_file(&format!(
                "{voters} participants: each write waits for {}; consider observers",
                voters / 2 + 1
            ));
        }
        Ok(())
    }

    fn own_id(
        &mut self,
        data_dir: &Path,
        servers: &BTreeMap<u8, Server>,
        standalone: bool,
        read: Read<'_>,
    ) -> Result<u8> {
        let path = data_dir.join("myid");
        let fault = |message: String, hint: &str| {
            let hint = hint.to_owned();
            Box::new(ConfigError { file: path.clone(), line: None, key: None, message, hint })
        };
        let known = servers.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let contents = match read(&path) {
            Ok(contents) => contents,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if standalone {
                    return Ok(servers.keys().next().copied().unwrap_or(1));
                }
                return Err(fault(
                    "myid file is missing".to_owned(),
                    &format!("write the number of this server ({known}) into it"),
                ));
            }
            Err(error) => {
                return Err(fault(
                    format!("cannot read the file: {error}"),
                    "let the server's user read it",
                ));
            }
        };
        // Editors and `echo` leave line ends, other systems CR LF: neither changes a number.
        let text = String::from_utf8_lossy(&contents[..contents.len().min(MYID_BYTES_MAX)]);
        let text = text.lines().next().unwrap_or_default().trim();
        let Ok(id @ 1..=254) = text.parse::<u8>() else {
            return Err(fault(
                format!("`{text}` is not a number from 1 to 254"),
                "write the number of this server, and nothing else, on the first line",
            ));
        };
        if servers.contains_key(&id) {
            return Ok(id);
        }
        if !standalone {
            let file = self.file.display();
            return Err(fault(
                format!("id {id} has no server.{id} line in {file} (there are {known})"),
                "write this server's own number into myid, or add its line",
            ));
        }
        if let Some(only) = servers.keys().next() {
            let message = format!("`myid` says {id}: the line is for another server");
            self.warn(&format!("server.{only}"), message);
        }
        Ok(id)
    }

    fn check_peer_type(&mut self, own: Option<&Server>, id: u8) -> Result<()> {
        let hint = "peerType is participant or observer";
        let asked = match self.text("peerType").map(|text| text.to_ascii_lowercase()).as_deref() {
            None => return Ok(()),
            Some("participant") => PeerType::Participant,
            Some("observer") => PeerType::Observer,
            Some(_) => return Err(self.error_value("peerType", "is not understood", hint)),
        };
        match own {
            None if asked == PeerType::Observer => Err(self.error_value(
                "peerType",
                "a standalone server cannot observe",
                "add the server.N lines of the ensemble, or remove the key",
            )),
            Some(server) if server.role != asked => {
                let role = server.role;
                self.warn("peerType", format!("server.{id} says {role}, and that holds"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    // Listening.

    fn client_listen(&mut self, own_line: Option<Listen>) -> Result<Option<Listen>> {
        let hint = "2181 is usual; remove the key if no client shall connect";
        let port = self.number_if_given("clientPort", 0..=u16::MAX, hint)?.unwrap_or(0);
        let host = self.host("clientPortAddress");
        if port == 0 {
            if host.is_some() {
                return Err(self.error(
                    "clientPortAddress",
                    "is given without clientPort",
                    "add clientPort, or remove clientPortAddress",
                ));
            }
            if own_line.is_none() && self.text("secureClientPort").is_none() {
                self.warn_file("no clientPort: clients cannot connect to this server");
            }
            return Ok(own_line);
        }
        let listen = Listen { host, port };
        match own_line {
            // As in `QuorumPeerConfig.setupClientPort`: a port alone may stand beside a line that
            // says the same port of one address, and the line says what is bound.
            Some(own) if own == listen || listen.host.is_none() && own.port == port => {
                Ok(Some(own))
            }
            Some(other) => Err(self.error_value(
                "clientPort",
                format!("listens on {listen}, and the own server line on {other}"),
                "keep one of the two",
            )),
            None => Ok(Some(listen)),
        }
    }

    // Who may do what.

    fn super_digest(&self) -> Result<Option<String>> {
        let key = "DigestAuthenticationProvider.superDigest";
        let Some(value) = self.text(key) else { return Ok(None) };
        // The name is the file's author's choice: a digest of any user may be the superuser's.
        if value.split_once(':').is_some_and(|(_, digest)| !digest.is_empty()) {
            return Ok(Some(value));
        }
        // The value is a password's digest: it is not shown.
        Err(self.error(
            key,
            "is not of the form NAME:DIGEST",
            "make it with `echo -n NAME:PASSWORD | openssl dgst -binary -sha1 | base64`",
        ))
    }

    /// `proved`: members have another way to show who they are, or there are none.
    fn secret(&mut self, proved: bool, read: Read<'_>) -> Result<Option<Secret>> {
        let key = "coordinator.secretFile";
        let Some(path) = self.path(key) else {
            if !proved {
                self.warn_file(
                    "no coordinator.secretFile: peers are not authenticated, whoever sends from an address of the server list can join in",
                );
            }
            return Ok(None);
        };
        let hint =
            "write a random key of 16 bytes or more into it, mode 0600, the same on all members";
        let contents =
            read(&path).map_err(|e| self.error_value(key, format!("cannot be read: {e}"), hint))?;
        if secret_is_open(&path) {
            return Err(self.error_value(key, "others may read the file", "chmod 0600 it"));
        }
        Secret::parse(&contents).map(Some).map_err(|what| self.error_value(key, what, hint))
    }

    fn local_sessions(&mut self, standalone: bool) -> Result<bool> {
        let key = "localSessionsEnabled";
        let enabled = self.switch(key, false)?;
        if enabled && standalone {
            self.warn(key, "has no effect on a standalone server".to_owned());
        }
        Ok(enabled && !standalone)
    }

    // Numbers and times.

    fn session_timeouts(&self, tick_time_ms: u32) -> Result<(u32, u32)> {
        let limit = |key, ticks: u32| -> Result<u32> {
            let given = self.number::<i32>(key, -1, -1..=i32::MAX)?;
            Ok(u32::try_from(given).unwrap_or(tick_time_ms.saturating_mul(ticks)))
        };
        let (min, max) = (limit("minSessionTimeout", 2)?, limit("maxSessionTimeout", 20)?);
        if min > max {
            let key = "minSessionTimeout";
            let key = if self.text(key).is_some() { key } else { "maxSessionTimeout" };
            return Err(self.error(
                key,
                format!("the least session timeout, {min} ms, is above the greatest, {max} ms"),
                "raise maxSessionTimeout or lower minSessionTimeout (defaults: 2 and 20 tickTime)",
            ));
        }
        Ok((min, max))
    }

    fn raft_timers(&self) -> Result<(u32, u32)> {
        let heartbeat_ms = self.number("coordinator.heartbeatMs", 100, 10..=60_000)?;
        let election = "coordinator.electionTimeoutMs";
        let election_timeout_ms = self.number(election, 1000, 50..=600_000)?;
        if election_timeout_ms < 3 * heartbeat_ms {
            return Err(self.error_value(
                election,
                format!("leaves no room for three heartbeats of {heartbeat_ms} ms"),
                "ten times coordinator.heartbeatMs is usual",
            ));
        }
        Ok((election_timeout_ms, heartbeat_ms))
    }

    fn busy_poll(&self) -> Result<bool> {
        let key = "coordinator.busyPoll";
        match self.text(key).as_deref() {
            None | Some("auto") => Ok(true),
            Some("off") => Ok(false),
            Some(_) => Err(self.error_value(
                key,
                "is not auto or off",
                "`auto` polls for up to 60 µs while requests come quickly, `off` always sleeps",
            )),
        }
    }

    fn session_passwords(&self) -> Result<PasswordRule> {
        let key = "coordinator.sessionPasswords";
        match self.text(key).as_deref() {
            None | Some("keyed") => Ok(PasswordRule::Keyed),
            Some("zookeeper") => Ok(PasswordRule::Zookeeper),
            Some(_) => Err(self.error_value(
                key,
                "is no rule for passwords",
                "write keyed, or zookeeper while sessions shall be able to go back to Apache \
                 ZooKeeper: then whoever knows a session's id can take the session over",
            )),
        }
    }

    fn snap_retain_count(&mut self) -> Result<u32> {
        let key = "autopurge.snapRetainCount";
        let given = self.number(key, SNAP_RETAIN_MIN, 0..=i32::MAX)?;
        if given < SNAP_RETAIN_MIN {
            self.warn(key, format!("{given} is too few: {SNAP_RETAIN_MIN} snapshots are kept"));
        }
        Ok(given.max(SNAP_RETAIN_MIN))
    }

    fn force_sync(&mut self) -> Result<bool> {
        let force_sync = self.yes_no("forceSync", true)?;
        if !force_sync {
            self.warn(
                "forceSync",
                "writes are acknowledged before the disk has them: a power cut loses them"
                    .to_owned(),
            );
        }
        Ok(force_sync)
    }

    fn jute_max_buffer(&self) -> Result<u32> {
        let key = "jute.maxbuffer";
        let Some(value) = self.text(key) else { return Ok(JUTE_MAX_BUFFER_DEFAULT) };
        let parsed = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
            None => value.parse(),
        };
        match parsed {
            Ok(bytes) if (JUTE_MAX_BUFFER_MIN..=JUTE_MAX_BUFFER_MAX).contains(&bytes) => Ok(bytes),
            Ok(bytes) if bytes > JUTE_MAX_BUFFER_MAX => Err(self.error_value(
                key,
                format!(
                    "is above {JUTE_MAX_BUFFER_MAX}, the longest write that servers can send to \
                     each other"
                ),
                "make it smaller, the same on all servers, and keep large data elsewhere",
            )),
            _ => Err(self.error_value(
                key,
                format!(
                    "is not a number of bytes from {JUTE_MAX_BUFFER_MIN} to {JUTE_MAX_BUFFER_MAX}"
                ),
                "write it in decimal or as 0x.., the same on all servers",
            )),
        }
    }

    fn required_ticks(&self, key: &str) -> Result<u32> {
        let hint = "usual are initLimit=10 and syncLimit=5";
        self.number_if_given(key, 1..=1_000_000, hint)?
            .ok_or_else(|| self.error(key, "is missing, and an ensemble needs it", hint))
    }
}

/// May anyone but the owner read the file?
fn secret_is_open(path: &Path) -> bool {
    permissions(path) & 0o077 != 0
}

/// The file's mode bits; 0 when it cannot be looked at.
pub(super) fn permissions(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
