//! The services' accounts: what one may not do to root, and what a broker's may not read of a coordinator.

use super::lab::{HOSTS, Lab};

/// Swaps `$1` for a link to `$2` and back as fast as it can; run as the service's account.
const SWAPPER: &str = r#"#!/usr/bin/python3
import os, sys, glob, time
folder, target, end = sys.argv[1], sys.argv[2], time.time() + float(sys.argv[3])
names = ["myid", "initialize"]
while time.time() < end:
    for path in glob.glob(folder + "/.*.zkprov.*") + [folder + "/" + name for name in names]:
        try:
            if not os.path.islink(path):
                os.unlink(path)
                os.symlink(target, path)
        except OSError:
            pass
"#;

/// What root must never have made readable, or given away.
const WITNESS: &str = "/root/witness";

/// The functions that make files and folders, a thousand times each, while the account swaps what it can.
pub(super) fn races(lab: &Lab) {
    lab.fresh();
    lab.on(
        "kafka1",
        "useradd --system --user-group kafka; install -d -o kafka -g kafka -m 750 /data/zookeeper; \
        echo secret >/root/witness; chmod 600 /root/witness",
    );
    let script = library();
    lab.put("kafka1", "/root/zk.sh", &script);
    lab.put("kafka1", "/usr/local/bin/swapper", SWAPPER);
    lab.on("kafka1", "chmod 755 /usr/local/bin/swapper");
    let race = format!(
        "setpriv --reuid=kafka --regid=kafka --clear-groups /usr/local/bin/swapper /data/zookeeper {WITNESS} 300 & zk_racer=$!; \
         zk_try=0; while [ $zk_try -lt 1000 ]; do zk_try=$((zk_try + 1)); \
         sh /root/zk.sh >/dev/null 2>&1; \
         [ \"$(stat -c '%U:%G %a' {WITNESS})\" = 'root:root 600' ] || break; done; \
         kill $zk_racer; echo \"$zk_try $(stat -c '%U:%G %a' {WITNESS}) $(cat {WITNESS})\""
    );
    let told = lab.on("kafka1", &race);
    assert_eq!(told.trim(), "1000 root:root 600 secret");
    refusals(lab);
}

/// Each try: a file and a folder of the account's, in the account's folder.
fn library() -> String {
    let root = crate::root();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a library");
    ["src/script/prelude.sh", "src/plan/resource/file.sh", "src/plan/resource/directory.sh"]
        .iter()
        .fold("zk_nonce=n0\n".to_owned(), |text, path| text + &read(path))
        + "do_file /data/zookeeper/myid kafka kafka 644 2 '1\n'\n\
           do_file /data/zookeeper/initialize kafka kafka 644 0 ''\n\
           do_directory /data/zookeeper/myid/log kafka kafka 750\n\
           do_directory /data/zookeeper/myid kafka kafka 750\n"
}

/// Folders that lead elsewhere are named, and what nothing marks as a service's is not purged.
fn refusals(lab: &Lab) {
    lab.fresh();
    lab.on("kafka1", "mkdir -p /data; chmod 777 /data");
    lab.run(&["apply", "--yes", "--limit", "kafka1"]).ends(1).says("anybody may write to /data");
    lab.fresh();
    lab.run(&["apply", "--yes"]).ends(0);
    lab.on(
        "kafka1",
        "systemctl stop zookeeper; rm -rf /data/zookeeper/*; touch /data/zookeeper/photos",
    );
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(1).says("nothing that marks it");
    let left = lab.on("kafka1", "ls /data/zookeeper");
    assert_eq!(left, "photos\n");
    lab.fresh();
}

/// A new ensemble's coordinators have an account that no broker shares; one of before keeps the shared one, until
/// its operator hands the data over, member by member.
pub(super) fn of_its_own(lab: &Lab) {
    lab.fresh();
    lab.run(&["apply", "--yes"]).ends(0);
    for host in HOSTS {
        assert_eq!(readable_to_brokers(lab, host), "", "{host}");
        assert_eq!(runs_as(lab, host), "coordinator coordinator");
    }
    lab.fresh();
    let shared = lab.variant("kafka:", "coordinator: { account: kafka }\nkafka:");
    lab.run_on(&shared, "apply", &["--yes"]).ends(0);
    assert!(readable_to_brokers(lab, "kafka1").contains("/etc/kafka/coordinator.secret"));
    let inventory = lab.inventory.display().to_string();
    lab.run_on(&inventory, "shell", &["create", "/kept", "through all of it"]).ends(0);
    // The inventory says nothing of it: what is there stays as it is.
    lab.run(&["apply"]).ends(0).says("0 changes");
    let named = lab.variant("kafka:", "coordinator: { account: coordinator }\nkafka:");
    lab.run_on(&named, "apply", &["--yes"]).ends(4).says("belongs to kafka, and the service would");
    for host in HOSTS {
        lab.on(
            host,
            "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin \
             --comment 'Kafka coordination' coordinator; \
             systemctl stop zookeeper; chown -R coordinator: /data/zookeeper",
        );
        lab.run(&["apply", "--yes", "--limit", host]).ends(0);
        lab.run(&["status"]).ends(0).says("healthy; configuration matches");
        assert_eq!(readable_to_brokers(lab, host), "", "{host}");
        assert_eq!(runs_as(lab, host), "coordinator coordinator");
    }
    lab.run_on(&inventory, "shell", &["get", "/kept"]).ends(0).says("through all of it");
    lab.run_on(&named, "apply", &[]).ends(0).says("0 changes");
    lab.run(&["restart", "--all", "--yes"]).ends(0);
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    let left = lab.on("kafka1", "getent passwd kafka coordinator; ls -d /data/zookeeper; true");
    assert_eq!(left, "", "nothing of it is left");
    lab.fresh();
}

/// What brokers' account can open of what a coordinator keeps to itself.
fn readable_to_brokers(lab: &Lab, host: &str) -> String {
    lab.on(
        host,
        "for path in /etc/kafka/coordinator.secret /etc/kafka/zookeeper.properties /data/zookeeper/coordinator; do \
         ! setpriv --reuid=kafka --regid=kafka --init-groups test -r $path || echo $path; done",
    )
}

fn runs_as(lab: &Lab, host: &str) -> String {
    let line = "ps -o user:20=,group:20= -p $(systemctl show -p MainPID --value zookeeper.service)";
    lab.on(host, line).split_whitespace().collect::<Vec<_>>().join(" ")
}
