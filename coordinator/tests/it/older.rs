//! Data directories of earlier releases: this version starts on them and finds everything.
//!
//! `tests/fixtures/README.md` says how the archives are made.

use std::fs;
use std::path::Path;
use std::process::Command;

use coordinator::client::{Client, CreateOptions};
use coordinator::wire::request::create_mode;

use crate::engine::{Engine, Ensemble};

const ARCHIVE: &str = "tests/fixtures/data-0.1.0.tar.gz";

/// Unpacks the folders under `from` in the archive as the data of the servers.
fn unpack(ensemble: &Ensemble, from: &[&str]) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(ARCHIVE);
    for (at, folder) in from.iter().enumerate() {
        let data = ensemble.data(at);
        fs::create_dir_all(&data).unwrap();
        let strip = format!("--strip-components={}", folder.split('/').count());
        let status = Command::new("tar")
            .args(["xzf", archive.to_str().unwrap(), "-C", data.to_str().unwrap(), &strip, folder])
            .status()
            .unwrap();
        assert!(status.success(), "tar cannot unpack {folder} of {ARCHIVE}");
    }
}

/// Everything that `make-data.sh` wrote is there, and new writes go on behind it.
fn check(servers: &str) {
    let mut zk = Client::connect(servers).unwrap();
    let (data, stat) = zk.get_data("/plain", false).unwrap();
    assert_eq!(data.as_deref(), Some(&b"third"[..]));
    assert_eq!((stat.version, stat.cversion, stat.num_children), (2, 5, 3));
    assert!(stat.mzxid > stat.czxid && stat.ctime_ms > 1_700_000_000_000);
    let (mut children, _) = zk.get_children("/plain", false).unwrap();
    children.sort();
    assert_eq!(children, ["seq-0000000001", "seq-0000000002", "seq-0000000003"]);
    assert_eq!(zk.get_data("/after", false).unwrap().0.as_deref(), Some(&b"in the log only"[..]));
    assert_eq!(zk.get_data("/ttl", false).unwrap().0.as_deref(), Some(&b"lived"[..]));
    assert!(zk.exists("/container", false).unwrap().is_some());
    assert!(zk.exists("/ephemeral", false).unwrap().is_none(), "its session was closed");
    let kept = zk.exists("/kept", false).unwrap().expect("its session was open");
    assert_ne!(kept.ephemeral_owner, 0);
    let quota = "/zookeeper/quota/plain/zookeeper_limits";
    assert!(zk.get_data(quota, false).unwrap().0.is_some_and(|limits| !limits.is_empty()));

    zk.get_data("/guarded", false).expect_err("its ACL still guards it");
    zk.add_auth("digest", b"user:pw").unwrap();
    assert_eq!(zk.get_data("/guarded", false).unwrap().0.as_deref(), Some(&b"secret"[..]));

    let options =
        CreateOptions { mode: create_mode::PERSISTENT_SEQUENTIAL, ..CreateOptions::default() };
    let (path, _) = zk.create("/plain/seq-", None, options).unwrap();
    assert!(path.ends_with("seq-0000000004"), "{path}");
    assert!(zk.last_zxid() > stat.mzxid);
    zk.close().unwrap();
}

#[test]
fn a_lone_server_starts_on_the_data_of_the_release_before() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "older-one", 1);
    unpack(&ensemble, &["one/coordinator"]);
    for _ in 0..2 {
        ensemble.start_server(0);
        ensemble.wait_until_serving(0);
        ensemble.kill(0); // what this version wrote at its start is read again
    }
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
    check(&ensemble.addresses());
}

#[test]
fn an_ensemble_starts_on_the_data_of_the_release_before() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "older-three", 3);
    unpack(&ensemble, &["three/1/coordinator", "three/2/coordinator", "three/3/coordinator"]);
    for at in 0..3 {
        ensemble.start_server(at);
    }
    for at in 0..3 {
        ensemble.wait_until_serving(at);
    }
    check(&ensemble.addresses());
}
