//! Whole connections made of arbitrary bytes, against one or three real nodes in this process.
//! Shared by the tests and the fuzzer; `whole` at the root of both is the coordinator's library.
//!
//! The bytes are a script: connections open and close on any server, send raw bytes, frames,
//! handshakes of new and of others' sessions, requests with arbitrary bodies, and time passes. What
//! must hold whatever it says: no panic, whole frames in every answer, a bystander on each server
//! that goes on writing and reading its own, and the same state everywhere in the end.

use std::net::{Ipv4Addr, SocketAddr};

use raft::eraftpb::HardState;

use crate::whole::admin::view::Parts;
use crate::whole::node::feature::LEVEL;
use crate::whole::node::{
    Authentication, ConnId, Node, NodeConfig, Output, Recovered, SnapshotPoint, split_frames,
};
use crate::whole::state::State;
use crate::whole::wire::frame::{self, Next};

/// A script is not read beyond so many steps.
const STEPS_MAX: usize = 200;
const SLOTS: usize = 6;
const TICK_MS: u64 = 20;
/// Rounds of messages after which nothing moves any more.
const ROUNDS_MAX: usize = 10_000;
const OPS: [i32; 32] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 100, 101, 102, 103,
    104, 105, 106, 107, -10, -11, 9999,
];
const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/by", "/zookeeper", "no"];

/// What a script is read from.
struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    /// A length and so many bytes, or what is left.
    fn some(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.bytes.len());
        let (some, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        some
    }
}

/// A connection of the script.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    pub server: usize,
    pub conn: ConnId,
}

pub(crate) struct World {
    pub nodes: Vec<Node>,
    now_ms: u64,
    /// (session, password) that handshakes have given out.
    sessions: Vec<(i64, [u8; 16])>,
}

/// Runs the script.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Script { bytes };
    let servers = if script.byte().unwrap_or(0).is_multiple_of(2) { 1 } else { 3 };
    let mut world = World::start(servers);
    let bystanders: Vec<Open> = (0..servers).map(|at| world.bystander(at)).collect();
    let mut slots: [Option<Open>; SLOTS] = [None; SLOTS];
    for _ in 0..STEPS_MAX {
        let Some(step) = script.byte() else { break };
        let slot = usize::from(step >> 4) % SLOTS;
        let open = slots[slot];
        match (step & 15, open) {
            (0, Some(open)) => {
                world.nodes[open.server].client_closed(open.conn);
                slots[slot] = None;
            }
            (1, _) => world.pass(u64::from(script.byte().unwrap_or(0))),
            (_, None) => slots[slot] = world.open(usize::from(step) % servers),
            (2..=4, Some(open)) => world.send(open, script.some()),
            (5, Some(open)) => world.send(open, &framed(script.some())),
            (6 | 7, Some(open)) => world.handshake(open, 0, [0; 16]),
            (8, Some(open)) => {
                let which = usize::from(script.byte().unwrap_or(0));
                let (session, mut password) = world.sessions[which % world.sessions.len()];
                password[0] ^= (which >> 7) as u8;
                world.handshake(open, session, password);
            }
            (9..=11, Some(open)) => {
                let op = OPS[usize::from(script.byte().unwrap_or(0)) % OPS.len()];
                world.send(open, &request(op, script.some()));
            }
            (_, Some(open)) => {
                let op = OPS[usize::from(script.byte().unwrap_or(0)) % OPS.len()];
                let path = PATHS[usize::from(script.byte().unwrap_or(0)) % PATHS.len()];
                let body = [&buffer(path.as_bytes())[..], script.some()].concat();
                world.send(open, &request(op, &body));
            }
        }
        world.settle();
    }
    for (number, &bystander) in bystanders.iter().enumerate() {
        world.works(bystander, number as u8);
    }
    world.stays_in_step();
    for open in slots.into_iter().flatten().chain(bystanders) {
        world.nodes[open.server].client_closed(open.conn);
    }
    world.pass(10);
    for node in &world.nodes {
        assert_eq!(node.state().digest(), world.nodes[0].state().digest(), "the trees are alike");
        let view = node.view(Parts::default());
        assert_eq!(view.traffic.connections, 0, "no connection is left");
    }
}

pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as i32).to_be_bytes()[..], payload].concat()
}

pub(crate) fn request(op: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&7i32.to_be_bytes()[..], &op.to_be_bytes(), body].concat())
}

pub(crate) fn buffer(bytes: &[u8]) -> Vec<u8> {
    framed(bytes)
}

