//! Real hosts: the whole product against Debian systems that are booted for it. One test, since the
//! hosts are one and the scenarios build on each other; each says its name.
//! `ZKPROV_TEST_LONG=1` runs the long ones too; `scenarios.rs` says how to choose some.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::scenarios::Scenarios;
use crate::watched::{Watched, zkprov};

mod account;
mod faults;
mod refusals;
mod sources;

const NAME: &str = "zkit";
const NETWORK: &str = "10.76.61";
const HOSTS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];

/// What a command printed, and how it ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "`{text}` is not in:\n{all}");
        self
    }
}

/// Three hosts, their inventory, and a small release.
struct Lab {
    folder: tempfile::TempDir,
    inventory: PathBuf,
}

impl Lab {
    fn up() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Self { inventory: folder.path().join("inventory.yaml"), folder };
        let path = lab.inventory.display().to_string();
        lab.lab(&["up", "3", "--network", NETWORK, "--inventory", &path]).ends(0);
        let tarball = release(lab.folder.path());
        lab.append(&tarball);
        lab
    }

    fn append(&self, text: &str) {
        let file = std::fs::OpenOptions::new().append(true).open(&self.inventory);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the inventory");
    }

    /// The inventory with another text in it, as a file of its own.
    fn variant(&self, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(&self.inventory).expect("the inventory");
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        let path = self.folder.path().join("variant.yaml");
        std::fs::write(&path, text.replace(from, to)).expect("written");
        path.display().to_string()
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    fn lab(&self, words: &[&str]) -> Ran {
        let output = zkprov().args(["lab", "--name", NAME]).args(words).output();
        Ran::of(&output.expect("zkprov runs"))
    }

    /// Runs a shell line on a host, past ssh.
    fn on(&self, host: &str, line: &str) -> String {
        self.lab(&["exec", host, "--", "/bin/sh", "-c", line]).ends(0).stdout
    }

    /// A file on a host, past ssh.
    fn put(&self, host: &str, path: &str, text: &str) {
        let quoted = text.replace('\'', r"'\''");
        self.on(host, &format!("printf '%s' '{quoted}' >{path}"));
    }

    /// A command on the lab's inventory.
    fn run(&self, words: &[&str]) -> Ran {
        let (command, rest) = words.split_first().expect("a command");
        self.run_on(&self.inventory.display().to_string(), command, rest)
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    fn run_on(&self, inventory: &str, command: &str, rest: &[&str]) -> Ran {
        let output = zkprov().arg(command).arg(inventory).args(rest).output();
        Ran::of(&output.expect("zkprov runs"))
    }

    /// Logins and sessions of each host so far.
    fn sessions(&self) -> BTreeMap<String, (u32, u32)> {
        let text = self.lab(&["sessions"]).ends(0).stdout;
        let numbers = |line: &str| -> Vec<u32> {
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
        };
        HOSTS
            .iter()
            .map(|host| {
                let line = text.lines().find(|line| line.starts_with(host)).expect(host);
                let found = numbers(&line[host.len()..]);
                ((*host).to_owned(), (found[0], found[1]))
            })
            .collect()
    }

    /// Every name on a host's disk with owner, mode, size, times and target; what a login itself
    /// writes is left out.
    fn disk(&self, host: &str) -> BTreeMap<String, String> {
        let find = "find / -xdev \\( -path /var/log -o -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune \
            -o -printf '%p\\t%y %m %U %G %s %T@ %C@ %l\\n'; ls -d /run/zkprov* 2>/dev/null; true";
        let text = self.on(host, find);
        text.lines()
            .map(|line| line.split_once('\t').unwrap_or((line, "")))
            .map(|(path, rest)| (path.to_owned(), rest.to_owned()))
            .collect()
    }

    fn fresh(&self) {
        self.lab(&["reset"]).ends(0);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = zkprov().args(["lab", "--name", NAME, "down"]).output();
    }
}

/// A tarball of the distribution's layout, and the lines that name it.
fn release(folder: &std::path::Path) -> String {
    let top = folder.join("kafka_2.13-3.3.1");
    for name in ["bin", "config", "libs"] {
        std::fs::create_dir_all(top.join(name)).expect("a folder");
    }
    std::fs::write(top.join("config/zookeeper.properties"), "dataDir=/tmp/zookeeper\n")
        .expect("file");
    // Bytes that do not compress, so that the transfer takes a moment.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(8 << 20)
    .collect();
    std::fs::write(top.join("libs/kafka.jar"), noise).expect("file");
    let tarball = folder.join("kafka_2.13-3.3.1.tgz");
    let made = Command::new("tar")
        .args(["--create", "--gzip", "--file"])
        .arg(&tarball)
        .arg("--directory")
        .arg(folder)
        .arg("kafka_2.13-3.3.1")
        .status();
    assert!(made.expect("tar").success());
    let sum = Command::new("sha512sum").arg(&tarball).output().expect("sha512sum").stdout;
    let sum = String::from_utf8_lossy(&sum).split(' ').next().unwrap_or_default().to_owned();
    format!("kafka: {{ sources: [ \"{}\" ], sha512: \"{sum}\" }}\n", tarball.display())
}

/// Whether `make test` has the time for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quick,
    /// Faults, rolls and logins, many boots and applies each: `make e2e` runs them.
    Long,
    /// Others begin with what it leaves: also runs when they were chosen alone.
    Base,
}

