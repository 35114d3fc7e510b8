//! What befalls a run: drawn once from its seed, so that each run has faults of its own kind.

use coordinator::driver::Completion;
use coordinator::random::Seeded;
use coordinator::store::CrashModel;

use crate::cluster::{Arrival, Server, rot};
use crate::network::{MS, Micros, SECOND, Weather};
use crate::world::{What, World};

/// In one run, one after the other.
const DISKS_LOST_MAX: u64 = 3;

/// What befalls an ensemble that is well waits so long for that.
const AGAIN_US: Micros = 100 * MS;

/// The kinds of faults, each with how often it is chosen in a run (0: never).
const KINDS: [(Kind, u64); 20] = [
    (Kind::PowerLoss, 4),
    (Kind::ProcessDeath, 4),
    (Kind::OrderlyStop, 2),
    (Kind::Pause, 3),
    (Kind::Isolate, 3),
    (Kind::Split, 2),
    (Kind::OneWay, 3),
    (Kind::BreakLink, 3),
    (Kind::SlowDisk, 2),
    (Kind::FullDisk, 1),
    (Kind::FailSync, 1),
    (Kind::WallJump, 2),
    (Kind::BreakWire, 3),
    (Kind::CutWire, 2),
    (Kind::Wipe, 1),
    (Kind::Rot, 1),
    (Kind::HandOver, 2),
    (Kind::Silence, 3),
    (Kind::SlowTurns, 2),
    (Kind::HangDisk, 1),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    PowerLoss,
    ProcessDeath,
    OrderlyStop,
    Pause,
    Isolate,
    Split,
    OneWay,
    BreakLink,
    SlowDisk,
    FullDisk,
    FailSync,
    WallJump,
    BreakWire,
    CutWire,
    Wipe,
    Rot,
    HandOver,
    /// The host is gone, and nobody is told: half-open connections.
    Silence,
    SlowTurns,
    /// No sync ends for some seconds.
    HangDisk,
    /// The state of a member is damaged while it is down.
    Corrupt,
    /// A member gets another release.
    Release,
}

/// Something that befalls, or ends befalling.
#[derive(Clone, Debug)]
pub enum Fault {
    Next,
    /// One that befalls an ensemble that is well: not all were when it was due.
    Again(Kind, usize),
    Resume(usize),
    HealLinks(Vec<(usize, usize)>),
    ResumeLink(usize, usize),
    GiveUpLink(usize, usize),
    HealWire(usize),
    Capacity(usize),
}

/// What kind of run this is.
#[derive(Clone, Debug)]
pub struct Setting {
    pub servers: usize,
    pub observers: usize,
    pub clients: usize,
    pub hostile: usize,
    pub snapshot_ops: u64,
    pub sync_us: (Micros, Micros),
    pub weather: Weather,
    /// The longest way between two servers; 0 where all stand side by side.
    pub distance_us: Micros,
    /// The session timeouts that clients ask for.
    pub timeouts_ms: (u64, u64),
    pub digest_always: bool,
    kinds: Vec<(Kind, u64)>,
    /// Mean time between faults; 0: none at all.
    pub fault_every_us: Micros,
    pub faulty_us: Micros,
    pub leader_hunted: bool,
    /// The feature level of the older members, where there are such.
    pub older: Option<u16>,
}

