//! The server's thread: waits for sockets and other threads, and lets the driver turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Poll, Token};
use raft::eraftpb::{Entry, HardState};
use rustix::time::{ClockId, clock_gettime};

use super::audit::AuditLog;
use super::clients::{self, Clients};
use super::completion::{Completions, Letter};
use super::log_thread::LogThread;
use super::logging::Logger;
use super::notify::notify;
use super::peers::{self, Peers};
use super::peers_accepted;
use super::secured::UNIFIED;
use super::serve::{bind_for_clients, client_listener};
use super::snapshot_transfer::SnapshotTransfer;
use super::tls_port::{News, TlsPorts};
use crate::admin::environment;
use crate::admin::view::{Extra, Parts, View};
use crate::config::{Config, Listen, QuorumTls, Secret, Server};
use crate::driver::{Completion, Driver, End, Host, LogWork, Milestone, SnapshotWork, Written};
use crate::node::{Level, Node};
use crate::store::RealDisk;

pub(super) const WAKER: Token = Token(0);
pub(super) const CLIENT_LISTENER: Token = Token(1);
/// As many as a member has addresses.
pub(super) const QUORUM_LISTENERS: usize = 2;

/// Events taken from the system at once.
const EVENTS: usize = 1024;

/// Monotonic time starts with this, so that no deadline lies before it.
const ORIGIN: Duration = Duration::from_secs(1000);

/// Sockets, clocks, and the ways to the other threads.
pub(super) struct RealHost {
    pub config: Arc<Config>,
    pub poll: Poll,
    /// What the last wait has brought.
    pub events: Events,
    pub clients: Clients,
    pub client_listeners: Vec<TcpListener>,
    pub clients_at: Option<Listen>,
    /// Where the members are found.
    pub members: BTreeMap<u8, Server>,
    /// Where clients with TLS come from.
    pub tls_ports: Option<TlsPorts>,
    pub peers: Peers,
    pub quorum_listeners: Vec<TcpListener>,
    pub log: LogThread<RealDisk>,
    pub snapshots: Sender<SnapshotWork>,
    pub transfer: SnapshotTransfer,
    pub completions: Completions,
    pub completed: Receiver<Letter>,
    pub logger: Logger,
    pub audit: Option<AuditLog>,
    pub clock: Clock,
}

/// Monotonic time of this process. A suspended machine does not stop it: leases run out meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Clock(Duration);

impl Clock {
    pub(super) fn start() -> Self {
        Clock(since_boot())
    }

    pub(super) fn now(self) -> Duration {
        ORIGIN + self.since_start()
    }

    pub(super) fn since_start(self) -> Duration {
        since_boot().saturating_sub(self.0)
    }
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

pub(super) fn events() -> Events {
    Events::with_capacity(EVENTS)
}

impl RealHost {
    /// Serves until told to stop, or until the disk fails.
    pub(super) fn run(mut self, mut driver: Driver<RealDisk>) -> End {
        loop {
            let wait = driver.wait(&self);
            if let Err(error) = self.poll.poll(&mut self.events, Some(wait.at_most))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return End::Fatal(format!("cannot wait for sockets: {error}"));
            }
            let ready = self.events.iter().take(2).count();
            if wait.yields && ready == 0 {
                std::thread::yield_now();
            }
            if let Some(end) = driver.turn(&mut self, ready) {
                return end;
            }
        }
    }

    fn dispatch(&mut self, event: &mio::event::Event, node: &mut Node) {
        let Token(token) = event.token();
        let hangup = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || hangup;
        if token >= peers_accepted::ACCEPTED {
            self.peers.accepted_ready(token, hangup, node);
        } else if token >= clients::CLIENTS {
            self.clients.ready(token, readable, hangup, event.is_writable(), node);
        } else if token >= peers::DIALLED {
            self.peers.dialled_ready(event, self.poll.registry(), node);
        } else if event.token() == CLIENT_LISTENER {
            self.accept_clients(node);
        } else if let Some(at) = token.checked_sub(QUORUM_LISTENERS)
            && let Some(listener) = self.quorum_listeners.get(at)
        {
            self.peers.accept(listener, self.poll.registry(), node);
        }
    }

    /// Instead of where they connect now, and with TLS or without as there.
    fn listen_to_clients(&mut self, at: &Listen) -> Result<(), String> {
        let unified = self.config.client_tls.as_ref().is_some_and(|tls| tls.unified);
        match &self.tls_ports {
            Some(ports) if unified => {
                let (listener, address) = bind_for_clients(at, "client port")?;
                ports.listen(UNIFIED, listener);
                let line = format!("listening to clients with TLS and without on {address}");
                self.logger.info(&line);
            }
            _ => self.client_listeners = vec![client_listener(at, &self.poll, self.logger)?],
        }
        Ok(())
    }