pub(crate) fn config(id: u8, servers: usize) -> NodeConfig {
    NodeConfig {
        id,
        voters: (1..=servers as u8).collect(),
        observers: Vec::new(),
        tick_ms: TICK_MS,
        heartbeat_ms: 100,
        level: LEVEL,
        compare_every_ms: 1000,
        election_timeout_ms: 1000,
        session_timeout_min_ms: 2000,
        session_timeout_max_ms: 60_000,
        max_client_connections: 0,
        frame_bytes_max: 1 << 16,
        requests_in_flight_max: 100_000,
        bytes_in_flight_max: 100 << 20,
        snapshot_ops: 50,
        reap_interval_ms: 1000,
        reap_per_minute: 10_000,
        never_used_ms: None,
        extended_types: true,
        reconfig_enabled: false,
        standalone: false,
        two_voters: true,
        local_sessions: false,
        local_sessions_upgrade: false,
        read_only_after_ms: None,
        enforce_quota: true,
        authentication: Authentication::default(),
        skip_acl: false,
        audit: None,
        published_members: None,
        incarnation: u128::from(id),
        blank: true,
        initialize: false,
        fresh_cluster_id: u128::from(id),
        fresh_secret: [id; 32],
        session_passwords: crate::whole::state::PasswordRule::default(),
        boot: u64::from(id),
    }
}

impl World {
    /// So many servers, all serving.
    fn start(servers: usize) -> Self {
        Self::start_as(servers, &State::new, |_| {})
    }

    /// The same, from this state and configured otherwise.
    pub(crate) fn start_as(
        servers: usize,
        state: &dyn Fn() -> State,
        configure: impl Fn(&mut NodeConfig),
    ) -> Self {
        let now_ms = 1_000_000;
        let node = |id: u8| {
            let recovered = Recovered {
                snapshot: SnapshotPoint::default(),
                state: state(),
                hard_state: HardState::default(),
                entries: Vec::new(),
            };
            let mut config = config(id, servers);
            configure(&mut config);
            Node::new(config, recovered, now_ms, 1_700_000_000_000, u64::from(id))
        };
        let nodes = (1..=servers as u8).map(node).collect();
        let mut world = World { nodes, now_ms, sessions: Vec::new() };
        for a in 0..servers {
            for b in (0..servers).filter(|&b| b != a) {
                let hello = world.nodes[b].hello();
                world.nodes[a].check_hello(&hello).expect("they belong together");
                world.nodes[a].peer_connected(hello);
            }
        }
        for _ in 0..1000 {
            if world.nodes.iter().all(Node::serving) {
                return world;
            }
            world.pass(1);
        }
        panic!("{servers} servers do not come to serve");
    }

    /// Servers that hear each other count each other, at every moment.
    fn stays_in_step(&mut self) {
        for _ in 0..60 {
            self.tick();
            let views = self.nodes.iter().map(|node| node.view(Parts::default()).raft);
            let counted = views.map(|raft| raft.members.iter().filter(|m| m.synced).count()).max();
            assert_eq!(counted, Some(self.nodes.len()), "members the leader counts as in step");
            self.settle();
        }
    }

