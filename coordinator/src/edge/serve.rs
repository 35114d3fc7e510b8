//! From a configuration to a running server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::thread::available_parallelism;
use std::time::Duration;

use mio::{Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::addresses::ListedAddresses;
use super::audit::{AuditLog, account};
use super::clients::Clients;
use super::completion::Completions;
use super::event_loop::{
    CLIENT_LISTENER, Clock, QUORUM_LISTENERS, RealHost, WAKER, events, wall_ms,
};
use super::log_thread::LogThread;
use super::logging::Logger;
use super::peer_auth::KeyRing;
use super::peers::Peers;
use super::snapshot_transfer::SnapshotTransfer;
use super::{admin_socket, descriptors, http, secured, snapshot_writer};
use crate::admin::environment::Environment;
use crate::config::{Config, Listen, PeerType, Secret, Warning};
use crate::driver::{
    self, Chores, Completion, Driver, DriverConfig, End, Halves, LogWriter, Operators,
    SnapshotThread, TICK, claim,
};
use crate::node::feature::LEVEL;
use crate::node::{Authentication, Level, Node, NodeConfig, Recovered};
use crate::state::{Restore, State};
use crate::store::{
    RealDisk, SnapshotReader, StoreError, Wal, WalOptions, directory_in, newest_snapshot,
};

/// Members compare their states so often.
const COMPARE_EVERY_MS: u64 = 60_000;

/// Without a quorum for so long, at least, before clients that only read are served.
const READ_ONLY_AFTER_MS: u32 = 2000;

/// Why the server did not start, or could not go on; for people.
pub(super) type Failure = String;

/// Runs a server until it is told to stop.
pub fn serve(config: Config, warnings: &[Warning]) -> Result<(), Failure> {
    let logger = Logger::from_environment();
    for warning in warnings {
        logger.warn(&warning.to_string());
    }
    // Where members may be added an ensemble of one listens to them.
    let alone = config.standalone || config.servers.len() <= 1 && !config.reconfig_enabled;
    if !config.force_sync {
        logger.warn("forceSync=no: acknowledged writes can be lost when machines lose power");
    }
    if config.skip_acl {
        logger.warn("skipACL=yes: every client may do everything");
    }

    let clock = Clock::start();
    let disk = RealDisk::open(&directory_in(&config.data_dir)).map_err(text)?;
    let same_place = config.data_log_dir == config.data_dir;
    let log_disk = if same_place {
        disk.clone()
    } else {
        RealDisk::open(&directory_in(&config.data_log_dir)).map_err(text)?
    };
    let identity = claim(&disk, config.id, random_u128()).map_err(text)?;
    let salt = identity.incarnation as u64;
    let options = WalOptions { always_synced: config.force_sync, ..WalOptions::new(salt) };
    // Until it belongs to an ensemble, a directory counts as empty, whatever terms it has heard of.
    let blank = identity.cluster_id == 0;
    let (recovered, wal) = recover(&disk, &log_disk, &options, logger)?;

    let load_entries = recovered.entries.len() as u64;
    // ZooKeeper's own marker: the operator says that an empty directory is right.
    let marker = config.data_dir.join("initialize");
    let initialize = marker.exists();
    let node_config = node_config(&config, alone, identity.incarnation, blank, initialize);
    let seed = u64::from_le_bytes(random());
    let now_ms = clock.now().as_millis() as u64;
    let node = Node::new(node_config, recovered, now_ms, wall_ms(), seed);

    let poll = Poll::new().map_err(text)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(text)?);
    let (completions, completed) = Completions::new(waker.clone());
    let tls_ports = secured::clients(&config, waker.clone(), logger)?;
    let client_listeners = listen_to_clients(&config, &poll, logger)?;
    let ring = KeyRing::new(config.secret.iter().flat_map(Secret::keys));
    let listed = ListedAddresses::default();
    let peer_tls = secured::members(&config, logger)?;
    let quorum_tls = match &peer_tls {
        Some(tls) => {
            let ports = secured::quorum_port(&config, tls, listed.clone(), waker, logger)?;
            Some((tls.clone(), ports))
        }
        None => None,
    };
    let plain = !alone && quorum_tls.is_none();
    let quorum_listeners =
        if plain { listen_to_peers(&config, &poll, logger)? } else { Vec::new() };
    let reloads = tls_ports.iter().chain(quorum_tls.iter().map(|(_, ports)| ports));
    let reloads = reloads.map(|ports| ports.reload.clone()).collect();
    heed_signals(completions.clone(), reloads).map_err(text)?;
    let transfer = SnapshotTransfer {
        ring: ring.clone(),
        tls: peer_tls,
        listed: listed.clone(),
        disk: disk.clone(),
        logger,
        hello: node.hello(),
    };
    if let (false, Some(own)) = (alone, config.own_server()) {
        let listens = own.election_listen(config.quorum_listen_on_all_ips);
        for (listener, _) in bind_each(&listens, "election port", logger)? {
            transfer.clone().listen(listener).map_err(text)?;
        }
    }
    admin_socket::listen(&config.admin_socket, disk.clone(), completions.clone())
        .map_err(|e| format!("cannot listen on {}: {e}", config.admin_socket.display()))?;

    let members = config
        .servers
        .iter()
        .filter(|_| !alone)
        .map(|(&id, server)| (id, server.quorum_addresses()));
    let peers = Peers::new(
        config.id,
        (ring, listed),
        quorum_tls,
        members,
        2 * Duration::from_millis(u64::from(config.election_timeout_ms)),
        completions.clone(),
        logger,
    );
    let writer = LogWriter::new(wal, config.force_sync);
    let chores = Chores::new(log_disk, options);
    let (log, log_thread) =
        LogThread::start(writer, chores, clock, completions.clone(), logger).map_err(text)?;
    let snapshots = SnapshotThread::new(disk.clone(), config.snap_retain_count as usize);
    let snapshots = snapshot_writer::start(snapshots, clock, completions.clone()).map_err(text)?;

    let driver_config = DriverConfig {
        busy_poll: config.busy_poll,
        cores: available_parallelism().map_or(1, usize::from),
        sync_warning: Duration::from_millis(u64::from(config.fsync_warning_ms)),
    };
    let load_ms = clock.since_start().as_millis() as u64;
    let (clients_at, members) = (config.client_listen.clone(), config.servers.clone());
    let config = Arc::new(config);
    let operators = Operators {
        config: Arc::clone(&config),
        environment: Arc::new(Environment::gather()),
        load_ms,
        load_entries,
    };
    let (audit, audit_end) = match &config.audit {
        Some(audit) => {
            let (log, end) = AuditLog::start(audit, &account(), logger)?;
            (Some(log), Some(end))
        }
        None => (None, None),
    };
    listen_to_operators(&config, &operators, &completions, logger);
    let max_cnxns = config.max_cnxns as usize;
    let count = if alone { 0 } else { config.servers.len() };
    let descriptors = descriptors::for_clients(count, logger);
    let host = RealHost {
        config,
        poll,
        events: events(),
        clients: Clients::new(max_cnxns, descriptors),
        client_listeners,
        clients_at,
        members,
        tls_ports,
        peers,
        quorum_listeners,
        log,
        snapshots,
        transfer,
        completions,
        completed,
        logger,
        audit,
        clock,
    };
    let end = host.run(Driver::new(node, disk, identity, operators, driver_config));
    if let Some(audit_end) = audit_end {
        audit_end.wait();
    }
    // The log thread ends when its letter box is gone: everything handed over is written.
    let _ = log_thread.join();
    match end {
        End::Stopped => {
            logger.info("stopped");
            Ok(())
        }
        End::Fatal(why) => Err(why),
    }
}

