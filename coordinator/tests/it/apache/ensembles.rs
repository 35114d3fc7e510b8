//! Three servers of Apache ZooKeeper, and three of ours that go on where a majority of them ended.

use std::fs;

use coordinator::apache::{Digests, Source, load, write};
use coordinator::client::CreateOptions;
use coordinator::random::Seeded;
use coordinator::state::State;

use super::history::{self, Kinds};
use super::living::{attach, coordinator};
use super::walk;
use crate::engine::{Engine, Ensemble};

const RELEASE: &str = "3.8.4";

/// The `dataDir` of each member.
fn directories(ensemble: &Ensemble) -> Vec<String> {
    (0..3).map(|at| ensemble.data(at).parent().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn of_three_members_the_one_that_would_be_elected_counts() {
    const TEST: &str = "elected";
    let engine = Engine::Release(RELEASE);
    if !engine.is_there(TEST) {
        return;
    }
    let mut ensemble = Ensemble::start(engine, TEST, 3);
    let leader = ensemble.leader();
    let behind = (0..3).find(|at| *at != leader).unwrap();
    let serving = 3 - leader - behind;
    let mut client = history::connect(ensemble.address(serving));
    history::write(&mut client, "/before", 1, 60, Kinds::All);
    ensemble.kill(behind);
    history::write(&mut client, "/after", 2, 60, Kinds::All);
    let before = walk::walk(&mut client);
    let session = client.session();
    let config = ensemble.config(leader);
    let living = coordinator(&["import", config.to_str().unwrap(), "--ensemble-id", "w"]);
    assert!(living.unwrap_err().contains("still listens"), "a living member is left alone");
    ensemble.kill(leader);
    ensemble.kill(serving);
    client.disconnect();

    let directories = directories(&ensemble);
    let mut ensembles = Vec::new();
    for at in 0..3 {
        let config = ensemble.config(at);
        let mut arguments = vec!["import", config.to_str().unwrap(), "--ensemble-id", "w"];
        for directory in &directories {
            arguments.extend(["--from", directory]);
        }
        let done = coordinator(&arguments).unwrap();
        assert_ne!(done["source"], directories[behind], "{done}");
        assert_eq!(done["notes"], serde_json::Value::Array(Vec::new()), "{done}");
        ensembles.push(done["ensemble"].clone());
    }
    assert!(ensembles.windows(2).all(|pair| pair[0] == pair[1]), "{ensembles:?}");

    ensemble.become_engine(Engine::Ours);
    for at in 0..3 {
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    // The one that was behind has all of it, and a stranger's guess opens no session.
    let mut client = attach(ensemble.address(behind), session);
    client.sync("/").unwrap();
    walk::assert_equal(&before, &walk::walk(&mut client));
    client.create("/more", None, CreateOptions::default()).unwrap();
    client.close().unwrap();
}

#[test]
fn one_member_alone_says_that_writes_can_be_missing() {
    const TEST: &str = "one-of-three";
    let ensemble = Ensemble::prepare(Engine::Ours, TEST, 3);
    let data = ensemble.data(0).parent().unwrap().to_owned();
    write::write(&State::new(), &data, 1).unwrap();
    let config = ensemble.config(0);
    let checked = coordinator(&["import", "--check", config.to_str().unwrap()]).unwrap();
    let notes = checked["notes"].to_string();
    assert!(notes.contains("1 of 3 members' directories"), "{checked}");
    let refused = coordinator(&["import", config.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("--ensemble-id is missing"), "{refused}");
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_behind() {
    let ensemble = Ensemble::prepare(Engine::Ours, "full", 1);
    let data = ensemble.data(0).parent().unwrap().to_owned();
    let written = write::write(&State::new(), &data, 1).unwrap();
    let before = fs::read(&written.snapshot).unwrap();
    let config = ensemble.config(0);
    // A file that grows beyond some kilobytes is refused, as by a disk that is full.
    let line = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} import {}",
        env!("CARGO_BIN_EXE_coordinator"),
        config.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is removed"), "{said}");
    assert!(!ensemble.data(0).exists());
    assert_eq!(fs::read(&written.snapshot).unwrap(), before);
    let done = coordinator(&["import", config.to_str().unwrap()]).unwrap();
    assert_eq!(done["done"], true);
    assert_eq!(fs::read(&written.snapshot).unwrap(), before);
}

#[test]
fn three_of_ours_become_three_of_apache_zookeeper() {
    const TEST: &str = "back";
    let engine = Engine::Release(RELEASE);
    if !engine.is_there(TEST) {
        return;
    }
    let mut ensemble = Ensemble::prepare(Engine::Ours, TEST, 3);
    for at in 0..3 {
        ensemble.add_key(at, "coordinator.sessionPasswords=zookeeper");
        ensemble.start_server(at);
    }
    (0..3).for_each(|at| ensemble.wait_until_serving(at));
    let mut client = history::connect(ensemble.address(1));
    history::write(&mut client, "/ours", 4, 120, Kinds::All);
    let before = walk::walk(&mut client);
    let session = client.session();
    (0..3).for_each(|at| ensemble.kill(at));
    client.disconnect();

    let target = |at: usize| ensemble.directory().join(format!("back{at}"));
    let mut reached = Vec::new();
    for at in 0..3 {
        let (config, target) = (ensemble.config(at), target(at));
        let done =
            coordinator(&["export", config.to_str().unwrap(), target.to_str().unwrap()]).unwrap();
        let of = |key: &str| done[key].as_u64().unwrap();
        reached.push((of("last_term"), of("last_index"), at));
    }
    let chosen = reached.iter().max().unwrap().2;
    for at in 0..3 {
        let data = ensemble.data(at).parent().unwrap().to_owned();
        fs::create_dir(data.join("version-2")).unwrap();
        for file in fs::read_dir(target(chosen).join("version-2")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), data.join("version-2").join(file.file_name())).unwrap();
        }
    }
    ensemble.become_engine(engine);
    (0..3).for_each(|at| ensemble.start_server(at));
    (0..3).for_each(|at| ensemble.wait_until_serving(at));
    let mut client = attach(ensemble.address(2), session);
    client.sync("/").unwrap();
    walk::assert_equal(&before, &walk::walk(&mut client));
    let (path, _) = client.create("/ours/after", None, CreateOptions::default()).unwrap();
    let top = before.values().map(|(_, stat, _)| stat.mzxid.max(stat.pzxid)).max().unwrap();
    assert!(client.get_data(&path, false).unwrap().1.czxid > top);
    client.close().unwrap();
}

/// What a server wrote, then damaged at random places: refused, or the same up to a torn end.
#[test]
fn damaged_logs_and_packed_snapshots_are_refused() {
    const TEST: &str = "damaged";
    for (release, packing) in [("3.8.4", "gz"), ("3.9.3", "snappy"), ("3.6.3", "")] {
        let engine = Engine::Release(release);
        if !engine.is_there(TEST) {
            continue;
        }
        let mut ensemble = Ensemble::prepare(engine, TEST, 1);
        ensemble.add_key(0, "snapCount=30");
        ensemble.add_key(0, "preAllocSize=64");
        if !packing.is_empty() {
            ensemble.add_key(0, &format!("snapshot.compression.method={packing}"));
        }
        ensemble.start_server(0);
        ensemble.wait_until_serving(0);
        let mut client = history::connect(ensemble.address(0));
        history::write(&mut client, "/d", 5, 120, Kinds::All);
        ensemble.kill(0);
        client.disconnect();
        let data = ensemble.data(0).parent().unwrap().to_owned();
        let source = Source { data: data.clone(), log: data.clone() };
        let whole = load(&source, Digests::Binding).unwrap();
        assert!(whole.facts.digests_equal > 0);
        assert!(whole.facts.snapshot.to_str().unwrap().ends_with(packing), "{:?}", whole.facts);

        let log = whole.facts.logs.last().unwrap().clone();
        let mut random = Seeded::new(11);
        for file in [&log, &whole.facts.snapshot] {
            let bytes = fs::read(file).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            for _ in 0..60 {
                let mut damaged = bytes.clone();
                let at = random.below(used as u64) as usize;
                match random.below(3) {
                    0 => damaged.truncate(at),
                    1 => damaged[at] ^= 1 << random.below(8),
                    _ => {
                        let end = (at + 1 + random.below(40) as usize).min(used);
                        damaged[at..end].fill(0);
                    }
                }
                fs::write(file, &damaged).unwrap();
                match load(&source, Digests::Binding) {
                    Err(error) => assert!(error.to_string().contains("at offset"), "{error}"),
                    Ok(loaded) if loaded.last_zxid == whole.last_zxid => {
                        assert_eq!(loaded.replica.digest, whole.replica.digest);
                    }
                    Ok(loaded) => {
                        assert!(loaded.last_zxid < whole.last_zxid && file == &log);
                        assert!(loaded.facts.torn.is_some() || damaged.len() < bytes.len());
                    }
                }
            }
            fs::write(file, &bytes).unwrap();
        }
    }
}
