//! The virtual world: one clock, one queue of events, one source of chance.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use coordinator::config::Config;
use coordinator::driver::{Chore, Completion, Operators};
use coordinator::random::Seeded;

use crate::check::{Checks, Verdict};
use crate::cluster::{Arrival, Server};
use crate::corruption;
use crate::faults::{Fault, Kind, Setting};
use crate::hostile::Hostile;
use crate::levels;
use crate::limits::Beginning;
use crate::network::{Micros, Network};
use crate::operator::{self, Operator};
use crate::workload::Client;

/// Something that happens at its time.
pub enum What {
    /// The event loop of a server turns.
    Turn {
        server: usize,
        boot: u64,
        number: u64,
    },
    Arrive {
        server: usize,
        boot: u64,
        arrival: Arrival,
    },
    LogDone {
        server: usize,
        boot: u64,
        took: Micros,
    },
    Chore {
        server: usize,
        boot: u64,
        chore: Chore,
    },
    /// The snapshot thread has done a piece of work.
    SnapshotStep {
        server: usize,
        boot: u64,
        completions: Vec<Completion>,
    },
    Fetch {
        server: usize,
        boot: u64,
        from: usize,
        index: u64,
    },
    Start {
        server: usize,
    },
    ClientBytes {
        wire: usize,
        bytes: Vec<u8>,
    },
    ClientSeesEnd {
        wire: usize,
    },
    ClientActs {
        client: usize,
    },
    HostileActs {
        hostile: usize,
    },
    Fault(Fault),
    /// The operator looks at the servers.
    Operate,
}

struct Scheduled {
    at_us: Micros,
    number: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.number).cmp(&(other.at_us, other.number))
    }
}

/// A client's connection to a server.
pub struct Wire {
    pub client: usize,
    pub server: usize,
    pub boot: u64,
    pub client_open: bool,
    pub server_open: bool,
    /// Nothing gets through; bytes wait.
    pub cut: bool,
    /// The client takes nothing of what it is sent.
    pub deaf: bool,
    waiting: VecDeque<What>,
    /// When the last bytes arrive: at the server, at the client.
    last_us: [Micros; 2],
}

/// What happened in a run, for people.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    pub events: u64,
    pub virtual_us: Micros,
    pub faults: u64,
    /// By their kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// The longest time from the end of the faults until everybody was served again.
    pub recovery_us: Micros,
    pub crashes: u64,
    pub fatal: u64,
    pub snapshots: u64,
    pub installs: u64,
    pub disks_lost: u64,
    pub rot_refused: u64,
    pub lists_changed: u64,
    pub redials: u64,
    pub errors_logged: u64,
    pub writes: u64,
    pub reads: u64,
    pub watches_fired: u64,
    pub expired: u64,
    pub reconnects: u64,
    pub greedy: u64,
    /// Writes that the server's thread has synced itself.
    pub inline_syncs: u64,
    /// Connections of clients that mean harm.
    pub hostile: u64,
    /// Runs that began close to a limit.
    pub near_limits: u64,
    /// Sequential znodes made behind the highest number.
    pub wrapped: u64,
    pub digests_compared: u64,
    /// The most that a turn has cost, in units of about a microsecond.
    pub turn_units: u32,
    /// States that were damaged in silence, and members that were found to differ.
    pub corrupted: u64,
    pub corruption_found: u64,
    /// Comparisons that members made among themselves and that came out well.
    pub rounds_agreed: u64,
    /// Runs with members of two feature levels, and members that got another release.
    pub mixed_levels: u64,
    pub releases_changed: u64,
}

