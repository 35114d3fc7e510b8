//! What a simulated server sees of its world: the driver's `Host` without sockets, threads and
//! clocks. Time passes within a turn, so what leaves in it leaves later.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use coordinator::admin::view::{Parts, View};
use coordinator::config::Server;
use coordinator::driver::{Completion, Host, LogWork, Milestone, SnapshotWork, Written};
use coordinator::node::{Level, Node, Output};
use coordinator::store::FaultyDisk;
use raft::eraftpb::{Entry, HardState};

use super::turn::brief;
use super::{Arrival, Running, Socket};
use crate::network::{MS, Micros};
use crate::world::{What, World};

/// A server in the world, while its turn runs.
pub struct VirtualHost<'w> {
    pub world: &'w mut World,
    pub server: usize,
}

impl VirtualHost<'_> {
    fn running(&mut self) -> &mut Running {
        self.world.servers[self.server].running.as_mut().expect("its turn runs")
    }
}

/// A clock that is read before and after something that takes `took`.
pub(super) fn stopwatch(took: Micros) -> impl Fn() -> Duration {
    let next = Cell::new(Duration::ZERO);
    move || next.replace(Duration::from_micros(took))
}

impl Host for VirtualHost<'_> {
    type Disk = FaultyDisk;

    fn now(&self) -> Duration {
        self.world.times(self.server).0
    }

    fn wall_ms(&self) -> i64 {
        self.world.times(self.server).1
    }

    fn receive(&mut self, node: &mut Node) {
        if self.world.now_us < self.world.servers[self.server].sluggish_until_us {
            self.world.lag_us += self.world.random.range(MS, 80 * MS);
        }
        let mut rest = std::collections::VecDeque::new();
        for arrival in std::mem::take(&mut self.running().inbox) {
            self.world.hash_arrival(self.server, &arrival);
            match arrival {
                Arrival::Completed(_) => rest.push_back(arrival),
                arrival => self.take(arrival, node),
            }
        }
        self.running().inbox = rest;
    }

    fn completed(&mut self) -> Option<Completion> {
        let arrival = self.running().inbox.pop_front()?;
        let Arrival::Completed(completion) = arrival else { unreachable!("sockets are read") };
        let s = self.server;
        match &completion {
            Completion::Persisted { number, .. } => {
                self.world.say(|| format!("server {} has persisted ready {number}", s + 1));
            }
            Completion::SnapshotSaved(_) => self.world.stats.snapshots += 1,
            _ => {}
        }
        Some(completion)
    }

    fn tend_links(&mut self, node: &mut Node) {
        self.world.dial(self.server, node);
    }

    fn redial(&mut self, member: u8, node: &mut Node) {
        self.world.redial(self.server, usize::from(member) - 1, node);
    }

    fn disconnect(&mut self, member: u8, _node: &mut Node) {
        let s = self.server;
        self.world.fail(format!("server {} disconnects server {member}", s + 1));
    }

    fn send_to_peers(&mut self, node: &mut Node) {
        self.world.send_to_peers(self.server, node);
    }

    fn send_to_clients(&mut self, node: &mut Node) {
        for conn in node.take_dirty_clients() {
            self.world.write_client(self.server, conn, node);
        }
    }

    fn log_work(&mut self, work: LogWork) {
        let s = self.server;
        if let LogWork::Append { number, entries, .. } = &work {
            let count = entries.len();
            self.world.say(|| format!("server {} persists ready {number}, {count} entries", s + 1));
        }
        self.running().log_work.push_back(work);
        self.world.work_log(s);
    }

    fn write_log(&mut self, entries: &[Entry], hard_state: Option<&HardState>) -> Option<Written> {
        let s = self.server;
        if self.running().log_busy {
            return None;
        }
        let took = self.world.sync_time(s);
        let running = self.running();
        let written = running.log.write(entries, hard_state, stopwatch(took));
        self.world.lag_us += took;
        self.world.stats.inline_syncs += 1;
        self.world.schedule_chores(s);
        self.world.say(|| format!("server {} syncs {} entries itself", s + 1, entries.len()));
        Some(written)
    }

    fn snapshot_work(&mut self, work: SnapshotWork) {
        self.running().snapshot_work.push_back(work);
        self.world.work_snapshots(self.server);
    }

    /// Links are by id here.
    fn set_members(&mut self, _members: BTreeMap<u8, Server>, _node: &mut Node) {}

    fn fetch_snapshot(&mut self, member: u8, index: u64) {
        let (server, boot) = (self.server, self.world.servers[self.server].boot);
        let delay = self.world.random.range(MS, 30 * MS);
        let from = usize::from(member) - 1;
        self.world.schedule(delay, What::Fetch { server, boot, from, index });
    }

    fn log(&mut self, level: Level, text: &str) {
        let s = self.server;
        if level == Level::Error {
            self.world.stats.errors_logged += 1;
        }
        self.world.say(|| format!("server {} says: {text}", s + 1));
    }

    fn audit(&mut self, lines: String) {
        assert!(lines.ends_with("result=success\n") || lines.ends_with("result=failure\n"));
    }

    fn reached(&mut self, milestone: Milestone) {
        let s = self.server;
        self.world.servers[s].stopping |= milestone == Milestone::Stopping;
        self.world.say(|| format!("server {}: {milestone:?}", s + 1));
    }

    fn complete_view(&self, _view: &mut View, _parts: Parts) {}

    fn observe(&mut self, node: &Node, outputs: &[Output]) {
        self.world.observe(self.server, node, outputs);
    }
}

