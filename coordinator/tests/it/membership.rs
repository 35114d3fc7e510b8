//! Members that come, go, lose their data, or belong elsewhere: real processes, real directories.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use coordinator::client::{Client, CreateOptions, Error};

use crate::engine::{Engine, Ensemble};

/// A write through each of the servers, seen through all of them.
fn works(ensemble: &Ensemble, servers: &[usize], name: &str) {
    for &writer in servers {
        let path = format!("/{name}-by{writer}");
        let mut zk = Client::connect(ensemble.address(writer)).unwrap();
        zk.create(&path, Some(b"x"), CreateOptions::default()).unwrap();
        zk.close().unwrap();
        for &reader in servers {
            let mut zk = Client::connect(ensemble.address(reader)).unwrap();
            zk.sync(&path).unwrap();
            assert!(zk.exists(&path, false).unwrap().is_some(), "{path} through {reader}");
            zk.close().unwrap();
        }
    }
}

/// Somebody who writes all the while, one znode after the other.
struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Vec<u64>>,
}

impl Load {
    fn start(ensemble: &Ensemble, servers: &[usize]) -> Load {
        let addresses: Vec<&str> = servers.iter().map(|&at| ensemble.address(at)).collect();
        let addresses = addresses.join(",");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = std::thread::spawn(move || write_until(&stopped, &addresses));
        Load { stop, writer }
    }

    /// Everything that was acknowledged is there.
    fn finish(self, ensemble: &Ensemble, through: usize) {
        self.stop.store(true, Ordering::Relaxed);
        let acknowledged = self.writer.join().unwrap();
        assert!(acknowledged.len() > 10, "the load wrote {} znodes only", acknowledged.len());
        let mut zk = Client::connect(ensemble.address(through)).unwrap();
        zk.sync("/").unwrap();
        let (names, _) = zk.get_children("/load", false).unwrap();
        let names: std::collections::BTreeSet<_> = names.into_iter().collect();
        for number in acknowledged {
            assert!(names.contains(&format!("n{number}")), "acknowledged n{number} is lost");
        }
    }
}

/// Numbers of the znodes that were acknowledged. A server that goes takes the connection along:
/// what was in flight may have happened or not, and does not count.
fn write_until(stop: &AtomicBool, addresses: &str) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut client = None;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let zk = match &mut client {
            Some(zk) => zk,
            vacant => match Client::connect(addresses) {
                Ok(mut zk) => {
                    // It exists after the first time.
                    let _ = zk.create("/load", None, CreateOptions::default());
                    vacant.insert(zk)
                }
                Err(_) => continue,
            },
        };
        match zk.create(&format!("/load/n{number}"), Some(b"x"), CreateOptions::default()) {
            Ok(_) => acknowledged.push(number),
            Err(_) => client = None,
        }
    }
    acknowledged
}

/// Ids of these servers as logs show them.
fn ids(servers: &[usize]) -> Vec<usize> {
    servers.iter().map(|at| at + 1).collect()
}

/// The servers get a list of these members one by one, the leader last, and are restarted.
fn roll(ensemble: &mut Ensemble, running: &[usize], listed: &[usize]) {
    let leader = ensemble.leader();
    let followers = running.iter().copied().filter(|&at| at != leader);
    for at in followers.chain([leader]) {
        ensemble.list_members(at, listed);
        ensemble.kill(at);
        ensemble.start_server(at);
        ensemble.wait_until_serving(at);
    }
}

