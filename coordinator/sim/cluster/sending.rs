//! What a server sends, with whatever befalls it on the way.

use coordinator::node::{ConnId, Node, split_frames};

use super::Arrival;
use crate::network::MS;
use crate::world::{What, World};

impl World {
    pub(super) fn send_to_peers(&mut self, s: usize, node: &mut Node) {
        for to in 0..self.servers.len() {
            if to == s {
                continue;
            }
            let Some(connection) = self.network.link(s, to).up else { continue };
            let Some(output) = node.peer_output(to as u8 + 1) else { continue };
            let bytes = std::mem::take(output);
            let mut messages = Vec::new();
            let taken = split_frames(&bytes, |m| messages.push(m.to_vec()));
            assert!(taken == Some(bytes.len()), "a server writes whole frames");
            for message in messages {
                self.transmit(s, to, connection, message);
            }
        }
    }

    /// One message on its way, with whatever befalls it.
    pub fn transmit(&mut self, from: usize, to: usize, connection: u64, message: Vec<u8>) {
        const KIND_RAFT: u8 = 1;
        let now_us = self.time_us();
        let link = self.network.link(from, to);
        if link.cut || now_us < link.resumes_us {
            link.waiting.push_back((connection, message));
            return;
        }
        let distance_us = link.distance_us;
        let weather = self.network.weather.clone();
        let delay = weather.delay(&mut self.random);
        let mut at = now_us + distance_us + delay;
        let raft = message.first() == Some(&KIND_RAFT);
        let mut copies = 1;
        if raft {
            if self.random.chance(weather.lost, 1000) {
                return;
            }
            copies += u64::from(self.random.chance(weather.doubled, 1000));
        }
        let overtaken = raft && self.random.chance(weather.overtaken, 1000);
        let link = self.network.link(from, to);
        if overtaken {
            at += self.random.range(MS, 300 * MS);
        } else {
            at = at.max(link.last_us + 1);
            link.last_us = at;
        }
        let boot = self.servers[to].boot;
        for copy in 0..copies {
            let arrival = Arrival::PeerMessage { from, connection, message: message.clone() };
            let at = at + copy * self.random.range(1, 50 * MS);
            self.schedule_at(at, What::Arrive { server: to, boot, arrival });
        }
    }

    /// Both connections to a silent member end; it is dialled again. What it says on its own is not
    /// heard any more, which it learns when packets get through.
    pub(super) fn redial(&mut self, s: usize, to: usize, node: &mut Node) {
        self.stats.redials += 1;
        let now_us = self.now_us;
        let link = self.network.link(s, to);
        link.up = None;
        link.waiting.clear();
        link.retry_us = now_us;
        let theirs = self.network.link(to, s);
        theirs.heard =
            theirs.up.map_or(theirs.heard, |connection| theirs.heard.max(connection + 1));
        if self.network.reachable(s, to) {
            let delay = self.random.range(100, 20 * MS);
            self.lose_link(to, s, delay);
        }
        node.peer_disconnected(to as u8 + 1);
    }

    pub(super) fn write_client(&mut self, s: usize, conn: ConnId, node: &mut Node) {
        let Some(running) = &mut self.servers[s].running else { return };
        let Some(socket) = running.sockets.get(&conn) else { return };
        let (wire, ended) = (socket.wire, socket.ended);
        let closing = node.client_closing(conn);
        let Some(output) = node.client_output(conn) else {
            running.close(conn, node);
            return self.server_closed_wire(wire);
        };
        if self.wires[wire].deaf && !output.is_empty() {
            // Its socket's buffer is full; the connection ends when the client lets it go.
            let bytes = output.len();
            return self.bound_output(s, bytes);
        }
        let bytes = std::mem::take(output);
        let closing = closing || ended && node.client_idle(conn);
        if closing {
            running.close(conn, node);
        } else {
            node.client_sent(conn);
            running.read(conn, node);
        }
        if !bytes.is_empty() {
            self.server_sent(s, wire, bytes);
        }
        if closing {
            self.server_closed_wire(wire);
        }
    }
}
