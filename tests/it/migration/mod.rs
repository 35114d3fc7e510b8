//! A living Apache ZooKeeper of Debian's, adopted, moved to the coordinator and back, with writers, ephemerals
//! and sessions on it all the while; the same with the run killed in the middle, with an observer and logs in a
//! folder of their own, and with clients that others have written. Long: needs hosts with Java, and the
//! machine's own jars of ZooKeeper.

mod clients;
mod kills;
mod lab;

use std::path::Path;

use self::lab::{JAR, Lab, Shape};
use crate::load::Load;
use crate::scenarios::Scenarios;
use crate::skipped;
use crate::watched::{ended, run, says};

const TEST: &str = "migration::an_ensemble_moves";

type Scenario = (&'static str, fn(&Lab, &Path));

/// On one set of hosts after the other.
const SCENARIOS: [(Shape, &[Scenario]); 2] = [
    (
        Shape::Plain,
        &[
            ("adopted, and left as it is", left_alone),
            ("a dry run writes nothing", dry_run_writes_nothing),
            ("there and back under load", there_and_back),
            ("killed in a step and undone", kills::killed_and_undone),
            ("killed in a step and gone on with", kills::killed_and_gone_on),
            ("a host that dies in the cut", kills::host_dies),
            ("with kazoo, a Java client and Kafka", clients::of_others),
        ],
    ),
    (
        Shape::Observed,
        &[
            ("an observer and a folder of logs, there and back", there_and_back),
            ("there for good", there_for_good),
        ],
    ),
];

#[test]
fn an_ensemble_moves() {
    let mut running = Scenarios::of("migration");
    if !crate::lab::may_boot_long(TEST, running.chosen()) {
        return;
    }
    if !Path::new(JAR).exists() {
        skipped(TEST, "Apache ZooKeeper is not installed (Debian package `zookeeper`)");
        return;
    }
    for (shape, scenarios) in SCENARIOS {
        let wanted: Vec<_> = scenarios.iter().filter(|(name, _)| running.wants(name)).collect();
        if wanted.is_empty() {
            continue;
        }
        let lab = Lab::up(shape);
        let inventory = lab.adopted();
        for (name, scenario) in wanted {
            running.run(name, || scenario(&lab, &inventory));
        }
    }
    running.end();
}

fn left_alone(lab: &Lab, inventory: &Path) {
    let text = ended(&run("plan", inventory, &[]), 0);
    says(&text, "/usr/local/lib/zkprov");
    assert!(!text.contains("zoo.cfg") && !text.contains("zookeeper.service"), "{text}");
    let before = lab.on("kafka1", "systemctl show -p MainPID --value zookeeper");
    ended(&run("apply", inventory, &["--yes"]), 0);
    says(&ended(&run("apply", inventory, &[]), 0), "0 changes");
    says(&ended(&run("status", inventory, &[]), 0), "healthy");
    assert_eq!(lab.on("kafka1", "systemctl show -p MainPID --value zookeeper"), before);
    ended(&run("restart", inventory, &["--all", "--yes", "--settle", "1"]), 0);
    ended(&run("destroy", inventory, &["--yes"]), 4);
}

fn dry_run_writes_nothing(lab: &Lab, inventory: &Path) {
    ended(&run("apply", inventory, &["--yes"]), 0);
    let before: Vec<_> = lab.hosts.iter().map(|host| lab.disk(host)).collect();
    let text = ended(&run("migrate", inventory, &["--to", "coordinator", "--dry-run"]), 0);
    says(&text, "nobody will be served for about");
    for (host, before) in lab.hosts.iter().zip(&before) {
        let after = lab.disk(host);
        let changed: Vec<_> =
            after.iter().filter(|(path, line)| before.get(*path) != Some(line)).collect();
        assert!(changed.is_empty(), "{host}: {changed:#?}");
        assert_eq!(before.len(), after.len(), "{host}: something is gone");
    }
    lab.only("zookeeper");
}

fn rounds() -> usize {
    std::env::var("ZKPROV_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Writers go on as long as it takes until there is something to lose.
const BEFORE: std::time::Duration = std::time::Duration::from_secs(3);

fn there_and_back(lab: &Lab, inventory: &Path) {
    for round in 1..=rounds() {
        let load = Load::begin(&lab.servers(), &format!("round{round}"));
        std::thread::sleep(BEFORE);
        moved(lab, inventory, "coordinator");
        // What else an inventory of ours asks of a host, such as no swap; nobody is restarted for it.
        let text = ended(&run("apply", inventory, &["--yes"]), 0);
        assert!(!text.contains("restart"), "{text}");
        says(&ended(&run("status", inventory, &[]), 0), "healthy");
        says(&ended(&run("migrate", inventory, &["--to", "coordinator", "--yes"]), 0), "already");
        std::thread::sleep(BEFORE);
        moved(lab, inventory, "zookeeper");
        load.end();
        says(&ended(&run("status", inventory, &[]), 0), "healthy");
    }
}

/// The move is made, and says for how long nobody was served.
#[track_caller]
fn moved(lab: &Lab, inventory: &Path, engine: &str) {
    let text = ended(&run("migrate", inventory, &["--to", engine, "--yes"]), 0);
    let line = text.lines().find(|line| line.contains("nobody was served for")).unwrap_or_default();
    crate::told(&format!("migration: {line}"));
    if let Some(journal) = line.rsplit("; ").next()
        && let Ok(text) = std::fs::read_to_string(journal)
    {
        crate::told(&text);
    }
    lab.only(engine);
}

/// Nothing is left of the way back, and sessions that begin from then on have passwords of our own.
fn there_for_good(lab: &Lab, inventory: &Path) {
    let load = Load::begin(&lab.servers(), "good");
    std::thread::sleep(BEFORE);
    ended(&run("migrate", inventory, &["--finish", "--yes"]), 4);
    moved(lab, inventory, "coordinator");
    ended(&run("migrate", inventory, &["--finish", "--yes"]), 0);
    let rule = "grep -c sessionPasswords=zookeeper /etc/kafka/zookeeper.properties || :";
    let left = "ls -d /var/lib/zookeeper*/apache* /var/lib/zookeeper*/moved-* /var/lib/zkprov/migration/unit \
                2>/dev/null || :";
    ended(&run("apply", inventory, &["--yes", "--settle", "1"]), 0);
    load.end();
    for host in lab.hosts {
        assert_eq!(lab.on(host, rule).trim(), "0", "{host}");
        assert_eq!(lab.on(host, left).trim(), "", "{host}");
    }
    says(&ended(&run("apply", inventory, &[]), 0), "0 changes");
    says(&ended(&run("status", inventory, &[]), 0), "healthy");
    let text = ended(&run("migrate", inventory, &["--to", "zookeeper", "--yes"]), 3);
    says(&text, "does not say which Apache ZooKeeper");
}
