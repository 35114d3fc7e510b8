//! The event loop of a server: time, arrivals, work, outputs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use coordinator::node::peer::PeerMessage;
use coordinator::node::{self, Level, Node, Output};
use coordinator::store::{Position, SnapshotMeta, SnapshotWriter, list_snapshots};

use super::observe::checksum;
use super::{Arrival, LogWork, STOP_US, Socket, TICK_MS};
use crate::network::{MS, Micros};
use crate::world::{What, World};

impl World {
    /// Makes the server's thread turn once within `delay`.
    pub fn wake(&mut self, s: usize, delay: Micros) {
        let boot = self.servers[s].boot;
        let Some(running) = &mut self.servers[s].running else { return };
        if !running.loop_scheduled {
            running.loop_scheduled = true;
            self.schedule(delay, What::Turn { server: s, boot });
        }
    }

    pub fn arrive(&mut self, s: usize, arrival: Arrival) {
        let Some(running) = &mut self.servers[s].running else { return };
        running.inbox.push_back(arrival);
        let delay = self.random.range(5, 200);
        self.wake(s, delay);
    }

    /// Once around: time, arrivals, work, outputs.
    pub fn turn(&mut self, s: usize) {
        if self.servers[s].paused {
            return; // `resume` turns it
        }
        let (now_ms, wall_ms) = self.times(s);
        let Some(running) = &mut self.servers[s].running else { return };
        running.loop_scheduled = false;
        running.node.tick(now_ms, wall_ms);
        while let Some(arrival) = self.servers[s].running.as_mut().and_then(|r| r.inbox.pop_front())
        {
            self.take(s, arrival);
        }
        self.dial(s);
        self.carry_out(s);
        let Some(running) = &mut self.servers[s].running else { return };
        if let Some(by) = running.stop_by
            && (running.node.stopped() || self.now_us >= by)
        {
            self.carry_out(s);
            self.say(|| format!("server {} has stopped in order", s + 1));
            self.end_process(s);
            self.servers[s].disk.process_died();
            return;
        }
        if running.node.busy() || running.node.pending() {
            let delay = self.random.range(20, 500);
            self.wake(s, delay);
        }
    }

    /// An idle server wakes this often.
    pub fn tick(&mut self, s: usize) {
        let boot = self.servers[s].boot;
        self.schedule(TICK_MS * MS, What::Tick { server: s, boot });
        if self.servers[s].running.as_ref().is_some_and(|r| !r.loop_scheduled) {
            self.turn(s);
        }
    }

    pub(super) fn take(&mut self, s: usize, arrival: Arrival) {
        self.hash_arrival(s, &arrival);
        if let Arrival::PeerMessage { from, message, .. } = &arrival {
            self.say(|| format!("{} <- {}: {}", s + 1, from + 1, brief(message)));
        }
        let id_of = |s: usize| s as u8 + 1;
        let disk = self.servers[s].disk.clone();
        let Some(running) = &mut self.servers[s].running else { return };
        let node = &mut running.node;
        match arrival {
            Arrival::PeerMessage { from, connection, message } => {
                if self.network.link(from, s).heard == connection {
                    node.peer_message(id_of(from), &message);
                }
            }
            Arrival::LinkLost { to, connection } => {
                let link = self.network.link(s, to);
                if link.up == Some(connection) {
                    link.up = None;
                    link.waiting.clear();
                    link.retry_us = self.now_us + self.random.range(20 * MS, 500 * MS);
                    node.peer_disconnected(id_of(to));
                }
            }
            Arrival::ClientOpened { wire } => {
                let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
                let conn = node.client_opened(address).expect("no limit is set");
                running.sockets.insert(conn, Socket { wire, unread: Vec::new() });
            }
            Arrival::ClientBytes { wire, bytes } => {
                if let Some(conn) = running.conn_of(wire) {
                    let socket = running.sockets.get_mut(&conn).expect("it is open");
                    socket.unread.extend_from_slice(&bytes);
                    running.read(conn);
                }
            }
            Arrival::ClientClosed { wire } => {
                if let Some(conn) = running.conn_of(wire) {
                    running.close(conn);
                    self.server_closed_wire(wire);
                }
            }
            Arrival::Persisted { number } => {
                node.persisted(number);
                self.say(|| format!("server {} has persisted ready {number}", s + 1));
            }
            Arrival::ChunkWritten => node.snapshot_chunk_written(),
            Arrival::SnapshotSaved => {
                node.snapshot_saved();
                if let Ok(snapshots) = list_snapshots(&disk)
                    && let Some((oldest, _)) = snapshots.last()
                {
                    running.log_work.push_back(LogWork::Purge(oldest.index));
                    self.work_log(s);
                }
            }
            Arrival::SnapshotFailed(why) => node.snapshot_failed(&why),
            Arrival::Fetched { index, state } => node.snapshot_fetched(index, state),
            Arrival::Stop => {
                node.stop();
                running.stop_by = Some(self.now_us + STOP_US);
            }
        }
    }

