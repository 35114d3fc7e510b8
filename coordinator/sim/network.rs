//! The way between servers: ordered connections that are slow, stall, break and come back.
//!
//! Each server dials every other one and speaks on the connection it dialled, so a link has one
//! direction, and a length of its own. Data on a way that is cut off waits, as TCP keeps it, until
//! the connection is given up, or until the cut has healed and TCP tries again: it doubles its
//! pauses, so that takes up to as long again. Raft's own messages may besides be lost, doubled or
//! overtaken: raft must bear it. Forwarded writes and reports come in order or not at all.

use std::collections::VecDeque;

use coordinator::random::Seeded;

/// Microseconds of virtual time.
pub type Micros = u64;

pub const MS: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;

/// Servers farther apart could not keep leases of the sessions that clients ask for.
const ROUND_TRIP_MAX: Micros = 500 * MS;

/// How bad the network of a run is.
#[derive(Clone, Debug)]
pub struct Weather {
    pub delay_us: (Micros, Micros),
    /// Of 1000 messages, so many are late by a multiple.
    pub late: u64,
    /// Of 1000 raft messages.
    pub lost: u64,
    pub doubled: u64,
    pub overtaken: u64,
}

impl Weather {
    pub fn calm() -> Weather {
        Weather { delay_us: (100, 500), late: 0, lost: 0, doubled: 0, overtaken: 0 }
    }

    pub fn delay(&self, random: &mut Seeded) -> Micros {
        let delay = random.range(self.delay_us.0, self.delay_us.1);
        if random.chance(self.late, 1000) { delay * random.range(5, 100) } else { delay }
    }
}

/// The connection that one server has dialled to another.
#[derive(Default)]
pub struct Link {
    /// Number of the connection, while the dialler believes in it.
    pub up: Option<u64>,
    /// What the listener reads from; an older one is of the past.
    pub heard: u64,
    /// Nothing gets through this way now.
    pub cut: bool,
    /// Since when.
    pub cut_us: Micros,
    /// The connection that stands resumes at this time: TCP's pause after a cut.
    pub resumes_us: Micros,
    /// One way takes this much more.
    pub distance_us: Micros,
    /// Sent while cut off: connection and message.
    pub waiting: VecDeque<(u64, Vec<u8>)>,
    /// When the last message arrives: the next one comes later.
    pub last_us: Micros,
    pub retry_us: Micros,
}

/// All links of `count` servers, in both directions.
pub struct Network {
    count: usize,
    links: Vec<Link>,
    connections: u64,
    pub weather: Weather,
    /// How far clients are from each server: there and back.
    pub client_distance_us: Vec<[Micros; 2]>,
}

impl Network {
    /// `distance_us`: the longest way between two servers.
    pub fn new(
        count: usize,
        weather: Weather,
        distance_us: Micros,
        random: &mut Seeded,
    ) -> Network {
        let mut links: Vec<Link> = (0..count * count).map(|_| Link::default()).collect();
        let mut client_distance_us = vec![[0; 2]; count];
        if distance_us > 0 {
            for a in 0..count {
                for b in 0..a {
                    let there = random.range(0, distance_us);
                    // By another way, which may be much shorter.
                    let back = random.range(0, distance_us.min(ROUND_TRIP_MAX - there));
                    links[a * count + b].distance_us = there;
                    links[b * count + a].distance_us = back;
                }
                for way in &mut client_distance_us[a] {
                    *way = random.range(0, distance_us / 2);
                }
            }
        }
        Network { count, links, connections: 0, weather, client_distance_us }
    }

    pub fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.count + to]
    }

    pub fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Whether packets pass both ways.
    pub fn reachable(&mut self, a: usize, b: usize) -> bool {
        !self.link(a, b).cut && !self.link(b, a).cut
    }
}