impl Setting {
    pub fn draw(random: &mut Seeded) -> Setting {
        let servers = [1, 2, 3, 3, 3, 3, 5, 5, 4][random.below(9) as usize];
        let observers = usize::from(servers >= 4 && random.chance(1, 3));
        let weather = match random.below(4) {
            0 => Weather::calm(),
            1 => Weather { delay_us: (1000, 20_000), late: 5, lost: 0, doubled: 0, overtaken: 0 },
            2 => Weather { delay_us: (100, 2000), late: 20, lost: 20, doubled: 20, overtaken: 20 },
            _ => Weather { delay_us: (200, 5000), late: 50, lost: 80, doubled: 50, overtaken: 100 },
        };
        // Each run leaves some kinds out: rare ones meet each other undisturbed.
        let kinds = KINDS.iter().filter(|_| random.chance(1, 2)).copied().collect();
        let quiet = random.chance(1, 12);
        // Most runs are short and dense: more of them say more than few long ones.
        let long = random.chance(1, 8);
        let far = random.chance(1, 5);
        let distance_us = if far { [20, 80, 200, 400][random.below(4) as usize] * MS } else { 0 };
        Setting {
            servers,
            observers,
            clients: random.range(2, 8) as usize,
            hostile: if random.chance(1, 4) { random.range(1, 3) as usize } else { 0 },
            snapshot_ops: [40, 200, 1000, 1_000_000][random.below(4) as usize],
            sync_us: [(50, 300), (200, 3000), (1000, 15_000)][random.below(3) as usize],
            weather,
            distance_us,
            timeouts_ms: if distance_us > 50 * MS { (6000, 15_000) } else { (2000, 5000) },
            digest_always: random.chance(1, 32),
            kinds,
            fault_every_us: match (quiet, long) {
                (true, _) => 0,
                (false, true) => random.range(150, 3000) * MS,
                (false, false) => random.range(50, 800) * MS,
            },
            faulty_us: if long { random.range(5, 25) } else { random.range(1, 5) } * SECOND,
            leader_hunted: random.chance(1, 4),
            older: None,
        }
    }

    /// A change of the server list begins when all are well, and takes its time.
    pub fn leave_time_for_changes(&mut self) {
        self.faulty_us += 8 * SECOND;
        self.fault_every_us *= 2;
    }

    /// What some runs have besides.
    pub fn add_rare_kinds(&mut self, corrupts: bool, older: Option<u16>) {
        if corrupts {
            self.kinds.push((Kind::Corrupt, 3));
        }
        self.older = older;
        if older.is_some() {
            self.kinds.push((Kind::Release, 6));
        }
    }

    /// Those of a server list that vote.
    pub fn voters_of(&self, list: &[u8]) -> Vec<u8> {
        let observers = self.observers();
        list.iter().filter(|id| !observers.contains(id)).copied().collect()
    }

    pub fn observers(&self) -> Vec<u8> {
        ((self.servers - self.observers) as u8 + 1..=self.servers as u8).collect()
    }

    fn kind(&self, random: &mut Seeded) -> Option<Kind> {
        let total: u64 = self.kinds.iter().map(|k| k.1).sum();
        let mut at = random.below(total);
        self.kinds.iter().find_map(|&(kind, weight)| {
            if at < weight {
                return Some(kind);
            }
            at -= weight;
            None
        })
    }
}

impl World {
    pub fn befall(&mut self, fault: Fault) {
        match fault {
            Fault::Next => {
                if self.now_us >= self.setting.faulty_us {
                    return;
                }
                let delay = self.random.below(self.setting.fault_every_us * 2) + MS;
                self.schedule(delay, What::Fault(Fault::Next));
                let mut choice = Seeded::new(self.random.next_u64());
                if let Some(kind) = self.setting.kind(&mut choice) {
                    self.stats.faults += 1;
                    *self.stats.by_kind.entry(kind).or_default() += 1;
                    self.strike(kind);
                }
            }
            Fault::Again(kind, victim) => self.befall_when_well(kind, victim),
            Fault::Resume(s) => self.resume(s),
            Fault::HealLinks(links) => {
                for (from, to) in links {
                    self.heal_link(from, to);
                }
            }
            Fault::ResumeLink(from, to) => self.resume_link(from, to),
            Fault::GiveUpLink(from, to) => self.lose_link(from, to, 0),
            Fault::HealWire(wire) => self.heal_wire(wire),
            Fault::Capacity(s) => self.servers[s].disk.set_capacity(None),
        }
    }

    /// A server to strike at: any, or by preference the leader.
    fn victim(&mut self) -> usize {
        if self.setting.leader_hunted
            && self.random.chance(2, 3)
            && let Some(leader) = self.servers.iter().position(Server::leads)
        {
            return leader;
        }
        self.random.below(self.servers.len() as u64) as usize
    }

    fn some_time(&mut self) -> Micros {
        match self.random.below(3) {
            0 => self.random.range(5 * MS, 300 * MS),
            1 => self.random.range(300 * MS, 3 * SECOND),
            _ => self.random.range(SECOND, 8 * SECOND),
        }
    }