pub struct World {
    pub now_us: Micros,
    /// So much of it has passed within the turn that runs.
    pub lag_us: Micros,
    /// Turns planned so far.
    pub turns: u64,
    /// When the last chore of a log is done.
    pub chores_us: Micros,
    /// What servers need to answer their operators.
    pub operators: Operators,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub random: Seeded,
    pub setting: Setting,
    pub operator: Operator,
    pub servers: Vec<Server>,
    pub network: Network,
    pub wires: Vec<Wire>,
    pub clients: Vec<Client>,
    pub hostile: Vec<Hostile>,
    pub checks: Checks,
    pub failure: Option<String>,
    pub stats: Statistics,
    /// Changes with everything that happens: equal for equal seeds.
    pub trace: u64,
    pub verbose: bool,
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> World {
        let mut random = Seeded::new(seed);
        let mut setting = Setting::draw(&mut random);
        let members = setting.servers;
        let spares = operator::spares(seed, members, setting.observers);
        if spares > 0 {
            setting.leave_time_for_changes();
        }
        setting.add_rare_kinds(corruption::befalls(seed), levels::older(seed));
        let (weather, distance_us) = (setting.weather.clone(), setting.distance_us);
        let network = Network::new(members + spares, weather, distance_us, &mut random);
        let list: Vec<u8> = (1..=members as u8).collect();
        let listed = |id| if list.contains(&id) { list.clone() } else { Vec::new() };
        let servers = (1..=(members + spares) as u8).map(|id| Server::new(id, listed(id)));
        let servers = servers.collect();
        let mut world = World {
            now_us: 0,
            lag_us: 0,
            turns: 0,
            chores_us: 0,
            operators: operators(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            servers,
            operator: Operator::new(list),
            clients: (0..setting.clients)
                .map(|n| Client::new(n, setting.timeouts_ms, random.next_u64()))
                .collect(),
            hostile: (0..setting.hostile).map(|_| Hostile::new(random.next_u64())).collect(),
            network,
            random,
            setting,
            wires: Vec::new(),
            checks: Checks::default(),
            failure: None,
            stats: Statistics::default(),
            trace: 0,
            verbose,
        };
        if let Some(older) = world.setting.older {
            let mut draw = Seeded::new(seed);
            levels::assign(&mut world.servers[..members], older, &mut draw);
            world.stats.mixed_levels += 1;
        }
        if world.random.chance(1, 8) {
            let beginning = Beginning::draw(&mut world.random, &world.operator.members);
            world.begin_near_limits(&beginning);
        }
        for server in 0..members {
            let delay = world.random.below(2_000_000);
            world.servers[server].drift_ppm = world.random.range(0, 10_000) as i64 - 5_000;
            world.servers[server].wall_offset_ms = world.random.range(0, 4_000) as i64 - 2_000;
            world.servers[server].starting = true;
            world.schedule(delay, What::Start { server });
        }
        for client in 0..world.clients.len() {
            let delay = world.random.below(3_000_000);
            world.schedule(delay, What::ClientActs { client });
        }
        for hostile in 0..world.hostile.len() {
            let delay = world.random.below(2_000_000);
            world.schedule(delay, What::HostileActs { hostile });
        }
        if spares > 0 {
            world.schedule(0, What::Operate);
        }
        world
    }

    /// The time, also in the middle of a turn.
    pub fn time_us(&self) -> Micros {
        self.now_us + self.lag_us
    }

    pub fn schedule(&mut self, delay: Micros, what: What) {
        self.schedule_at(self.time_us() + delay, what);
    }

    pub fn schedule_at(&mut self, at_us: Micros, what: What) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at_us, number: self.scheduled, what }));
    }

    /// The first broken promise ends the run.
    pub fn fail(&mut self, why: String) {
        self.say(|| format!("FAILED: {why}"));
        if self.failure.is_none() {
            self.failure = Some(why);
        }
    }

    pub fn judge(&mut self, verdict: Verdict) {
        if let Err(why) = verdict {
            self.fail(why);
        }
    }

    #[expect(clippy::print_stderr, reason = "asked for with --trace")]
    pub fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{:>12.6} {}", self.now_us as f64 / 1e6, text());
        }
    }

    pub fn mix(&mut self, value: u64) {
        self.trace = (self.trace.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(u64::from(crc32fast::hash(bytes)) << 32 | bytes.len() as u64);
    }

    pub fn hash_arrival(&mut self, server: usize, arrival: &Arrival) {
        self.mix(server as u64);
        match arrival {
            Arrival::PeerMessage { message: bytes, .. } | Arrival::ClientBytes { bytes, .. } => {
                self.mix_bytes(bytes);
            }
            Arrival::Completed(Completion::Persisted { number, .. }) => self.mix(*number),
            _ => self.mix(1),
        }
    }

    /// Lets everything happen that is due up to `until_us`, or until `done`.
    pub fn run_until(&mut self, until_us: Micros, mut done: impl FnMut(&World) -> bool) -> bool {
        let mut next_look = 0;
        while self.failure.is_none() {
            if self.now_us >= next_look {
                next_look = self.now_us + 1000;
                if done(self) {
                    return true;
                }
            }
            match self.queue.peek() {
                Some(Reverse(next)) if next.at_us <= until_us => {}
                _ => break,
            }
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now_us = next.at_us;
            self.stats.events += 1;
            self.mix(next.at_us);
            self.happen(next.what);
        }
        self.now_us = self.now_us.max(until_us);
        self.failure.is_none() && done(self)
    }

    pub fn happen(&mut self, what: What) {
        let frozen = |s: usize, boot: u64| self.servers[s].paused && self.servers[s].boot == boot;
        match what {
            What::LogDone { server, boot, .. }
            | What::Chore { server, boot, .. }
            | What::SnapshotStep { server, boot, .. }
            | What::Fetch { server, boot, .. }
                if frozen(server, boot) =>
            {
                self.servers[server].frozen.push(what);
                return;
            }
            _ => {}
        }
        let current = |world: &World, s: usize, boot: u64| world.servers[s].boot == boot;
        match what {
            What::Turn { server, boot, number } if current(self, server, boot) => {
                self.turn_due(server, number);
            }
            What::Arrive { server, boot, arrival } if current(self, server, boot) => {
                let cut = match &arrival {
                    Arrival::PeerMessage { from, .. } => {
                        let now_us = self.now_us;
                        let link = self.network.link(*from, server);
                        link.cut || now_us < link.resumes_us
                    }
                    _ => false,
                };
                match arrival {
                    // What was on its way when the way was cut waits with the rest.
                    Arrival::PeerMessage { from, connection, message } if cut => {
                        let link = self.network.link(from, server);
                        link.waiting.push_back((connection, message));
                    }
                    arrival => self.arrive(server, arrival),
                }
            }
            What::LogDone { server, boot, took } if current(self, server, boot) => {
                self.log_done(server, took);
            }
            What::Chore { server, boot, chore } if current(self, server, boot) => {
                self.chore(server, chore);
            }
            What::SnapshotStep { server, boot, completions } if current(self, server, boot) => {
                self.snapshot_step(server, completions);
            }
            What::Fetch { server, boot, from, index } if current(self, server, boot) => {
                self.fetch(server, from, index);
            }
            // Packets for a process that is gone come back, once there is another one.
            What::Arrive { server, arrival: Arrival::ClientBytes { wire, .. }, .. }
                if self.servers[server].alive() =>
            {
                self.server_closed_wire(wire);
            }
            What::Turn { .. }
            | What::LogDone { .. }
            | What::Chore { .. }
            | What::SnapshotStep { .. }
            | What::Fetch { .. }
            | What::Arrive { .. } => {}
            What::Start { server } => self.start_server(server),
            What::ClientBytes { wire, bytes } => match self.hostile_of(wire) {
                Some(hostile) => self.hostile_receives(hostile, wire, &bytes),
                None => self.client_receives(wire, &bytes),
            },
            What::ClientSeesEnd { wire } => match self.hostile_of(wire) {
                Some(hostile) => {
                    let server = &self.servers[self.wires[wire].server];
                    let same = server.boot == self.wires[wire].boot && server.alive();
                    let unbroken = same && !server.closes_all(self.now_us);
                    self.hostile_sees_end(hostile, wire, unbroken);
                }
                None => self.client_sees_end(wire),
            },
            What::ClientActs { client } => self.client_acts(client),
            What::HostileActs { hostile } => self.hostile_acts(hostile),
            What::Fault(fault) => self.befall(fault),
            What::Operate => self.operate(),
        }
    }

    // ---- wires ----

    /// The client dials a server; it hears nothing when nobody is there.
    pub fn client_dials(&mut self, client: usize, server: usize) -> usize {
        let boot = self.servers[server].boot;
        self.wires.push(Wire {
            client,
            server,
            boot,
            client_open: true,
            server_open: true,
            cut: false,
            deaf: false,
            waiting: VecDeque::new(),
            last_us: [0; 2],
        });
        let wire = self.wires.len() - 1;
        if self.servers[server].running.is_some() {
            let arrival = Arrival::ClientOpened { wire };
            self.on_wire(wire, 0, What::Arrive { server, boot, arrival });
        } else {
            self.server_closed_wire(wire);
        }
        wire
    }

    /// Puts something on a wire, behind what is on it; `end` 0 is the server's.
    fn on_wire(&mut self, wire: usize, end: usize, what: What) {
        if self.wires[wire].cut {
            self.wires[wire].waiting.push_back(what);
            return;
        }
        let distance_us = self.network.client_distance_us[self.wires[wire].server][end];
        let delay = self.network.weather.delay(&mut self.random) + distance_us;
        let last = &mut self.wires[wire].last_us[end];
        let at = (self.now_us + self.lag_us + delay).max(*last + 1);
        *last = at;
        self.schedule_at(at, what);
    }

    pub fn client_sends(&mut self, wire: usize, bytes: Vec<u8>) {
        let Wire { server, boot, .. } = self.wires[wire];
        let arrival = Arrival::ClientBytes { wire, bytes };
        self.on_wire(wire, 0, What::Arrive { server, boot, arrival });
    }

    /// The client says no more, and still listens.
    pub fn client_half_closes(&mut self, wire: usize) {
        let Wire { server, boot, .. } = self.wires[wire];
        let arrival = Arrival::ClientHalfClosed { wire };
        self.on_wire(wire, 0, What::Arrive { server, boot, arrival });
    }

    pub fn client_closes(&mut self, wire: usize) {
        if !std::mem::replace(&mut self.wires[wire].client_open, false) {
            return;
        }
        let Wire { server, boot, .. } = self.wires[wire];
        let arrival = Arrival::ClientClosed { wire };
        self.on_wire(wire, 0, What::Arrive { server, boot, arrival });
    }

    pub fn server_sent(&mut self, server: usize, wire: usize, bytes: Vec<u8>) {
        if let Some(client) = self.clients.get(self.wires[wire].client) {
            let session = client.session;
            // Last words leave in the very turn that applies the end: they are of before it.
            let believes = self.servers[server].holds(session);
            if client.wire == Some(wire) && client.open && client.awake && believes {
                let verdict = self.checks.session.served(session, server as u8 + 1, self.now_us);
                self.judge(verdict);
            }
        }
        self.mix_bytes(&bytes);
        self.on_wire(wire, 1, What::ClientBytes { wire, bytes });
    }

    /// The server has taken in something that the wire's client has sent.
    pub fn heard_client(&mut self, wire: usize) {
        let Some(client) = self.clients.get(self.wires[wire].client) else { return };
        if client.wire == Some(wire) && client.open {
            self.checks.session.heard(client.session, self.now_us);
        }
    }

    pub fn server_closed_wire(&mut self, wire: usize) {
        if std::mem::replace(&mut self.wires[wire].server_open, false) {
            self.on_wire(wire, 1, What::ClientSeesEnd { wire });
        }
    }

    /// Ends the cut of a wire: what waited goes on.
    pub fn heal_wire(&mut self, wire: usize) {
        if std::mem::replace(&mut self.wires[wire].cut, false) {
            for what in std::mem::take(&mut self.wires[wire].waiting) {
                let end = usize::from(!matches!(what, What::Arrive { .. }));
                self.on_wire(wire, end, what);
            }
        }
    }

    /// Ends the cut of a link. Who dials gets through at once; what waited on the connection that
    /// stands goes on when TCP tries again.
    pub fn heal_link(&mut self, from: usize, to: usize) {
        let now_us = self.now_us;
        let link = self.network.link(from, to);
        if std::mem::replace(&mut link.cut, false) {
            let pause = self.random.range(0, now_us - link.cut_us);
            let resumes_us = now_us + pause;
            self.network.link(from, to).resumes_us = resumes_us;
            self.schedule(pause, What::Fault(Fault::ResumeLink(from, to)));
        }
    }

    /// TCP tries again: what waited goes on, for the connection it was meant for.
    pub fn resume_link(&mut self, from: usize, to: usize) {
        let now_us = self.now_us;
        let link = self.network.link(from, to);
        if link.cut || now_us < link.resumes_us {
            return; // cut off once more
        }
        for (connection, message) in std::mem::take(&mut link.waiting) {
            self.transmit(from, to, connection, message);
        }
    }
}

/// A configuration for answers to operators; what servers do does not depend on it.
fn operators() -> Operators {
    let text = "dataDir=/data\nclientPort=2181\n4lw.commands.whitelist=*\n";
    let config = Config::parse(Path::new("simulated"), text.as_bytes(), &[], &mut |_| {
        Err(std::io::ErrorKind::NotFound.into())
    });
    let (config, _) = config.expect("it is complete");
    Operators { config: Arc::new(config), environment: Arc::default(), load_ms: 0, load_entries: 0 }
}
