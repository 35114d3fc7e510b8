//! Histories that real releases of Apache ZooKeeper have written, taken over by ours.

use std::process::{Command, Stdio};

use coordinator::client::{Client, CreateOptions, Options, Servers, Session};
use coordinator::wire::request::create_mode;
use serde_json::Value;

use super::history::{self, CREDENTIALS, Kinds, SESSION_MS};
use super::walk;
use crate::engine::{Engine, Ensemble};

const RELEASES: [&str; 4] = ["3.4.14", "3.6.3", "3.8.4", "3.9.3"];

pub(super) fn coordinator(arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_coordinator"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn kinds(release: &str) -> Kinds {
    if release.starts_with("3.4") { Kinds::Old } else { Kinds::All }
}

/// Comes back to a session; panics when it has expired.
pub(super) fn attach(servers: &str, session: Session) -> Client {
    let options = Options { session_timeout_ms: SESSION_MS, ..Options::default() };
    let mut client =
        Client::open(Servers::parse(servers).unwrap(), options, Some(session)).unwrap();
    client.add_auth("digest", CREDENTIALS).unwrap();
    assert_eq!(client.session().id, session.id, "the session is the same");
    client
}

/// Several clients write at once while the server takes snapshots; then it is killed.
fn write_and_kill(ensemble: &mut Ensemble, seed: u64, kinds: Kinds) -> (walk::Seen, Session) {
    let address = ensemble.address(0).to_owned();
    let mut living = history::connect(&address);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let address = &address;
            scope.spawn(move || {
                let mut client = history::connect(address);
                let top = format!("/t{number}");
                history::write(&mut client, &top, seed * 10 + number, 200, kinds);
                if number == 0 {
                    client.close().unwrap();
                } else {
                    client.abandon();
                }
            });
        }
        history::write(&mut living, "/living", seed * 10 + 9, 100, kinds);
    });
    let seen = walk::walk(&mut living);
    ensemble.kill(0);
    (seen, living.abandon())
}

#[test]
fn what_apache_zookeeper_wrote_is_here_znode_by_znode() {
    const TEST: &str = "imported";
    for release in RELEASES {
        for (seed, keys) in [(1, &[][..]), (2, &["snapCount=40"])] {
            let engine = Engine::Release(release);
            if !engine.is_there(TEST) {
                continue;
            }
            let mut ensemble = Ensemble::prepare(engine, TEST, 1);
            for key in keys {
                ensemble.add_key(0, key);
            }
            ensemble.start_server(0);
            ensemble.wait_until_serving(0);
            let (mut before, session) = write_and_kill(&mut ensemble, seed, kinds(release));

            let config = ensemble.config(0);
            let config = config.to_str().unwrap();
            let checked = coordinator(&["import", "--check", config]).unwrap();
            let done = coordinator(&["import", config]).unwrap();
            assert_eq!(checked["digest"], done["digest"], "{release}");
            assert_eq!(done["lost"], Value::Array(Vec::new()), "{release}");
            assert_eq!(done["sessions"], 3, "{release}: {done}");
            if release != "3.4.14" {
                assert!(done["digests_equal"].as_u64().unwrap() > 0, "{release}: {done}");
            }
            ensemble.become_engine(Engine::Ours);
            ensemble.start_server(0);
            ensemble.wait_until_serving(0);

            let mut client = attach(ensemble.address(0), session);
            let mut after = walk::walk(&mut client);
            if release == "3.4.14" {
                // Which has no `/zookeeper/config`.
                before.remove("/zookeeper");
                after.remove("/zookeeper");
            }
            walk::assert_equal(&before, &after);
            let zxid = before.values().map(|(_, stat, _)| stat.mzxid).max().unwrap();
            let mode = create_mode::PERSISTENT_SEQUENTIAL;
            let options = CreateOptions { mode, ..CreateOptions::default() };
            let (path, _) = client.create("/living/next-", None, options).unwrap();
            let (_, stat) = client.get_data(&path, false).unwrap();
            assert!(stat.czxid > zxid, "zxids go on above");
            let counted = &before["/living"].1;
            let creations = i32::midpoint(counted.cversion, counted.num_children);
            assert_eq!(path, format!("/living/next-{creations:010}"), "numbers go on");
            client.close().unwrap();
        }
    }
}