    fn strike(&mut self, kind: Kind) {
        let victim = self.victim();
        let time = self.some_time();
        self.say(|| format!("fault {kind:?} for server {}", victim + 1));
        match kind {
            Kind::PowerLoss => {
                self.stats.crashes += 1;
                self.end_process(victim);
                let models = [CrashModel::Random, CrashModel::Random, CrashModel::LoseAll];
                let model = models[self.random.below(3) as usize];
                let disk = self.servers[victim].disk.clone();
                disk.crash(model, &mut self.random);
                self.start_later(victim, time);
            }
            Kind::Silence => {
                self.stats.crashes += 1;
                self.end_process_how(victim, true);
                let disk = self.servers[victim].disk.clone();
                disk.crash(CrashModel::Random, &mut self.random);
                self.start_later(victim, time);
            }
            Kind::SlowTurns => self.servers[victim].sluggish_until_us = self.now_us + time,
            Kind::HangDisk => self.servers[victim].hangs_until_us = self.now_us + time,
            Kind::ProcessDeath => {
                self.stats.crashes += 1;
                self.end_process(victim);
                self.servers[victim].disk.process_died();
                self.start_later(victim, time);
            }
            Kind::OrderlyStop => {
                if self.servers[victim].alive() {
                    self.complete(victim, Completion::Stop);
                    // It may take seconds to hand over.
                    self.start_later(victim, time + 3 * SECOND);
                }
            }
            Kind::Pause => {
                if self.servers[victim].alive() {
                    self.servers[victim].paused = true;
                    self.schedule(time, What::Fault(Fault::Resume(victim)));
                }
            }
            Kind::Isolate => {
                let others: Vec<_> = (0..self.servers.len()).filter(|&o| o != victim).collect();
                let links = others.iter().flat_map(|&o| [(victim, o), (o, victim)]).collect();
                self.cut(links, time);
            }
            Kind::Split => {
                let sides: Vec<bool> =
                    self.servers.iter().map(|_| self.random.chance(1, 2)).collect();
                let count = sides.len();
                let crossing = (0..count)
                    .flat_map(|a| (0..count).map(move |b| (a, b)))
                    .filter(|&(a, b)| sides[a] != sides[b])
                    .collect();
                self.cut(crossing, time);
            }
            Kind::OneWay => {
                let other = self.random.below(self.servers.len() as u64) as usize;
                if other != victim {
                    self.cut(vec![(victim, other)], time);
                }
            }
            Kind::BreakLink => {
                let other = self.random.below(self.servers.len() as u64) as usize;
                self.lose_link(victim, other, 0);
                if self.random.chance(1, 2) {
                    self.lose_link(other, victim, 0);
                }
            }
            Kind::SlowDisk => self.servers[victim].slow_until_us = self.now_us + time,
            Kind::FullDisk => {
                let disk = &self.servers[victim].disk;
                disk.set_capacity(Some(disk.used() + self.random.below(100_000)));
                self.schedule(time, What::Fault(Fault::Capacity(victim)));
            }
            Kind::FailSync => self.servers[victim].disk.fail_syncs(1),
            Kind::WallJump => {
                let by = self.random.range(0, 20_000_000) as i64 - 10_000_000;
                self.servers[victim].wall_offset_ms += by;
            }
            Kind::BreakWire | Kind::CutWire => self.strike_wire(kind, time),
            Kind::Wipe => self.replace_disk(victim, time),
            Kind::Rot => self.rot_disk(victim, time),
            Kind::HandOver => self.hand_over(victim),
            Kind::Corrupt | Kind::Release => self.befall_when_well(kind, victim),
        }
    }

    fn befall_when_well(&mut self, kind: Kind, victim: usize) {
        if self.now_us >= self.setting.faulty_us {
            return;
        }
        if !self.whole() {
            return self.schedule(AGAIN_US, What::Fault(Fault::Again(kind, victim)));
        }
        let time = self.some_time();
        match kind {
            Kind::Corrupt => self.corrupt(victim, time),
            _ => self.change_level(victim, time),
        }
    }