#[test]
fn three_grow_to_five_and_shrink_back() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "grow", 5);
    for at in 0..3 {
        ensemble.list_members(at, &[0, 1, 2]);
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    works(&ensemble, &[0, 1, 2], "three");
    let load = Load::start(&ensemble, &[0, 1, 2]);
    for new in [3, 4] {
        let members: Vec<usize> = (0..=new).collect();
        roll(&mut ensemble, &members[..new], &members);
        ensemble.list_members(new, &members);
        ensemble.start_server(new);
        ensemble.wait_until_serving(new);
        let voters = format!("voters {:?}, learners []", ids(&members));
        ensemble.wait_for_log(new, 0, &voters);
        works(&ensemble, &members, &format!("with{new}"));
    }
    // Five have a majority of three: two may be gone.
    ensemble.kill(0);
    ensemble.kill(1);
    for at in [2, 3, 4] {
        ensemble.wait_until_serving(at);
    }
    works(&ensemble, &[2, 3, 4], "two-gone");
    for at in [0, 1] {
        ensemble.start_server(at);
        ensemble.wait_until_serving(at);
    }
    for gone in [4, 3] {
        let members: Vec<usize> = (0..gone).collect();
        let from: Vec<usize> = members.iter().map(|&at| ensemble.log(at).len()).collect();
        ensemble.kill(gone);
        for &at in &members {
            ensemble.wait_until_serving(at);
        }
        roll(&mut ensemble, &members, &members);
        let voters = format!("voters {:?}, learners []", ids(&members));
        for &at in &members {
            ensemble.wait_for_log(at, from[at], &voters);
        }
        works(&ensemble, &members, &format!("without{gone}"));
    }
    load.finish(&ensemble, 0);
    // Three have a majority of two again.
    ensemble.kill(ensemble.leader());
    let left: Vec<usize> = (0..3).filter(|&at| ensemble.is_running(at)).collect();
    for &at in &left {
        ensemble.wait_until_serving(at);
    }
    works(&ensemble, &left, "one-gone");
}

#[test]
fn an_observer_comes_and_goes_under_load() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "observer", 4);
    for at in 0..3 {
        ensemble.list_members(at, &[0, 1, 2]);
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    let load = Load::start(&ensemble, &[0, 1, 2]);
    let restart = |ensemble: &mut Ensemble, at: usize| {
        ensemble.kill(at);
        ensemble.start_server(at);
        ensemble.wait_until_serving(at);
    };
    for at in 0..3 {
        ensemble.list_with_observer(at, &[0, 1, 2, 3], 3);
        restart(&mut ensemble, at);
    }
    ensemble.list_with_observer(3, &[0, 1, 2, 3], 3);
    ensemble.start_server(3);
    ensemble.wait_until_serving(3);
    // The observer itself hears of it within a snapshot.
    ensemble.wait_for_log(0, 0, "voters [1, 2, 3], learners [4]");
    works(&ensemble, &[0, 1, 2, 3], "observed");
    // It is not needed, and does not help: two of three still serve without it, one does not.
    ensemble.kill(3);
    works(&ensemble, &[0, 1, 2], "unobserved");
    let from: Vec<usize> = (0..3).map(|at| ensemble.log(at).len()).collect();
    for at in 0..3 {
        ensemble.list_members(at, &[0, 1, 2]);
        restart(&mut ensemble, at);
    }
    for (at, &from) in from.iter().enumerate() {
        ensemble.wait_for_log(at, from, "voters [1, 2, 3], learners []");
    }
    load.finish(&ensemble, 2);
}

#[test]
fn a_wiped_member_follows_first_and_then_votes() {
    let mut ensemble = Ensemble::start(Engine::Ours, "wiped", 3);
    works(&ensemble, &[0, 1, 2], "before");
    let leader = ensemble.leader();
    let wiped = (leader + 1) % 3;
    ensemble.kill(wiped);
    fs::remove_dir_all(ensemble.data(wiped)).unwrap();
    let from = ensemble.log(wiped).len();
    ensemble.start_server(wiped);
    ensemble.wait_for_log(wiped, from, "this server is a voter");
    ensemble.wait_for_log(leader, 0, "it is a learner until it has caught up");
    ensemble.wait_until_serving(wiped);
    works(&ensemble, &[0, 1, 2], "after");
    // Its vote is needed now.
    ensemble.kill(leader);
    let left: Vec<usize> = (0..3).filter(|&at| at != leader).collect();
    for &at in &left {
        ensemble.wait_until_serving(at);
    }
    works(&ensemble, &left, "alone");
}