/// Ours is killed and its history exported; Apache ZooKeeper of this release goes on from it.
fn go_back(ensemble: &mut Ensemble, release: &'static str) -> Value {
    ensemble.kill(0);
    let config = ensemble.config(0);
    let apache = ensemble.directory().join(format!("back-{release}"));
    let exported =
        coordinator(&["export", config.to_str().unwrap(), apache.to_str().unwrap()]).unwrap();
    let keys = std::fs::read_to_string(&config).unwrap();
    let data = ensemble.data(0).parent().unwrap().to_owned();
    let keys = keys.replace(data.to_str().unwrap(), apache.to_str().unwrap());
    std::fs::write(&config, keys).unwrap();
    ensemble.become_engine(Engine::Release(release));
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
    exported
}

#[test]
fn what_ours_wrote_is_in_apache_zookeeper_znode_by_znode() {
    const TEST: &str = "exported";
    for release in RELEASES {
        if !Engine::Release(release).is_there(TEST) {
            continue;
        }
        let mut ensemble = Ensemble::prepare(Engine::Ours, TEST, 1);
        ensemble.add_key(0, "coordinator.sessionPasswords=zookeeper");
        ensemble.start_server(0);
        ensemble.wait_until_serving(0);
        let (before, session) = write_and_kill(&mut ensemble, 3, kinds(release));
        let exported = go_back(&mut ensemble, release);
        assert_eq!(exported["sessions"], 3, "{release}: {exported}");

        let mut client = attach(ensemble.address(0), session);
        walk::assert_equal(&before, &walk::walk(&mut client));
        let (path, _) = client.create("/living/after", None, CreateOptions::default()).unwrap();
        assert!(client.get_data(&path, false).unwrap().1.czxid > client_zxid(&before));
        client.close().unwrap();

        // And here again: what Apache ZooKeeper noted since must be right too.
        ensemble.kill(0);
        let config = ensemble.config(0);
        let checked = coordinator(&["import", "--check", config.to_str().unwrap()]).unwrap();
        if release != "3.4.14" {
            assert!(checked["digests_equal"].as_u64().unwrap() > 0, "{release}: {checked}");
        }
    }
}

fn client_zxid(seen: &walk::Seen) -> i64 {
    seen.values().map(|(_, stat, _)| stat.mzxid.max(stat.pzxid)).max().unwrap()
}

#[test]
fn what_anybody_can_compute_opens_no_session_of_our_own_key() {
    let ensemble = Ensemble::start(Engine::Ours, "guessed", 3);
    let mut owner = history::connect(ensemble.address(0));
    let id = owner.session().id;
    let guessed = Session {
        id,
        password: coordinator::session_password::of_session(id),
        timeout_ms: SESSION_MS,
    };
    assert_ne!(guessed.password, owner.session().password);
    for at in 0..3 {
        let servers = Servers::parse(ensemble.address(at)).unwrap();
        let stranger = Client::open(servers, Options::default(), Some(guessed));
        assert!(stranger.is_err(), "{stranger:?}");
    }
    owner.create("/still", None, CreateOptions::default()).unwrap();
    assert_eq!(owner.session().id, id);
    owner.close().unwrap();
}

#[test]
fn keyed_sessions_are_not_exported_unless_given_up() {
    const TEST: &str = "keyed";
    let mut ensemble = Ensemble::start(Engine::Ours, TEST, 1);
    let mut client = history::connect(ensemble.address(0));
    let mode = create_mode::EPHEMERAL;
    let options = CreateOptions { mode, ..CreateOptions::default() };
    client.create("/e", None, options).unwrap();
    ensemble.kill(0);
    let config = ensemble.config(0);
    let target = ensemble.directory().join("apache");
    let arguments = ["export", config.to_str().unwrap(), target.to_str().unwrap()];
    let refused = coordinator(&arguments).unwrap_err();
    assert!(refused.contains("sessionPasswords=zookeeper"), "{refused}");
    assert!(!target.exists());
    let done = coordinator(&[&arguments[..], &["--end-sessions"]].concat()).unwrap();
    assert_eq!((&done["sessions_ended"], &done["ephemerals_removed"]), (&1.into(), &1.into()));
    let again = coordinator(&[&arguments[..], &["--end-sessions"]].concat()).unwrap_err();
    assert!(again.contains("is there already"), "{again}");
    client.disconnect();
}