    /// Leadership goes to `to` on an operator's word, or to whoever is furthest.
    fn hand_over(&mut self, to: usize) {
        let to = self.random.chance(1, 2).then_some(to as u8 + 1);
        let leads = |s: &Server| s.alive() && s.leads();
        let Some(leader) = self.servers.iter().position(leads) else { return };
        let line =
            to.map_or("transfer-leadership".to_owned(), |to| format!("transfer-leadership {to}"));
        self.servers[leader].command(&line);
        self.wake(leader, 0);
    }

    fn strike_wire(&mut self, kind: Kind, time: Micros) {
        let client = self.random.below(self.clients.len() as u64) as usize;
        let Some(wire) = self.clients[client].wire else { return };
        if kind == Kind::BreakWire {
            self.break_wire(wire);
        } else {
            self.wires[wire].cut = true;
            self.schedule(time, What::Fault(Fault::HealWire(wire)));
        }
    }

    /// Both ends see the end; what was on its way may be lost.
    fn break_wire(&mut self, wire: usize) {
        let (server, boot) = (self.wires[wire].server, self.wires[wire].boot);
        self.client_sees_end(wire);
        let arrival = Arrival::ClientClosed { wire };
        let delay = self.random.below(500 * MS);
        self.schedule(delay, What::Arrive { server, boot, arrival });
    }

    pub fn start_later(&mut self, s: usize, delay: Micros) {
        if !std::mem::replace(&mut self.servers[s].starting, true) {
            self.schedule(delay, What::Start { server: s });
        }
    }

    fn cut(&mut self, links: Vec<(usize, usize)>, time: Micros) {
        for &(from, to) in &links {
            let now_us = self.now_us;
            let link = self.network.link(from, to);
            if !std::mem::replace(&mut link.cut, true) {
                link.cut_us = now_us;
            }
            if self.random.chance(1, 3) {
                let delay = self.random.range(500 * MS, 6 * SECOND);
                self.schedule(delay, What::Fault(Fault::GiveUpLink(from, to)));
            }
        }
        self.schedule(time, What::Fault(Fault::HealLinks(links)));
    }

    /// A data directory is lost. Only while all members are up and have votes and log: two lost
    /// disks at a time are beyond what a majority of three can bear.
    fn replace_disk(&mut self, victim: usize, time: Micros) {
        if !self.disk_may_be_lost() {
            return;
        }
        self.stats.disks_lost += 1;
        self.end_process(victim);
        self.wipe(victim);
        self.start_later(victim, time);
    }

    fn rot_disk(&mut self, victim: usize, time: Micros) {
        if !self.disk_may_be_lost() {
            return;
        }
        self.end_process(victim);
        self.servers[victim].disk.process_died();
        let disk = self.servers[victim].disk.clone();
        if let Some(place) = rot(&disk, &mut self.random) {
            self.say(|| format!("rot in {place} of server {}", victim + 1));
            self.servers[victim].rotten = true;
            self.stats.disks_lost += 1;
        }
        self.start_later(victim, time);
    }

    fn disk_may_be_lost(&self) -> bool {
        self.stats.disks_lost < DISKS_LOST_MAX
            && self.setting.voters_of(&self.operator.members).len() >= 3
            && self.whole()
    }

    pub fn resume(&mut self, s: usize) {
        if std::mem::replace(&mut self.servers[s].paused, false) {
            for what in std::mem::take(&mut self.servers[s].frozen) {
                self.happen(what);
            }
            self.turn(s);
        }
    }

    /// Faults are over: everything comes back.
    pub fn heal(&mut self) {
        self.network.weather = Weather::calm();
        for s in 0..self.servers.len() {
            self.servers[s].slow_until_us = 0;
            self.servers[s].hangs_until_us = 0;
            self.servers[s].sluggish_until_us = 0;
            self.servers[s].disk.set_capacity(None);
            self.servers[s].disk.fail_syncs(0);
            self.resume(s);
            for to in 0..self.servers.len() {
                self.heal_link(s, to);
            }
            if self.servers[s].running.is_none() {
                self.start_later(s, MS);
            }
        }
        for wire in 0..self.wires.len() {
            self.heal_wire(wire);
        }
    }
}
