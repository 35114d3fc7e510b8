//! Who may vote, whom this server believes, and what a leader does next.

use raft::eraftpb::ConfChangeType;

use super::step::Why;
use super::*;
use crate::node::peers::tests::hello;
use crate::state::members::{self, Membership as List};

const MY_DIRECTORY: u128 = 10;
const FOUNDED: u128 = 1;

/// Server 1 of three voters, with a data directory that has held votes.
fn membership() -> Membership {
    Membership {
        me: 1,
        incarnation: MY_DIRECTORY,
        was_empty: false,
        level: LEVEL,
        initialize: false,
        reconfig_enabled: false,
        participants: vec![1, 2, 3],
        observers: Vec::new(),
        conf_state: ConfState { voters: vec![1, 2, 3], ..ConfState::default() },
        logged: Logged::default(),
        permitted: true,
        wiped: false,
        loss_reported: false,
        list_proposed: false,
        asker: None,
    }
}

/// The same with an empty directory, before anybody has vouched for it.
fn blank() -> Membership {
    Membership { was_empty: true, permitted: false, ..membership() }
}

/// A founded ensemble that knows directory 10·N of each server N in `known`.
fn cluster(known: &[u8]) -> ClusterMetadata {
    let mut cluster = ClusterMetadata::default();
    cluster.cluster_id = FOUNDED;
    for &id in known {
        cluster.set_incarnation(id, u128::from(id) * 10);
    }
    cluster
}

/// Links to servers with these directories.
fn linked(hellos: impl IntoIterator<Item = PeerHello>) -> Peers {
    let mut peers = Peers::new(1, [1, 2, 3, 4]);
    for hello in hellos {
        peers.connect(hello, true, 0);
    }
    peers
}

