//! The two engines as ensembles on loopback: configuration, start, stop, who leads, what it costs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::plain::{Plain, four_letter_word};
use crate::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    ZooKeeper,
    Coordinator,
}

impl Engine {
    pub const BOTH: [Engine; 2] = [Engine::ZooKeeper, Engine::Coordinator];

    pub fn name(self) -> &'static str {
        match self {
            Engine::ZooKeeper => "ZooKeeper",
            Engine::Coordinator => "coordinator",
        }
    }
}

/// Where the engines are and where their data may go.
#[derive(Clone, Debug)]
pub struct Bench {
    /// `zookeeper.jar`; its manifest names the jars beside it.
    pub zookeeper_jar: PathBuf,
    pub java: PathBuf,
    /// Heap options for Java; empty as the Debian package has them.
    pub java_options: Vec<String>,
    pub coordinator: PathBuf,
    /// On the disk that is measured.
    pub directory: PathBuf,
    /// ZooKeeper's ports start here, the coordinator's 400 above.
    pub base_port: u16,
}

/// Lines added to every server's configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub lines: Vec<String>,
    pub java_options: Option<Vec<String>>,
    /// Listen on every loopback address, for more sessions than one has ports.
    pub all_addresses: bool,
}

impl Settings {
    fn client_address(&self) -> Ipv4Addr {
        if self.all_addresses { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }
    }
}

pub struct Ensemble {
    pub engine: Engine,
    bench: Bench,
    settings: Settings,
    directory: PathBuf,
    pub servers: Vec<Server>,
}

pub struct Server {
    pub id: usize,
    directory: PathBuf,
    pub client: SocketAddr,
    process: Option<Child>,
}

impl Ensemble {
    /// Writes configurations for `count` fresh servers; starts none.
    pub fn create(
        bench: &Bench,
        engine: Engine,
        count: usize,
        settings: Settings,
    ) -> Result<Ensemble> {
        let directory = bench.directory.join(format!("{}-{count}", engine.name()));
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let base = base_port(bench, engine, count);
        let servers = (1..=count)
            .map(|id| Server {
                id,
                directory: directory.join(id.to_string()),
                client: SocketAddr::from((Ipv4Addr::LOCALHOST, base + id as u16)),
                process: None,
            })
            .collect();
        let ensemble = Ensemble { engine, bench: bench.clone(), settings, directory, servers };
        for server in &ensemble.servers {
            fs::create_dir_all(server.directory.join("data"))?;
            fs::write(server.directory.join("data/myid"), server.id.to_string())?;
        }
        ensemble.configure()?;
        Ok(ensemble)
    }

    /// A fresh ensemble that serves.
    pub fn start(
        bench: &Bench,
        engine: Engine,
        count: usize,
        settings: Settings,
    ) -> Result<Ensemble> {
        let mut ensemble = Ensemble::create(bench, engine, count, settings)?;
        ensemble.start_all()?;
        ensemble.wait_until_serving()?;
        Ok(ensemble)
    }

    /// Other settings, to take effect at the next start of each server.
    pub fn reconfigure(&mut self, settings: Settings) -> Result<()> {
        self.settings = settings;
        self.configure()
    }

    fn configure(&self) -> Result<()> {
        let count = self.servers.len();
        let base = base_port(&self.bench, self.engine, count);
        for server in &self.servers {
            let mut lines = vec![
                "tickTime=2000".to_owned(),
                "initLimit=10".to_owned(),
                "syncLimit=5".to_owned(),
                format!("dataDir={}", server.directory.join("data").display()),
                format!("clientPort={}", server.client.port()),
                format!("clientPortAddress={}", self.settings.client_address()),
                "maxClientCnxns=0".to_owned(),
                "admin.enableServer=false".to_owned(),
                "4lw.commands.whitelist=*".to_owned(),
            ];
            if count > 1 {
                for id in 1..=count as u16 {
                    let (peer, election) = (base + 20 + id, base + 40 + id);
                    lines.push(format!("server.{id}=127.0.0.1:{peer}:{election}"));
                }
            }
            lines.extend(self.settings.lines.iter().cloned());
            lines.push(String::new());
            fs::write(server.configuration(), lines.join("\n"))?;
        }
        Ok(())
    }

    pub fn start_all(&mut self) -> Result<()> {
        (0..self.servers.len()).try_for_each(|index| self.start_server(index))
    }

    pub fn start_server(&mut self, index: usize) -> Result<()> {
        let server = &mut self.servers[index];
        let configuration = server.configuration();
        let mut command = match self.engine {
            Engine::ZooKeeper => {
                let mut command = Command::new(&self.bench.java);
                let options =
                    self.settings.java_options.as_ref().unwrap_or(&self.bench.java_options);
                command
                    .args(options)
                    .arg("-cp")
                    .arg(&self.bench.zookeeper_jar)
                    .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
                    .arg(&configuration);
                command
            }
            Engine::Coordinator => {
                let mut command = Command::new(&self.bench.coordinator);
                command.arg("serve").arg(&configuration);
                command
            }
        };
        let log = File::options().create(true).append(true).open(server.directory.join("log"))?;
        let process = command
            .current_dir(&server.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        process::remember(process.id());
        server.process = Some(process);
        Ok(())
    }

    /// Until a session on every server has written.
    pub fn wait_until_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(2);
        for index in 0..self.servers.len() {
            self.wait_for_server(index, deadline)?;
        }
        Ok(())
    }

