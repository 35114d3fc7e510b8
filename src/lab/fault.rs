//! What may befall a host: power cuts, pulled cables, frozen processes, full disks, new keys.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::record::{Condition, Host, Lab};
use super::relay::Wire;
use super::tool::{run, tool};
use super::{network, seed};
use crate::failure::Failure;

/// How long an orderly shutdown may take.
const SHUTDOWN_LIMIT: Duration = Duration::from_mins(2);

/// How long the relay of a slow wire may take to make its taps.
const RELAY_LIMIT: Duration = Duration::from_secs(10);

impl Lab {
    /// Cuts the host's power.
    pub fn kill(&self, host: &Host) -> Result<(), Failure> {
        self.cut_power(host)
    }

    /// Switches a stopped host on again, its disk as it was, and waits until it lets people in.
    pub fn start(&self, host: &Host) -> Result<(), Failure> {
        if self.condition(host) != Condition::Stopped {
            return Err(Failure::failed("the host is running").host(&host.name));
        }
        self.boot(host)?;
        self.settle(host)
    }

    /// An orderly shutdown by the host's own systemd.
    pub fn poweroff(&self, host: &Host) -> Result<(), Failure> {
        self.signal(host, "RTMIN+4")?;
        let leader = self.leader(host);
        wait(host, || leader.is_none() || self.leader(host) != leader)?;
        self.cut_power(host)
    }

    /// An orderly reboot by the host's own systemd; waits until the host lets people in again.
    pub fn reboot(&self, host: &Host) -> Result<(), Failure> {
        let before = self.leader(host);
        self.signal(host, "RTMIN+5")?;
        wait(host, || self.leader(host).is_some_and(|leader| Some(leader) != before))?;
        self.settle(host)
    }

    /// Stops every process of the host where it stands: connections stay open, nobody answers.
    pub fn freeze(&self, host: &Host) -> Result<(), Failure> {
        self.cgroup(host)?.freeze(true).map_err(|failure| failure.host(&host.name))
    }

    /// Lets a frozen host go on.
    pub fn thaw(&self, host: &Host) -> Result<(), Failure> {
        self.cgroup(host)?.freeze(false).map_err(|failure| failure.host(&host.name))
    }

    /// Pulls the host's cable.
    pub fn cut(&self, host: &Host) -> Result<(), Failure> {
        self.network.plug(host.number, false)
    }

    /// Plugs the host's cable in again.
    pub fn join(&self, host: &Host) -> Result<(), Failure> {
        self.network.plug(host.number, true)
    }

    /// Silently drops what two hosts send each other; `None` is the controller.
    pub fn drop_between(&self, one: &Host, other: Option<&Host>) -> Result<(), Failure> {
        let other = other.map_or_else(|| self.network.controller(), |host| host.address.clone());
        self.network.drop_between(&one.address, &other)
    }

    /// Ends every [`Self::drop_between`].
    pub fn drop_nothing(&self) {
        self.network.drop_nothing();
    }

    /// Makes the host's wire slow and lossy; a wire without either is the plain cable again.
    pub fn delay(&self, host: &Host, wire: Wire) -> Result<(), Failure> {
        self.network.unsplice(host.number)?;
        if wire.delay.is_zero() && wire.loss_permille == 0 {
            return Ok(());
        }
        let own = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("cannot find zkprov's own file: {error}")))?;
        let ends = self.network.wire(host.number);
        let mut relay = tool("setsid");
        relay.arg("--fork").arg(own).args(["lab", "relay"]).args(&ends);
        relay.arg(wire.delay.as_micros().to_string()).arg(wire.loss_permille.to_string());
        let started = relay.stdout(Stdio::null()).stderr(Stdio::null());
        super::tool::output(started.current_dir("/"))?;
        let waited = Instant::now();
        while !ends.iter().all(|end| network::exists(end)) {
            if waited.elapsed() > RELAY_LIMIT {
                return Err(Failure::failed("no slow wire: its relay did not start")
                    .host(&host.name)
                    .hint("is there a /dev/net/tun on this machine?"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.network.splice(host.number)
    }

    /// Leaves only so many megabytes free at `path`, by a small file system mounted over it.
    pub fn fill(&self, host: &Host, path: &str, megabytes: u32) -> Result<(), Failure> {
        let size = format!("size={megabytes}m,mode=755");
        self.exec(host, &["mount", "-t", "tmpfs", "-o", &size, "lab", path]).map(drop)
    }

    /// Gives the host another key, one that nobody knows.
    pub fn rekey(&self, host: &Host) -> Result<(), Failure> {
        let key = self.disk(host).join("etc/ssh/ssh_host_ed25519_key");
        let _ = fs::remove_file(&key);
        let _ = fs::remove_file(key.with_extension("pub"));
        seed::key_pair(&key, "rekeyed")?;
        // From OpenSSH 9.8 on the listener hands each session the keys that it read when it began.
        self.exec(host, &["systemctl", "reload-or-restart", "ssh"]).map(drop)
    }

    /// Logins and sessions that the host's sshd has noted since the host was fresh.
    pub fn sessions(&self, host: &Host) -> Result<(usize, usize), Failure> {
        if self.condition(host) == Condition::Running {
            // What sshd said reaches the journal's files some time after the session's end.
            self.exec(host, &["journalctl", "--sync"])?;
        }
        let journal = self.written(host).join("var/log/journal").display().to_string();
        let text = run(
            "journalctl",
            ["-D", &journal, "-q", "-o", "cat", "-t", "sshd", "-t", "sshd-session"],
        )?;
        // `sshd-session` since OpenSSH 9.8. Not `Accepted key`, which only says that a key would do.
        let accepted = ["Accepted publickey", "Accepted password", "Accepted keyboard"];
        let logins =
            text.lines().filter(|line| accepted.iter().any(|how| line.starts_with(how))).count();
        let sessions = text.lines().filter(|line| line.starts_with("Starting session")).count();
        Ok((logins, sessions))
    }

    fn signal(&self, host: &Host, signal: &str) -> Result<(), Failure> {
        let leader = self
            .leader(host)
            .ok_or_else(|| Failure::failed("the host is not running").host(&host.name))?;
        run("kill", ["-s", signal, &leader.to_string()]).map(drop)
    }
}

fn wait(host: &Host, done: impl Fn() -> bool) -> Result<(), Failure> {
    let started = Instant::now();
    while !done() {
        if started.elapsed() > SHUTDOWN_LIMIT {
            return Err(Failure::failed(format!(
                "not shut down within {} s",
                SHUTDOWN_LIMIT.as_secs()
            ))
            .host(&host.name));
        }
        thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}