    fn accept_clients(&mut self, node: &mut Node) {
        self.clients.accept_again = false;
        for listener in &self.client_listeners {
            self.clients.accept(listener, self.poll.registry(), node);
        }
    }

    /// The operator's marker has done its work: the directory is not empty any more.
    fn remove_initialize_marker(&self) {
        let marker = self.config.data_dir.join("initialize");
        if marker.exists()
            && let Err(error) = std::fs::remove_file(&marker)
        {
            self.logger.warn(&format!("cannot remove {}: {error}", marker.display()));
        }
    }
}

impl Host for RealHost {
    type Disk = RealDisk;

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall_ms(&self) -> i64 {
        wall_ms()
    }

    fn receive(&mut self, node: &mut Node) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.dispatch(event, node);
        }
        self.events = events;
        while let Some(ports) = &self.tls_ports
            && let Ok(news) = ports.news.try_recv()
        {
            // Clients are not dialled.
            if let News::Accepted(arrival) = news {
                self.clients.adopt(arrival, self.poll.registry(), node);
            }
        }
        self.peers.hear_handshakes(self.poll.registry(), node);
    }

    fn completed(&mut self) -> Option<Completion> {
        loop {
            match self.completed.try_recv().ok()? {
                Letter::Completed(completion) => return Some(completion),
                Letter::Resolved { member, addresses } => self.peers.resolved(member, addresses),
            }
        }
    }

    fn tend_links(&mut self, node: &mut Node) {
        self.peers.tick(self.poll.registry(), node);
        if self.peers.accept_again {
            self.peers.accept_again = false;
            for listener in &self.quorum_listeners {
                self.peers.accept(listener, self.poll.registry(), node);
            }
        }
        if self.clients.accept_again {
            self.accept_clients(node);
        }
    }

    fn disconnect(&mut self, member: u8, node: &mut Node) {
        self.peers.drop_link(member, node, "it was cut off");
    }

    fn redial(&mut self, member: u8, node: &mut Node) {
        self.peers.redial(member, node);
    }

    fn send_to_peers(&mut self, node: &mut Node) {
        self.peers.send(node);
    }

    fn send_to_clients(&mut self, node: &mut Node) {
        self.clients.send(node);
    }

    fn log_work(&mut self, work: LogWork) {
        self.log.give(work);
    }

    fn write_log(&mut self, entries: &[Entry], hard_state: Option<&HardState>) -> Option<Written> {
        self.log.write(entries, hard_state)
    }

    fn snapshot_work(&mut self, work: SnapshotWork) {
        // The thread ends after the sender.
        let _ = self.snapshots.send(work);
    }

    fn set_members(&mut self, members: BTreeMap<u8, Server>, node: &mut Node) {
        self.peers.set_members(&members, node);
        let own = members.get(&self.config.id).and_then(|server| server.client.clone());
        if own.is_some() && own != self.clients_at {
            // Connections stay, on whatever port they came in.
            let listening = own.as_ref().map(|own| self.listen_to_clients(own));
            match listening {
                Some(Ok(())) => self.clients_at = own,
                Some(Err(why)) => self.logger.warn(&format!("{why}; clients connect as before")),
                None => {}
            }
        }
        self.members = members;
    }

    fn fetch_snapshot(&mut self, member: u8, index: u64) {
        if let Some(server) = self.members.get(&member) {
            let addresses = server.election_addresses();
            self.transfer.clone().fetch(addresses, index, self.completions.clone());
        }
    }

    fn log(&mut self, level: Level, text: &str) {
        self.logger.log(level, text);
    }

    fn audit(&mut self, lines: String) {
        if let Some(audit) = &self.audit {
            audit.tell(lines);
        }
    }

    fn reached(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Joined => self.remove_initialize_marker(),
            Milestone::Serving => {
                self.logger.info("serving");
                notify("READY=1");
            }
            Milestone::Stopping => {
                self.logger.info("stopping");
                notify("STOPPING=1");
            }
        }
    }

    fn complete_view(&self, view: &mut View, parts: Parts) {
        let secret = self.config.secret.as_ref();
        view.raft.peers_authenticated = secret.is_some_and(Secret::is_required)
            || self.config.quorum_tls.as_ref().is_some_and(QuorumTls::is_mutual);
        view.raft.peers_unencrypted = self.peers.unencrypted() as u64;
        if let Some(audit) = &self.audit {
            view.extra.push(Extra {
                name: "audit_lines_lost_total",
                help: "Lines of the audit log that could not be written.",
                counter: true,
                value: audit.lost() as f64,
            });
        }
        if parts.directories {
            let (data, log) = (&self.config.data_dir, &self.config.data_log_dir);
            view.directories = Some(environment::directories(data, log));
        }
        if parts.process {
            view.process = Some(environment::process());
        }
    }
}
