//! Four-letter words: what is asked on the client port by the first four bytes of a connection.
//!
//! The texts follow ZooKeeper's `server.command` classes byte by byte where clients parse them:
//! go-zk by regular expressions, kazoo and `zkServer.sh` by lines, monitors by `mntr`'s tabs.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::calendar::JavaDate;
use super::environment::Environment;
use super::monitor::{self, Value};
use super::view::{ConnectionView, Parts, Role, Serving, SessionView, View};
use super::{DIFFERS, NOT_SERVING, VERSION};
use crate::config::{Config, PeerType};

/// `gtmk`: what is traced in ZooKeeper by default. Nothing is traced here.
const TRACE_MASK: u32 = 306;

macro_rules! words {
    ($($word:ident $text:literal),* $(,)?) => {
        /// A word that is understood.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word { $($word),* }

        impl Word {
            pub const ALL: &[Word] = &[$(Word::$word),*];

            /// As it is written.
            pub fn name(self) -> &'static str {
                match self { $(Word::$word => $text),* }
            }
        }
    };
}

words! {
    Conf "conf", Cons "cons", Crst "crst", Dirs "dirs", Dump "dump", Envi "envi", Gtmk "gtmk",
    Hash "hash", Icfg "icfg", Isro "isro", Mntr "mntr", Orst "orst", Ruok "ruok", Srst "srst",
    Srvr "srvr", Stat "stat", Stmk "stmk", Wchc "wchc", Wchp "wchp", Wchs "wchs",
}

/// What a word does beside being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Counters and latencies of the server start anew.
    ResetServer,
    /// Those of each connection do.
    ResetConnections,
}

impl Word {
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Word> {
        Word::ALL.iter().copied().find(|word| word.name().as_bytes() == bytes)
    }

    /// The lists its answer needs; none when it will not be answered.
    pub fn parts(self, config: &Config) -> Parts {
        let none = Parts::default();
        if !config.whitelist.allows(self.name()) {
            return none;
        }
        match self {
            Word::Conf | Word::Dirs => Parts { directories: true, ..none },
            Word::Cons | Word::Stat => Parts { connections: true, ..none },
            Word::Dump => Parts { connections: true, sessions: true, ephemerals: true, ..none },
            Word::Wchc | Word::Wchp => Parts { watches: true, ..none },
            Word::Mntr => Parts { process: true, quotas: true, ..none },
            _ => none,
        }
    }

    /// What to do once the answer stands; nothing when the word is not allowed or not now.
    pub fn action(self, view: &View, config: &Config) -> Option<Action> {
        if !config.whitelist.allows(self.name()) || view.serving == Serving::No {
            return None;
        }
        match self {
            Word::Srst => Some(Action::ResetServer),
            Word::Crst => Some(Action::ResetConnections),
            _ => None,
        }
    }
}

/// Appends the answer; the connection is closed behind it.
pub fn answer(
    word: Word,
    view: &View,
    config: &Config,
    environment: &Environment,
    out: &mut Vec<u8>,
) {
    // Writing into memory cannot fail.
    let _ = write_answer(word, view, config, environment, out);
    if view.lists_cut {
        let _ = writeln!(out, "(cut short: there are more entries than one answer holds)");
    }
}

type Written = std::io::Result<()>;

fn write_answer(
    word: Word,
    view: &View,
    config: &Config,
    environment: &Environment,
    out: &mut Vec<u8>,
) -> Written {
    let name = word.name();
    if !config.whitelist.allows(name) {
        return writeln!(out, "{name} is not executed because it is not in the whitelist.");
    }
    match word {
        Word::Ruok => return write!(out, "imok"),
        Word::Isro => return write!(out, "{}", read_only(view)),
        Word::Gtmk | Word::Stmk => return write!(out, "{TRACE_MASK}"),
        Word::Envi => return envi(environment, out),
        _ => {}
    }
    if view.serving == Serving::No {
        writeln!(out, "{NOT_SERVING}")?;
        return if view.raft.state_differs { writeln!(out, "{DIFFERS}") } else { Ok(()) };
    }
    match word {
        Word::Srvr => server(view, false, out),
        Word::Stat => server(view, true, out),
        Word::Cons => connections(view, out),
        Word::Conf => conf(view, config, out),
        Word::Dump => dump(view, out),
        Word::Dirs => {
            let sizes = view.directories.unwrap_or_default();
            writeln!(out, "datadir_size: {}\nlogdir_size: {}", sizes.data_bytes, sizes.log_bytes)
        }
        Word::Mntr => mntr(view, out),
        Word::Wchs => {
            let watches = &view.watches;
            let (connections, paths) = (watches.data_connections, watches.data_paths);
            writeln!(out, "{connections} connections watching {paths} paths")?;
            writeln!(out, "Total watches:{}", watches.data_total)
        }
        Word::Wchc => watches(by_session(view), out),
        Word::Wchp => watches(by_path(view), out),
        Word::Srst => writeln!(out, "Server stats reset."),
        Word::Crst => writeln!(out, "Connection stats reset."),
        // Answered above, or nothing to tell: there are no digests of the tree's past, no initial
        // configuration apart from the file, no counters of observers' connections.
        Word::Ruok
        | Word::Isro
        | Word::Gtmk
        | Word::Stmk
        | Word::Envi
        | Word::Hash
        | Word::Icfg
        | Word::Orst => Ok(()),
    }
}