fn message(kind: MessageType, commit: u64) -> Message {
    let mut message = Message { commit, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn change(id: u64, kind: ConfChangeType, incarnation: u128, why: Why) -> Step {
    Step::Change(Change { id, kind, incarnation, why })
}

/// The ensemble's own list, of participants with these ids; asked for and not present yet.
fn pending(ids: &[u8]) -> List {
    let lines =
        ids.iter().map(|id| format!("server.{id}=h{id}:2888:3888:participant;0.0.0.0:2181\n"));
    let servers = members::read(&lines.collect::<String>()).expect("a list");
    List { present: servers.clone(), version: 0, pending: Some(servers) }
}

// ---- who may vote ----

#[test]
fn an_empty_directory_votes_only_where_nothing_can_be_lost() {
    let unfounded = ClusterMetadata::default();
    let mut alone = Membership { participants: vec![1], ..blank() };
    alone.review_permission(&unfounded, 0, &linked([]));
    assert!(alone.may_vote(), "nobody else has a vote");

    let mut told = Membership { initialize: true, ..blank() };
    told.review_permission(&unfounded, 0, &linked([]));
    assert!(told.may_vote(), "the operator says so");

    let empty = |id: u8| PeerHello { blank: true, cluster_id: 0, ..hello(id, u128::from(id) * 10) };
    let mut first_boot = blank();
    first_boot.review_permission(&unfounded, 0, &linked([empty(2)]));
    assert!(!first_boot.may_vote(), "server 3 may have held votes");
    first_boot.review_permission(&unfounded, 0, &linked([empty(2), empty(3)]));
    assert!(first_boot.may_vote(), "all are empty");
}

#[test]
fn an_empty_directory_votes_when_the_ensemble_never_knew_another() {
    let unfounded = ClusterMetadata::default();
    let known = |known: &[(u8, u128)]| PeerHello { known: known.to_vec(), ..hello(2, 20) };
    for (says, votes) in [
        (vec![], false),                 // it does not even know itself
        (vec![(2, 20)], true),           // it has never heard of this server
        (vec![(2, 20), (1, 10)], true),  // it knows this very directory
        (vec![(2, 20), (1, 99)], false), // it knows another one
    ] {
        let mut membership = blank();
        membership.review_permission(&unfounded, 0, &linked([known(&says)]));
        assert_eq!(membership.may_vote(), votes, "{says:?}");
    }
}

#[test]
fn a_server_that_lost_its_directory_votes_again_once_it_is_a_voter_in_the_new_one() {
    let mut membership = blank();
    let knows_another = PeerHello { known: vec![(1, 99)], ..hello(2, 20) };
    assert!(membership.learns_of_wipe(&knows_another, &ClusterMetadata::default()));
    assert!(!membership.learns_of_wipe(&knows_another, &ClusterMetadata::default()), "no news");
    membership.permitted = true;
    assert!(!membership.may_vote());
    let mut cluster = cluster(&[2, 3]);
    cluster.set_incarnation(1, 99);
    assert!(!membership.review_own_vote(&cluster), "the vote is the other directory's");
    cluster.set_incarnation(1, MY_DIRECTORY);
    membership.conf_state.voters = vec![2, 3];
    assert!(!membership.review_own_vote(&cluster), "a learner");
    membership.conf_state.voters = vec![1, 2, 3];
    assert!(membership.review_own_vote(&cluster) && membership.may_vote());
}

#[test]
fn a_half_filled_directory_is_known_from_the_log_before_anything_is_applied() {
    let mut membership = membership();
    membership.logged = Logged { through: 5, incarnations: [(1, 99)].into() };
    membership.review_own_directory(&ClusterMetadata::default(), 4);
    assert!(!membership.may_vote());
    membership.review_own_directory(&cluster(&[1]), 5);
    assert!(membership.may_vote(), "what is applied counts more than what was logged");
}

#[test]
fn votes_and_claims_of_a_forgetful_server_do_not_count() {
    let cluster = cluster(&[1, 2, 3]);
    let peers = linked([hello(2, 20), hello(3, 31)]);
    let membership = membership();
    let trusts =
        |from, kind, commit| membership.trusts(from, &message(kind, commit), &cluster, &peers, 100);
    assert!(trusts(2, MessageType::MsgRequestVoteResponse, 0));
    assert!(!trusts(3, MessageType::MsgRequestVoteResponse, 0), "another directory than known");
    assert!(trusts(3, MessageType::MsgAppend, 0), "it was elected: a leader counts");
    assert!(trusts(2, MessageType::MsgHeartbeat, 100));
    assert!(!trusts(2, MessageType::MsgHeartbeat, 101), "this server has lost what is committed");
    assert!(trusts(2, MessageType::MsgRequestVote, 0));
    let wiped = Membership { wiped: true, ..super::tests::membership() };
    let asks = message(MessageType::MsgRequestVote, 0);
    assert!(!wiped.trusts(2, &asks, &cluster, &peers, 100), "it cannot promise anything");
}

#[test]
fn the_loss_of_a_majority_is_reported_once() {
    let cluster = cluster(&[1, 2, 3]);
    let empty = |id, incarnation| PeerHello { blank: true, ..hello(id, incarnation) };
    let mut membership = membership();
    assert_eq!(membership.take_loss(&cluster, 0, &linked([empty(2, 21), hello(3, 30)])), None);
    let peers = linked([empty(2, 21), empty(3, 31)]);
    assert_eq!(membership.take_loss(&cluster, 0, &peers), Some(vec![2, 3]));
    assert_eq!(membership.take_loss(&cluster, 0, &peers), None);
}

// ---- whom to talk to ----

#[test]
fn strangers_are_named_and_one_change_of_the_list_is_borne_with() {
    let (membership, cluster, peers) = (membership(), cluster(&[]), linked([]));
    let refusal = |hello: PeerHello| membership.check_hello(&hello, &cluster, &peers).err();
    assert_eq!(refusal(hello(2, 20)), None);
    assert!(refusal(hello(1, 20)).is_some_and(|why| why.contains("two `myid` alike")));
    assert!(refusal(hello(9, 20)).is_some_and(|why| why.contains("not in this server's list")));
    let other = PeerHello { cluster_id: 2, ..hello(2, 20) };
    assert!(refusal(other).is_some_and(|why| why.contains("wrong `dataDir`")));
    assert_eq!(refusal(PeerHello { cluster_id: 0, ..hello(2, 20) }), None, "not founded there");
    let list = |members: &[u8]| PeerHello { members: members.to_vec(), ..hello(2, 20) };
    assert_eq!(refusal(list(&[1, 2, 3, 4])), None);
    assert!(refusal(list(&[1, 2, 4])).is_some_and(|why| why.contains("`server.N` lines alike")));
}

#[test]
fn a_release_that_knows_less_than_the_ensemble_is_refused_by_name() {
    let (membership, mut cluster, peers) = (membership(), cluster(&[]), linked([]));
    cluster.level = 2;
    let of_level = |level| {
        membership.check_hello(&PeerHello { level, ..hello(2, 20) }, &cluster, &peers).err()
    };
    assert_eq!([of_level(2), of_level(3)], [None, None], "newer ones are welcome");
    let why = of_level(1).unwrap();
    assert!(
        why.contains("server 2") && why.contains("level 1") && why.contains("level 2"),
        "{why}"
    );
}

#[test]
fn a_member_that_is_taken_out_for_its_new_directory_goes_on_to_read_the_log() {
    let mut membership = membership();
    membership.conf_state.voters = vec![1, 2];
    assert!(!membership.is_member(3) && membership.readers().any(|id| id == 3));
    membership.participants = vec![1, 2];
    assert!(membership.readers().all(|id| id != 3), "no list names it");
    membership.conf_state.learners = vec![3];
    assert!(membership.readers().any(|id| id == 3), "it is a member all the same");
}

// ---- what a leader does next ----

#[test]
fn a_first_leader_records_the_directories_of_those_that_are_linked() {
    let steps = membership().next_steps(&cluster(&[]), &linked([hello(3, 30)]), |_| true);
    let record = |id, incarnation| Step::Record { id, incarnation };
    assert_eq!(steps, [record(1, MY_DIRECTORY), record(3, 30)]);
    let steps = membership().next_steps(&cluster(&[1, 3]), &linked([hello(3, 30)]), |_| true);
    assert_eq!(steps, []);
}

#[test]
fn a_member_with_a_new_directory_goes_the_way_from_removal_to_vote() {
    let cluster = cluster(&[1, 2, 3]);
    let peers = linked([hello(3, 31)]);
    let mut membership = membership();
    let removal = change(3, ConfChangeType::RemoveNode, 0, Why::NewDirectory);
    assert_eq!(membership.next_steps(&cluster, &peers, |_| true), [removal]);

    membership.conf_state.voters = vec![1, 2];
    let joins = change(3, ConfChangeType::AddLearnerNode, 31, Why::JoinsAgain);
    assert_eq!(membership.next_steps(&cluster, &peers, |_| true), [joins]);

    membership.conf_state.learners = vec![3];
    let mut cluster = cluster;
    record_change(&mut cluster, &change_context(3, 31));
    assert_eq!(membership.next_steps(&cluster, &peers, |_| false), [], "it has to catch up");
    let vote = change(3, ConfChangeType::AddNode, 0, Why::CaughtUp);
    assert_eq!(membership.next_steps(&cluster, &peers, |id| id == 3), [vote]);
    membership.observers = vec![3];
    assert_eq!(membership.next_steps(&cluster, &peers, |_| true), [], "an observer stays one");
}

#[test]
fn a_member_without_a_record_that_lost_its_log_loses_its_vote_first() {
    let empty = PeerHello { blank: true, ..hello(3, 31) };
    let steps = membership().next_steps(&cluster(&[1, 2]), &linked([empty]), |_| true);
    assert_eq!(steps, [change(3, ConfChangeType::RemoveNode, 0, Why::LostItsLog)]);
}

#[test]
fn a_member_leaves_when_no_list_names_it_and_a_majority_says_so() {
    let cluster = cluster(&[1, 2, 3]);
    let mut membership = Membership { participants: vec![1, 2], ..membership() };
    let shrunk = PeerHello { members: vec![1, 2], ..hello(2, 20) };
    let leaves = change(3, ConfChangeType::RemoveNode, FORGET, Why::Unlisted);
    assert_eq!(membership.next_steps(&cluster, &linked([shrunk.clone()]), |_| true), [leaves]);
    assert_eq!(membership.next_steps(&cluster, &linked([]), |_| true), [], "no majority is linked");
    let steps = membership.next_steps(&cluster, &linked([hello(2, 20)]), |_| true);
    assert_eq!(steps, [], "server 2 still lists it");
    membership.participants = vec![1, 2, 3];
    assert_eq!(membership.next_steps(&cluster, &linked([shrunk]), |_| true), []);
}

#[test]
fn the_ensembles_list_is_reached_one_change_at_a_time() {
    let mut cluster = cluster(&[1, 2, 3]);
    let list = pending(&[1, 2, 4]);
    let mut membership = membership();
    membership.adopt(list.target());
    cluster.membership = Some(list);
    let peers = linked([hello(2, 20), hello(4, 40)]);
    let next = |membership: &Membership| membership.next_steps(&cluster, &peers, |id| id == 4);

    let demote = change(3, ConfChangeType::AddLearnerNode, 0, Why::LosesVote);
    assert_eq!(next(&membership), [demote], "who leaves loses the vote first");
    membership.set_conf_state(ConfState {
        voters: vec![1, 2],
        learners: vec![3],
        ..ConfState::default()
    });
    let joins = change(4, ConfChangeType::AddLearnerNode, 40, Why::Listed);
    assert_eq!(next(&membership), [joins], "who joins follows first");
    membership.conf_state.learners = vec![3, 4];
    assert_eq!(next(&membership), [Step::FinishList]);
    membership.propose_list();
    assert_eq!(next(&membership), [], "once is enough");

    let mut done = cluster.clone();
    done.set_incarnation(4, 40);
    if let Some(list) = &mut done.membership {
        list.pending = None;
    }
    let left = change(3, ConfChangeType::RemoveNode, FORGET, Why::Left);
    assert_eq!(membership.next_steps(&done, &peers, |id| id == 4), [left], "it is gone");
    membership.conf_state.learners = vec![4];
    let vote = change(4, ConfChangeType::AddNode, 0, Why::CaughtUp);
    assert_eq!(membership.next_steps(&done, &peers, |id| id == 4), [vote]);
}

#[test]
fn a_leader_that_the_list_gives_no_vote_hands_over_to_one_that_keeps_it() {
    let mut cluster = cluster(&[1, 2, 3]);
    let list = pending(&[2, 3]);
    let mut membership = membership();
    membership.adopt(list.target());
    cluster.membership = Some(list);
    let steps = membership.next_steps(&cluster, &linked([hello(3, 30)]), |_| true);
    assert_eq!(steps, [Step::HandOver(3)]);
    assert_eq!(membership.next_steps(&cluster, &linked([]), |_| true), [], "nobody can take it");
}

#[test]
fn an_operator_removes_only_what_is_down_and_can_be_spared() {
    let membership = membership();
    let refusal = |id, peers: &Peers| membership.may_remove(id, peers).err().unwrap_or_default();
    let one_up = linked([hello(2, 20)]);
    assert_eq!(refusal(3, &one_up), "");
    assert!(refusal(4, &one_up).contains("not a member"));
    assert!(refusal(2, &one_up).contains("stop it first"));
    assert!(refusal(3, &linked([])).contains("1 of the other 2 voters are connected"));
}
