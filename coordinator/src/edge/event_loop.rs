//! The server's thread: what has arrived goes into the node, what comes out is carried out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Poll, Token};

use super::busy_poll::BusyPoll;
use super::clients::{self, Clients};
use super::completion::{Completion, Completions};
use super::group_commit::GroupCommit;
use super::log_thread::{Log, Persist};
use super::logging::Logger;
use super::notify::notify;
use super::operators::Operators;
use super::peers::{self, Peers};
use super::snapshot_transfer::SnapshotTransfer;
use super::snapshot_writer::SnapshotWork;
use crate::config::Config;
use crate::node::{Node, Output};
use crate::store::{Identity, Position, RealDisk, SnapshotMeta, list_snapshots};

pub(super) const WAKER: Token = Token(0);
pub(super) const CLIENT_LISTENER: Token = Token(1);
pub(super) const QUORUM_LISTENER: Token = Token(2);

/// A snapshot takes its time until a restart would have to repeat so many writes, some hundredths
/// of a second's worth. Where so many come, they share syncs and bear with the snapshot's.
const HURRY_WRITES: u64 = 30_000;

/// An orderly stop takes no longer than this, whatever keeps it.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Everything the server's thread owns.
pub(super) struct Server {
    pub config: Arc<Config>,
    pub operators: Operators,
    pub poll: Poll,
    pub node: Node,
    pub clients: Clients,
    pub client_listeners: Vec<TcpListener>,
    pub peers: Peers,
    pub quorum_listener: Option<TcpListener>,
    pub log: Log<RealDisk>,
    /// Nobody waits while the writes that are here are synced: one socket at most had something to say
    /// this time, or all whose writes are usually answered together.
    pub alone: bool,
    pub group_commit: GroupCommit,
    pub busy_poll: BusyPoll,
    pub snapshot_writer: Sender<SnapshotWork>,
    /// Who waits for a snapshot of this index or a later one.
    pub backups: Vec<(u64, Sender<Result<u64, String>>)>,
    pub transfer: SnapshotTransfer,
    pub disk: RealDisk,
    pub identity: Identity,
    /// The data directory says which ensemble it belongs to.
    pub cluster_known: bool,
    pub completions: Completions,
    pub completed: Receiver<Completion>,
    pub logger: Logger,
    pub started: Instant,
    pub tick: Duration,
}

/// How the server came to its end.
pub(super) enum End {
    Stopped,
    Fatal(String),
}

