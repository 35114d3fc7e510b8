//! Clients and servers that ask for far too much, beside one that wants to go on.
//!
//! Bounds are counted in answers, bytes and turns, never in seconds: a turn is what lies between two
//! looks at the sockets, and within each the bystander is answered.

use coordinator::admin::view::Parts;
use coordinator::node::feature::LEVEL;
use coordinator::node::{Output, peer};
use coordinator::state::{ClusterMetadata, Effects, IdentityBuf, Stamp, State, Txn};
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::jute::{put_int, put_string};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, Request, create_mode};

use crate::connection_script::{Open, World, buffer, framed, request};

const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const MULTI: i32 = 14;
const CLOSE: i32 = -11;
const MULTI_READ: i32 = 22;
const SET_WATCHES: i32 = 101;
const FRAME_MAX: usize = 0xf_ffff;
/// Requests that fit into a slice of a turn, and some.
const SLICE: usize = 2_500;

fn start() -> (World, Open, Open) {
    let mut world = World::start_as(1, &State::new, |config| config.frame_bytes_max = FRAME_MAX);
    let bystander = world.bystander(0);
    let hostile = world.session(0);
    (world, hostile, bystander)
}

fn with_path(path: &str, rest: &[u8]) -> Vec<u8> {
    [&buffer(path.as_bytes())[..], rest].concat()
}

fn create(world: &mut World, client: Open, path: &str, data: &[u8]) {
    let mut body = with_path(path, &buffer(data));
    put_int(&mut body, 1);
    put_int(&mut body, 31);
    put_string(&mut body, "world");
    put_string(&mut body, "anyone");
    put_int(&mut body, 0);
    assert_eq!(world.ask(client, CREATE, &body).0, 0, "{path} is made");
}

/// What the client has sent, as far as the server reads it; nothing is answered to it meanwhile.
fn flood(world: &mut World, client: Open, bytes: &[u8]) {
    world.nodes[client.server].client_data(client.conn, bytes);
}

fn output(world: &mut World, client: Open) -> usize {
    world.nodes[client.server].client_output(client.conn).unwrap().len()
}

#[test]
fn pipelined_requests_are_answered_in_slices_and_in_order() {
    let (mut world, hostile, bystander) = start();
    let all: Vec<u8> = (0..30_000i32)
        .flat_map(|xid| {
            let body = [&xid.to_be_bytes()[..], &EXISTS.to_be_bytes(), &with_path("/", &[0])];
            framed(&body.concat())
        })
        .collect();
    world.tick();
    flood(&mut world, hostile, &all);
    let mut next = 0i32;
    for turn in 0..40 {
        world.works(bystander, turn);
        let answers = world.take(hostile);
        assert!(answers.len() <= 2 * SLICE, "{} answers in turn {turn}", answers.len());
        for answer in answers {
            assert_eq!(answer[..4], next.to_be_bytes(), "in order");
            next += 1;
        }
        world.tick();
    }
    assert_eq!(next, 30_000, "all are answered in the end");
}

#[test]
fn a_long_set_watches_is_done_in_slices() {
    let (mut world, hostile, bystander) = start();
    let paths = 60_000;
    let mut body = 0i64.to_be_bytes().to_vec();
    put_int(&mut body, 0);
    put_int(&mut body, paths);
    for at in 0..paths {
        put_string(&mut body, &format!("/kafka/brokers/watched/{at:08}"));
    }
    put_int(&mut body, 0);
    let frame = request(SET_WATCHES, &body);
    assert!(frame.len() > 2 * FRAME_MAX);
    // As the edge reads: in pieces, as long as the server does not ask for a pause.
    let mut answered = false;
    let mut pieces = frame.chunks(256 << 10).collect::<std::collections::VecDeque<_>>();
    pieces.push_back(&[]);
    let mut before = 0;
    for turn in 0..200 {
        world.tick();
        while !pieces.is_empty() && !world.nodes[0].client_paused(hostile.conn) {
            flood(&mut world, hostile, pieces.pop_front().unwrap());
        }
        world.works(bystander, turn);
        let watches = world.nodes[0].view(Parts::default()).watches.total as usize;
        assert!(watches - before <= 4 * SLICE, "{} watches in a turn", watches - before);
        before = watches;
        let answers = world.take(hostile);
        answered |= answers.iter().any(|answer| answer[..4] == 7i32.to_be_bytes());
        if answered {
            break;
        }
    }
    assert!(answered && pieces.is_empty());
    assert_eq!(before, paths as usize);
    create(&mut world, hostile, "/after", b"");
}

