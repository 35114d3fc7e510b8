//! Real brokers on real hosts, long: three coordinators and three brokers, one of them on a host of its
//! own, from nothing through an interrupted roll and upgrades until nothing of them is left. Needs the
//! two tarballs of `make kafka-dist`, so that `.ci/e2e` runs it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::root;
use crate::skipped;
use crate::watched::{Watched, ended, run, says, zkprov};

const TEST: &str = "brokers::from_nothing_through_upgrades_to_nothing";
const NAME: &str = "zkbrk";
const NETWORK: &str = "10.73.61";
const OLD: &str = "3.3.1";
const NEW: &str = "3.4.1";
/// kafka4 is a broker alone; kafka3 coordinates alone.
const BROKERS: [&str; 3] = ["kafka1", "kafka2", "kafka4"];
const HOSTS: [&str; 4] = ["kafka1", "kafka2", "kafka3", "kafka4"];

struct Brokers {
    folder: tempfile::TempDir,
}

impl Brokers {
    fn up() -> Self {
        let brokers = Self { folder: tempfile::tempdir().expect("a folder") };
        let inventory = brokers.path("lab");
        let path = inventory.to_str().expect("a path");
        brokers.lab(&["up", "4", "--java", "--network", NETWORK, "--inventory", path]);
        brokers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.yaml"))
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    fn lab(&self, words: &[&str]) -> String {
        let output = zkprov().args(["lab", "--name", NAME]).args(words).output();
        ended(&output.expect("zkprov runs"), 0)
    }

    fn on(&self, host: &str, line: &str) -> String {
        self.lab(&["exec", host, "--", "sh", "-c", line])
    }

    /// The lab's inventory with brokers of a release, and a further line of their properties.
    fn inventory(&self, name: &str, version: &str, line: &str) -> PathBuf {
        let lab = std::fs::read_to_string(self.path("lab")).expect("the lab's inventory");
        let mut text = String::new();
        for row in lab.lines() {
            let alone = row.trim_start().starts_with("kafka4:");
            let row = if alone { row.replace("myid: 4", "role: broker") } else { row.to_owned() };
            assert!(!alone || row.contains("role: broker"), "{lab}");
            text.push_str(&row);
            text.push('\n');
        }
        let tarball = tarball(version).display().to_string();
        let _ = write!(
            text,
            "kafka: {{ version: \"{version}\", sources: [ \"file://{tarball}\" ], sha512: \"{tarball}.sha512\" }}\nbrokers:\n"
        );
        for host in BROKERS {
            let id = &host["kafka".len()..];
            let _ = writeln!(
                text,
                "  {host}: {{ broker_id: {id}, listeners: \"PLAINTEXT://{NETWORK}.1{id}:9092\", heap: 192M, properties: {{ min.insync.replicas: 2{line} }} }}"
            );
        }
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Three members of Apache ZooKeeper, without brokers, and a line of their properties.
    fn ensemble(&self, name: &str, line: &str) -> PathBuf {
        let lab = std::fs::read_to_string(self.path("lab")).expect("the lab's inventory");
        let mut text = String::new();
        for row in lab.lines().filter(|row| !row.trim_start().starts_with("kafka4:")) {
            text.push_str(row);
            text.push('\n');
        }
        let tarball = tarball(OLD).display().to_string();
        let _ = write!(
            text,
            "kafka: {{ version: \"{OLD}\", sources: [ \"file://{tarball}\" ], sha512: \"{tarball}.sha512\" }}\n\
             coordinator: {{ engine: zookeeper }}\nproperties: {{ {line} }}\n"
        );
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Every name on a host's disk but what a system writes by itself.
    fn names(&self, host: &str) -> BTreeSet<String> {
        let find = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
            -o -path /var/log/journal -o -path /var/lib/systemd \\) -prune -o -print";
        self.on(host, find).lines().map(str::to_owned).collect()
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = zkprov().args(["lab", "--name", NAME, "down"]).output();
    }
}

fn tarball(version: &str) -> PathBuf {
    root().join(format!("out/kafka_2.13-{version}.tgz"))
}

#[test]
fn from_nothing_through_upgrades_to_nothing() {
    if !crate::lab::may_boot_long(TEST, false) {
        return;
    }
    if let Some(missing) = [OLD, NEW].into_iter().find(|version| !tarball(version).exists()) {
        skipped(TEST, &format!("no tarball of Kafka {missing}: .ci/kafka-dist {missing}"));
        return;
    }
    let lab = Brokers::up();
    let old = lab.inventory("old", OLD, "");
    let before = HOSTS.map(|host| lab.names(host));

    java_is_looked_for(&lab, &old);
    ended(&run("apply", &old, &["--yes"]), 0);
    says(&ended(&run("apply", &old, &[]), 0), "\n0 changes");
    says(&ended(&run("status", &old, &[]), 0), "healthy; configuration matches");
    interrupted_and_resumed(&lab, &old);
    partitions_are_looked_at(&lab, &old);

    let new = lab.inventory("new", NEW, "");
    says(&ended(&run("apply", &new, &["--yes", "--settle", "1"]), 0), "restart   kafka4");
    says(&ended(&run("apply", &new, &[]), 0), "\n0 changes");
    for host in BROKERS {
        let runs = lab.on(
            host,
            "tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value kafka.service)/cmdline",
        );
        says(&runs, "/opt/kafka_2.13-3.4.1/");
    }
    let bad = lab.inventory("bad", NEW, ", log.retention.hours: never");
    let text = ended(&run("apply", &bad, &["--yes", "--settle", "1"]), 6);
    says(&text, "it was put back to what it ran before, and is registered");
    says(&ended(&run("apply", &new, &[]), 0), "\n0 changes");
    let other = lab.inventory("other", NEW, ", log.retention.hours: 100");
    ended(&run("apply", &other, &["--yes", "--settle", "1"]), 0);
    let text = ended(&run("rollback", &other, &["--yes", "--settle", "1"]), 0);
    says(&text, "3 brokers put back");
    says(&ended(&run("apply", &new, &[]), 0), "\n0 changes");
    says(&ended(&run("status", &new, &[]), 0), "healthy; configuration matches");

    ended(&run("destroy", &new, &["--yes", "--purge-data"]), 0);
    apache_zookeeper(&lab);
    for (host, before) in HOSTS.iter().zip(before) {
        let after = lab.names(host);
        let left: Vec<_> = after.difference(&before).collect();
        assert!(left.is_empty(), "{host}: {left:#?}");
        let gone: Vec<_> = before.difference(&after).collect();
        assert!(gone.is_empty(), "{host} had, and has no longer: {gone:#?}");
    }
}

/// A host without Java is refused by name, before anything is touched; where it is, the plan says which.
fn java_is_looked_for(lab: &Brokers, inventory: &Path) {
    lab.on("kafka4", "mv /usr/lib/jvm /usr/lib/no-jvm");
    let text = ended(&run("apply", inventory, &["--yes"]), 4);
    says(&text, "there is no Java, which a broker needs");
    says(&text, "install a JRE, 11 or later");
    assert_eq!(lab.on("kafka1", "ls -d /opt/kafka* 2>/dev/null; true"), "");
    lab.on("kafka4", "mv /usr/lib/no-jvm /usr/lib/jvm");
    says(&ended(&run("plan", inventory, &[]), 0), "note    java: ");
}

/// The original engine, on the hosts that the others have left: from nothing to nothing as well.
fn apache_zookeeper(lab: &Brokers) {
    let inventory = lab.ensemble("zookeeper", "autopurge.purgeInterval: \"2\"");
    ended(&run("apply", &inventory, &["--yes"]), 0);
    says(&ended(&run("apply", &inventory, &[]), 0), "\n0 changes");
    let text = ended(&run("status", &inventory, &[]), 0);
    says(&text, "healthy; configuration matches");
    says(&text, "3.6.3");
    let shell = |words: &[&str]| ended(&run("shell", &inventory, words), 0);
    says(&shell(&["create", "/kept", "through all of it"]), "Created /kept");
    let roll = ["--all", "--yes", "--settle", "1"];
    says(&ended(&run("restart", &inventory, &roll), 0), "3 members restarted");
    let bad = lab.ensemble("wrong", "secureClientPort: \"none\"");
    says(&ended(&run("apply", &bad, &["--yes", "--settle", "1"]), 6), "put back to what it ran");
    says(&ended(&run("apply", &inventory, &[]), 0), "\n0 changes");
    let other = lab.ensemble("other", "autopurge.purgeInterval: \"3\"");
    ended(&run("apply", &other, &["--yes", "--settle", "1"]), 0);
    let text = ended(&run("rollback", &other, &["--yes", "--settle", "1"]), 0);
    says(&text, "3 members put back");
    says(&ended(&run("apply", &inventory, &[]), 0), "\n0 changes");
    says(&shell(&["get", "/kept"]), "through all of it");
    ended(&run("destroy", &inventory, &["--yes", "--purge-data"]), 0);
}

/// A broker that is down, and the partition that lacks it, are what `status` says and ends with 1 for.
fn partitions_are_looked_at(lab: &Brokers, inventory: &Path) {
    let tool = "/opt/kafka/bin/kafka-topics.sh --bootstrap-server";
    let create = "--create --topic kept --partitions 1 --replication-factor 3";
    lab.on("kafka2", &format!("{tool} {NETWORK}.12:9092 {create}"));
    says(&ended(&run("status", inventory, &[]), 0), "healthy; configuration matches");
    lab.on("kafka4", "systemctl stop kafka.service");
    let text = ended(&run("status", inventory, &[]), 1);
    says(&text, "! broker 4 on kafka4 does not run (inactive)");
    says(&text, "! 1 partition under-replicated: kept-0 has ");
    ended(&run("apply", inventory, &["--yes"]), 0);
    let whole = (0..60).any(|_| {
        std::thread::sleep(std::time::Duration::from_secs(1));
        run("status", inventory, &[]).status.code() == Some(0)
    });
    assert!(whole, "the broker has not caught up");
}

/// Killed behind the first broker: the run file says how to go on, and the first is left alone.
fn interrupted_and_resumed(lab: &Brokers, inventory: &Path) {
    let pids =
        || BROKERS.map(|host| lab.on(host, "systemctl show -p MainPID --value kafka.service"));
    let before = pids();
    let roll = ["--all", "--yes", "--settle", "1", "--role", "broker"];
    let mut roll = Watched::start(inventory, "restart", &roll);
    let name = roll.run_name();
    roll.until(" back ");
    roll.kill();
    let between = pids();
    let text = ended(&run("restart", inventory, &["--resume", &name, "--yes", "--settle", "1"]), 0);
    says(&text, "2 brokers restarted");
    for ((before, between), after) in before.iter().zip(&between).zip(pids()) {
        assert!(*before != after, "a broker was left out");
        assert!(before == between || *between == after, "a broker was restarted twice");
    }
}
