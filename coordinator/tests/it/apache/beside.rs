//! A start beside data of Apache ZooKeeper is refused, whatever kind of server it would be.

use std::fs;

use crate::engine::{Engine, Ensemble};

/// Starts server 0 of `count` with this file below its data directory; what it said as it ended.
fn start_beside(test: &str, count: usize, file: &str) -> String {
    let mut ensemble = Ensemble::prepare(Engine::Ours, test, count);
    let data = ensemble.data(0).parent().unwrap().to_owned();
    let file = data.join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    ensemble.start_server(0);
    assert_eq!(ensemble.wait_for_end(0), Some(1));
    assert!(!ensemble.data(0).exists(), "nothing is founded");
    ensemble.log(0)
}

#[test]
fn a_start_beside_snapshots_or_logs_is_refused() {
    for (count, file) in [(1, "version-2/snapshot.0"), (3, "version-2/log.100000001")] {
        let said = start_beside("beside", count, file);
        for part in ["version-2 holds data of Apache ZooKeeper", "coordinator import", "dataDir"] {
            assert!(said.contains(part), "`{part}` is missing in: {said}");
        }
    }
}

#[test]
fn what_is_no_data_of_apache_zookeeper_is_passed_over() {
    let mut ensemble = Ensemble::prepare(Engine::Ours, "beside-nothing", 1);
    let data = ensemble.data(0).parent().unwrap().to_owned();
    fs::create_dir_all(data.join("version-2")).unwrap();
    fs::write(data.join("version-2/currentEpoch"), "1\n").unwrap();
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
    // Data of ours is there: what stands beside it from then on is the operator's affair.
    ensemble.kill(0);
    fs::write(data.join("version-2/snapshot.0"), "").unwrap();
    ensemble.start_server(0);
    ensemble.wait_until_serving(0);
}
