//! Start and end of a process, and what that does to its disk and its links.

use std::collections::{BTreeMap, VecDeque};

use coordinator::node::{self, Node, NodeConfig, SnapshotPoint};
use coordinator::state::State;
use coordinator::store::{
    FaultyDisk, Identity, Position, StoreError, Wal, newest_snapshot, remove_partial,
};

use super::disk::{options, point_of, restore};
use super::observe::checksum;
use super::{Arrival, Running, TICK_MS};
use crate::network::{MS, Micros, SECOND};
use crate::world::{What, World};

impl World {
    pub fn times(&self, s: usize) -> (u64, i64) {
        let server = &self.servers[s];
        let drift = self.now_us as i64 / 1_000_000 * server.drift_ppm;
        let monotonic_us = self.now_us as i64 + drift;
        let wall_ms = 1_700_000_000_000 + monotonic_us / 1000 + server.wall_offset_ms;
        (monotonic_us as u64 / 1000 + 1_000_000, wall_ms)
    }

    pub fn start_server(&mut self, s: usize) {
        self.servers[s].starting = false;
        if self.servers[s].running.is_some() || self.servers[s].list.is_empty() {
            return;
        }
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        match self.recover(s) {
            Ok((recovered, wal, identity, blank)) => {
                self.begin_process(s, recovered, wal, identity, blank);
            }
            Err(e) if e.is_damage() && self.servers[s].rotten => {
                self.say(|| {
                    format!("server {} refuses to start: {e}; it gets an empty disk", s + 1)
                });
                self.stats.rot_refused += 1;
                self.wipe(s);
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(StoreError::Io { .. }) => {
                self.servers[s].disk.process_died();
                self.servers[s].starting = true;
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(e) => self.fail(format!("server {} cannot start: {e}", s + 1)),
        }
    }

    pub(super) fn recover(
        &mut self,
        s: usize,
    ) -> Result<(node::Recovered, Wal<FaultyDisk>, Identity, bool), StoreError> {
        let disk = self.servers[s].disk.clone();
        remove_partial(&disk)?;
        let fresh = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let identity = Identity::open_or_create(&disk, self.servers[s].id, fresh)?;
        let (snapshot, damaged) = newest_snapshot(&disk, restore)?;
        if snapshot.is_none()
            && let Some(error) = damaged.into_iter().next()
        {
            return Err(error);
        }
        let (point, state) = match snapshot {
            Some((meta, state)) => (point_of(&meta), state),
            None => (SnapshotPoint::default(), State::new()),
        };
        let position = Position { index: point.index, term: point.term };
        let options = options(&identity);
        let (wal, log) = Wal::open(disk, options, position)?;
        let blank = identity.cluster_id == 0;
        self.say(|| {
            format!(
                "server {} starts: snapshot {position:?}, {} entries, {:?}",
                s + 1,
                log.entries.len(),
                log.hard_state
            )
        });
        let recovered = node::Recovered {
            snapshot: point,
            state,
            hard_state: log.hard_state,
            entries: log.entries,
        };
        Ok((recovered, wal, identity, blank))
    }

    pub(super) fn begin_process(
        &mut self,
        s: usize,
        recovered: node::Recovered,
        wal: Wal<FaultyDisk>,
        identity: Identity,
        blank: bool,
    ) {
        let mut secret = [0; 32];
        for byte in &mut secret {
            *byte = self.random.next_u64() as u8;
        }
        let config = NodeConfig {
            id: self.servers[s].id,
            voters: self.setting.voters_of(&self.servers[s].list),
            observers: self.setting.observers(),
            tick_ms: TICK_MS,
            heartbeat_ms: 100,
            election_timeout_ms: 1000,
            session_timeout_min_ms: 2000,
            session_timeout_max_ms: 20_000,
            max_client_connections: 0,
            frame_bytes_max: 1 << 20,
            snapshot_ops: self.setting.snapshot_ops,
            reap_interval_ms: 1_000,
            never_used_ms: None,
            extended_types: true,
            super_digest: None,
            skip_acl: false,
            incarnation: identity.incarnation,
            blank,
            initialize: false,
            fresh_cluster_id: u128::from(self.random.next_u64()) << 64 | 1,
            fresh_secret: secret,
            boot: self.random.next_u64(),
            published_members: None,
        };
        let (now_ms, wall_ms) = self.times(s);
        let seed = self.random.next_u64();
        let server = &mut self.servers[s];
        server.mirror =
            recovered.entries.iter().map(|e| (e.index, (e.term, checksum(e)))).collect();
        server.applied = recovered.snapshot.index;
        server.sessions = recovered.state.sessions().map(|(id, _)| id).collect();
        let node = Node::new(config, recovered, now_ms, wall_ms, seed);
        server.running = Some(Running {
            node,
            identity,
            wal,
            log_work: VecDeque::new(),
            log_busy: false,
            log_number: None,
            writer: None,
            inbox: VecDeque::new(),
            loop_scheduled: false,
            sockets: BTreeMap::new(),
            stop_by: None,
            started_us: self.now_us,
        });
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
            link.retry_us = self.now_us;
        }
        self.tick(s);
    }

    /// The process is gone; what that does to the disk is up to the caller.
    pub fn end_process(&mut self, s: usize) {
        let Some(running) = self.servers[s].running.take() else { return };
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        self.say(|| format!("server {} is gone", s + 1));
        for socket in running.sockets.into_values() {
            self.server_closed_wire(socket.wire);
        }
        for wire in running.inbox.into_iter().filter_map(|a| match a {
            Arrival::ClientOpened { wire } => Some(wire),
            _ => None,
        }) {
            self.server_closed_wire(wire);
        }
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
            // Those who dialled it hear of it at once, or when their packets come back.
            let late = if self.random.chance(1, 4) { 500 * MS } else { 2 * MS };
            let delay = self.random.range(100, late);
            self.lose_link(other, s, delay);
        }
    }

    /// The dialler `from` finds its connection ended after `delay`.
    pub fn lose_link(&mut self, from: usize, to: usize, delay: Micros) {
        let link = self.network.link(from, to);
        link.waiting.clear();
        let Some(connection) = link.up else { return };
        link.heard = link.heard.max(connection + 1);
        self.schedule(
            delay,
            What::Arrive {
                server: from,
                boot: self.servers[from].boot,
                arrival: Arrival::LinkLost { to, connection },
            },
        );
    }

    pub fn wipe(&mut self, s: usize) {
        let server = &mut self.servers[s];
        server.disk = FaultyDisk::new(&format!("server{}", server.id));
        server.rotten = false;
    }

    /// The process ends by itself, as after a failed fsync, and is started again.
    pub(super) fn process_fails(&mut self, s: usize, error: &StoreError) {
        self.say(|| format!("server {} stops: {error}", s + 1));
        self.stats.fatal += 1;
        self.end_process(s);
        self.servers[s].disk.process_died();
        self.servers[s].starting = true;
        let delay = self.random.range(200 * MS, 3 * SECOND);
        self.schedule(delay, What::Start { server: s });
    }
}