#[test]
fn a_multi_read_is_as_long_as_a_reply_may_be() {
    let (mut world, hostile, bystander) = start();
    create(&mut world, hostile, "/big", &vec![7; 900_000]);
    let mut body = Vec::new();
    for _ in 0..500 {
        put_int(&mut body, GET_DATA);
        body.push(0);
        put_int(&mut body, -1);
        body.extend_from_slice(&with_path("/big", &[0]));
    }
    put_int(&mut body, -1);
    body.push(1);
    put_int(&mut body, -1);
    world.tick();
    flood(&mut world, hostile, &request(MULTI_READ, &body));
    assert!(output(&mut world, hostile) < 10 << 20, "{} bytes", output(&mut world, hostile));
    let answer = world.take(hostile).pop().unwrap();
    assert_eq!(answer[12..16], 0i32.to_be_bytes(), "what fits is answered");
    let failed = Code::SystemError.as_i32().to_be_bytes();
    assert_eq!(answer[answer.len() - 13..answer.len() - 9], failed, "what does not fit fails");
    world.works(bystander, 1);
}

#[test]
fn answers_behind_a_write_do_not_come_all_at_once() {
    let (mut world, hostile, bystander) = start();
    create(&mut world, hostile, "/big", &vec![7; 900_000]);
    let mut all = request(SET_DATA, &with_path("/by0", &[&buffer(b"x")[..], &[0xff; 4]].concat()));
    for xid in 1000..1500i32 {
        let body = [&xid.to_be_bytes()[..], &GET_DATA.to_be_bytes(), &with_path("/big", &[0])];
        all.extend_from_slice(&framed(&body.concat()));
        if xid % 10 == 0 {
            let write = with_path("/by0", &[&buffer(b"y")[..], &[0xff; 4]].concat());
            let write = [&(-xid).to_be_bytes()[..], &SET_DATA.to_be_bytes(), &write].concat();
            all.extend_from_slice(&framed(&write));
        }
    }
    world.tick();
    flood(&mut world, hostile, &all);
    let mut next = 1000i32;
    for turn in 0..1000 {
        world.settle();
        assert!(output(&mut world, hostile) < 8 << 20, "{} bytes", output(&mut world, hostile));
        if turn % 20 == 0 {
            world.works(bystander, turn as u8);
        }
        for answer in world.take(hostile) {
            let xid = i32::from_be_bytes(answer[..4].try_into().unwrap());
            if xid >= 1000 {
                assert_eq!(xid, next, "in order");
                next += 1;
            }
        }
        world.tick();
    }
    assert_eq!(next, 1500, "all are answered in the end");
}

#[test]
fn beyond_what_all_may_have_in_flight_each_has_one_request() {
    let limit = 2 << 20;
    let mut world = World::start_as(1, &State::new, |config| {
        config.frame_bytes_max = FRAME_MAX;
        config.bytes_in_flight_max = limit;
    });
    let (lazy, busy) = (world.session(0), world.session(0));
    create(&mut world, lazy, "/big", &vec![7; 900_000]);
    let read = request(GET_DATA, &with_path("/big", &[0]));
    world.tick();
    flood(&mut world, lazy, &read.repeat(3));
    world.settle();
    assert!(output(&mut world, lazy) > limit, "it does not read its answers");
    let reads = request(GET_DATA, &with_path("/big", &[0])).repeat(4);
    flood(&mut world, busy, &reads);
    let mut answers = 0;
    for turn in 0..4 {
        let one = world.take(busy).len();
        assert_eq!(one, 1, "turn {turn}");
        answers += one;
        world.pass(1);
    }
    assert_eq!(answers, 4);
    assert_eq!(world.take(lazy).len(), 3);
    flood(&mut world, busy, &read.repeat(2));
    world.pass(1);
    assert_eq!(world.take(busy).len(), 2, "there is room again");
}

