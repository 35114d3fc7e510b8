//! Servers for tests: Apache ZooKeeper where it is installed, by the same scenarios.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coordinator::client::word;

/// Where Debian's packages `zookeeper` and `libzookeeper-java` put it.
const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// One standalone server in a directory of its own; both end with the value.
pub(crate) struct Server {
    process: Child,
    directory: PathBuf,
    pub(crate) address: String,
}

impl Server {
    /// Apache ZooKeeper, or `None` where it is not installed, said by the test's name.
    pub(crate) fn apache(test: &str) -> Option<Self> {
        if !Path::new(ZOOKEEPER_JAR).exists() {
            skip(test, "Apache ZooKeeper is not installed (Debian package `zookeeper`)");
            return None;
        }
        let mut java = Command::new("java");
        java.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-Dzookeeper.extendedTypesEnabled=true", "-Dlog4j.configuration=none"])
            .args(["-cp", ZOOKEEPER_JAR, "org.apache.zookeeper.server.ZooKeeperServerMain"]);
        Some(Self::start(test, java))
    }

    fn start(test: &str, mut command: Command) -> Self {
        let port = free_port();
        let directory =
            std::env::temp_dir().join(format!("coordinator-{test}-{}-{port}", std::process::id()));
        fs::create_dir_all(directory.join("data")).unwrap();
        let config = directory.join("zookeeper.properties");
        let keys = [
            "tickTime=500".to_owned(),
            format!("dataDir={}", directory.join("data").display()),
            format!("clientPort={port}"),
            "clientPortAddress=127.0.0.1".to_owned(),
            "maxClientCnxns=0".to_owned(),
            "admin.enableServer=false".to_owned(),
            "4lw.commands.whitelist=*".to_owned(),
            "extendedTypesEnabled=true".to_owned(),
        ];
        fs::write(&config, keys.join("\n") + "\n").unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let process = command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { process, directory, address: format!("127.0.0.1:{port}") };
        server.wait_until_serving();
        server
    }

    fn wait_until_serving(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(answer) = word(&self.address, "srvr", Duration::from_secs(5))
                && answer.contains("Mode: ")
            {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                panic!("server does not serve ({ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            return;
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Says so past the capture of the test harness: a skipped test must be seen.
pub(crate) fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
