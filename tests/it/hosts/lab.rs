//! Three hosts, their inventory and a small release; and `zkprov` as it is run on them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::watched::zkprov;

pub(super) const HOSTS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];

/// What a command printed, and how it ended.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    pub(super) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(super) fn says(self, text: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(text), "`{text}` is not in:\n{all}");
        self
    }
}

/// Three hosts, their inventory, and a small release.
pub(super) struct Lab {
    pub(super) folder: tempfile::TempDir,
    pub(super) inventory: PathBuf,
    name: &'static str,
    /// The first three octets of its hosts' addresses.
    pub(super) network: &'static str,
}

impl Lab {
    /// `releases` as `zkprov lab up --release` takes them; this machine's own where there is none.
    pub(super) fn up(name: &'static str, network: &'static str, releases: &str) -> Self {
        Self::of_hosts(3, name, network, releases)
    }

    pub(super) fn of_hosts(
        count: u8,
        name: &'static str,
        network: &'static str,
        releases: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inventory = folder.path().join("inventory.yaml");
        let lab = Self { folder, inventory, name, network };
        let path = lab.inventory.display().to_string();
        let count = count.to_string();
        let mut words = vec!["up", &count, "--network", network, "--inventory", &path];
        if !releases.is_empty() {
            words.extend(["--release", releases]);
        }
        lab.lab(&words).ends(0);
        let tarball = release(lab.folder.path());
        lab.append(&tarball);
        lab
    }

    pub(super) fn append(&self, text: &str) {
        let file = std::fs::OpenOptions::new().append(true).open(&self.inventory);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the inventory");
    }

    /// The inventory with another text in it, as a file of its own.
    pub(super) fn variant(&self, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(&self.inventory).expect("the inventory");
        assert!(text.contains(from), "`{from}` is not in\n{text}");
        let path = self.folder.path().join("variant.yaml");
        std::fs::write(&path, text.replace(from, to)).expect("written");
        path.display().to_string()
    }

    pub(super) fn lab(&self, words: &[&str]) -> Ran {
        let output = zkprov().args(["lab", "--name", self.name]).args(words).output();
        Ran::of(&output.expect("zkprov runs"))
    }

    /// Runs a shell line on a host, past ssh.
    pub(super) fn on(&self, host: &str, line: &str) -> String {
        self.lab(&["exec", host, "--", "/bin/sh", "-c", line]).ends(0).stdout
    }

    /// A file on a host, past ssh.
    pub(super) fn put(&self, host: &str, path: &str, text: &str) {
        let quoted = text.replace('\'', r"'\''");
        self.on(host, &format!("printf '%s' '{quoted}' >{path}"));
    }

    /// A command on the lab's inventory.
    pub(super) fn run(&self, words: &[&str]) -> Ran {
        let (command, rest) = words.split_first().expect("a command");
        self.run_on(&self.inventory.display().to_string(), command, rest)
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn run_on(&self, inventory: &str, command: &str, rest: &[&str]) -> Ran {
        let output = zkprov().args(command.split(' ')).arg(inventory).args(rest).output();
        Ran::of(&output.expect("zkprov runs"))
    }

    /// Logins and sessions of each host so far.
    pub(super) fn sessions(&self) -> BTreeMap<String, (u32, u32)> {
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

    /// Every name on a host's disk; what a login itself writes is left out.
    pub(super) fn disk(&self, host: &str) -> BTreeMap<String, String> {
        crate::lab::disk(|line| self.on(host, line), &[])
    }

    pub(super) fn fresh(&self) {
        self.lab(&["reset"]).ends(0);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = zkprov().args(["lab", "--name", self.name, "down"]).output();
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