impl VirtualHost<'_> {
    /// What a socket has received.
    fn take(&mut self, arrival: Arrival, node: &mut Node) {
        let s = self.server;
        let id_of = |s: usize| s as u8 + 1;
        match arrival {
            Arrival::PeerMessage { from, connection, message } => {
                self.world.say(|| format!("{} <- {}: {}", s + 1, from + 1, brief(&message)));
                if self.world.network.link(from, s).heard == connection {
                    node.peer_message(id_of(from), &message);
                }
            }
            Arrival::LinkLost { to, connection } => {
                let retry_us = self.world.time_us() + self.world.random.range(20 * MS, 500 * MS);
                let link = self.world.network.link(s, to);
                if link.up == Some(connection) {
                    link.up = None;
                    link.waiting.clear();
                    link.retry_us = retry_us;
                    node.peer_disconnected(id_of(to));
                }
            }
            Arrival::ClientOpened { wire } => {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
                let conn = node.client_opened(address).expect("no limit is set");
                self.running()
                    .sockets
                    .insert(conn, Socket { wire, unread: Vec::new(), ended: false });
            }
            Arrival::ClientBytes { wire, bytes } => {
                let running = self.running();
                if let Some(conn) = running.conn_of(wire) {
                    let socket = running.sockets.get_mut(&conn).expect("it is open");
                    socket.unread.extend_from_slice(&bytes);
                    let open = !node.client_closing(conn);
                    running.read(conn, node);
                    if open {
                        self.world.heard_client(wire);
                    }
                }
            }
            Arrival::ClientHalfClosed { wire } => {
                let running = self.running();
                if let Some(conn) = running.conn_of(wire) {
                    let socket = running.sockets.get_mut(&conn).expect("it is open");
                    socket.ended = true;
                    if node.client_idle(conn) {
                        running.close(conn, node);
                        self.world.server_closed_wire(wire);
                    }
                }
            }
            Arrival::ClientClosed { wire } => {
                let running = self.running();
                if let Some(conn) = running.conn_of(wire) {
                    running.close(conn, node);
                    self.world.server_closed_wire(wire);
                }
            }
            Arrival::Completed(_) => unreachable!("comes from no socket"),
        }
    }
}