#[test]
fn one_connection_watches_so_much_and_no_more() {
    let (mut world, hostile, bystander) = start();
    let mut refused = 0;
    for at in 0..160 {
        let path = format!("/{at:03}{}", "w".repeat(900_000));
        world.tick();
        let (code, _) = world.ask(hostile, EXISTS, &with_path(&path, &[1]));
        refused += u32::from(code == Code::SystemError.as_i32());
    }
    assert!((5..100).contains(&refused), "{refused} are refused");
    world.tick();
    let (code, _) = world.ask(hostile, EXISTS, &with_path("/zookeeper", &[0]));
    assert_eq!(code, 0, "without a watch it reads as before");
    create(&mut world, hostile, "/after", b"");
    world.works(bystander, 1);
    let (code, _) = world.ask(bystander, EXISTS, &with_path("/zookeeper", &[1]));
    assert_eq!(code, 0, "others watch");
}

#[test]
fn what_a_server_sends_on_is_read_before_it_is_proposed() {
    let mut world = World::start_as(3, &State::new, |_| {});
    let leader = (0..3).find(|&at| world.nodes[at].leader() == world.nodes[at].id()).unwrap();
    let other = (leader + 1) % 3;
    let applied = world.nodes[leader].applied_index();
    let from = other as u8 + 1;
    // A delete of session 0, an operation of the leader's alone, and bytes that are nothing.
    let txn =
        |session: i64, op: i32| [&session.to_le_bytes()[..], &op.to_le_bytes(), &[0; 8]].concat();
    for (what, count, ops) in [
        ("garbage", 1, vec![0x41; 28]),
        ("nothing", 0, Vec::new()),
        ("another count", 2, txn(5, 2)),
        ("an operation that is none", 1, txn(5, 999)),
        ("a read", 1, txn(5, EXISTS)),
        ("the end of no session", 1, txn(0, -11)),
        ("what /zookeeper/config is to hold", 1, txn(0, 16)),
        ("something behind it", 1, [&txn(5, 2)[..], b"x"].concat()),
    ] {
        let mut message = Vec::new();
        peer::forward(u64::from(from), 1, count, &ops, &mut message);
        world.nodes[leader].peer_message(from, &message);
        let outputs = world.nodes[leader].take_outputs();
        let cut =
            outputs.iter().any(|output| matches!(output, Output::Disconnect(id) if *id == from));
        assert!(cut, "{what}");
    }
    world.pass(3);
    assert_eq!(world.nodes[leader].applied_index(), applied, "nothing of it is in the log");
    for at in 0..3 {
        let client = world.bystander(at);
        world.works(client, 1);
    }
}

#[test]
fn a_leader_begins_a_new_term_before_its_numbers_are_used_up() {
    for servers in [1, 3] {
        // Whoever is elected first goes on from here, in its own term.
        let close = 0x1_bfff_fff0;
        let mut world = World::start_as(servers, &|| State::new().after(close), |_| {});
        let clients: Vec<_> = (0..servers).map(|at| world.bystander(at)).collect();
        for round in 0..40 {
            for &client in &clients {
                world.works(client, round);
            }
            world.pass(5);
        }
        let last = world.nodes[0].state().last_zxid();
        assert!(last >> 32 >= 2 && last & 0xffff_ffff < 1000, "{servers} servers: {last:#x}");
        for node in &world.nodes {
            assert_eq!(node.state().digest(), world.nodes[0].state().digest());
        }
    }
}

