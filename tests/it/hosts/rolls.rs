//! Rolls of an ensemble that serves: changed, restarted, one run at a time.

use super::lab::{HOSTS, Lab};
use crate::watched::Watched;

pub(super) fn rolled(lab: &Lab) {
    let pids = |lab: &Lab| {
        HOSTS.map(|host| lab.on(host, "systemctl show -p MainPID --value zookeeper.service"))
    };
    let before = pids(lab);
    let other = lab.variant("kafka:", "properties: { autopurge.purgeInterval: \"3\" }\nkafka:");
    lab.run_on(&other, "apply", &["--yes", "--settle", "1"]).ends(0).says("transfer");
    assert!(pids(lab).iter().zip(&before).all(|(now, then)| now != then), "each was restarted");
    lab.run_on(&other, "status", &[]).ends(0);
    let before = pids(lab);
    let bad = lab.variant("kafka:", "properties: { clientPortAddress: \"192.0.2.1\" }\nkafka:");
    lab.run_on(&bad, "apply", &["--yes", "--settle", "1"])
        .ends(6)
        .says("put back to what it ran before");
    let after = pids(lab);
    let touched = after.iter().zip(&before).filter(|(now, then)| now != then).count();
    assert_eq!(touched, 1, "the roll stopped at the first member");
    lab.run(&["apply", "--yes", "--settle", "1"]).ends(0);
    lab.run(&["apply"]).ends(0).says("0 changes");
}

pub(super) fn restart(lab: &Lab) {
    lab.run(&["restart", "--yes"]).ends(0).says("0 to restart");
    // Killed between two members: the run file says how to go on.
    let roll = ["--all", "--yes", "--settle", "1"];
    let mut roll = Watched::start(&lab.inventory, "restart", &roll);
    let name = roll.run_name();
    roll.until(" back ");
    roll.kill();
    let resumed = lab.run(&["restart", "--resume", &name, "--yes", "--settle", "1"]).ends(0);
    assert!(resumed.stdout.contains("2 members restarted"), "{}{}", resumed.stdout, resumed.stderr);
    lab.run(&["restart", "--resume", &name, "--yes"]).ends(3).says("came to its end");
    lab.run(&["status"]).ends(0);
}

pub(super) fn locked(lab: &Lab) {
    let hold = "mkdir -pm 0700 /run/zkprov; setsid flock /run/zkprov/lock sh -c 'printf \"r1\\nann@ops, pid 7\\n1\\n$$\\n\" >/run/zkprov/lock; \
        exec sleep 600' </dev/null >/dev/null 2>&1 & sleep 0.2";
    for host in ["kafka1", "kafka2"] {
        lab.on(host, hold);
    }
    lab.run(&["restart", "--all", "--yes"])
        .ends(4)
        .says("ann@ops, pid 7 holds the lock with run r1");
    lab.on("kafka3", "rm /etc/sysctl.d/60-zkprov.conf");
    lab.on("kafka1", "rm /etc/sysctl.d/60-zkprov.conf");
    lab.run(&["apply", "--yes"]).says("another run").ends(4);
    lab.run(&["unlock", "--yes"]).ends(0).says("ann@ops");
    lab.run(&["apply", "--yes"]).ends(0);
    // A run that is frozen with its controller. It finds out when it thaws, and takes no member more.
    let mut frozen =
        Watched::start(&lab.inventory, "restart", &["--all", "--yes", "--settle", "5"]);
    let name = frozen.run_name();
    frozen.until("is back; observing");
    frozen.signal("-STOP");
    lab.run(&["unlock", "--yes"]).ends(0).says(", pid ");
    lab.run(&["apply"]).ends(0).says("0 changes");
    frozen.signal("-CONT");
    let (code, said) = frozen.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not held on a majority"), "{said}");
    assert!(said.contains("stopped between two members; 2 members not begun"), "{said}");
    lab.run(&["restart", "--resume", &name, "--yes", "--settle", "1"]).ends(0);
}
