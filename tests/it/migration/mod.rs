//! A living Apache ZooKeeper of Debian's, adopted, moved to the coordinator and back, with writers, ephemerals
//! and sessions on it all the while; and the same with the run killed in the middle. Long: needs hosts with
//! Java, and the machine's own jars of ZooKeeper.

mod load;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use self::load::Load;
use crate::scenarios::Scenarios;
use crate::skipped;
use crate::watched::{Watched, zkprov};

const TEST: &str = "migration::an_ensemble_moves";
const NAME: &str = "zkmig";
const NETWORK: &str = "10.74.63";
const HOSTS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];
const JAR: &str = "/usr/share/java/zookeeper.jar";

/// As Debian's package has it, but for the log that goes to the journal.
const UNIT: &str = "[Unit]
Description=Coordination service for distributed applications
After=network.target

[Service]
User=zookeeper
ExecStart=/usr/bin/java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j.configuration=none \
-Dzookeeper.extendedTypesEnabled=true -cp /usr/share/java/zookeeper.jar \
org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/conf/zoo.cfg
Restart=on-failure
RestartSec=1
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
";

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn up() -> Self {
        let lab = Self { folder: tempfile::tempdir().expect("a folder") };
        let path = lab.folder.path().join("lab.yaml");
        lab.lab(&[
            "up",
            "3",
            "--java",
            "--network",
            NETWORK,
            "--inventory",
            path.to_str().expect("a path"),
        ]);
        lab.install();
        lab
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    fn lab(&self, words: &[&str]) -> String {
        let output = zkprov().args(["lab", "--name", NAME]).args(words).output();
        ended(&output.expect("zkprov runs"), 0)
    }

    fn on(&self, host: &str, line: &str) -> String {
        self.lab(&["exec", host, "--", "sh", "-c", line])
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    fn servers(&self) -> Vec<String> {
        (1..=3).map(|id| format!("{NETWORK}.1{id}:2181")).collect()
    }

    /// Apache ZooKeeper on each host, as a package would put it there.
    fn install(&self) {
        let tar = self.folder.path().join("java.tar");
        let manifest = Command::new("unzip")
            .args(["-p", JAR, "META-INF/MANIFEST.MF"])
            .output()
            .expect("unzip");
        let manifest =
            String::from_utf8_lossy(&manifest.stdout).replace("\r\n ", "").replace("\n ", "");
        let line = manifest
            .lines()
            .find_map(|line| line.strip_prefix("Class-Path: "))
            .expect("a class path");
        let mut files = vec![JAR.to_owned()];
        files.extend(line.split_whitespace().map(str::to_owned));
        files.retain(|file| Path::new(file).exists());
        let real: Vec<String> = files
            .iter()
            .map(|file| std::fs::canonicalize(file).expect("a jar").display().to_string())
            .collect();
        files.extend(real);
        files.sort();
        files.dedup();
        let packed = Command::new("tar").arg("-cPf").arg(&tar).args(&files).status().expect("tar");
        assert!(packed.success());
        let members: Vec<String> =
            (1..=3).map(|id| format!("server.{id}={NETWORK}.1{id}:2888:3888\n")).collect();
        let config = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nclientPort=2181\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nautopurge.purgeInterval=1\nsnapCount=1000\n{}",
            members.concat()
        );
        for (index, host) in HOSTS.iter().enumerate() {
            let output = zkprov()
                .args(["lab", "--name", NAME, "exec", host, "--", "tar", "-C", "/", "-xPf", "-"])
                .stdin(Stdio::from(std::fs::File::open(&tar).expect("the tar")))
                .output();
            ended(&output.expect("zkprov runs"), 0);
            let id = index + 1;
            self.on(
                host,
                &format!(
                    "useradd -r -d /var/lib/zookeeper -s /usr/sbin/nologin zookeeper
                     install -d -o zookeeper -g zookeeper /var/lib/zookeeper && install -d /etc/zookeeper/conf
                     echo {id} >/var/lib/zookeeper/myid && chown zookeeper: /var/lib/zookeeper/myid
                     printf '%s' '{config}' >/etc/zookeeper/conf/zoo.cfg
                     printf '%s' '{UNIT}' >/lib/systemd/system/zookeeper.service
                     systemctl daemon-reload && systemctl enable -q zookeeper && systemctl start zookeeper"
                ),
            );
        }
    }

    /// The inventory that `adopt` writes.
    fn adopted(&self) -> PathBuf {
        let path = self.folder.path().join("inventory.yaml");
        let lab = std::fs::read_to_string(self.folder.path().join("lab.yaml")).expect("the lab's");
        let config = lab
            .lines()
            .find_map(|line| line.split("config: ").nth(1))
            .expect("an ssh configuration");
        let config = config.trim_matches(|c: char| " },\"".contains(c));
        let output = zkprov().args(["adopt", "--ssh-config", config, "--out"]).arg(&path).output();
        let said = ended(&output.expect("zkprov runs"), 0);
        says(&said, "describes what runs");
        path
    }

    fn engines(&self) -> Vec<String> {
        HOSTS
            .iter()
            .map(|host| {
                let java = self.on(host, "pgrep -fc '^/usr/bin/java.*QuorumPeerMain' || :");
                let ours =
                    self.on(host, "pgrep -fc '^/usr/local/lib/zkprov/coordinator.* serve' || :");
                format!("{}{}", java.trim(), ours.trim())
            })
            .collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::env::var_os("ZKPROV_TEST_KEEP").is_none() {
            let _ = zkprov().args(["lab", "--name", NAME, "down"]).output();
        }
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = said(&output.stdout) + &said(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "\n{text}");
    text
}

#[track_caller]
fn says(text: &str, words: &str) {
    assert!(text.contains(words), "`{words}` is not in:\n{text}");
}

fn run(command: &str, inventory: &Path, words: &[&str]) -> Output {
    zkprov().arg(command).arg(inventory).args(words).output().expect("zkprov runs")
}

type Scenario = (&'static str, fn(&Lab, &Path));

#[test]
fn an_ensemble_moves() {
    if !crate::lab::may_boot(TEST) {
        return;
    }
    let mut running = Scenarios::of("migration");
    if std::env::var("ZKPROV_TEST_LONG").as_deref() != Ok("1") && !running.chosen() {
        skipped(TEST, "long, `make e2e` runs it");
        return;
    }
    if !Path::new(JAR).exists() {
        skipped(TEST, "Apache ZooKeeper is not installed (Debian package `zookeeper`)");
        return;
    }
    let lab = Lab::up();
    let inventory = lab.adopted();
    let scenarios: &[Scenario] = &[
        ("adopted, and left as it is", left_alone),
        ("there and back under load", there_and_back),
        ("killed in a step and undone", killed_and_undone),
        ("killed in a step and gone on with", killed_and_gone_on),
        ("a host that dies in the cut", host_dies),
    ];
    for (name, scenario) in scenarios {
        if running.wants(name) {
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

fn rounds() -> usize {
    std::env::var("ZKPROV_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

fn there_and_back(lab: &Lab, inventory: &Path) {
    for round in 1..=rounds() {
        let load = Load::begin(&lab.servers(), &format!("round{round}"));
        std::thread::sleep(std::time::Duration::from_secs(3));
        let text = ended(&run("migrate", inventory, &["--to", "coordinator", "--yes"]), 0);
        told(&text, "there");
        assert_eq!(lab.engines(), ["01", "01", "01"]);
        // What else an inventory of ours asks of a host, such as no swap; nobody is restarted for it.
        let text = ended(&run("apply", inventory, &["--yes"]), 0);
        assert!(!text.contains("restart"), "{text}");
        says(&ended(&run("status", inventory, &[]), 0), "healthy");
        says(&ended(&run("migrate", inventory, &["--to", "coordinator", "--yes"]), 0), "already");
        std::thread::sleep(std::time::Duration::from_secs(3));
        let text = ended(&run("migrate", inventory, &["--to", "zookeeper", "--yes"]), 0);
        told(&text, "back");
        assert_eq!(lab.engines(), ["10", "10", "10"]);
        std::thread::sleep(std::time::Duration::from_secs(3));
        load.end();
        says(&ended(&run("status", inventory, &[]), 0), "healthy");
    }
}

/// The line with the gap.
fn told(text: &str, way: &str) {
    let line = text.lines().find(|line| line.contains("nobody was served for")).unwrap_or_default();
    crate::told(&format!("migration: {way}: {line}"));
}

/// Killed as soon as the journal has a line of `step`.
fn killed(lab: &Lab, inventory: &Path, to: &str, step: &str) {
    let state = lab.folder.path().join(format!("state-{to}-{step}"));
    let mut child = zkprov()
        .arg("migrate")
        .arg(inventory)
        .args(["--to", to, "--yes"])
        .env("XDG_STATE_HOME", &state)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("zkprov runs");
    let word = format!("\"step\":\"{step}\"");
    let seen = || {
        let runs = std::fs::read_dir(state.join("zkprov/runs")).ok()?;
        let mut texts =
            runs.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        texts.find(|text| text.contains(&word))
    };
    while seen().is_none() {
        let over = child.try_wait().expect("it is ours").is_some();
        assert!(!over, "the run ended before `{step}`");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// Hosts end the step that they were at; a run that was killed before anything began has left nothing to undo.
#[track_caller]
fn undone(inventory: &Path) {
    let mut text = String::new();
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let output = run("migrate", inventory, &["--undo", "--yes"]);
        text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(0) || text.contains("no move is under way") {
            return;
        }
    }
    panic!("it cannot be undone:\n{text}");
}

fn killed_and_undone(lab: &Lab, inventory: &Path) {
    for step in ["bar", "fence", "standing", "taken", "imported"] {
        let load = Load::begin(&lab.servers(), &format!("undone-{step}"));
        killed(lab, inventory, "coordinator", step);
        undone(inventory);
        assert_eq!(lab.engines(), ["10", "10", "10"], "{step}");
        load.end();
    }
    says(&ended(&run("status", inventory, &[]), 0), "healthy");
}

#[track_caller]
fn gone_on(inventory: &Path, to: &str) {
    let mut text = String::new();
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let output = run("migrate", inventory, &["--to", to, "--yes"]);
        text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(0) {
            return;
        }
    }
    panic!("it does not go on:\n{text}");
}

fn killed_and_gone_on(lab: &Lab, inventory: &Path) {
    for (there, back) in [("fence", "seal"), ("imported", "exported"), ("open", "return")] {
        let load = Load::begin(&lab.servers(), &format!("on-{there}"));
        killed(lab, inventory, "coordinator", there);
        gone_on(inventory, "coordinator");
        assert_eq!(lab.engines(), ["01", "01", "01"], "{there}");
        killed(lab, inventory, "zookeeper", back);
        gone_on(inventory, "zookeeper");
        assert_eq!(lab.engines(), ["10", "10", "10"], "{back}");
        load.end();
    }
}

/// It loses its power once its server is dead: the others go back, and it does when it is there again.
fn host_dies(lab: &Lab, inventory: &Path) {
    let load = Load::begin(&lab.servers(), "dies");
    let mut watched = Watched::start(inventory, "migrate", &["--to", "coordinator", "--yes"]);
    watched.until("are stopped");
    lab.lab(&["kill", "kafka3"]);
    let (code, text) = watched.end();
    assert_ne!(code, 0, "{text}");
    lab.lab(&["start", "kafka3"]);
    undone(inventory);
    assert_eq!(lab.engines(), ["10", "10", "10"]);
    load.end();
}