    pub(crate) fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
            self.settle();
        }
    }

    pub(crate) fn tick(&mut self) {
        self.now_ms += TICK_MS;
        self.turn();
        for node in &mut self.nodes {
            node.tick();
        }
    }

    fn turn(&mut self) {
        let wall_ms = 1_700_000_000_000 + self.now_ms as i64;
        for node in &mut self.nodes {
            node.wake(self.now_ms, wall_ms);
        }
    }

    /// Until nothing is on its way between the servers.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for at in 0..self.nodes.len() {
                self.nodes[at].flush();
                moved |= self.carry_out(at) | self.deliver_from(at) | self.nodes[at].pending();
            }
            if moved {
                continue;
            }
            if !self.nodes.iter().any(Node::applies_later) {
                return;
            }
            // The sockets have been looked at: the next turn.
            self.turn();
        }
        panic!("the servers talk without an end");
    }

    /// Each server works once, and what it says to the others arrives.
    pub(crate) fn round(&mut self) {
        for at in 0..self.nodes.len() {
            self.nodes[at].flush();
            self.carry_out(at);
            self.deliver_from(at);
        }
    }

    fn carry_out(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let outputs = node.take_outputs();
        let mut moved = false;
        for output in outputs {
            moved |= !matches!(output, Output::Log(..));
            match output {
                Output::Persist { number, .. } => node.persisted(number),
                Output::SnapshotChunk(_) => node.snapshot_chunk_written(),
                Output::SnapshotEnd => drop(node.snapshot_saved()),
                Output::FetchSnapshot { index, .. } => node.snapshot_fetched(index, None),
                Output::Word { conn, .. } => node.answer_word(conn, b"", None),
                Output::Fatal(why) => panic!("a client has stopped the server: {why}"),
                Output::Disconnect(id) => panic!("server {id} is cut off by what clients sent"),
                Output::Redial(id) => panic!("server {id} is dialled anew, and all links are well"),
                Output::Install { .. }
                | Output::SnapshotBegin { .. }
                | Output::Members(_)
                | Output::Log(..)
                | Output::Audit(_) => {}
            }
        }
        for conn in node.take_dirty_clients() {
            node.client_sent(conn);
        }
        moved
    }

    fn deliver_from(&mut self, at: usize) -> bool {
        let from = at as u8 + 1;
        let mut moved = false;
        for to in self.nodes[at].peer_ids() {
            let Some(output) = self.nodes[at].peer_output(to) else { continue };
            let bytes = std::mem::take(output);
            let node = &mut self.nodes[usize::from(to) - 1];
            let taken = split_frames(&bytes, |message| node.peer_message(from, message));
            assert_eq!(taken, Some(bytes.len()), "messages are whole");
            moved |= !bytes.is_empty();
        }
        moved
    }

    pub(crate) fn open(&mut self, server: usize) -> Option<Open> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1000));
        let conn = self.nodes[server].client_opened(address)?;
        Some(Open { server, conn })
    }

    fn send(&mut self, open: Open, bytes: &[u8]) {
        let node = &mut self.nodes[open.server];
        if !node.client_closing(open.conn) && !node.client_paused(open.conn) {
            node.client_data(open.conn, bytes);
        }
        self.settle();
        self.take(open);
    }

    fn handshake(&mut self, open: Open, session: i64, password: [u8; 16]) {
        let payload = [
            &0i32.to_be_bytes()[..],
            &0i64.to_be_bytes(),
            &60_000i32.to_be_bytes(),
            &session.to_be_bytes(),
            &buffer(&password),
            &[0],
        ];
        self.send(open, &framed(&payload.concat()));
    }

    /// What a connection has got: whole frames, now gone from its buffer.
    pub(crate) fn take(&mut self, open: Open) -> Vec<Vec<u8>> {
        let Some(output) = self.nodes[open.server].client_output(open.conn) else {
            return Vec::new();
        };
        let bytes = std::mem::take(output);
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Next::Frame(payload) = frame::next(rest, false, 1 << 24) else {
                panic!("an answer that is no whole frame: {rest:?}");
            };
            rest = &rest[4 + payload.len()..];
            frames.push(payload.to_vec());
        }
        self.nodes[open.server].client_sent(open.conn);
        frames
    }

    /// Sends one request of a bystander; the code and the body of its answer.
    pub(crate) fn ask(&mut self, open: Open, op: i32, body: &[u8]) -> (i32, Vec<u8>) {
        self.nodes[open.server].client_data(open.conn, &request(op, body));
        self.settle();
        let frames = self.take(open);
        let answer = frames.iter().find(|frame| frame[..4] == 7i32.to_be_bytes());
        let answer = answer.expect("a bystander is answered at once");
        (i32::from_be_bytes(answer[12..16].try_into().unwrap()), answer[16..].to_vec())
    }

    /// A client with a session and a znode that nobody else may touch.
    pub(crate) fn bystander(&mut self, server: usize) -> Open {
        let open = self.session(server);
        let ip = [&1i32.to_be_bytes()[..], &31i32.to_be_bytes(), &buffer(b"auth"), &buffer(b"")];
        let auth =
            [&0i32.to_be_bytes()[..], &buffer(b"digest"), &buffer(&[b'u', b':', server as u8])];
        let login = [&(-4i32).to_be_bytes()[..], &100i32.to_be_bytes(), &auth.concat()].concat();
        self.nodes[server].client_data(open.conn, &framed(&login));
        let path = format!("/by{server}");
        let body = [&buffer(path.as_bytes())[..], &buffer(b""), &ip.concat(), &0i32.to_be_bytes()];
        assert_eq!(self.ask(open, 1, &body.concat()).0, 0, "{path} is made");
        open
    }

    /// A client with a session.
    pub(crate) fn session(&mut self, server: usize) -> Open {
        let open = self.open(server).expect("nobody else is there");
        self.nodes[server].client_data(
            open.conn,
            &framed(&[&[0; 12][..], &60_000i32.to_be_bytes(), &[0; 8], &buffer(&[0; 16])].concat()),
        );
        self.settle();
        let reply = self.take(open).pop().expect("a session");
        let session = i64::from_be_bytes(reply[8..16].try_into().unwrap());
        let password = *reply[20..].first_chunk().unwrap();
        self.sessions.push((session, password));
        open
    }

    /// Its session lives, unless the script has taken it over, and what it writes is what it reads.
    pub(crate) fn works(&mut self, open: Open, value: u8) {
        if self.nodes[open.server].client_closing(open.conn) {
            return; // somebody came with its session and its password
        }
        let path = buffer(format!("/by{}", open.server).as_bytes());
        let write = [&path[..], &buffer(&[value]), &(-1i32).to_be_bytes()].concat();
        assert_eq!(self.ask(open, 5, &write).0, 0, "a bystander writes");
        let (code, body) = self.ask(open, 4, &[&path[..], &[0]].concat());
        assert_eq!((code, &body[..5]), (0, &buffer(&[value])[..]), "it reads what it has written");
    }
}