fn read_only(view: &View) -> &'static str {
    match view.serving {
        Serving::No => "null",
        Serving::ReadWrite => "rw",
        Serving::ReadOnly => "ro",
    }
}

fn server(view: &View, with_clients: bool, out: &mut Vec<u8>) -> Written {
    writeln!(out, "Zookeeper version: {VERSION}")?;
    if view.serving == Serving::ReadOnly {
        writeln!(out, "READ-ONLY mode; serving only read-only clients")?;
    }
    if with_clients {
        writeln!(out, "Clients:")?;
        for connection in &view.connection_list {
            connection_start(connection, out)?;
            writeln!(out, ")")?;
        }
        writeln!(out)?;
    }
    let traffic = &view.traffic;
    let latency = &traffic.latency_us;
    let average = monitor::four_decimals(latency.average() / 1000.0);
    writeln!(
        out,
        "Latency min/avg/max: {}/{average:?}/{}",
        latency.min() / 1000,
        latency.max() / 1000
    )?;
    writeln!(out, "Received: {}", traffic.received)?;
    writeln!(out, "Sent: {}", traffic.sent)?;
    writeln!(out, "Connections: {}", traffic.connections)?;
    writeln!(out, "Outstanding: {}", traffic.outstanding)?;
    writeln!(out, "Zxid: {:#x}", view.zxid)?;
    writeln!(out, "Mode: {}", monitor::server_state(view))?;
    writeln!(out, "Node count: {}", view.tree.node_count)?;
    if view.role == Role::Leader {
        let size = view.raft.proposal_size;
        writeln!(out, "Proposal sizes last/min/max: {}/{}/{}", size.last, size.min, size.max)?;
    }
    Ok(())
}

/// Java writes `/address:port`, IPv4 as such even when it came in through an IPv6 socket.
pub(super) fn java_address(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => format!("{address}:{}", peer.port()),
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:x}"));
            format!("[{}]:{}", groups.as_slice().join(":"), peer.port())
        }
    }
}

/// ZooKeeper's `interestOps`: 1 while it reads, 0 while it holds back.
pub(super) fn interest(connection: &ConnectionView) -> u8 {
    u8::from(connection.reading)
}

fn connection_start(connection: &ConnectionView, out: &mut Vec<u8>) -> Written {
    write!(
        out,
        " /{}[{}](queued={},recved={},sent={}",
        java_address(connection.peer),
        interest(connection),
        connection.queued,
        connection.received,
        connection.sent
    )
}

fn connections(view: &View, out: &mut Vec<u8>) -> Written {
    for connection in &view.connection_list {
        connection_start(connection, out)?;
        if connection.session != 0 {
            write!(
                out,
                ",sid={:#x},lop={},est={},to={}",
                connection.session,
                connection.last_operation,
                connection.established_ms,
                connection.timeout_ms
            )?;
            if connection.last_cxid >= 0 {
                write!(out, ",lcxid={:#x}", connection.last_cxid)?;
            }
            write!(
                out,
                ",lzxid={:#x},lresp={},llat={},minlat={},avglat={},maxlat={}",
                connection.last_zxid,
                connection.last_response_ms,
                connection.last_latency_ms,
                connection.min_latency_ms,
                connection.avg_latency_ms,
                connection.max_latency_ms
            )?;
        }
        writeln!(out, ")")?;
    }
    writeln!(out)
}

fn conf(view: &View, config: &Config, out: &mut Vec<u8>) -> Written {
    let sizes = view.directories.unwrap_or_default();
    let client_port = config.client_listen.as_ref().map_or(-1, |listen| i32::from(listen.port));
    writeln!(out, "clientPort={client_port}")?;
    writeln!(out, "secureClientPort=-1")?;
    writeln!(out, "dataDir={}", config.data_dir.display())?;
    writeln!(out, "dataDirSize={}", sizes.data_bytes)?;
    writeln!(out, "dataLogDir={}", config.data_log_dir.display())?;
    writeln!(out, "dataLogSize={}", sizes.log_bytes)?;
    writeln!(out, "tickTime={}", config.tick_time_ms)?;
    writeln!(out, "maxClientCnxns={}", config.max_client_cnxns)?;
    writeln!(out, "minSessionTimeout={}", config.min_session_timeout_ms)?;
    writeln!(out, "maxSessionTimeout={}", config.max_session_timeout_ms)?;
    writeln!(out, "clientPortListenBacklog=-1")?;
    writeln!(out, "serverId={}", config.id)?;
    let Some(own) = config.own_server() else { return Ok(()) };
    writeln!(out, "initLimit={}", config.init_limit_ticks)?;
    writeln!(out, "syncLimit={}", config.sync_limit_ticks)?;
    writeln!(out, "electionAlg=3")?;
    writeln!(out, "electionPort={}", own.first().election_port)?;
    writeln!(out, "quorumPort={}", own.first().quorum_port)?;
    writeln!(out, "peerType={}", u8::from(own.role == PeerType::Observer))?;
    writeln!(out, "membership: ")?;
    for (id, server) in &config.servers {
        writeln!(out, "server.{id}={server}")?;
    }
    write!(out, "version=0")
}