#[test]
fn a_dead_members_vote_is_taken_by_an_operator() {
    let mut ensemble = Ensemble::start(Engine::Ours, "taken", 4);
    works(&ensemble, &[0, 1, 2, 3], "four");
    let leader = ensemble.leader();
    let others: Vec<usize> = (0..4).filter(|&at| at != leader).collect();
    let gone = others[0];
    let take = |ensemble: &Ensemble, at: usize| {
        let output = Command::new(env!("CARGO_BIN_EXE_coordinator"))
            .args(["admin", "--socket"])
            .arg(ensemble.data(at).join("admin.sock"))
            .args(["remove-member", &(gone + 1).to_string()])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = take(&ensemble, leader);
    assert!(said.contains("stop it first"), "{said}");
    let said = take(&ensemble, others[1]);
    assert!(said.contains(&format!("server {} does", leader + 1)), "{said}");
    let from = ensemble.log(leader).len();
    ensemble.kill(gone);
    ensemble.wait_for_log(leader, from, &format!("no link to server {}", gone + 1));
    let said = take(&ensemble, leader);
    assert!(said.starts_with("ok"), "{said}");
    let mut left = ids(&others[1..]);
    left.push(leader + 1);
    left.sort_unstable();
    ensemble.wait_for_log(leader, from, &format!("voters {left:?}, learners []"));
    // Three votes are left: another one may go.
    ensemble.kill(others[1]);
    works(&ensemble, &[leader, others[2]], "two");
}

#[test]
fn lists_that_disagree_are_refused() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "lists", 5);
    for at in 0..3 {
        ensemble.list_members(at, &[0, 1, 2]);
    }
    for at in 0..3 {
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    ensemble.kill(2);
    ensemble.list_members(2, &[0, 1, 2, 3, 4]);
    ensemble.start_server(2);
    for at in 0..2 {
        ensemble.wait_until_serving(at);
    }
    ensemble.wait_for_log(2, 0, "make the `server.N` lines alike");
    works(&ensemble, &[0, 1], "two");
    let refused = Client::connect(ensemble.address(2));
    assert!(matches!(refused, Err(Error::Unreachable { .. })), "{:?}", refused.err());
}

#[test]
fn data_of_others_is_refused() {
    let mut ensemble = Ensemble::start(Engine::Ours, "ours", 3);
    let mut other = Ensemble::start(Engine::Ours, "theirs", 3);
    works(&ensemble, &[0, 1, 2], "ours");
    let follower = (ensemble.leader() + 1) % 3;
    ensemble.kill(follower);
    other.kill(follower);
    let own = ensemble.directory().join("own");
    fs::rename(ensemble.data(follower), &own).unwrap();
    fs::rename(other.data(follower), ensemble.data(follower)).unwrap();
    let from = ensemble.log(follower).len();
    ensemble.start_server(follower);
    ensemble.wait_for_log(follower, from, "one of the two has the wrong `dataDir`");
    ensemble.kill(follower);

    // The directory of another member.
    let third = (follower + 1) % 3;
    other.kill(third);
    fs::remove_dir_all(ensemble.data(follower)).unwrap();
    fs::rename(other.data(third), ensemble.data(follower)).unwrap();
    let from = ensemble.log(follower).len();
    ensemble.start_server(follower);
    assert_eq!(ensemble.wait_for_end(follower), Some(1));
    let said = format!("belongs to member {}, but `myid` says {}", third + 1, follower + 1);
    assert!(ensemble.log(follower)[from..].contains(&said), "{}", ensemble.log(follower));

    fs::remove_dir_all(ensemble.data(follower)).unwrap();
    fs::rename(&own, ensemble.data(follower)).unwrap();
    ensemble.start_server(follower);
    ensemble.wait_until_serving(follower);
    works(&ensemble, &[0, 1, 2], "own");
}
