//! Backup beside writes, restore on other machines' directories, and the way on after a lost quorum.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use coordinator::client::{Client, CreateOptions, Error};
use coordinator::wire::request::create_mode;
use serde_json::Value;

use crate::engine::{Engine, Ensemble};

fn coordinator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Takes a backup of server `at` into `file`; what the command said of it.
fn back_up(ensemble: &Ensemble, at: usize, file: &Path) -> Value {
    let socket = ensemble.data(at).join("admin.sock");
    let output = coordinator(&["admin", "--socket", socket.to_str().unwrap(), "backup"])
        .stdout(fs::File::create(file).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    json(&output.stderr)
}

fn check(file: &Path) -> Value {
    let output = coordinator(&["check", file.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    json(&output.stdout)
}

fn restore(ensemble: &Ensemble, at: usize, file: &Path, more: &[&str]) -> Output {
    let config = ensemble.config(at);
    coordinator(&["restore", config.to_str().unwrap(), file.to_str().unwrap()])
        .args(more)
        .output()
        .unwrap()
}

/// Creates `/w/0`, `/w/1` and so on until told to stop, each after the answer to the one before.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(servers: String) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut zk = Client::connect(&servers).unwrap();
            zk.create("/w", None, CreateOptions::default()).unwrap();
            while !stopped.load(Ordering::SeqCst) {
                let path = format!("/w/{}", count.load(Ordering::SeqCst));
                zk.create(&path, Some(path.as_bytes()), CreateOptions::default()).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            zk.close().unwrap();
        });
        Self { stop, acknowledged, thread }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Until so many are acknowledged.
    fn wait_for(&self, count: u64) {
        while self.acknowledged() < count {
            assert!(!self.thread.is_finished(), "the writer has failed");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

#[test]
fn a_backup_taken_beside_writes_begins_the_ensemble_anew() {
    let mut old = Ensemble::start(Engine::Ours, "backup", 3);
    let mut zk = Client::connect(old.address(0)).unwrap();
    let sequential =
        CreateOptions { mode: create_mode::PERSISTENT_SEQUENTIAL, ..CreateOptions::default() };
    let ephemeral = CreateOptions { mode: create_mode::EPHEMERAL, ..CreateOptions::default() };
    let (first, _) = zk.create("/s-", Some(b"kept"), sequential).unwrap();
    zk.create("/gone", None, ephemeral).unwrap();
    let writer = Writer::start(old.address(0).to_owned());
    writer.wait_for(20);

    let file = old.directory().join("backup");
    let before = writer.acknowledged();
    let report = back_up(&old, 0, &file);
    writer.wait_for(before + 20);
    let written = writer.finish();
    let last = zk.create("/after", None, CreateOptions::default()).unwrap();
    let (_, stat) = zk.get_data(&last.0, false).unwrap();
    let top = stat.czxid;
    let checked = check(&file);
    for key in ["zxid", "sessions", "bytes", "ensemble"] {
        assert_eq!(checked[key], report[key], "{key}");
    }
    assert_eq!(checked["bytes"], fs::metadata(&file).unwrap().len());
    for at in 0..3 {
        old.kill(at);
    }

    let mut new = Ensemble::prepare(Engine::Ours, "restored", 3);
    let words = ["--ensemble-id", "first"];
    refused(&restore(&new, 0, &file, &[]), "--ensemble-id is missing");
    let mut ensembles = Vec::new();
    for at in 0..3 {
        let output = restore(&new, at, &file, &words);
        assert!(output.status.success(), "{}", said(&output));
        let report = json(&output.stdout);
        assert_eq!(report["digest"], checked["digest"]);
        assert!(report["ephemerals_removed"].as_u64() >= Some(1), "{report}");
        ensembles.push(report["ensemble"].clone());
    }
    assert!(ensembles.iter().all(|e| *e == ensembles[0] && *e != checked["ensemble"]));
    for at in 0..3 {
        new.start_server(at);
    }
    for at in 0..3 {
        new.wait_until_serving(at);
        let again = new.directory().join(format!("again{at}"));
        let report = back_up(&new, at, &again);
        assert_eq!(report["ensemble"], ensembles[0]);
        assert_eq!(check(&again)["digest"], checked["digest"], "the tree of server {at}");
    }

    let mut zk = Client::connect(&new.addresses()).unwrap();
    let (children, _) = zk.get_children("/w", false).unwrap();
    let count = children.len() as u64;
    assert!((before..=written).contains(&count), "{before} <= {count} <= {written}");
    for at in 0..count {
        assert!(children.contains(&at.to_string()), "{at} of {count} is missing: no one moment");
    }
    assert_eq!(zk.get_data(&first, false).unwrap().0.as_deref(), Some(&b"kept"[..]));
    assert_eq!(zk.exists("/gone", false).unwrap(), None, "its session has ended");
    let (second, _) = zk.create("/s-", None, sequential).unwrap();
    assert!(second > first, "sequential names go on: {first}, {second}");
    let stat = zk.exists(&second, false).unwrap().unwrap();
    assert!(stat.czxid > top, "{:#x} comes after {top:#x}", stat.czxid);
    zk.close().unwrap();

    new.kill(2);
    refused(&restore(&new, 2, &file, &words), "is not empty");
    let output = restore(&new, 2, &file, &[&words[..], &["--force"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let moved = json(&output.stdout)["moved"][0].as_str().unwrap().to_owned();
    assert!(Path::new(&moved).join("identity").exists());
}

#[test]
fn a_damaged_backup_is_refused_and_changes_nothing() {
    let one = Ensemble::start(Engine::Ours, "damaged_backup", 1);
    let mut zk = Client::connect(one.address(0)).unwrap();
    zk.create("/data", Some(&[7; 1000]), CreateOptions::default()).unwrap();
    zk.close().unwrap();
    let file = one.directory().join("backup");
    back_up(&one, 0, &file);
    let sound = fs::read(&file).unwrap();
    let other = Ensemble::prepare(Engine::Ours, "damaged_restore", 1);
    for at in (0..sound.len()).step_by(37).chain([sound.len() - 1]) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        refuse_bytes(&other, &file, &bytes);
    }
    for length in [0, 15, sound.len() / 2, sound.len() - 1] {
        refuse_bytes(&other, &file, &sound[..length]);
    }
    refuse_bytes(&other, &file, &[&sound[..], b"x"].concat());

    fs::write(&file, &sound).unwrap();
    let from_stdin = coordinator(&["restore", other.config(0).to_str().unwrap(), "-"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(from_stdin.status.success(), "{}", said(&from_stdin));
}

#[test]
fn the_last_of_three_goes_on_after_a_rescue() {
    let mut ensemble = Ensemble::start(Engine::Ours, "rescue", 3);
    let ephemeral = CreateOptions { mode: create_mode::EPHEMERAL, ..CreateOptions::default() };
    // A session outlives its ensemble.
    let mut zk = Client::connect(&ensemble.addresses()).unwrap();
    zk.create("/e", None, ephemeral).unwrap();
    let session = zk.session();
    for at in 0..50 {
        let path = format!("/kept{at}");
        zk.create(&path, Some(path.as_bytes()), CreateOptions::default()).unwrap();
    }
    let mut at_survivor = Client::connect(ensemble.address(0)).unwrap();
    at_survivor.sync("/").unwrap();
    let top = at_survivor.exists("/kept49", false).unwrap().expect("synced").czxid;
    at_survivor.abandon();
    for at in 0..3 {
        ensemble.kill(at);
    }
    for at in [1, 2] {
        fs::remove_dir_all(ensemble.data(at)).unwrap();
    }

    // Without the operator's word nobody serves, and the survivor says what to do.
    for at in 0..3 {
        ensemble.start_server(at);
    }
    let hint = "coordinator rescue ZOOKEEPER.PROPERTIES";
    ensemble.wait_for_log(0, 0, hint);
    let refused_by = Client::connect(&ensemble.addresses());
    assert!(matches!(refused_by, Err(Error::Unreachable { .. })), "nobody serves");
    for at in 0..3 {
        ensemble.kill(at);
    }

    let config = ensemble.config(0);
    let rescue = |more: &[&str]| {
        let arguments = [&["rescue", config.to_str().unwrap()][..], more].concat();
        coordinator(&arguments).output().unwrap()
    };
    let asked = rescue(&[]);
    refused(&asked, "run this with --yes");
    let done = rescue(&["--yes"]);
    assert!(done.status.success(), "{}", said(&done));
    let (asked, done) = (json(&asked.stdout), json(&done.stdout));
    assert_eq!(asked["digest"], done["digest"]);
    assert_eq!((&asked["done"], &done["done"]), (&false.into(), &true.into()));

    // It serves alone, and has everything that it had.
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
    // The session goes on on the survivor.
    let stat = loop {
        match zk.exists("/e", false) {
            Ok(stat) => break stat.expect("the ephemeral of a living session"),
            Err(Error::ConnectionLost(_) | Error::Unreachable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((zk.session(), stat.ephemeral_owner), (session, session.id));
    let file = ensemble.directory().join("rescued");
    back_up(&ensemble, 0, &file);
    assert_eq!(check(&file)["digest"], done["digest"]);
    for at in [1, 2] {
        ensemble.start_server(at);
    }
    for at in [1, 2] {
        ensemble.wait_for_log(at, 0, "this server is a voter");
        ensemble.wait_until_serving(at);
    }
    // The votes of those that came back count.
    ensemble.kill(0);
    let mut other = loop {
        match Client::connect(&format!("{},{}", ensemble.address(1), ensemble.address(2))) {
            Ok(client) => break client,
            Err(Error::ConnectionLost(_) | Error::Unreachable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let (path, _) = other.create("/more", None, CreateOptions::default()).unwrap();
    let stat = other.exists(&path, false).unwrap().unwrap();
    assert!(stat.czxid > top, "{:#x} comes after {top:#x}", stat.czxid);
    for at in 0..50 {
        let path = format!("/kept{at}");
        let (data, _) = other.get_data(&path, false).unwrap();
        assert_eq!(data.as_deref(), Some(path.as_bytes()));
    }
}

fn refuse_bytes(ensemble: &Ensemble, file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    refused(&restore(ensemble, 0, file, &[]), " at offset ");
    assert!(!ensemble.data(0).exists(), "nothing was written");
}

fn refused(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(output).contains(why), "`{why}` is not in: {}", said(output));
}