    /// Dials whoever is not connected and due.
    pub(super) fn dial(&mut self, s: usize) {
        for to in 0..self.servers.len() {
            let now_us = self.now_us;
            let link = self.network.link(s, to);
            if to == s || link.up.is_some() || now_us < link.retry_us {
                continue;
            }
            link.retry_us = now_us + self.random.range(20 * MS, 500 * MS);
            if !self.servers[to].alive() || !self.network.reachable(s, to) {
                continue;
            }
            let (Some(mine), Some(theirs)) =
                (self.servers[s].node().map(Node::hello), self.servers[to].node().map(Node::hello))
            else {
                continue;
            };
            let alike = mine.members == theirs.members;
            let accepts = self.servers[to].node().map(|n| n.check_hello(&mine));
            let Some(running) = &mut self.servers[s].running else { return };
            match accepts.map(|a| a.and_then(|()| running.node.check_hello(&theirs))) {
                Some(Ok(())) => {}
                // One of the two has still to be restarted with the newest list.
                Some(Err(_)) if !alike => continue,
                Some(Err(why)) => {
                    self.fail(format!("servers {} and {} refuse each other: {why}", s + 1, to + 1));
                    return;
                }
                None => continue,
            }
            let connection = self.network.next_connection();
            let link = self.network.link(s, to);
            link.up = Some(connection);
            link.heard = connection;
            link.waiting.clear();
            link.last_us = 0;
            running.node.peer_connected(theirs);
        }
    }

    pub(super) fn carry_out(&mut self, s: usize) {
        for _ in 0..8 {
            let Some(running) = &mut self.servers[s].running else { return };
            running.node.flush();
            for output in running.node.take_outputs() {
                self.carry_out_one(s, output);
            }
            self.join_ensemble(s);
            self.observe(s);
            self.send_to_peers(s);
            self.send_to_clients(s);
            if !self.servers[s].node().is_some_and(Node::pending) {
                break;
            }
        }
    }

    /// The data directory belongs to the ensemble once the state says which one that is. A failing
    /// disk is met again at the next turn.
    pub(super) fn join_ensemble(&mut self, s: usize) {
        let server = &mut self.servers[s];
        let Some(running) = &mut server.running else { return };
        let cluster_id = running.node.state().cluster().cluster_id;
        if running.identity.cluster_id != cluster_id {
            let _ = running.identity.join(&server.disk, cluster_id);
        }
    }

    pub(super) fn carry_out_one(&mut self, s: usize, output: Output) {
        let boot = self.servers[s].boot;
        let disk = self.servers[s].disk.clone();
        let server = &mut self.servers[s];
        let Some(running) = &mut server.running else { return };
        match output {
            Output::Persist { number, entries, hard_state } => {
                for entry in &entries {
                    server.mirror.split_off(&entry.index);
                    server.mirror.insert(entry.index, (entry.term, checksum(entry)));
                }
                let count = entries.len();
                running.log_work.push_back(LogWork::Append { number, entries, hard_state });
                self.say(|| format!("server {} persists ready {number}, {count} entries", s + 1));
                self.work_log(s);
            }
            Output::Install { point } => {
                server.mirror.clear();
                server.applied = point.index;
                let position = Position { index: point.index, term: point.term };
                running.log_work.push_back(LogWork::Install(position));
                self.stats.installs += 1;
                self.work_log(s);
            }
            Output::SnapshotBegin { point, zxid, cluster_id } => {
                let meta = SnapshotMeta {
                    index: point.index,
                    term: point.term,
                    conf_state: point.conf_state,
                    zxid,
                    cluster_id,
                };
                match SnapshotWriter::create(disk, &meta) {
                    Ok(writer) => running.writer = Some(writer),
                    Err(e) => self.snapshot_failed(s, &e),
                }
            }
            Output::SnapshotChunk(chunk) => {
                let written = running.writer.as_mut().map_or(Ok(()), |w| w.chunk(&chunk));
                let delay = self.random.range(50, 5 * MS);
                let arrival = Arrival::ChunkWritten;
                self.schedule(delay, What::Arrive { server: s, boot, arrival });
                if let Err(e) = written {
                    self.snapshot_failed(s, &e);
                }
            }
            Output::SnapshotEnd => {
                let delay = self.random.range(MS, 50 * MS);
                self.schedule(delay, What::SnapshotEnds { server: s, boot });
            }
            Output::FetchSnapshot { from, index, .. } => {
                let delay = self.random.range(5 * MS, 800 * MS);
                let from = usize::from(from) - 1;
                self.schedule(delay, What::Fetch { server: s, boot, from, index });
            }
            Output::Disconnect(id) => self.fail(format!("server {} cuts off server {id}", s + 1)),
            Output::Fatal(why) => self.fail(format!("server {} cannot go on: {why}", s + 1)),
            Output::Word { .. } => self.fail("nobody asked a four-letter word".to_owned()),
            Output::Log(level, text) => {
                if level == Level::Error {
                    self.stats.errors_logged += 1;
                }
                self.say(|| format!("server {} says: {text}", s + 1));
            }
        }
    }
}

/// A message between servers in one line.
fn brief(message: &[u8]) -> String {
    match node::peer::parse(message) {
        Ok(PeerMessage::Raft(m)) => {
            let entries: Vec<_> = m.entries.iter().map(|e| (e.index, e.term)).collect();
            format!(
                "{:?} term {} log_term {} index {} commit {} reject {} {entries:?}",
                m.msg_type, m.term, m.log_term, m.index, m.commit, m.reject
            )
        }
        Ok(other) => format!("{other:?}").chars().take(120).collect(),
        Err(_) => "what nobody sends".to_owned(),
    }
}
