//! How long sessions live: over slow links, and on a server that stood still. Real nodes, virtual time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use coordinator::node::{ConnId, Node, Output, Recovered, SnapshotPoint, split_frames};
use coordinator::state::State;
use raft::eraftpb::HardState;

use crate::connection_script::config;

const TICK_MS: u64 = 20;
const TIMEOUT_MS: u64 = 4000;

struct Servers {
    nodes: Vec<Node>,
    now_ms: u64,
    /// One way, between any two.
    delay_ms: u64,
    /// When, to whom, from whom, what.
    wire: VecDeque<(u64, usize, usize, Vec<u8>)>,
}

impl Servers {
    fn start(count: usize, delay_ms: u64) -> Self {
        let now_ms = 1_000_000;
        let node = |id: u8| {
            let recovered = Recovered {
                snapshot: SnapshotPoint::default(),
                state: State::new(),
                hard_state: HardState::default(),
                entries: Vec::new(),
            };
            Node::new(config(id, count), recovered, now_ms, 1_700_000_000_000, u64::from(id))
        };
        let mut nodes: Vec<Node> = (1..=count as u8).map(node).collect();
        for a in 0..count {
            for b in (0..count).filter(|&b| b != a) {
                let hello = nodes[b].hello();
                nodes[a].peer_connected(hello);
            }
        }
        let mut servers = Servers { nodes, now_ms, delay_ms, wire: VecDeque::new() };
        for _ in 0..2000 {
            if servers.nodes.iter().all(Node::serving) {
                return servers;
            }
            servers.pass(TICK_MS);
        }
        panic!("they do not come to serve");
    }

    /// Time passes; `read` is what lies in the sockets by then.
    fn pass_with(&mut self, ms: u64, mut read: impl FnMut(usize, &mut Node)) {
        self.now_ms += ms;
        let wall_ms = 1_700_000_000_000 + self.now_ms as i64;
        for at in 0..self.nodes.len() {
            self.nodes[at].wake(self.now_ms, wall_ms);
            read(at, &mut self.nodes[at]);
        }
        while let Some((_, to, from, bytes)) = self.wire.pop_front_if(|w| w.0 <= self.now_ms) {
            let node = &mut self.nodes[to];
            let taken = split_frames(&bytes, |message| node.peer_message(from as u8 + 1, message));
            assert_eq!(taken, Some(bytes.len()));
        }
        for at in 0..self.nodes.len() {
            self.nodes[at].tick();
            self.work(at);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.pass_with(ms, |_, _| {});
    }

    fn work(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        for _ in 0..20 {
            node.flush();
            for output in node.take_outputs() {
                match output {
                    Output::Persist { number, .. } => node.persisted(number),
                    Output::SnapshotChunk(_) => node.snapshot_chunk_written(),
                    Output::SnapshotEnd => drop(node.snapshot_saved()),
                    _ => {}
                }
            }
            if !node.pending() {
                break;
            }
            for conn in node.take_dirty_clients() {
                node.client_sent(conn);
            }
        }
        for to in node.peer_ids() {
            let Some(output) = self.nodes[at].peer_output(to) else { continue };
            if !output.is_empty() {
                let bytes = std::mem::take(output);
                let due = self.now_ms + self.delay_ms;
                self.wire.push_back((due, usize::from(to) - 1, at, bytes));
            }
        }
    }

    fn leader(&self) -> usize {
        usize::from(self.nodes[0].leader()) - 1
    }

    /// A client with a session of [`TIMEOUT_MS`] on this server.
    fn client(&mut self, at: usize) -> (ConnId, i64) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1000));
        let conn = self.nodes[at].client_opened(address).expect("no limit is set");
        let password = [&16i32.to_be_bytes()[..], &[0; 16]].concat();
        let timeout = (TIMEOUT_MS as i32).to_be_bytes();
        let hello = [&[0; 12][..], &timeout, &[0; 8], &password, &[0]].concat();
        let framed = [&(hello.len() as i32).to_be_bytes()[..], &hello].concat();
        self.nodes[at].client_data(conn, &framed);
        for _ in 0..200 {
            self.pass(TICK_MS);
            let output = self.nodes[at].client_output(conn).unwrap();
            if let Some(id) = output.get(12..20) {
                return (conn, i64::from_be_bytes(id.try_into().unwrap()));
            }
        }
        panic!("no session");
    }

    fn lives(&self, session: i64) -> bool {
        self.nodes.iter().any(|node| node.state().session(session).is_some())
    }

    /// How long after now the session ends everywhere.
    fn end_of(&mut self, session: i64) -> u64 {
        let from = self.now_ms;
        while self.lives(session) {
            assert!(self.now_ms < from + 10 * TIMEOUT_MS, "it never ends");
            self.pass(TICK_MS);
        }
        self.now_ms - from
    }
}

fn ping(node: &mut Node, conn: ConnId) {
    let bytes = [&8i32.to_be_bytes()[..], &(-2i32).to_be_bytes(), &11i32.to_be_bytes()].concat();
    node.client_data(conn, &bytes);
}

#[test]
fn a_dead_session_ends_in_time_whatever_the_round_trip() {
    for delay_ms in [0, 130, 300] {
        let mut servers = Servers::start(3, delay_ms);
        let follower = (servers.leader() + 1) % 3;
        let (conn, session) = servers.client(follower);
        // Alive for long, while it pings.
        for turn in 0..1000 {
            let pings = turn % 50 == 0;
            servers.pass_with(TICK_MS, |at, node| {
                if at == follower && pings {
                    ping(node, conn);
                }
            });
        }
        assert!(servers.lives(session), "it pinged in time, {delay_ms} ms away");
        servers.nodes[follower].client_closed(conn);
        let end_ms = servers.end_of(session);
        let latest = TIMEOUT_MS + 300 + 6 * delay_ms;
        assert!((TIMEOUT_MS - 1000..latest).contains(&end_ms), "{end_ms} ms, {delay_ms} ms away");
    }
}

#[test]
fn a_server_that_stood_still_ends_no_session_whose_pings_it_has_not_read() {
    let mut servers = Servers::start(1, 0);
    let (conn, session) = servers.client(0);
    let (_silent, dead) = servers.client(0);
    for _ in 0..5 {
        servers.pass_with(6000, |_, node| ping(node, conn));
        assert!(servers.lives(session), "its ping lay in the socket");
        // The one whose ping comes a moment after the stall lives as well.
        assert!(servers.lives(dead));
    }
    let mut waited_ms = 0;
    while servers.lives(dead) {
        servers.pass_with(TICK_MS, |_, node| ping(node, conn));
        waited_ms += TICK_MS;
        assert!(waited_ms <= TIMEOUT_MS, "who has died ends in the end");
    }
    assert!(servers.lives(session));
}