fn text(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

pub(crate) fn random_u128() -> u128 {
    u128::from_le_bytes(random())
}

/// What is on disk, as the node starts from it.
pub(crate) fn recover(
    disk: &RealDisk,
    log_disk: &RealDisk,
    options: &WalOptions,
    logger: Logger,
) -> Result<(Recovered, Wal<RealDisk>), Failure> {
    let clock = Clock::start();
    let say = |level: Level, line: &str| logger.log(level, line);
    driver::recover(disk, log_disk, options, read_halves, || clock.now(), say).map_err(text)
}

/// Both are read side by side: what a start waits for is mostly this.
fn read_halves(disk: &RealDisk, log_disk: &RealDisk, options: &WalOptions) -> Halves {
    std::thread::scope(|scope| {
        let scanning = scope.spawn(|| Wal::scan(log_disk, options));
        let newest = newest_snapshot(disk, restore);
        (newest, scanning.join().expect("the scan does not panic"))
    })
}

/// Chunks that the reader of a snapshot may be ahead.
const CHUNKS_AHEAD: usize = 4;

/// A second thread reads and checks the chunks from which this one builds the state.
fn restore(reader: &mut SnapshotReader<RealDisk>) -> Result<State, StoreError> {
    let (full, chunks) = sync_channel::<Vec<u8>>(CHUNKS_AHEAD);
    let (done, emptied) = channel::<Vec<u8>>();
    let built = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (full, emptied) = (full, emptied); // their end is this thread's end
            loop {
                let mut chunk = emptied.try_recv().unwrap_or_default();
                // A builder that has given up takes no more.
                if !reader.chunk(&mut chunk)? || full.send(chunk).is_err() {
                    return Ok(());
                }
            }
        });
        let mut restore = Restore::new();
        let built = chunks.into_iter().try_for_each(|chunk| {
            restore.chunk(&chunk)?;
            let _ = done.send(chunk);
            Ok(())
        });
        reading.join().expect("the reader does not panic")?;
        Ok(built.and_then(|()| restore.finish()))
    })?;
    built.map_err(|e| reader.damage(format!("{e:?}")))
}

