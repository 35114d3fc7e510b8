//! The client against three servers: sessions that move, servers that die.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator::client::{Client, CreateOptions, Error, Options, Servers};
use coordinator::wire::request::create_mode;

use crate::engine::{Engine, Ensemble};

#[test]
fn ensemble_of_apache_zookeeper() {
    let test = "ensemble_of_apache_zookeeper";
    if Engine::Apache.is_there(test) {
        all(&mut Ensemble::start(Engine::Apache, test, 3));
    }
}

#[test]
fn ensemble_of_ours() {
    all(&mut Ensemble::start(Engine::Ours, "ensemble_of_ours", 3));
}

fn all(ensemble: &mut Ensemble) {
    seen_everywhere_after_sync(ensemble);
    session_moves(ensemble);
    old_connection_is_cut_off(ensemble);
    server_dies(ensemble);
}

fn connect(address: &str) -> Client {
    Client::connect(address).unwrap()
}

fn ephemeral() -> CreateOptions<'static> {
    CreateOptions { mode: create_mode::EPHEMERAL, ..CreateOptions::default() }
}

/// A write through one server is seen through each other one, after a sync there.
fn seen_everywhere_after_sync(ensemble: &Ensemble) {
    let mut clients: Vec<Client> = (0..3).map(|at| connect(ensemble.address(at))).collect();
    for writer in 0..3 {
        let path = format!("/by{writer}");
        clients[writer].create(&path, Some(b"x"), CreateOptions::default()).unwrap();
        for reader in &mut clients {
            reader.sync(&path).unwrap();
            assert!(reader.exists(&path, false).unwrap().is_some(), "{path}");
        }
    }
    for client in clients {
        client.close().unwrap();
    }
}

/// From server to server: the same session, its ephemerals and watches, and zxids that only grow.
fn session_moves(ensemble: &Ensemble) {
    let mut zk = connect(&ensemble.addresses());
    zk.create("/moves", None, ephemeral()).unwrap();
    zk.create("/watched", None, CreateOptions::default()).unwrap();
    let session = zk.session();
    let mut servers = BTreeSet::from([zk.server().to_owned()]);
    // Two moves are enough, unless a server is slow to answer and is passed over.
    for _ in 0..6 {
        if servers.len() == 3 {
            break;
        }
        zk.get_data("/watched", true).unwrap();
        zk.disconnect();
        let stat = zk.exists("/moves", false).unwrap().expect("the ephemeral");
        assert_eq!(stat.ephemeral_owner, session.id);
        zk.set_data("/watched", None, -1).unwrap();
        let event = zk.wait_event(Duration::from_secs(10)).unwrap().expect("an event");
        assert_eq!(event.path, "/watched");
        assert_eq!(zk.session(), session);
        servers.insert(zk.server().to_owned());
    }
    assert_eq!(servers.len(), 3, "went through all of them");
    zk.close().unwrap();
    let mut other = connect(ensemble.address(0));
    other.sync("/").unwrap();
    assert_eq!(other.exists("/moves", false).unwrap(), None);
    other.close().unwrap();
}

/// A request through the server that the session has left is never answered.
fn old_connection_is_cut_off(ensemble: &Ensemble) {
    let mut old = connect(ensemble.address(0));
    old.create("/owned", None, ephemeral()).unwrap();
    let servers = Servers::parse(ensemble.address(1)).unwrap();
    let mut new = Client::open(servers, Options::default(), Some(old.session())).unwrap();
    new.set_data("/owned", Some(b"new"), -1).unwrap();
    let late = old.set_data("/owned", Some(b"late"), -1).unwrap_err();
    assert!(matches!(late, Error::ConnectionLost(_)), "{late}");
    assert_eq!(new.get_data("/owned", false).unwrap().0.as_deref(), Some(&b"new"[..]));
    new.close().unwrap();
}

/// The server of a client is killed, be it a follower or the leader: the session goes on.
fn server_dies(ensemble: &mut Ensemble) {
    for leader in [false, true] {
        let at = if leader { ensemble.leader() } else { (ensemble.leader() + 1) % 3 };
        let mut zk = connect(&connect_string_from(ensemble, at));
        assert_eq!(ensemble.position(zk.server()), at);
        zk.create("/survivor", Some(b"x"), ephemeral()).unwrap();
        zk.create("/kept", Some(b"x"), CreateOptions::default()).unwrap();
        let session = zk.session();
        ensemble.kill(at);
        let stat = loop {
            match zk.exists("/survivor", false) {
                Ok(stat) => break stat.expect("the ephemeral"),
                Err(Error::ConnectionLost(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(stat.ephemeral_owner, session.id);
        loop {
            match zk.delete("/kept", -1) {
                Err(Error::ConnectionLost(_)) => {}
                // The one that was lost with a connection may have taken effect.
                Ok(()) | Err(Error::Code(coordinator::wire::code::Code::NoNode)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        zk.close().unwrap();
        ensemble.start_server(at);
        ensemble.wait_until_serving(at);
        let mut back = connect(ensemble.address(at));
        back.sync("/").unwrap();
        assert_eq!(back.exists("/kept", false).unwrap(), None);
        back.close().unwrap();
    }
}

/// All servers, beginning with this one.
fn connect_string_from(ensemble: &Ensemble, at: usize) -> String {
    let addresses: Vec<&str> = (0..3).map(|n| ensemble.address((at + n) % 3)).collect();
    addresses.join(",")
}