type Scenario = (Kind, &'static str, fn(&Lab));

#[test]
fn real_hosts() {
    if !crate::lab::may_boot("hosts::real_hosts") {
        return;
    }
    let lab = Lab::up();
    let scenarios: &[Scenario] = &[
        (Kind::Quick, "a dry run writes nothing", dry_run_writes_nothing),
        (
            Kind::Base,
            "the first apply does what the plan said, and the ensemble serves",
            first_apply,
        ),
        (Kind::Quick, "a second apply changes nothing, with one session a host", second_apply),
        (Kind::Quick, "a saved plan is refused once a host has changed", saved_plan),
        (Kind::Long, "a change on a serving ensemble is rolled, a bad one rolled back", rolled),
        (Kind::Long, "restart, interrupted and resumed", restart),
        (Kind::Long, "one run at a time", locked),
        (Kind::Long, "every way in that fails says why", ways_in),
        (Kind::Quick, "what belongs to the operator is refused by name", refusals::operators),
        (Kind::Quick, "what a host is and has is said before anything is done", refusals::facts),
        (Kind::Quick, "hosts download for themselves, and trust no source", sources::host_fetches),
        (Kind::Long, "a service account cannot lead root", account::races),
        (Kind::Long, "hostile archives are refused and leave nothing", sources::hostile),
        (Kind::Long, "a host that dies in the middle is applied to again", faults::deaths),
        (Kind::Long, "a host that freezes or is cut off in a step", faults::silence),
        (Kind::Long, "Ctrl-C in each step", faults::interrupts),
        (Kind::Long, "no room", faults::no_room),
        (Kind::Long, "sudo, banners and other shells", other_logins),
        (Kind::Long, "a member alone says who is missing", alone),
        (Kind::Long, "a backup beside writes is restored elsewhere", backed_up),
        (Kind::Quick, "destroy takes back what apply has put", destroy),
    ];
    let mut running = Scenarios::of("hosts");
    let long = std::env::var("ZKPROV_TEST_LONG").as_deref() == Ok("1");
    for (kind, name, scenario) in scenarios {
        if *kind == Kind::Long && !long && !running.chosen() {
            crate::skipped(&format!("hosts::real_hosts: {name}"), "long, `make e2e` runs it");
        } else if *kind == Kind::Base || running.wants(name) {
            running.run(name, || scenario(&lab));
        }
    }
    running.end();
}

fn dry_run_writes_nothing(lab: &Lab) {
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

fn first_apply(lab: &Lab) {
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
        owner.starts_with("kafka:kafka\nkafka:kafka\n") && owner.contains("server.3="),
        "{owner}"
    );
    let security = lab.on("kafka1", "systemd-analyze security zookeeper.service | tail -1");
    let exposure = security.split_whitespace().find_map(|word| word.parse::<f32>().ok());
    assert!(exposure.is_some_and(|exposure| exposure <= 2.5), "{security}");
}

fn second_apply(lab: &Lab) {
    let counted = lab.sessions();
    let ran = lab.run(&["apply"]).ends(0);
    assert_eq!(ran.stdout.lines().last(), Some("0 changes"), "{}", ran.stdout);
    for (host, (logins, sessions)) in lab.sessions() {
        let counted = counted[&host];
        assert_eq!((logins - counted.0, sessions - counted.1), (1, 1), "{host}");
    }
    lab.run(&["apply", "--detailed-exitcode"]).ends(0);
}

fn saved_plan(lab: &Lab) {
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

fn rolled(lab: &Lab) {
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

fn restart(lab: &Lab) {
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

fn locked(lab: &Lab) {
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

fn ways_in(lab: &Lab) {
    let gone = lab.variant(&format!("{NETWORK}.13"), &format!("{NETWORK}.99"));
    let text = std::fs::read_to_string(&gone).expect("the variant");
    std::fs::write(&gone, text.replace("user: root,", "user: root, connect_timeout: 2s,"))
        .expect("written");
    lab.lab(&["cut", "kafka3"]).ends(0);
    lab.run_on(&gone, "status", &[]).ends(5).says("kafka3");
    lab.lab(&["join", "kafka3"]).ends(0);
    lab.lab(&["rekey", "kafka2"]).ends(0);
    lab.run(&["plan"]).ends(5).says("has CHANGED").says("SHA256:");
    lab.lab(&["reset", "kafka2"]).ends(0);
    unknown_key(lab);
    let nobody = lab.variant("user: root", "user: nobody");
    lab.run_on(&nobody, "plan", &[]).ends(5).says("login refused");
    let ops = lab.variant("user: root", "user: ops");
    lab.run_on(&ops, "plan", &["--limit", "kafka1"]).ends(5).says("--ask-become-pass");
    // kafka2 has a new disk: one member is replaced, the others stand.
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["status"]).ends(0);
}

/// A key that nobody has seen is refused, taken on when asked to, and known from then on.
fn unknown_key(lab: &Lab) {
    let inventory = std::fs::read_to_string(&lab.inventory).expect("the inventory");
    let config = inventory.split_once("config: ").expect("an ssh configuration").1;
    let config = config.split([' ', ',', '}']).next().expect("its path");
    let text = std::fs::read_to_string(config).expect("the ssh configuration");
    let known = lab.folder.path().join("known_hosts");
    let own = lab.folder.path().join("ssh_config");
    let line = |line: &str| {
        let names = line.trim_start().starts_with("UserKnownHostsFile");
        if names { format!("  UserKnownHostsFile {}", known.display()) } else { line.to_owned() }
    };
    let text: Vec<String> = text.lines().map(line).collect();
    std::fs::write(&own, text.join("\n") + "\n").expect("written");
    let variant = lab.variant(config, &own.display().to_string());
    lab.run_on(&variant, "plan", &[]).ends(5).says("is not known: it shows").says("SHA256:");
    let accepted = lab.run_on(&variant, "plan", &["--accept-new-host-keys"]).ends(0);
    accepted.says("SHA256:");
    lab.run_on(&variant, "plan", &[]).ends(0);
}

/// A limited apply of one member of three cannot end well, and says why without a long wait.
fn alone(lab: &Lab) {
    lab.fresh();
    let ran = lab.run(&["apply", "--yes", "--limit", "kafka1"]).ends(1);
    ran.says("it takes 2 members, and these do not answer");
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["status"]).ends(0);
}

fn other_logins(lab: &Lab) {
    lab.fresh();
    for host in HOSTS {
        lab.on(host, "echo 'echo WELCOME; echo noise >&2' >/home/vagrant/.bashrc; echo 'umask 077; PATH=/nowhere' >>/home/vagrant/.bashrc; usermod -s /bin/sh ops");
    }
    let vagrant = lab.variant("user: root", "user: vagrant");
    lab.run_on(&vagrant, "apply", &["--yes"]).ends(0);
    lab.run_on(&vagrant, "status", &[]).ends(0);
    lab.on("kafka2", "echo 'Defaults:vagrant requiretty' >/etc/sudoers.d/tty");
    lab.run_on(&vagrant, "plan", &[]).ends(5).says("requiretty");
    lab.on("kafka2", "rm /etc/sudoers.d/tty");
    let ops = lab.variant("user: root", "user: ops");
    for (password, code) in [("ops\n", 0), ("wrong\n", 5)] {
        let mut child = zkprov()
            .args(["apply", &ops, "--ask-become-pass"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("zkprov runs");
        child.stdin.take().expect("piped").write_all(password.as_bytes()).expect("written");
        Ran::of(&child.wait_with_output().expect("ended")).ends(code);
    }
}

fn backed_up(lab: &Lab) {
    let path = |name: &str| lab.folder.path().join(name).display().to_string();
    // What the summary of a restore says: digest and first zxid.
    let said = |ran: Ran| {
        let after = |word: &str| {
            let rest = ran.stdout.split_once(word).expect(word).1;
            rest.split([' ', ',']).next().expect("a value").to_owned()
        };
        (after("digest "), after("from zxid "))
    };
    lab.fresh();
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["shell", "create", "/here", "before"]).ends(0);
    let mut writer = zkprov()
        .arg("shell")
        .arg(&lab.inventory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("zkprov runs");
    let mut keys = writer.stdin.take().expect("piped");
    for number in 0..500 {
        writeln!(keys, "create /here/n{number} x").expect("the writer lives");
    }
    lab.run(&["backup", &path("first")]).ends(0).says("which leads");
    drop(keys);
    writer.wait().expect("ended");
    lab.run(&["backup", &path("first")]).ends(3).says("exists already");
    lab.run(&["restore", &path("first"), "--yes"]).ends(4).says("is not empty");
    let mut bytes = std::fs::read(path("first")).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path("rotten"), bytes).expect("written");
    let rotten = lab.run(&["restore", &path("rotten"), "--yes", "--force"]);
    rotten.ends(4).says("is damaged at offset");
    let (first, zxid) = said(lab.run(&["restore", &path("first"), "--yes", "--force"]).ends(0));
    lab.run(&["backup", &path("second")]).ends(0);
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    lab.run(&["apply", "--yes"]).ends(0);
    let (second, later) = said(lab.run(&["restore", &path("second"), "--yes"]).ends(0));
    assert_eq!(first, second, "the same tree elsewhere");
    assert!((later.len(), &later) > (zxid.len(), &zxid), "{later} is not above {zxid}");
    lab.run(&["apply"]).ends(0).says("0 changes");
    // What the restore has put aside stays with the data; the next scenario begins without it.
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    lab.run(&["apply", "--yes"]).ends(0);
}

fn destroy(lab: &Lab) {
    lab.run(&["destroy"]).ends(4).says("--yes");
    lab.run(&["destroy", "--yes"]).ends(0).says("3 hosts cleared");
    let left = lab.on("kafka1", "ls -d /opt/kafka* /etc/kafka /usr/local/lib/zkprov /etc/systemd/system/zookeeper.service 2>/dev/null; ls /data/zookeeper; cat /etc/fstab");
    assert!(left.starts_with("coordinator\nmyid\n"), "{left}");
    assert!(!left.contains("#zkprov#"), "{left}");
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    let left = lab.on("kafka1", "ls -d /data/zookeeper 2>/dev/null; getent passwd kafka; true");
    assert_eq!(left, "", "nothing of it is left");
}