    pub fn wait_for_server(&mut self, index: usize, deadline: Instant) -> Result<()> {
        loop {
            let attempt =
                Plain::connect(self.servers[index].client, 10_000).and_then(|mut client| {
                    client.create("/bench", b"", 0)?;
                    client.close()
                });
            let Err(error) = attempt else { return Ok(()) };
            let ended = match &mut self.servers[index].process {
                Some(process) => process.try_wait()?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let status = ended.map_or("does not serve".to_owned(), |status| status.to_string());
                return Err(error.context(format!(
                    "{} server {}: {status}; {}",
                    self.engine.name(),
                    index + 1,
                    self.tail(index)
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tail(&self, index: usize) -> String {
        let path = self.servers[index].directory.join("log");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        format!(
            "its log {} ends:\n{}",
            path.display(),
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.client).collect()
    }

    /// `host:port,host:port` as C and Java clients take it.
    pub fn connect_string(&self) -> String {
        self.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The index of the server that leads.
    pub fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            for (index, server) in self.servers.iter().enumerate() {
                if server.process.is_some() && server.mode().as_deref() == Some("leader") {
                    return Ok(index);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{}: no server leads", self.engine.name())
    }

    /// CPU time of all servers that run.
    pub fn cpu_time(&self) -> Duration {
        self.servers.iter().filter_map(|server| process::cpu_time(server.pid()?).ok()).sum()
    }

    /// Waits until the servers rest, so that what one engine still has to do (a snapshot, the next
    /// log segment, a garbage collection) is not counted with the other; but not for ever.
    pub fn settle(&self) {
        const LOOK: Duration = Duration::from_millis(40);
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            let before = self.cpu_time();
            std::thread::sleep(LOOK);
            if self.cpu_time().saturating_sub(before) < LOOK / 20 {
                break;
            }
        }
    }

    /// Resident bytes of each server.
    pub fn resident_bytes(&self) -> Vec<u64> {
        let resident = |server: &Server| process::resident_bytes(server.pid()?).ok();
        self.servers.iter().filter_map(resident).collect()
    }

    /// Names of all snapshot files of all servers.
    pub fn snapshot_files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open: Vec<PathBuf> =
            self.servers.iter().map(|server| server.directory.join("data")).collect();
        while let Some(directory) = open.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    open.push(path);
                } else if path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().contains("snap"))
                {
                    found.insert(path);
                }
            }
        }
        found
    }

    /// SIGTERM, then waits.
    pub fn stop_server(&mut self, index: usize) -> Result<()> {
        let server = &mut self.servers[index];
        let Some(mut process) = server.process.take() else { return Ok(()) };
        process::signal(process.id(), Signal::TERM)?;
        process::forget(process.id());
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.try_wait()?.is_none() {
            if Instant::now() > deadline {
                process.kill()?;
                process.wait()?;
                bail!("{} server {} did not stop on SIGTERM", self.engine.name(), server.id);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn stop_all(&mut self) -> Result<()> {
        (0..self.servers.len()).try_for_each(|index| self.stop_server(index))
    }

    /// SIGKILL, and waits for the kernel to have closed its sockets.
    pub fn kill_server(&mut self, index: usize) -> Result<()> {
        if let Some(mut process) = self.servers[index].process.take() {
            process.kill()?;
            process.wait()?;
            process::forget(process.id());
        }
        Ok(())
    }

    pub fn signal_server(&self, index: usize, signal: Signal) -> Result<()> {
        let pid = self.servers[index].pid().context("server does not run")?;
        process::signal(pid, signal)
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for server in &mut self.servers {
            if let Some(mut process) = server.process.take() {
                let _ = process.kill();
                let _ = process.wait();
                process::forget(process.id());
            }
        }
        // A failed run keeps its logs and data for the reader.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

impl Server {
    fn configuration(&self) -> PathBuf {
        self.directory.join("zoo.cfg")
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// `leader`, `follower` or `standalone`, by the word `srvr`.
    pub fn mode(&self) -> Option<String> {
        let answer = four_letter_word(self.client, "srvr").ok()?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }
}

/// Ensembles of different sizes and engines may run at once.
fn base_port(bench: &Bench, engine: Engine, count: usize) -> u16 {
    let engine = match engine {
        Engine::ZooKeeper => 0,
        Engine::Coordinator => 400,
    };
    bench.base_port + engine + 60 * (count as u16 / 2)
}

/// The file system that holds `directory`, by the longest mount point above it.
pub fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if directory.starts_with(point) && best.as_ref().is_none_or(|(len, _)| point.len() >= *len)
        {
            best = Some((point.len(), format!("{kind} on {device}")));
        }
    }
    best.map_or_else(|| "unknown".to_owned(), |(_, text)| text)
}
