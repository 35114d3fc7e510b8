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
fn attach(servers: &str, session: Session) -> Client {
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
