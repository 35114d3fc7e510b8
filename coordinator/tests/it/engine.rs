//! Servers for tests: Apache ZooKeeper where it is installed, and ours, by the same scenarios.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use coordinator::client::word;

/// Where Debian's packages `zookeeper` and `libzookeeper-java` put it.
const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a server that starts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PORTS: Range<u16> = 12_000..20_000;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Apache,
    /// A release of Apache ZooKeeper that `.ci/apache` has fetched.
    Release(&'static str),
    Ours,
}

/// Where `.ci/apache` puts the jars of a release.
fn jars(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/apache").join(release)
}

impl Engine {
    /// False where it is not installed, said by the test's name.
    pub(crate) fn is_there(self, test: &str) -> bool {
        if let Self::Release(release) = self {
            let there = jars(release).exists();
            if !there {
                let why = format!("Apache ZooKeeper {release} is not there: run `.ci/apache`");
                skip(test, &why);
            }
            return there;
        }
        if self == Self::Ours || Path::new(ZOOKEEPER_JAR).exists() {
            return true;
        }
        skip(test, "Apache ZooKeeper is not installed (Debian package `zookeeper`)");
        false
    }

    fn command(self, config: &Path) -> Command {
        if self == Self::Ours {
            let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
            command.arg("serve").arg(config);
            return command;
        }
        let class_path = match self {
            Self::Release(release) => format!("{}/*", jars(release).display()),
            _ => ZOOKEEPER_JAR.to_owned(),
        };
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-Dzookeeper.extendedTypesEnabled=true", "-Dlog4j.configuration=none"])
            .args(["-cp", &class_path, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(config);
        java
    }
}

/// Servers in a directory of their own; everything ends with the value.
pub(crate) struct Ensemble {
    engine: Engine,
    directory: PathBuf,
    /// `server.N` lines of all of them.
    members: Vec<String>,
    servers: Vec<Server>,
}

struct Server {
    directory: PathBuf,
    address: String,
    client_port: u16,
    process: Option<Child>,
}

impl Ensemble {
    /// One server alone, or several in a quorum, all serving.
    pub(crate) fn start(engine: Engine, test: &str, count: usize) -> Self {
        let mut ensemble = Self::prepare(engine, test, count);
        for at in 0..count {
            ensemble.start_server(at);
        }
        for at in 0..count {
            ensemble.wait_until_serving(at);
        }
        ensemble
    }

    /// The same, configured only.
    pub(crate) fn prepare(engine: Engine, test: &str, count: usize) -> Self {
        let ports = free_ports(count * 3);
        let directory = std::env::temp_dir().join(format!(
            "coordinator-{test}-{}-{}",
            std::process::id(),
            ports[0]
        ));
        let members: Vec<String> = (0..count)
            .map(|at| {
                format!("server.{}=127.0.0.1:{}:{}", at + 1, ports[at * 3], ports[at * 3 + 1])
            })
            .collect();
        let servers = (0..count)
            .map(|at| {
                let directory = directory.join(format!("server{}", at + 1));
                let client_port = ports[at * 3 + 2];
                configure(&directory, at + 1, client_port, if count > 1 { &members } else { &[] });
                let address = format!("127.0.0.1:{client_port}");
                Server { directory, address, client_port, process: None }
            })
            .collect();
        Self { engine, directory, members, servers }
    }

    /// Gives server `at` a list of these members alone; counts from its next start.
    pub(crate) fn list_members(&self, at: usize, listed: &[usize]) {
        let members: Vec<String> =
            listed.iter().map(|&member| self.members[member].clone()).collect();
        let server = &self.servers[at];
        configure(&server.directory, at + 1, server.client_port, &members);
    }

    /// The same, with `observer` as one that does not vote.
    pub(crate) fn list_with_observer(&self, at: usize, listed: &[usize], observer: usize) {
        let member = |&member: &usize| {
            let role = if member == observer { ":observer" } else { "" };
            format!("{}{role}", self.members[member])
        };
        let members: Vec<String> = listed.iter().map(member).collect();
        let server = &self.servers[at];
        configure(&server.directory, at + 1, server.client_port, &members);
    }

    /// Whatever runs from now on is of this engine.
    pub(crate) fn become_engine(&mut self, engine: Engine) {
        self.engine = engine;
    }

    /// Adds a line to the configuration of server `at`; counts from its next start.
    pub(crate) fn add_key(&self, at: usize, line: &str) {
        let config = self.config(at);
        let keys = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{keys}{line}\n")).unwrap();
    }

    pub(crate) fn is_running(&self, at: usize) -> bool {
        self.servers[at].process.is_some()
    }

    pub(crate) fn config(&self, at: usize) -> PathBuf {
        self.servers[at].directory.join("zookeeper.properties")
    }

    /// Where our server `at` keeps everything.
    pub(crate) fn data(&self, at: usize) -> PathBuf {
        self.servers[at].directory.join("data/coordinator")
    }

    /// What server `at` has said so far.
    pub(crate) fn log(&self, at: usize) -> String {
        fs::read_to_string(self.servers[at].directory.join("log")).unwrap_or_default()
    }

    /// Until server `at` says something, from byte `from` of its log on.
    pub(crate) fn wait_for_log(&self, at: usize, from: usize, what: &str) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.log(at)[from..].contains(what) {
            assert!(Instant::now() < deadline, "`{what}` is missing in:\n{}", self.log(at));
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Until the process of server `at` ends by itself; its exit code.
    pub(crate) fn wait_for_end(&mut self, at: usize) -> Option<i32> {
        let mut process = self.servers[at].process.take().unwrap();
        process.wait().unwrap().code()
    }

    /// For what a test leaves behind; goes with the servers.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn address(&self, at: usize) -> &str {
        &self.servers[at].address
    }

    /// All of them, as a connect string.
    pub(crate) fn addresses(&self) -> String {
        let all: Vec<&str> = self.servers.iter().map(|server| server.address.as_str()).collect();
        all.join(",")
    }

    /// Which one `address` is.
    pub(crate) fn position(&self, address: &str) -> usize {
        self.servers.iter().position(|server| server.address == address).unwrap()
    }

    pub(crate) fn leader(&self) -> usize {
        let is_leader = |server: &Server| {
            word(&server.address, "srvr", Duration::from_secs(5))
                .is_ok_and(|answer| answer.contains("Mode: leader"))
        };
        self.servers.iter().position(is_leader).expect("a leader")
    }

    /// Where the members reach server `at`.
    pub(crate) fn quorum_address(&self, at: usize) -> String {
        let address = self.members[at].split('=').nth(1).unwrap();
        address.rsplit_once(':').unwrap().0.to_owned()
    }

    pub(crate) fn election_port(&self, at: usize) -> u16 {
        self.members[at].rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Appends lines to the configuration of server `at`: of a key that stands twice the last holds.
    pub(crate) fn add_keys(&self, at: usize, lines: &[String]) {
        let path = self.config(at);
        let text = fs::read_to_string(&path).unwrap() + &lines.join("\n") + "\n";
        fs::write(path, text).unwrap();
    }

    pub(crate) fn start_server(&mut self, at: usize) {
        let config = self.servers[at].directory.join("zookeeper.properties");
        self.start_command(at, self.engine.command(&config));
    }

    /// With so many file descriptors.
    pub(crate) fn start_server_with_files(&mut self, at: usize, files: u32) {
        let config = self.servers[at].directory.join("zookeeper.properties");
        let plain = self.engine.command(&config);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""));
        command.arg(plain.get_program()).args(plain.get_args());
        self.start_command(at, command);
    }

    fn start_command(&mut self, at: usize, mut command: Command) {
        let server = &mut self.servers[at];
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(server.directory.join("log"))
            .unwrap();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        server.process = Some(process);
    }

    pub(crate) fn wait_until_serving(&mut self, at: usize) {
        let deadline = Instant::now() + START_TIMEOUT;
        let server = &mut self.servers[at];
        loop {
            if let Ok(answer) = word(&server.address, "srvr", Duration::from_secs(5))
                && answer.contains("Mode: ")
            {
                return;
            }
            let ended = server.process.as_mut().and_then(|process| process.try_wait().unwrap());
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(server.directory.join("log")).unwrap_or_default();
                panic!("{} does not serve ({ended:?}):\n{log}", server.address);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// SIGKILL: what was not made durable is lost to it.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.servers[at].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for at in 0..self.servers.len() {
            self.kill(at);
        }
        // What a failed test leaves is for whoever looks into it.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn configure(directory: &Path, id: usize, client_port: u16, members: &[String]) {
    let data = directory.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("myid"), format!("{id}\n")).unwrap();
    let mut keys = vec![
        "tickTime=500".to_owned(),
        "initLimit=20".to_owned(),
        "syncLimit=10".to_owned(),
        format!("dataDir={}", data.display()),
        format!("clientPort={client_port}"),
        "clientPortAddress=127.0.0.1".to_owned(),
        "maxClientCnxns=0".to_owned(),
        "admin.enableServer=false".to_owned(),
        "4lw.commands.whitelist=*".to_owned(),
        "extendedTypesEnabled=true".to_owned(),
    ];
    keys.extend_from_slice(members);
    fs::write(directory.join("zookeeper.properties"), keys.join("\n") + "\n").unwrap();
}

/// Ports that nobody listens on, from below those that the system gives to connections: a server
/// needs seconds to take its port, and a connection of another test must not have it by then.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    let candidates = std::iter::repeat_with(|| {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        PORTS.start + (next % u32::from(PORTS.end - PORTS.start)) as u16
    });
    candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(count).collect()
}

/// Says so past the capture of the test harness: a skipped test must be seen.
pub(crate) fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
