//! Entries and numbers that nobody of ours writes, in the log of a server: it serves all the same, or
//! says why it cannot.

use coordinator::node::entry::{self, Segment};
use coordinator::node::feature::LEVEL;
use coordinator::node::{Node, NodeConfig, Output, Recovered, SnapshotPoint};
use coordinator::state::State;
use raft::eraftpb::{Entry, EntryType, HardState};

/// A server alone, with this behind the founding of its ensemble in its log.
fn started(entries: Vec<Entry>) -> Node {
    let mut log = vec![founding()];
    log.extend(entries);
    for (at, entry) in log.iter_mut().enumerate() {
        entry.index = at as u64 + 1;
        entry.term = 1;
    }
    let recovered = Recovered {
        snapshot: SnapshotPoint::default(),
        state: State::new(),
        hard_state: HardState { term: 1, vote: 1, commit: 1, ..HardState::default() },
        entries: log,
    };
    Node::new(alone(), recovered, 1_000_000, 1_700_000_000_000, 1)
}

fn alone() -> NodeConfig {
    NodeConfig {
        id: 1,
        voters: vec![1],
        observers: Vec::new(),
        tick_ms: 20,
        heartbeat_ms: 100,
        level: LEVEL,
        compare_every_ms: 1000,
        election_timeout_ms: 1000,
        session_timeout_min_ms: 2000,
        session_timeout_max_ms: 60_000,
        max_client_connections: 0,
        frame_bytes_max: 1 << 20,
        requests_in_flight_max: 100_000,
        bytes_in_flight_max: 100 << 20,
        snapshot_ops: 1000,
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
        enforce_quota: false,
        authentication: coordinator::node::Authentication::default(),
        skip_acl: false,
        audit: None,
        published_members: None,
        incarnation: 1,
        blank: false,
        initialize: false,
        fresh_cluster_id: 1,
        fresh_secret: [1; 32],
        session_passwords: coordinator::state::PasswordRule::default(),
        boot: 1,
    }
}

fn founding() -> Entry {
    let mut data = entry::begin(0, 5);
    Segment::Found { cluster_id: 1, secret: [7; 32] }.encode(&mut data);
    normal(data)
}

fn normal(data: Vec<u8>) -> Entry {
    Entry { data: data.into(), ..Entry::default() }
}

fn of_type(kind: EntryType, data: &[u8]) -> Entry {
    let mut entry = normal(data.to_vec());
    entry.set_entry_type(kind);
    entry
}

fn segments(each: &[Segment<'_>]) -> Entry {
    let mut data = entry::begin(0, 6);
    for segment in each {
        segment.encode(&mut data);
    }
    normal(data)
}

/// Runs it until it serves; the error is what it ended with.
fn serves(node: &mut Node) -> Result<(), String> {
    for tick in 1..=200 {
        node.wake(1_000_000 + tick * 20, 1_700_000_000_000);
        node.tick();
        node.flush();
        for output in node.take_outputs() {
            match output {
                Output::Persist { number, .. } => node.persisted(number),
                Output::Fatal(why) => return Err(why),
                _ => {}
            }
        }
        if node.serving() {
            return Ok(());
        }
    }
    Err("it does not come to serve".to_owned())
}

#[test]
fn what_cannot_be_read_has_no_effect_and_the_log_goes_on() {
    let ops =
        |first_sequence, ops| Segment::Ops { origin: 1, boot: 9, first_sequence, count: 1, ops };
    let register = Segment::Register { origin: 1, boot: 9 };
    // An operation that this release does not know, and one whose lengths are wrong.
    let unknown = [&5i64.to_le_bytes()[..], &999i32.to_le_bytes(), &[0; 8]].concat();
    let cut = [&5i64.to_le_bytes()[..], &1i32.to_le_bytes(), &[0xff; 8]].concat();
    for (what, entry) in [
        ("ops of 28 bytes", segments(&[register, ops(1, &[0x41; 28])])),
        ("an unknown operation", segments(&[register, ops(1, &unknown)])),
        ("lengths beyond the end", segments(&[register, ops(1, &cut)])),
        ("a sequence at the end", segments(&[register, ops(u64::MAX, &unknown)])),
        ("leader's ops", segments(&[Segment::LeaderOps { ops: b"x" }])),
        ("an unknown segment", normal([&entry::begin(0, 6)[..], &[99, 0, 0, 0, 0]].concat())),
        ("a segment cut short", normal([&entry::begin(0, 6)[..], &[1, 9, 0, 0, 0]].concat())),
        ("a layout of nobody", normal(vec![0; 40])),
        ("a time cut short", normal(vec![1, 2])),
        ("a change of members", of_type(EntryType::EntryConfChangeV2, &[0xff; 9])),
        ("another kind of change", of_type(EntryType::EntryConfChange, &[0xff; 9])),
    ] {
        let mut node = started(vec![entry, segments(&[])]);
        assert_eq!(serves(&mut node), Ok(()), "{what}");
        assert!(node.applied_index() >= 3, "{what}");
    }
}

#[test]
fn what_a_newer_release_wrote_stops_this_server_with_a_message() {
    for entry in [normal(entry::begin(LEVEL + 1, 6)), normal(vec![77; 40])] {
        let mut node = started(vec![segments(&[]), entry]);
        let why = serves(&mut node).unwrap_err();
        assert!(why.contains("entry 3 of term 1") && why.contains("newer coordinator"), "{why}");
        assert_eq!(node.applied_index(), 2, "nothing is applied from there on");
        node.flush();
        assert!(node.take_outputs().is_empty(), "it does nothing more");
    }
}

#[test]
fn zxids_go_on_beyond_the_last_number_of_a_term() {
    let mut state = State::new();
    let (epoch, last) = (3u64, 0x3_ffff_fffe);
    state.refound(epoch, coordinator::state::ClusterMetadata::default());
    let identity = coordinator::state::IdentityBuf::superuser();
    let txn = coordinator::state::Txn {
        session: 0,
        identity: identity.as_identity(),
        op: coordinator::wire::opcode::OpCode::Create,
        body: b"",
    };
    let stamp = coordinator::state::Stamp { zxid: last, time_ms: 1 };
    state.apply(stamp, 1, &txn, &mut coordinator::state::Effects::new(false), None);
    let mut ops = Vec::new();
    for _ in 0..4 {
        txn.encode(&mut ops);
    }
    let mut entry = segments(&[Segment::LeaderOps { ops: &ops }]);
    (entry.index, entry.term) = (6, 3);
    let recovered = Recovered {
        snapshot: SnapshotPoint {
            index: 5,
            term: 3,
            conf_state: raft::eraftpb::ConfState { voters: vec![1], ..Default::default() },
        },
        state,
        hard_state: HardState { term: 3, vote: 1, commit: 5, ..HardState::default() },
        entries: vec![entry],
    };
    let mut node = Node::new(alone(), recovered, 1_000_000, 1_700_000_000_000, 1);
    assert_eq!(serves(&mut node), Ok(()));
    assert!(node.state().last_zxid() > last + 3, "{:#x}", node.state().last_zxid());
}
