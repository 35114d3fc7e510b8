//! From bare hosts to a serving ensemble, and what a second run finds.

use serde_json::Value;

use super::lab::{HOSTS, Lab};

pub(super) fn dry_run_writes_nothing(lab: &Lab) {
    // The first login makes what a first login makes.
    lab.run(&["plan"]).ends(0);
    let before: Vec<_> = HOSTS.iter().map(|host| lab.disk(host)).collect();
    let plan = lab.folder.path().join("plan.json").display().to_string();
    lab.run(&["plan", "--diff", "--out", &plan])
        .ends(0)
        .says("create  archive /opt/kafka_2.13-3.3.1");
    lab.run(&["plan", "--detailed-exitcode"]).ends(2);
    lab.run(&["apply", "--dry-run"]).ends(0);
    lab.run(&["plan", "--show-scripts"]).ends(0).says("do_archive");
    lab.run(&["apply"]).ends(4).says("--yes");
    lab.run(&["status"]).ends(1);
    for (host, before) in HOSTS.iter().zip(&before) {
        let after = lab.disk(host);
        let changed: Vec<_> =
            after.iter().filter(|(path, line)| before.get(*path) != Some(line)).collect();
        assert!(changed.is_empty(), "{host}: {changed:#?}");
        assert_eq!(before.len(), after.len(), "{host}: something is gone");
    }
}

/// Paths an apply may touch, as the plan names them; `/etc/passwd` and its like stand for the account.
const TOUCHED: [&str; 14] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/.pwd.lock",
    "/etc/fstab",
    "/etc/sysctl.d/60-zkprov.conf",
    "/etc/kafka",
    "/data",
    "/opt/kafka",
    "/usr/local/lib/zkprov",
    "/etc/systemd/system/",
];

pub(super) fn first_apply(lab: &Lab) {
    lab.fresh();
    lab.run(&["plan"]).ends(0);
    let before: Vec<_> = HOSTS.iter().map(|host| lab.disk(host)).collect();
    let counted = lab.sessions();
    let ran = lab.run(&["apply", "--yes", "--output", "json"]).ends(0);
    for (host, (logins, sessions)) in lab.sessions() {
        let (logins, sessions) = (logins - counted[&host].0, sessions - counted[&host].1);
        assert!(logins == 1 && sessions <= 3, "{host}: {logins} logins, {sessions} sessions");
    }
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("one event a line"))
        .collect();
    for host in HOSTS {
        let of = |event: &&Value| event["host"] == host;
        let planned =
            events.iter().filter(of).find(|event| event["event"] == "plan").expect("a plan");
        let mut planned: Vec<&str> = planned["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .filter_map(|s| s["step"].as_str())
            .collect();
        let mut done: Vec<&str> = events
            .iter()
            .filter(of)
            .filter(|event| event["event"] == "step" && event["state"] == "done")
            .filter_map(|event| event["step"].as_str())
            .collect();
        planned.sort_unstable();
        done.sort_unstable();
        assert_eq!(planned, done, "{host}: no more and no less than planned");
    }
    for (host, before) in HOSTS.iter().zip(&before) {
        let surprises: Vec<_> = lab
            .disk(host)
            .into_iter()
            .filter(|(path, line)| before.get(path) != Some(line) && !line.starts_with("d "))
            .filter(|(path, _)| !TOUCHED.iter().any(|touched| path.starts_with(touched)))
            .filter(|(path, _)| !path.starts_with("/var/lib/systemd") && path != "/run/zkprov")
            .collect();
        assert!(surprises.is_empty(), "{host}: {surprises:#?}");
    }
    lab.run(&["status"]).ends(0).says("healthy; configuration matches");
    let owner = lab.on("kafka1", "stat -c %U:%G /opt/kafka/libs/kafka.jar /data/zookeeper; cat /opt/kafka/config/zookeeper.properties");
    assert!(
        owner.starts_with("kafka:kafka\ncoordinator:coordinator\n") && owner.contains("server.3="),
        "{owner}"
    );
    let security = lab.on("kafka1", "systemd-analyze security zookeeper.service | tail -1");
    let exposure = security.split_whitespace().find_map(|word| word.parse::<f32>().ok());
    assert!(exposure.is_some_and(|exposure| exposure <= 2.5), "{security}");
}

pub(super) fn second_apply(lab: &Lab) {
    let counted = lab.sessions();
    let ran = lab.run(&["apply"]).ends(0);
    assert_eq!(ran.stdout.lines().last(), Some("0 changes"), "{}", ran.stdout);
    for (host, (logins, sessions)) in lab.sessions() {
        let counted = counted[&host];
        assert_eq!((logins - counted.0, sessions - counted.1), (1, 1), "{host}");
    }
    lab.run(&["apply", "--detailed-exitcode"]).ends(0);
}

pub(super) fn saved_plan(lab: &Lab) {
    let plan = lab.folder.path().join("saved.json").display().to_string();
    lab.on("kafka2", "echo '# by hand' >>/etc/sysctl.d/60-zkprov.conf");
    lab.run(&["plan", "--out", &plan]).ends(0);
    lab.on("kafka1", "rm /etc/sysctl.d/60-zkprov.conf");
    lab.run(&["apply", "--yes", "--plan", &plan])
        .ends(4)
        .says("has changed since the plan was saved");
    lab.run(&["plan", "--out", &plan]).ends(0);
    lab.run(&["apply", "--yes", "--plan", &plan, "--detailed-exitcode"]).ends(2);
    lab.run(&["apply", "--plan", &plan]).ends(4).says("has changed");
    lab.run(&["status"]).ends(0);
}

/// A limited apply of one member of three cannot end well, and says why without a long wait.
pub(super) fn alone(lab: &Lab) {
    lab.fresh();
    let kept = lab.folder.path().join(".zkprov");
    let _ = std::fs::remove_dir_all(&kept);
    let ran = lab.run(&["apply", "--yes", "--limit", "kafka1"]).ends(1);
    ran.says("it takes 2 members, and these do not answer").says("is kept in");
    lab.run(&["apply", "--yes"]).ends(0);
    let secrets = HOSTS.map(|host| lab.on(host, "cat /etc/kafka/coordinator.secret"));
    assert!(secrets[0].len() == 64 && secrets.iter().all(|secret| *secret == secrets[0]));
    lab.run(&["status"]).ends(0);
}

pub(super) fn destroy(lab: &Lab) {
    lab.run(&["destroy"]).ends(4).says("--yes");
    lab.run(&["destroy", "--yes"]).ends(0).says("3 hosts cleared");
    let left = lab.on("kafka1", "ls -d /opt/kafka* /etc/kafka /usr/local/lib/zkprov /etc/systemd/system/zookeeper.service 2>/dev/null; ls /data/zookeeper; cat /etc/fstab");
    assert!(left.starts_with("coordinator\nmyid\n"), "{left}");
    assert!(!left.contains("#zkprov#"), "{left}");
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    let left = lab.on("kafka1", "ls -d /data/zookeeper 2>/dev/null; getent passwd kafka coordinator; getent group kafka coordinator; true");
    assert_eq!(left, "", "nothing of it is left");
}