fn dump(view: &View, out: &mut Vec<u8>) -> Written {
    writeln!(out, "SessionTracker dump:")?;
    if matches!(view.role, Role::Leader | Role::Standalone) {
        let mut by_expiry: BTreeMap<i64, Vec<&SessionView>> = BTreeMap::new();
        for session in &view.session_list {
            by_expiry.entry(session.expires_ms.unwrap_or(view.now_ms)).or_default().push(session);
        }
        writeln!(out, "Session Sets ({})/({}):", by_expiry.len(), view.session_list.len())?;
        for (expires_ms, sessions) in by_expiry {
            writeln!(out, "{} expire at {}:", sessions.len(), JavaDate(expires_ms))?;
            for session in sessions {
                writeln!(out, "\t{:#x}", session.id)?;
            }
        }
    } else {
        writeln!(out, "Global Sessions({}):", view.session_list.len())?;
        for session in &view.session_list {
            writeln!(out, "{:#x}\t{}ms", session.id, session.timeout_ms)?;
        }
    }
    writeln!(out, "ephemeral nodes dump:")?;
    writeln!(out, "Sessions with Ephemerals ({}):", view.ephemeral_list.len())?;
    for (session, paths) in &view.ephemeral_list {
        writeln!(out, "{session:#x}:")?;
        for path in paths {
            writeln!(out, "\t{path}")?;
        }
    }
    writeln!(out, "Connections dump:")?;
    let connections = &view.connection_list;
    let sets = usize::from(!connections.is_empty());
    writeln!(out, "Connections Sets ({sets})/({}):", connections.len())?;
    if let Some(longest_ms) = connections.iter().map(|connection| connection.timeout_ms).max() {
        let expires = JavaDate(view.now_ms + i64::from(longest_ms));
        writeln!(out, "{} expire at {expires}:", connections.len())?;
    }
    for connection in connections {
        let address = java_address(connection.peer);
        writeln!(out, "\tip: /{address} sessionId: {:#x}", connection.session)?;
    }
    Ok(())
}

fn mntr(view: &View, out: &mut Vec<u8>) -> Written {
    writeln!(out, "zk_version\t{VERSION}")?;
    writeln!(out, "zk_server_state\t{}", monitor::server_state(view))?;
    if let Some(state) = monitor::peer_state(view) {
        writeln!(out, "zk_peer_state\t{state}")?;
    }
    for (name, value) in monitor::quotas(view) {
        writeln!(out, "zk_{name}\t{value}")?;
    }
    for metric in monitor::gather(view) {
        let name = metric.name;
        match metric.value {
            Value::Integer(value) => writeln!(out, "zk_{name}\t{value}")?,
            Value::Double(value) => writeln!(out, "zk_{name}\t{value:?}")?,
            Value::Summary(summary) => {
                let average = monitor::four_decimals(summary.average);
                writeln!(out, "zk_avg_{name}\t{average:?}")?;
                writeln!(out, "zk_min_{name}\t{}", summary.min)?;
                writeln!(out, "zk_max_{name}\t{}", summary.max)?;
                writeln!(out, "zk_cnt_{name}\t{}", summary.count)?;
                writeln!(out, "zk_sum_{name}\t{}", summary.sum)?;
                for (quantile, _, value) in summary.quantiles {
                    writeln!(out, "zk_{quantile}_{name}\t{value}")?;
                }
            }
        }
    }
    Ok(())
}

fn by_session(view: &View) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (session, path) in &view.watch_list {
        map.entry(format!("{session:#x}")).or_default().push(path.clone());
    }
    map
}

fn by_path(view: &View) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (session, path) in &view.watch_list {
        map.entry(path.clone()).or_default().push(format!("{session:#x}"));
    }
    map
}

fn watches(lists: BTreeMap<String, Vec<String>>, out: &mut Vec<u8>) -> Written {
    for (head, mut members) in lists {
        members.sort();
        writeln!(out, "{head}")?;
        for member in members {
            writeln!(out, "\t{member}")?;
        }
    }
    writeln!(out)
}

fn envi(environment: &Environment, out: &mut Vec<u8>) -> Written {
    writeln!(out, "Environment:")?;
    writeln!(out, "zookeeper.version={VERSION}")?;
    for (name, value) in &environment.lines {
        writeln!(out, "{name}={value}")?;
    }
    Ok(())
}
