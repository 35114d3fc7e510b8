//! When a server's thread turns, and how long that takes.

use coordinator::driver::{Completion, End};
use coordinator::node::peer::PeerMessage;
use coordinator::node::{self, Node};

use super::Arrival;
use super::host::VirtualHost;
use crate::network::{MS, Micros};
use crate::world::{What, World};

impl World {
    /// Makes the server's thread turn within `delay`, or as soon as its last turn is over.
    pub fn wake(&mut self, s: usize, delay: Micros) {
        let (boot, now_us) = (self.servers[s].boot, self.now_us);
        let Some(running) = &mut self.servers[s].running else { return };
        let at_us = (now_us + delay).max(running.busy_until_us);
        if running.next_turn.is_some_and(|(planned_us, _)| planned_us <= at_us) {
            return;
        }
        let number = running.next_turn.map_or(0, |(_, number)| number).max(self.turns) + 1;
        self.turns = number;
        running.next_turn = Some((at_us, number));
        self.schedule_at(at_us, What::Turn { server: s, boot, number });
    }

    pub fn arrive(&mut self, s: usize, arrival: Arrival) {
        let Some(running) = &mut self.servers[s].running else { return };
        running.inbox.push_back(arrival);
        let delay = self.random.range(5, 200);
        self.wake(s, delay);
    }

    pub fn complete(&mut self, s: usize, completion: Completion) {
        self.arrive(s, Arrival::Completed(completion));
    }

    /// The event of a turn: void when another one was planned meanwhile.
    pub fn turn_due(&mut self, s: usize, number: u64) {
        let planned = self.servers[s].running.as_ref().and_then(|r| r.next_turn);
        if planned.is_some_and(|(_, planned)| planned == number) {
            self.turn(s);
        }
    }

    /// Once around, as the driver has it.
    pub fn turn(&mut self, s: usize) {
        if self.servers[s].paused {
            return; // `resume` turns it
        }
        let Some(running) = &mut self.servers[s].running else { return };
        running.next_turn = None;
        let ready = running.ready();
        let mut driver = running.driver.take().expect("one turn at a time");
        self.lag_us = 0;
        let mut host = VirtualHost { world: self, server: s };
        let end = driver.turn(&mut host, ready);
        let wait = driver.wait(&host);
        let work_us = self.random.range(5, 60);
        let differs = driver.node().differs();
        let cost = driver.node().turn_cost();
        let busy_us = std::mem::take(&mut self.lag_us) + work_us;
        let now_us = self.now_us;
        let running = self.servers[s].running.as_mut().expect("a turn ends no process");
        running.driver = Some(driver);
        running.busy_until_us = now_us + busy_us;
        let connections = running.sockets.len() as u32;
        self.stats.turn_units = self.stats.turn_units.max(cost.requests + cost.applied);
        if !cost.is_bounded(connections) {
            self.fail(format!(
                "a turn of server {} cost {cost:?} beside {connections} connections",
                s + 1
            ));
        }
        match end {
            Some(End::Stopped) => {
                self.say(|| format!("server {} has stopped in order", s + 1));
                self.end_process(s);
                self.servers[s].disk.process_died();
            }
            Some(End::Fatal(why)) => self.process_fails(s, &why),
            None => {
                // What arrived meanwhile, from other threads say, is met in the next turn.
                let more = self.servers[s].running.as_ref().is_some_and(|r| !r.inbox.is_empty());
                let delay = if more || wait.at_most.is_zero() {
                    self.random.range(1, 30)
                } else {
                    wait.at_most.as_micros() as Micros
                };
                self.wake(s, busy_us + delay);
                if differs {
                    self.differing(s);
                }
            }
        }
    }

    /// Dials whoever is not connected and due.
    pub(super) fn dial(&mut self, s: usize, node: &mut Node) {
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
            let Some(theirs) = self.servers[to].node() else { continue };
            let (mine, theirs, accepts) =
                (node.hello(), theirs.hello(), theirs.check_hello(&node.hello()));
            match accepts.and_then(|()| node.check_hello(&theirs)) {
                Ok(()) => {}
                // One of the two has still to be restarted with the newest list.
                Err(_) if mine.members != theirs.members => continue,
                Err(why) => {
                    self.fail(format!("servers {} and {} refuse each other: {why}", s + 1, to + 1));
                    return;
                }
            }
            let connection = self.network.next_connection();
            let link = self.network.link(s, to);
            link.up = Some(connection);
            link.heard = connection;
            link.waiting.clear();
            link.last_us = 0;
            node.peer_connected(theirs);
        }
    }
}

/// A message between servers in one line.
pub(super) fn brief(message: &[u8]) -> String {
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