pub(crate) fn node_config(
    config: &Config,
    alone: bool,
    incarnation: u128,
    blank: bool,
    initialize: bool,
) -> NodeConfig {
    let with_role = |role: PeerType| {
        let of_role = config.servers.iter().filter(move |(_, s)| s.role == role);
        of_role.map(|(&id, _)| id).collect::<Vec<_>>()
    };
    let (voters, observers) = if alone {
        (vec![config.id], Vec::new())
    } else {
        (with_role(PeerType::Participant), with_role(PeerType::Observer))
    };
    NodeConfig {
        id: config.id,
        voters,
        observers,
        tick_ms: TICK.as_millis() as u64,
        heartbeat_ms: u64::from(config.heartbeat_ms),
        level: LEVEL,
        compare_every_ms: COMPARE_EVERY_MS,
        election_timeout_ms: u64::from(config.election_timeout_ms),
        session_timeout_min_ms: config.min_session_timeout_ms,
        session_timeout_max_ms: config.max_session_timeout_ms,
        reconfig_enabled: config.reconfig_enabled,
        standalone: alone,
        two_voters: config.standalone_enabled,
        local_sessions: config.local_sessions,
        local_sessions_upgrade: config.local_sessions_upgrade,
        // As `QuorumPeer` waits while it looks for a leader.
        read_only_after_ms: (config.read_only_mode && !alone)
            .then(|| u64::from(config.tick_time_ms.max(READ_ONLY_AFTER_MS))),
        max_client_connections: config.max_client_cnxns,
        frame_bytes_max: config.jute_max_buffer as usize,
        requests_in_flight_max: config.requests_in_flight_max as usize,
        bytes_in_flight_max: config.bytes_in_flight_max as usize,
        snapshot_ops: u64::from(config.snap_count),
        reap_interval_ms: u64::from(config.container_check_interval_ms),
        reap_per_minute: config.container_max_per_minute,
        never_used_ms: config.container_never_used_ms.map(i64::from),
        extended_types: config.extended_types_enabled,
        enforce_quota: config.enforce_quota,
        authentication: Authentication {
            super_digest: config.super_digest.clone(),
            nonce_key: random(),
            ..Authentication::of(&config.security)
        },
        skip_acl: config.skip_acl,
        audit: config.audit.is_some().then(account),
        published_members: config.published_members(),
        incarnation,
        blank,
        initialize,
        fresh_cluster_id: random_u128(),
        fresh_secret: random(),
        session_passwords: config.session_passwords,
        boot: u64::from_le_bytes(random()),
    }
}

/// Binds the first address that can be bound.
fn bind(listen: &Listen, what: &str) -> Result<(std::net::TcpListener, SocketAddr), Failure> {
    try_bind(listen).map_err(|error| cannot_listen(listen, what, &error))
}