/// Ephemerals of a session, in multis.
fn ephemerals(world: &mut World, client: Open, count: usize) {
    for first in (0..count).step_by(500) {
        let mut body = Vec::new();
        for at in first..(first + 500).min(count) {
            put_int(&mut body, CREATE);
            body.push(0);
            put_int(&mut body, -1);
            body.extend_from_slice(&with_path(&format!("/e{at:06}"), &buffer(b"")));
            put_int(&mut body, 1);
            put_int(&mut body, 31);
            put_string(&mut body, "world");
            put_string(&mut body, "anyone");
            put_int(&mut body, 1);
        }
        put_int(&mut body, -1);
        body.push(1);
        put_int(&mut body, -1);
        assert_eq!(world.ask(client, MULTI, &body).0, 0, "ephemerals from {first} on");
        world.tick();
    }
}

fn left(world: &World) -> Vec<usize> {
    world.nodes.iter().map(|node| node.state().ephemerals_count()).collect()
}

#[test]
fn a_session_with_many_ephemerals_ends_in_parts_and_its_owner_is_answered_behind_the_last() {
    const COUNT: usize = 20_500;
    for server in 0..3 {
        let mut world =
            World::start_as(3, &State::new, |config| config.frame_bytes_max = FRAME_MAX);
        world.pass(50);
        let bystander = world.bystander(1);
        let hostile = world.session(server);
        ephemerals(&mut world, hostile, COUNT);
        world.pass(2);
        assert_eq!(left(&world), [COUNT; 3]);
        let zxid = world.nodes[0].state().last_zxid();
        flood(&mut world, hostile, &request(CLOSE, &[]));
        let mut answered = false;
        let mut before = COUNT;
        for turn in 0..10_000u32 {
            world.round();
            let most = left(&world).into_iter().max().unwrap();
            assert!(before - most <= 1000, "{} went in one round", before - most);
            before = most;
            let answer = world.take(hostile);
            if !answer.is_empty() {
                assert_eq!(left(&world)[server], 0, "the answer tells that all are gone");
                answered = true;
            }
            if turn.is_multiple_of(16) {
                world.tick();
            }
            if most == 0 && answered {
                break;
            }
        }
        assert!(answered && before == 0);
        assert!(world.nodes[0].state().last_zxid() - zxid >= COUNT as i64 / 1000, "in parts");
        world.works(bystander, 3);
        let digests: Vec<u64> = world.nodes.iter().map(|node| node.state().digest()).collect();
        assert_eq!(digests, [digests[0]; 3]);
    }
}

#[test]
fn a_new_leader_goes_on_with_what_a_session_has_left() {
    const COUNT: usize = 6_000;
    let mut world = World::start_as(3, &State::new, |config| config.frame_bytes_max = FRAME_MAX);
    world.pass(50);
    let hostile = world.session(0);
    ephemerals(&mut world, hostile, COUNT);
    world.pass(2);
    flood(&mut world, hostile, &request(CLOSE, &[]));
    for _ in 0..200 {
        world.round();
        let most = left(&world).into_iter().max().unwrap();
        if most < COUNT {
            break;
        }
    }
    let leader = world.nodes[0].leader();
    let from = usize::from(leader) - 1;
    assert!(world.nodes[from].transfer_leadership(None).is_some());
    world.pass(100);
    assert_ne!(world.nodes[0].leader(), leader);
    assert_eq!(left(&world), [0; 3]);
}

