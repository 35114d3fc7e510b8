//! Clients that others have written live through a move there and back: kazoo, Apache ZooKeeper's own Java
//! client, and three brokers of Kafka with a producer. Whoever cannot run here is named.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lab::{JAR, Lab, NETWORK};
use super::moved;
use crate::watched::{ended, run, says, signal};
use crate::{root, skipped};

const KAFKA: &str = "kafka_2.13-3.3.1";
/// The defaults of brokers take a gigabyte each.
const SMALL: [(&str, &str); 2] = [
    ("KAFKA_HEAP_OPTS", "-Xmx192M"),
    ("KAFKA_JVM_PERFORMANCE_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
];

pub(super) fn of_others(lab: &Lab, inventory: &Path) {
    let brokers = Brokers::up(lab);
    let survivors = Survivor::all(lab);
    let before = brokers.as_ref().map(|brokers| brokers.registered(inventory));
    let mut spans = String::new();
    for engine in ["coordinator", "zookeeper"] {
        let start = now_ms();
        moved(lab, inventory, engine);
        if let Some(brokers) = &brokers {
            // It takes the controller's session, and brokers that see what it writes.
            brokers.topics(&["--create", "--topic", engine, "--replication-factor", "3"]);
            assert_eq!(Some(brokers.registered(inventory)), before, "on {engine}");
        }
        let _ = writeln!(spans, "{start} {} {engine}", now_ms());
    }
    for survivor in survivors {
        survivor.end();
    }
    if let Some(brokers) = brokers {
        brokers.end(&spans);
        for host in lab.hosts {
            lab.on(host, "systemctl stop kafka");
        }
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// A program that writes until its stdin ends, and then says what it has seen.
struct Survivor {
    name: &'static str,
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Survivor {
    fn all(lab: &Lab) -> Vec<Self> {
        let programs = root().join("tests/it/migration");
        let python = root().join("out/conformance/venv/bin/python");
        let mut all = Vec::new();
        if python.exists() {
            let mut kazoo = Command::new(python);
            kazoo.arg(programs.join("survivor.py"));
            all.push(Self::begin("kazoo", kazoo, lab));
        } else {
            skipped(super::TEST, "kazoo: `.ci/conformance` makes its folder out/conformance/venv");
        }
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", JAR]);
        java.arg(programs.join("Survivor.java"));
        all.push(Self::begin("java", java, lab));
        all
    }

    fn begin(name: &'static str, mut command: Command, lab: &Lab) -> Self {
        let mut child = command
            .arg(lab.servers().join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(lab.folder.path().join(name)).expect("a file"))
            .spawn()
            .expect("it runs");
        let mut told = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            let bytes = told.read_line(&mut line).expect("text");
            assert!(bytes > 0, "{name} is not ready: {}", said(lab, name));
        }
        Self { name, child, told }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.told.read_to_string(&mut text).expect("text");
        crate::told(text.trim());
        assert!(self.child.wait().expect("ended").success(), "{}: {text}", self.name);
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(lab: &Lab, name: &str) -> String {
    std::fs::read_to_string(lab.folder.path().join(name)).unwrap_or_default()
}

/// Three brokers on the hosts, and a producer with acks=all here.
struct Brokers {
    folder: PathBuf,
    producer: Child,
}

impl Brokers {
    /// `None` where there is no tarball of Kafka.
    fn up(lab: &Lab) -> Option<Self> {
        let tarball = root().join(format!("out/{KAFKA}.tgz"));
        if !tarball.exists() {
            skipped(super::TEST, &format!("no tarball of Kafka: .ci/kafka-dist makes {KAFKA}"));
            return None;
        }
        let folder = lab.folder.path().to_owned();
        let unpacked =
            Command::new("tar").arg("-xzf").arg(&tarball).arg("-C").arg(&folder).status();
        assert!(unpacked.expect("tar").success());
        for (index, host) in lab.hosts.iter().enumerate() {
            lab.unpack(host, &tarball, &["-C", "/opt", "-xzf", "-"]);
            let id = index + 1;
            let environment = SMALL.map(|(key, value)| format!("Environment=\"{key}={value}\"\n"));
            let environment = environment.concat();
            lab.on(
                host,
                &format!(
                    "printf '%s' 'broker.id={id}\nlisteners=PLAINTEXT://{NETWORK}.1{id}:9092\nlog.dirs=/var/lib/kafka\n\
                     zookeeper.connect={}\nmin.insync.replicas=2\noffsets.topic.num.partitions=1\n\
                     log.cleaner.dedupe.buffer.size=16777216\n' >/opt/server.properties
                     printf '%s' '[Service]\n{environment}ExecStart=/opt/{KAFKA}/bin/kafka-server-start.sh /opt/server.properties\n' \
                     >/lib/systemd/system/kafka.service
                     systemctl daemon-reload && systemctl start kafka",
                    lab.servers().join(",")
                ),
            );
        }
        let created = (0..60).any(|_| {
            std::thread::sleep(Duration::from_secs(1));
            let words =
                ["--create", "--if-not-exists", "--topic", "proof", "--replication-factor", "3"];
            tool(&folder, "kafka-topics.sh")
                .args(words)
                .args(["--partitions", "3"])
                .output()
                .is_ok_and(|o| o.status.success())
        });
        assert!(created, "no topic with three replicas can be made");
        std::fs::write(
            folder.join("producer.properties"),
            // By itself this tool never tries again, which every real producer does.
            "retries=2147483647\nenable.idempotence=true\ndelivery.timeout.ms=120000\n",
        )
        .expect("written");
        let producer = tool(&folder, "kafka-verifiable-producer.sh")
            .arg("--producer.config")
            .arg(folder.join("producer.properties"))
            .args(["--topic", "proof", "--acks", "-1", "--throughput", "100"])
            .stdout(File::create(folder.join("produced")).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let brokers = Self { folder, producer };
        let produces = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            brokers.produced() >= 200
        });
        assert!(produces, "nothing is produced");
        Some(brokers)
    }

    fn produced(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.join("produced")).unwrap_or_default();
        text.matches("send_success").count()
    }

    fn topics(&self, words: &[&str]) {
        let output = tool(&self.folder, "kafka-topics.sh").args(words).output();
        ended(&output.expect("it runs"), 0);
    }

    /// The controller and the brokers, with the Stats of their ephemerals: another session, or the same one
    /// anew, would show.
    #[expect(clippy::unused_self, reason = "brokers must be up: the receiver says so")]
    fn registered(&self, inventory: &Path) -> String {
        let znodes = ["/controller", "/brokers/ids/1", "/brokers/ids/2", "/brokers/ids/3"];
        let mut text = String::new();
        for znode in znodes {
            text += &ended(&run("shell", inventory, &["get", "-s", znode]), 0);
        }
        says(&text, "ephemeralOwner");
        text
    }

    /// Everything that the producer was told of can be read, once and in its order.
    fn end(mut self, spans: &str) {
        let before = self.produced();
        let goes_on = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            self.produced() > before + 100
        });
        signal("-TERM", &self.producer);
        self.producer.wait().expect("ended");
        assert!(goes_on, "the producer does not go on");
        let consumed = tool(&self.folder, "kafka-console-consumer.sh")
            .args(["--topic", "proof", "--from-beginning", "--timeout-ms", "20000"])
            .args(["--property", "print.partition=true", "--property", "print.offset=true"])
            .output()
            .expect("it runs");
        std::fs::write(self.folder.join("consumed"), consumed.stdout).expect("written");
        std::fs::write(self.folder.join("spans"), spans).expect("written");
        let account = Command::new("python3")
            .arg(root().join("tests/kafka/account.py"))
            .arg("spans")
            .args(["produced", "consumed", "spans"])
            .current_dir(&self.folder)
            .output();
        crate::told(ended(&account.expect("python3"), 0).trim());
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = self.producer.kill();
        let _ = self.producer.wait();
    }
}

/// One of Kafka's own tools.
fn tool(folder: &Path, name: &str) -> Command {
    let brokers: Vec<String> = (1..=3).map(|id| format!("{NETWORK}.1{id}:9092")).collect();
    let mut command = Command::new(folder.join(KAFKA).join("bin").join(name));
    command.envs(SMALL).args(["--bootstrap-server", &brokers.join(",")]).stdin(Stdio::null());
    command
}