fn try_bind(listen: &Listen) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let mut last = io::Error::other("no address to listen on");
    for address in listen.candidates()? {
        match std::net::TcpListener::bind(address) {
            Ok(listener) => return Ok((listener, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn cannot_listen(listen: &Listen, what: &str, error: &io::Error) -> Failure {
    let hint = if error.kind() == io::ErrorKind::AddrInUse {
        "; another server (a ZooKeeper?) listens there: `ss -ltnp` shows which"
    } else {
        ""
    };
    let at = listen.host.as_ref().map_or(String::new(), |host| format!(" of {host}"));
    format!("cannot listen on the {what} {}{at}: {error}{hint}", listen.port)
}

/// Where clients without TLS connect, alone or with others.
pub(super) fn client_listen(config: &Config) -> Option<Listen> {
    let own = || config.own_server().and_then(|s| s.client.clone());
    config.client_listen.clone().or_else(own)
}

pub(super) fn bind_for_clients(
    listen: &Listen,
    what: &str,
) -> Result<(mio::net::TcpListener, SocketAddr), Failure> {
    let (listener, address) = bind(listen, what)?;
    listener.set_nonblocking(true).map_err(text)?;
    // What it accepts inherits it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).map_err(text)?;
    Ok((mio::net::TcpListener::from_std(listener), address))
}

fn listen_to_clients(
    config: &Config,
    poll: &Poll,
    logger: Logger,
) -> Result<Vec<mio::net::TcpListener>, Failure> {
    let unified = config.client_tls.as_ref().is_some_and(|tls| tls.unified);
    let listen = client_listen(config).into_iter().filter(|_| !unified);
    listen.map(|listen| client_listener(&listen, poll, logger)).collect()
}

/// Listens to clients; what comes belongs to [`CLIENT_LISTENER`].
pub(super) fn client_listener(
    listen: &Listen,
    poll: &Poll,
    logger: Logger,
) -> Result<mio::net::TcpListener, Failure> {
    let (mut listener, address) = bind_for_clients(listen, "client port")?;
    poll.registry().register(&mut listener, CLIENT_LISTENER, Interest::READABLE).map_err(text)?;
    logger.info(&format!("listening for clients on {address}"));
    Ok(listener)
}

/// A network that is not there yet keeps nobody from the others, but one must be there.
fn bind_each(
    listens: &[Listen],
    what: &str,
    logger: Logger,
) -> Result<Vec<(std::net::TcpListener, SocketAddr)>, Failure> {
    let mut bound = Vec::new();
    let mut absent = Vec::new();
    for listen in listens {
        match try_bind(listen) {
            Ok(listener) => bound.push(listener),
            Err(error) => {
                let why = cannot_listen(listen, what, &error);
                if error.kind() != io::ErrorKind::AddrNotAvailable {
                    return Err(why);
                }
                absent.push(why);
            }
        }
    }
    match absent.pop() {
        Some(why) if bound.is_empty() => Err(why),
        last => {
            absent.into_iter().chain(last).for_each(|why| logger.warn(&why));
            Ok(bound)
        }
    }
}

pub(super) fn bind_for_members(
    config: &Config,
    logger: Logger,
) -> Result<Vec<(mio::net::TcpListener, SocketAddr)>, Failure> {
    let own = config.own_server().ok_or("this server is not in its own server list")?;
    let listens = own.quorum_listen(config.quorum_listen_on_all_ips);
    let mut listeners = Vec::new();
    for (listener, address) in bind_each(&listens, "quorum port", logger)? {
        listener.set_nonblocking(true).map_err(text)?;
        listeners.push((mio::net::TcpListener::from_std(listener), address));
    }
    Ok(listeners)
}

fn listen_to_peers(
    config: &Config,
    poll: &Poll,
    logger: Logger,
) -> Result<Vec<mio::net::TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for (mut listener, address) in bind_for_members(config, logger)? {
        let token = Token(QUORUM_LISTENERS + listeners.len());
        poll.registry().register(&mut listener, token, Interest::READABLE).map_err(text)?;
        logger.info(&format!("listening for members on {address}"));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A port that only shows things must not keep the server from its work: trouble is a warning, as
/// in `ZooKeeper` (`ZooKeeperServerMain`).
fn listen_to_operators(
    config: &Config,
    operators: &Operators,
    completions: &Completions,
    logger: Logger,
) {
    let admin = config.admin.as_ref();
    let admin = admin.map(|a| ("admin port", &a.port, Some(a.command_url.clone())));
    let metrics = config.metrics.iter().map(|port| ("metrics port", port, None));
    for (what, port, command_url) in admin.into_iter().chain(metrics) {
        let started = secured::http(what, port, logger).and_then(|tls| {
            let (listener, _) = bind(&port.listen, what)?;
            http::listen(operators, what, listener, tls, command_url, completions.clone())
                .map_err(text)
        });
        if let Err(why) = started {
            logger.warn(&why);
        }
    }
}

fn heed_signals(completions: Completions, reloads: Vec<Arc<AtomicBool>>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in &mut signals {
            if signal != SIGHUP {
                completions.send(Completion::Stop);
            }
            for reload in reloads.iter().filter(|_| signal == SIGHUP) {
                reload.store(true, Ordering::Relaxed);
            }
        }
    })?;
    Ok(())
}