#[test]
fn what_others_delete_of_an_ended_session_holds_nothing_up() {
    const COUNT: usize = 1_500;
    // The deletions come before, between and behind the parts.
    for rounds in 0..8 {
        let mut world =
            World::start_as(1, &State::new, |config| config.frame_bytes_max = FRAME_MAX);
        world.pass(50);
        let bystander = world.bystander(0);
        let (first, second) = (world.session(0), world.session(0));
        ephemerals(&mut world, first, COUNT);
        let mut body = Vec::new();
        for at in 0..COUNT {
            put_int(&mut body, DELETE);
            body.push(0);
            put_int(&mut body, -1);
            body.extend_from_slice(&with_path(&format!("/e{at:06}"), &[0xff; 4]));
        }
        put_int(&mut body, -1);
        body.push(1);
        put_int(&mut body, -1);
        flood(&mut world, first, &request(CLOSE, &[]));
        for _ in 0..rounds {
            world.round();
        }
        flood(&mut world, bystander, &request(MULTI, &body));
        world.pass(2);
        world.take(bystander);
        let answers = world.take(first);
        assert_eq!(answers.len(), 1, "{rounds} rounds: the owner is answered");
        assert_eq!(answers[0][12..16], [0; 4], "{rounds} rounds: its session has ended in order");
        assert_eq!(left(&world), [0]);
        ephemerals(&mut world, second, COUNT);
        flood(&mut world, second, &request(CLOSE, &[]));
        world.pass(2);
        assert_eq!(left(&world), [0], "{rounds} rounds: the next session ends too");
        assert_eq!(world.take(second).len(), 1);
        world.works(bystander, 3);
    }
}

#[test]
fn what_is_sent_behind_a_close_is_not_answered() {
    const COUNT: usize = 1_500;
    let mut world = World::start_as(1, &State::new, |config| config.frame_bytes_max = FRAME_MAX);
    world.pass(50);
    let bystander = world.bystander(0);
    let hostile = world.session(0);
    ephemerals(&mut world, hostile, COUNT);
    // As a leader names parts.
    let mut part = Vec::new();
    put_int(&mut part, 2);
    put_string(&mut part, "/by0");
    put_string(&mut part, "/e000000");
    let behind = [
        request(CLOSE, &part),
        request(CLOSE, &[]),
        request(SET_DATA, &with_path("/e000001", &[&buffer(b"x")[..], &[0xff; 4]].concat())),
    ];
    flood(&mut world, hostile, &[request(CLOSE, &[]), behind.concat()].concat());
    world.pass(2);
    let answers = world.take(hostile);
    assert_eq!(answers.len(), 1, "the close alone");
    assert_eq!(answers[0][12..16], [0; 4], "it is well");
    assert_eq!(left(&world), [0]);
    world.works(bystander, 3);
}

/// As a backup has it that was taken while a session ended in parts.
fn half_ended() -> State {
    let mut state = State::new();
    state.cluster_mut().level = LEVEL;
    let identity = IdentityBuf::superuser();
    let mut apply = |op, body: &[u8]| {
        let stamp = Stamp { zxid: state.last_zxid() + 1, time_ms: 0 };
        let txn = Txn { session: 7, identity: identity.as_identity(), op, body };
        let code = state.apply(stamp, 1, &txn, &mut Effects::new(false), None);
        assert_eq!(code, Code::Ok);
    };
    apply(OpCode::CreateSession, &60_000i32.to_be_bytes());
    for at in 0..1_500 {
        let (path, mut body) = (format!("/e{at}"), Vec::new());
        let (acl, flags) = (AclList::OPEN, create_mode::EPHEMERAL);
        let create = Create { path: &path, data: None, acl, flags, ttl_ms: 0 };
        Request::Create(create).encode(&mut body);
        apply(OpCode::Create, &body);
    }
    apply(OpCode::CloseSession, &[]);
    state.refound(0, ClusterMetadata::default());
    state
}

#[test]
fn what_a_backup_has_of_an_ended_session_goes_when_all_members_know_how() {
    for servers in [1, 3] {
        let mut world = World::start_as(servers, &half_ended, |config| config.level = 1);
        world.pass(50);
        assert_eq!(left(&world), vec![1_500; servers]);
        assert!(world.nodes[0].applied_index() < 100, "no entries that do nothing");
        let mut world = World::start_as(servers, &half_ended, |_| {});
        world.pass(50);
        assert_eq!(left(&world), vec![0; servers]);
    }
}