impl Server {
    /// Serves until told to stop, or until the disk fails.
    pub(super) fn run(mut self) -> End {
        let mut events = Events::with_capacity(1024);
        let mut next_tick = Instant::now();
        let mut ready_told = false;
        let mut held = false;
        let mut stop_by: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let idle = !held && !self.node.busy() && !self.node.pending();
            let awake = idle && self.busy_poll.keep(now);
            let wait = if !idle || awake {
                Duration::ZERO
            } else {
                next_tick.saturating_duration_since(now)
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return End::Fatal(format!("waiting for sockets failed: {error}"));
            }
            if awake && events.is_empty() {
                std::thread::yield_now(); // to clients on the same core
                continue;
            }
            self.busy_poll.end(Instant::now());
            self.tell_time();
            self.alone = events.iter().nth(1).is_none();
            for event in &events {
                self.dispatch(event);
            }
            while let Ok(completion) = self.completed.try_recv() {
                match completion {
                    Completion::Fatal(why) => return End::Fatal(why),
                    Completion::Stop if stop_by.is_none() => {
                        self.logger.info("stopping");
                        notify("STOPPING=1");
                        stop_by = Some(Instant::now() + STOP_TIME);
                        self.node.stop();
                    }
                    Completion::Stop => return End::Stopped,
                    other => self.complete(other),
                }
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + self.tick;
                self.peers.tick(self.poll.registry(), &mut self.node);
                if self.clients.accept_again {
                    self.accept_clients();
                }
                // The one that was in the making began too early, or was given up.
                if !self.backups.is_empty() {
                    self.node.begin_snapshot();
                }
            }
            held = stop_by.is_none() && self.holds();
            if held {
                if events.is_empty() {
                    std::thread::yield_now(); // to clients on the same core
                }
                continue;
            }
            self.carry_out();
            if !ready_told && self.node.serving() {
                ready_told = true;
                self.logger.info("serving");
                notify("READY=1");
            }
            if let Some(by) = stop_by
                && (self.node.stopped() || Instant::now() >= by)
            {
                self.carry_out();
                return End::Stopped;
            }
        }
    }

    /// Whether writes that have arrived wait for others, to share one sync with them. Only where no
    /// other server's disk is waited for as well.
    fn holds(&mut self) -> bool {
        if self.config.servers.len() > 1 {
            return false;
        }
        let (waiting, received) = (self.node.writes_waiting(), self.node.requests_received());
        if let Some(sync) = self.log.quick_sync()
            && self.group_commit.hold(waiting, received, Instant::now(), sync)
        {
            return true;
        }
        self.alone |= self.group_commit.all_here(waiting, received);
        false
    }

    fn tell_time(&mut self) {
        let monotonic = self.started.elapsed().as_millis() as u64 + 1_000_000;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.node.tick(monotonic, wall.as_millis() as i64);
    }

    fn dispatch(&mut self, event: &mio::event::Event) {
        let Token(token) = event.token();
        let hangup = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || hangup;
        if token >= clients::CLIENTS {
            self.clients.ready(token, readable, hangup, event.is_writable(), &mut self.node);
        } else if token >= peers::ACCEPTED {
            self.peers.accepted_ready(token, hangup, &mut self.node);
        } else if token >= peers::DIALLED {
            self.peers.dialled_ready(event, &mut self.node);
        } else if event.token() == CLIENT_LISTENER {
            self.accept_clients();
        } else if event.token() == QUORUM_LISTENER
            && let Some(listener) = &self.quorum_listener
        {
            self.peers.accept(listener, self.poll.registry());
        }
    }

    fn accept_clients(&mut self) {
        for listener in &self.client_listeners {
            self.clients.accept(listener, self.poll.registry(), &mut self.node);
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Persisted { number, sync } => {
                self.log.persisted(number, sync);
                self.persisted(number, sync);
            }
            Completion::SnapshotChunkWritten(chunk) => {
                self.node.give_back_chunk(chunk);
                self.node.snapshot_chunk_written();
            }
            Completion::SnapshotSaved => {
                if let Some(index) = self.node.snapshot_saved() {
                    self.backups.retain(|(wanted, answer)| {
                        let done = *wanted <= index;
                        if done {
                            let _ = answer.send(Ok(index));
                        }
                        !done
                    });
                }
                self.purge_log();
            }
            Completion::SnapshotFailed(why) => {
                for (_, answer) in self.backups.drain(..) {
                    let _ = answer.send(Err(format!("the snapshot could not be written: {why}")));
                }
                self.node.snapshot_failed(&why);
            }
            Completion::Fetched { index, state } => self.node.snapshot_fetched(index, state),
            Completion::Resolved { member, addresses } => self.peers.resolved(member, addresses),
            Completion::Command { line, answer } => {
                let text = self.command(&line);
                let _ = answer.send(text);
            }
            Completion::Backup { answer } if !self.node.serving() => {
                let why = "this server does not serve, so what it has may be old: ask another one, \
                           or see `coordinator rescue`";
                let _ = answer.send(Err(why.to_owned()));
            }
            Completion::Backup { answer } => {
                self.backups.push((self.node.applied_index(), answer));
                self.node.begin_snapshot();
            }
            Completion::View { parts, answer } => {
                let _ = answer.send(Box::new(self.operators.view(&self.node, parts)));
            }
            Completion::Stop | Completion::Fatal(_) => unreachable!("ends the loop"),
        }
    }

    fn persisted(&mut self, number: u64, sync: Option<Duration>) {
        if let Some(sync) = sync {
            self.node.record_sync(sync.as_micros() as u64);
        }
        let before = self.node.writes_waiting();
        self.node.persisted(number);
        self.group_commit.synced(before, self.node.requests_received());
    }

    /// The log is kept from the oldest snapshot that is kept.
    fn purge_log(&mut self) {
        if let Ok(snapshots) = list_snapshots(&self.disk)
            && let Some((oldest, _)) = snapshots.last()
        {
            self.log.purge(oldest.index);
        }
    }

    fn command(&mut self, line: &str) -> String {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["transfer-leadership"] => self.transfer(None),
            ["transfer-leadership", to] => match to.parse() {
                Ok(to) => self.transfer(Some(to)),
                Err(_) => format!("error: `{to}` is no server id"),
            },
            ["remove-member", id] => match id.parse() {
                Ok(id) => match self.node.remove_member(id) {
                    Ok(()) => format!("ok: server {id} leaves the ensemble"),
                    Err(why) => format!("error: {why}"),
                },
                Err(_) => format!("error: `{id}` is no server id"),
            },
            ["snapshot"] => {
                self.node.begin_snapshot();
                "ok: a snapshot has begun".to_owned()
            }
            _ => format!("error: unknown command `{line}`"),
        }
    }

    fn transfer(&mut self, to: Option<u8>) -> String {
        match self.node.transfer_leadership(to) {
            Some(to) => format!("ok: leadership goes to server {to}"),
            None if self.node.leader() != self.node.id() => {
                format!("error: {}", self.node.who_leads())
            }
            None => "error: no other voter is linked and can take it".to_owned(),
        }
    }

    /// Lets the node work and does what it asks, until it asks for nothing more.
    fn carry_out(&mut self) {
        for _ in 0..8 {
            self.node.flush();
            let outputs = self.node.take_outputs();
            // A write waits for another server's disk: the message that brings it there leaves first.
            // Where nothing is to be written the messages tell what is done: clients wait for that.
            if outputs.iter().any(|output| matches!(output, Output::Persist { .. })) {
                self.peers.send(&mut self.node);
                self.clients.send(&mut self.node);
            } else {
                self.clients.send(&mut self.node);
                self.peers.send(&mut self.node);
            }
            let mut synced = false;
            for output in outputs {
                synced |= self.carry_out_one(output);
            }
            if !self.cluster_known {
                self.remember_cluster();
            }
            if !synced && !self.node.pending() {
                return;
            }
        }
        self.peers.send(&mut self.node);
        self.clients.send(&mut self.node);
    }

    /// Whether the log was synced meanwhile: what waited for that can be sent now.
    fn carry_out_one(&mut self, output: Output) -> bool {
        match output {
            Output::Persist { number, entries, hard_state } => {
                match self.log.persist(number, entries, hard_state, self.alone) {
                    Persist::Done(sync) => {
                        self.persisted(number, sync);
                        if self.config.servers.len() <= 1 {
                            self.busy_poll.rest();
                        }
                        return true;
                    }
                    Persist::Later => {}
                    Persist::Failed(error) => {
                        self.completions.send(Completion::Fatal(error.to_string()));
                    }
                }
            }
            Output::Install { point } => {
                self.log.install(Position { index: point.index, term: point.term });
            }
            Output::SnapshotBegin { point, zxid, cluster_id } => {
                let meta = SnapshotMeta {
                    index: point.index,
                    term: point.term,
                    conf_state: point.conf_state,
                    zxid,
                    cluster_id,
                };
                let _ = self.snapshot_writer.send(SnapshotWork::Begin(meta));
            }
            Output::SnapshotChunk(bytes) => {
                let hurry = self.node.writes_since_snapshot() > HURRY_WRITES;
                let _ = self.snapshot_writer.send(SnapshotWork::Chunk { bytes, hurry });
            }
            Output::SnapshotEnd => drop(self.snapshot_writer.send(SnapshotWork::End)),
            Output::FetchSnapshot { from, index, term: _ } => {
                if let Some(server) = self.config.servers.get(&from) {
                    let address = (server.host.clone(), server.election_port);
                    self.transfer.clone().fetch(address, index, self.completions.clone());
                }
            }
            Output::Word { conn, word } => self.operators.word(&mut self.node, conn, word),
            Output::Disconnect(id) => self.peers.drop_link(id, &mut self.node, "it was cut off"),
            Output::Log(level, text) => self.logger.log(level, &text),
            Output::Fatal(why) => self.completions.send(Completion::Fatal(why)),
        }
        false
    }

    /// The data directory belongs to this ensemble from now on.
    fn remember_cluster(&mut self) {
        let cluster_id = self.node.state().cluster().cluster_id;
        if cluster_id == 0 {
            return;
        }
        self.cluster_known = true;
        if let Err(error) = self.identity.join(&self.disk, cluster_id) {
            self.completions.send(Completion::Fatal(error.to_string()));
        }
        // The marker has done what it was for: the directory is not empty any more.
        let marker = self.config.data_dir.join("initialize");
        if marker.exists()
            && let Err(error) = std::fs::remove_file(&marker)
        {
            self.logger.warn(&format!("cannot remove {}: {error}", marker.display()));
        }
    }
}
