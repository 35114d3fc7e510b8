//! Clients with real bytes: sessions, pipelined writes and reads, watches, ephemerals, reconnects
//! to other servers. What they send and see goes to the checkers.
//!
//! `choice` says what a client does next, `request` sends it, `connection` receives, `answer`
//! judges; `guarded` and `reaped` are kinds of znodes with rules of their own, `greedy` asks for too much.

mod answer;
mod choice;
mod connection;
mod greedy;
mod guarded;
mod reaped;
mod request;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coordinator::random::Seeded;
use coordinator::wire::opcode::OpCode;

use crate::check::watch::Watching;
use crate::network::{Micros, SECOND};
use crate::world::World;
use greedy::Greedy;
use guarded::User;
use reaped::Container;
pub use request::frame_of;

const REGISTERS: u64 = 4;
const TOGGLES: u64 = 4;
const PAIR: [&str; 2] = ["/pair-a", "/pair-b"];
pub const QUEUE: &str = "/queue";
const EPHEMERALS: &str = "/ephemerals";
const IN_FLIGHT_MAX: usize = 40;
/// A connection on which nothing comes of the handshake is given up.
const HANDSHAKE_US: Micros = 2 * SECOND;

/// A request and what its answer will tell.
#[derive(Clone, Debug)]
enum Op {
    /// A znode everybody needs; existing is fine.
    Lay,
    Set {
        path: String,
        token: String,
        version: i32,
    },
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    Create {
        path: String,
        token: String,
    },
    Delete {
        path: String,
    },
    CreateSequential {
        token: String,
    },
    DeleteSequential {
        name: String,
    },
    CreateEphemeral {
        path: String,
    },
    DeleteEphemeral {
        path: String,
    },
    Multi {
        token: String,
        fails: bool,
    },
    MultiRead,
    Sync,
    SetWatches,
    /// A watch that stays.
    AddWatch {
        path: String,
        recursive: bool,
    },
    /// 1 children, 2 data, 3 any, 4 persistent, 5 recursive.
    RemoveWatches {
        path: String,
        kind: i32,
    },
    /// Proves who the client is.
    Auth,
    /// A scheme that nobody knows: the server ends the connection.
    BadAuth,
    /// Lets everybody read what is sometimes Ann's alone, or not.
    Flip {
        open: bool,
    },
    CreateContainer {
        path: String,
    },
    Fill {
        path: String,
        token: String,
    },
    Empty {
        path: String,
    },
    LookAtContainer {
        path: String,
    },
    CreateTtl {
        path: String,
        ttl_ms: i64,
    },
    LookAtTtl {
        path: String,
    },
    Ping,
    /// Asks for more than anybody gets, or nearly.
    Greedy(Greedy),
    Close,
}

struct Pending {
    xid: i32,
    op: Op,
    code: OpCode,
    /// What was answered to anybody when this was sent.
    bound: i64,
}

pub struct Client {
    number: usize,
    random: Seeded,
    pub wire: Option<usize>,
    /// The handshake is answered.
    pub open: bool,
    dialled_us: Micros,
    pub session: i64,
    password: Vec<u8>,
    timeout_us: Micros,
    asks_timeout_ms: i32,
    last_zxid: i64,
    input: Vec<u8>,
    xid: i32,
    pending: VecDeque<Pending>,
    pings: u64,
    pub watching: Watching,
    heard_us: Micros,
    sent_us: Micros,
    tokens: u64,
    versions: BTreeMap<String, i32>,
    own_queued: Vec<String>,
    own_ephemerals: BTreeSet<String>,
    pub user: User,
    containers: BTreeMap<String, Container>,
    ttls: Vec<String>,
    /// The connect request that is on its way must be refused.
    impostor: bool,
    laid: bool,
    /// Hangs until then: neither sends nor reads its clock.
    hangs_until_us: Micros,
    /// Was never late with its pings in this session.
    pub awake: bool,
    /// Starts nothing new; pings go on.
    pub resting: bool,
    /// Never comes back.
    pub dead: bool,
    /// Writes answered since the faults ended.
    pub proofs: u64,
}

impl Client {
    pub fn new(number: usize, timeouts_ms: (u64, u64), seed: u64) -> Client {
        let mut random = Seeded::new(seed);
        let asks_timeout_ms = random.range(timeouts_ms.0, timeouts_ms.1) as i32;
        Client {
            number,
            random,
            wire: None,
            open: false,
            dialled_us: 0,
            session: 0,
            password: vec![0; 16],
            timeout_us: 0,
            asks_timeout_ms,
            last_zxid: 0,
            input: Vec::new(),
            xid: 0,
            pending: VecDeque::new(),
            pings: 0,
            watching: Watching { hidden: User::of(number).hidden(), ..Watching::default() },
            heard_us: 0,
            sent_us: 0,
            tokens: 0,
            versions: BTreeMap::new(),
            own_queued: Vec::new(),
            own_ephemerals: BTreeSet::new(),
            user: User::of(number),
            containers: BTreeMap::new(),
            ttls: Vec::new(),
            impostor: false,
            laid: false,
            hangs_until_us: 0,
            awake: true,
            resting: false,
            dead: false,
            proofs: 0,
        }
    }

    pub fn idle(&self) -> bool {
        self.dead || self.open && self.pending.is_empty()
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("c{}.{}", self.number, self.tokens)
    }

    fn forget_session(&mut self) {
        self.session = 0;
        self.password = vec![0; 16];
        self.last_zxid = 0;
        let Watching { hidden, fired, .. } = self.watching;
        self.watching = Watching { hidden, fired, ..Watching::default() };
        self.own_ephemerals.clear();
        self.awake = true;
    }
}

impl World {
    /// Every client goes on with reads and pings alone.
    pub fn rest_all(&mut self) {
        for client in &mut self.clients {
            client.resting = true;
            client.hangs_until_us = 0;
        }
    }

    /// A write and a read of the client's own, to see that it is served.
    pub fn prove(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if !client.open || client.dead {
            return;
        }
        let op = Op::Set { path: "/register-0".to_owned(), token: client.token(), version: -1 };
        self.send(c, op);
        self.send(c, Op::Sync);
        self.send(c, Op::Get { path: "/register-0".to_owned(), watch: false });
    }

    /// The client is never heard of again.
    pub fn kill_client(&mut self, c: usize) {
        self.drop_wire(c);
        self.clients[c].dead = true;
    }
}

pub(super) fn marker(token: &str) -> String {
    format!("/multi-{token}")
}
