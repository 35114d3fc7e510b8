//! Start and end of a process, and what that does to its disk and its links.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use coordinator::driver::{
    Chores, Driver, DriverConfig, LogWriter, RecoverError, SnapshotThread, TICK, claim,
    read_halves, recover,
};
use coordinator::node::{Authentication, Level, Node, NodeConfig, Recovered};
use coordinator::store::{FaultyDisk, Identity, StoreError, Wal};

use super::disk::options;
use super::host::stopwatch;
use super::observe::checksum;
use super::{Arrival, Running, SNAPSHOTS_KEPT};
use crate::corruption;
use crate::network::{MS, Micros, SECOND};
use crate::world::{What, World};

/// Before the start, so that no deadline lies before it.
const ORIGIN: Duration = Duration::from_secs(1000);

impl World {
    /// The clocks of a server: the monotonic one, and milliseconds since 1970.
    pub fn times(&self, s: usize) -> (Duration, i64) {
        let server = &self.servers[s];
        let now_us = self.time_us() as i64;
        let monotonic_us = now_us + now_us / 1_000_000 * server.drift_ppm;
        let wall_ms = 1_700_000_000_000 + monotonic_us / 1000 + server.wall_offset_ms;
        (ORIGIN + Duration::from_micros(monotonic_us as u64), wall_ms)
    }

    pub fn start_server(&mut self, s: usize) {
        self.servers[s].starting = false;
        if self.servers[s].running.is_some() || self.servers[s].list.is_empty() {
            return;
        }
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        self.servers[s].stopping = false;
        match self.recover(s) {
            Ok((recovered, wal, identity)) => self.begin_process(s, recovered, wal, identity),
            Err(e) if e.is_damage() && self.servers[s].rotten => {
                self.say(|| {
                    format!("server {} refuses to start: {e}; it gets an empty disk", s + 1)
                });
                self.stats.rot_refused += 1;
                self.wipe(s);
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(RecoverError::Store(StoreError::Io { .. })) => {
                self.servers[s].disk.process_died();
                self.servers[s].starting = true;
                self.schedule(SECOND, What::Start { server: s });
            }
            Err(e) => self.fail(format!("server {} cannot start: {e}", s + 1)),
        }
    }

    fn recover(
        &mut self,
        s: usize,
    ) -> Result<(Recovered, Wal<FaultyDisk>, Identity), RecoverError> {
        let disk = self.servers[s].disk.clone();
        let fresh = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let identity = claim(&disk, self.servers[s].id, fresh)?;
        let clock = stopwatch(0);
        let say = |_: Level, text: &str| self.say(|| format!("server {}: {text}", s + 1));
        let options = options(&identity);
        let (recovered, wal) = recover(&disk, &disk, &options, read_halves, clock, say)?;
        Ok((recovered, wal, identity))
    }

    fn begin_process(
        &mut self,
        s: usize,
        mut recovered: Recovered,
        wal: Wal<FaultyDisk>,
        identity: Identity,
    ) {
        if std::mem::take(&mut self.servers[s].damaged) {
            corruption::damage(&mut recovered.state);
        }
        let mut secret = [0; 32];
        for byte in &mut secret {
            *byte = self.random.next_u64() as u8;
        }
        let config = NodeConfig {
            id: self.servers[s].id,
            voters: self.setting.voters_of(&self.servers[s].list),
            observers: self.setting.observers(),
            tick_ms: TICK.as_millis() as u64,
            heartbeat_ms: 100,
            level: self.servers[s].level,
            compare_every_ms: 1000,
            election_timeout_ms: 1000,
            session_timeout_min_ms: 2000,
            session_timeout_max_ms: 20_000,
            max_client_connections: 0,
            frame_bytes_max: 1 << 20,
            requests_in_flight_max: 100_000,
            bytes_in_flight_max: 100 << 20,
            snapshot_ops: self.setting.snapshot_ops,
            reap_interval_ms: 1_000,
            reap_per_minute: 10_000,
            never_used_ms: None,
            extended_types: true,
            // Members differ in it, as in the middle of a roll: the leader decides.
            reconfig_enabled: false,
            standalone: false,
            two_voters: true,
            local_sessions: false,
            local_sessions_upgrade: false,
            read_only_after_ms: Some(2000),
            enforce_quota: s.is_multiple_of(2),
            authentication: Authentication::default(),
            skip_acl: false,
            audit: s.is_multiple_of(2).then(|| "simulated".to_owned()),
            incarnation: identity.incarnation,
            blank: identity.cluster_id == 0,
            initialize: false,
            fresh_cluster_id: u128::from(self.random.next_u64()) << 64 | 1,
            fresh_secret: secret,
            session_passwords: coordinator::state::PasswordRule::default(),
            boot: self.random.next_u64(),
            published_members: None,
        };
        let (now, wall_ms) = self.times(s);
        let seed = self.random.next_u64();
        // On a lone core the server's thread never polls.
        let cores = self.random.range(1, 2) as usize;
        let server = &mut self.servers[s];
        server.mirror =
            recovered.entries.iter().map(|e| (e.index, (e.term, checksum(e)))).collect();
        server.applied = recovered.snapshot.index;
        server.sessions = recovered.state.sessions().map(|(id, _)| id).collect();
        let node = Node::new(config, recovered, now.as_millis() as u64, wall_ms, seed);
        let disk = server.disk.clone();
        let driver_config =
            DriverConfig { busy_poll: true, cores, sync_warning: Duration::from_secs(1) };
        let operators = self.operators.clone();
        let driver = Driver::new(node, disk.clone(), identity, operators, driver_config);
        server.running = Some(Running {
            driver: Some(Box::new(driver)),
            log: LogWriter::new(wal, true),
            log_work: VecDeque::new(),
            log_busy: false,
            log_number: None,
            chores: Chores::new(disk.clone(), options(&identity)),
            snapshots: SnapshotThread::new(disk, SNAPSHOTS_KEPT),
            snapshot_work: VecDeque::new(),
            snapshot_busy: false,
            inbox: VecDeque::new(),
            next_turn: None,
            busy_until_us: 0,
            sockets: BTreeMap::new(),
            started_us: self.now_us,
        });
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
            link.retry_us = self.now_us;
            // Who has not heard of the end of the process before does now: packets come back.
            let delay = self.random.range(MS, 500 * MS);
            self.lose_link(other, s, delay);
        }
        self.turn(s);
    }

    /// The process is gone; what that does to the disk is up to the caller.
    pub fn end_process(&mut self, s: usize) {
        self.end_process_how(s, false);
    }

    /// `silently`: with its power, so that nobody hears of it before it is back.
    pub fn end_process_how(&mut self, s: usize, silently: bool) {
        self.servers[s].frozen.clear();
        let Some(running) = self.servers[s].running.take() else { return };
        self.servers[s].boot += 1;
        self.servers[s].paused = false;
        self.say(|| format!("server {} is gone", s + 1));
        for other in 0..self.servers.len() {
            let link = self.network.link(s, other);
            link.up = None;
            link.waiting.clear();
        }
        if silently {
            return;
        }
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
    pub(super) fn process_fails(&mut self, s: usize, why: &str) {
        self.say(|| format!("server {} stops: {why}", s + 1));
        if why.contains("newer coordinator") {
            return self.fail(format!("server {} met what is too new for it: {why}", s + 1));
        }
        self.stats.fatal += 1;
        self.end_process(s);
        self.servers[s].disk.process_died();
        self.servers[s].starting = true;
        let delay = self.random.range(200 * MS, 3 * SECOND);
        self.schedule(delay, What::Start { server: s });
    }
}
