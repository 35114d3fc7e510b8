//! Members compare their states: who differs from the majority serves nobody, leader or not, and where
//! there is no majority all go on and say so.

use std::cell::Cell;

use coordinator::admin::view::Parts;
use coordinator::node::Node;
use coordinator::state::{Effects, IdentityBuf, Stamp, State, Txn};
use coordinator::wire::acl::AclList;
use coordinator::wire::code::Code;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::request::{Create, Request, create_mode};

use crate::connection_script::World;

/// A state with a znode that no entry has made.
fn damaged() -> State {
    let mut state = State::new();
    let (acl, flags) = (AclList::OPEN, create_mode::PERSISTENT);
    let path = "/zookeeper/damage";
    let mut body = Vec::new();
    Request::Create(Create { path, data: None, acl, flags, ttl_ms: 0 }).encode(&mut body);
    let identity = IdentityBuf::superuser();
    let identity = identity.as_identity();
    let txn = Txn { session: 0, identity, op: OpCode::Create, body: &body };
    let stamp = Stamp { zxid: 0, time_ms: 0 };
    assert_eq!(state.apply(stamp, 0, &txn, &mut Effects::new(false), None), Code::Ok);
    state
}

/// So many servers, of which this one is damaged.
fn start(servers: usize, damaged_one: Option<usize>) -> World {
    let next = Cell::new(0);
    let state = || {
        let at = next.replace(next.get() + 1);
        if Some(at) == damaged_one { damaged() } else { State::new() }
    };
    let mut world = World::start_as(servers, &state, |_| {});
    world.pass(400);
    world
}

/// Whether a figure that is 0 or 1 is 1.
fn shows(node: &Node, name: &str) -> bool {
    let extra = node.view(Parts::default()).extra;
    extra.iter().find(|figure| figure.name == name).expect("it is shown").value > 0.5
}

#[test]
fn who_differs_from_the_majority_serves_nobody_and_does_not_lead() {
    for damaged_one in 0..3 {
        let world = start(3, Some(damaged_one));
        for (at, node) in world.nodes.iter().enumerate() {
            let differs = at == damaged_one;
            assert_eq!(node.differs(), differs, "server {at} of {damaged_one}");
            assert_eq!(node.serving(), !differs, "server {at} of {damaged_one}");
            assert_eq!(shows(node, "state_differs"), differs);
            assert_ne!(usize::from(node.leader()), damaged_one + 1, "another one leads");
            assert_eq!(node.rounds_agreed() > 1, !differs);
        }
    }
}

#[test]
fn without_a_majority_all_go_on_and_the_leader_says_so() {
    for damaged_one in 0..2 {
        let world = start(2, Some(damaged_one));
        let mut undecided = 0;
        for node in &world.nodes {
            assert!(node.serving() && !node.differs());
            undecided += usize::from(shows(node, "states_undecided"));
        }
        assert_eq!(undecided, 1);
    }
}

#[test]
fn equal_states_raise_no_alarm() {
    for servers in [2, 3] {
        for node in &start(servers, None).nodes {
            assert!(node.serving() && !node.differs() && node.rounds_agreed() > 1);
            assert!(!shows(node, "states_undecided"));
        }
    }
    assert_eq!(start(1, None).nodes[0].rounds_agreed(), 0, "nobody to compare with");
}
