//! Five hosts for the ensemble that lives on them, and `zkprov` run on inventories of some of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use crate::watched::{Watched, zkprov};

const NAME: &str = "zkliv";
const NETWORK: &str = "10.71.62";
const COUNT: u8 = 5;

/// What a command printed, and how it ended.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) all: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = [output.stdout.clone(), output.stderr.clone()].concat();
        Self {
            code: output.status.code().unwrap_or(-1),
            all: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    #[track_caller]
    pub(super) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}", self.all);
        self
    }

    #[track_caller]
    pub(super) fn says(self, text: &str) -> Self {
        assert!(self.all.contains(text), "`{text}` is not in:\n{}", self.all);
        self
    }
}

/// Waits for the end of a run that was watched.
pub(super) fn end(watched: Watched) -> Ran {
    let (code, all) = watched.end();
    Ran { code, all }
}

pub(super) struct Lab {
    folder: tempfile::TempDir,
    /// The lines of the lab's inventory above its hosts.
    head: String,
    hosts: BTreeMap<String, String>,
}

impl Lab {
    pub(super) fn up() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lab.yaml");
        let (count, path) = (COUNT.to_string(), path.display().to_string());
        lab(&["up", &count, "--network", NETWORK, "--inventory", &path]).ends(0);
        let text = std::fs::read_to_string(&path).expect("the inventory");
        let (head, hosts) = text.split_once("hosts:\n").expect("hosts");
        let host = |line: &str| {
            let name = line.trim().split(':').next().unwrap_or_default().to_owned();
            let address = line.split("address: ").nth(1)?.split(',').next()?.to_owned();
            Some((name, address))
        };
        let hosts = hosts.lines().filter_map(host).collect();
        Self { head: head.to_owned(), hosts, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An inventory of `members`, in which the n-th host has the id behind its name; `more` is said
    /// below.
    pub(super) fn inventory(&self, members: &[(&str, u8)], more: &str) -> String {
        let mut text = format!("{}hosts:\n", self.head);
        for (host, id) in members {
            let _ = writeln!(text, "  {host}: {{ address: {}, myid: {id} }}", self.hosts[*host]);
        }
        let _ = write!(text, "kafka: {{ install: false }}\n{more}");
        let file = tempfile::Builder::new().suffix(".yaml").tempfile_in(self.folder());
        let (_, path) = file.and_then(|file| Ok(file.keep()?)).expect("a file");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// Where clients find these hosts' servers.
    pub(super) fn servers(&self, hosts: &[&str]) -> Vec<String> {
        hosts.iter().map(|host| format!("{}:2181", self.hosts[*host])).collect()
    }

    /// Runs a shell line on a host, past ssh.
    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn on(&self, host: &str, line: &str) -> String {
        lab(&["exec", host, "--", "/bin/sh", "-c", line]).ends(0).all
    }

    /// Something befalls a host.
    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn befall(&self, words: &[&str]) {
        lab(words).ends(0);
    }

    pub(super) fn pid(&self, host: &str) -> String {
        self.on(host, "systemctl show -p MainPID --value zookeeper.service")
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn certs(&self, words: &[&str]) -> Ran {
        Ran::of(&zkprov().arg("certs").args(words).output().expect("zkprov runs"))
    }

    pub(super) fn leader(&self, inventory: &str) -> String {
        let table = self.run(inventory, "status", &[]).all;
        let line = table.lines().find(|line| line.contains(" leader ")).expect("a leader");
        line.split_whitespace().next().unwrap_or_default().to_owned()
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn run(&self, inventory: &str, command: &str, rest: &[&str]) -> Ran {
        let output = zkprov().args(command.split(' ')).arg(inventory).args(rest).output();
        Ran::of(&output.expect("zkprov runs"))
    }

    /// The same, watched while it runs; what it says on stdout is left out.
    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn watch(&self, inventory: &str, command: &str, rest: &[&str]) -> Watched {
        Watched::start(Path::new(inventory), command, rest)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        lab(&["down"]);
    }
}

fn lab(words: &[&str]) -> Ran {
    let output = zkprov().args(["lab", "--name", NAME]).args(words).output();
    Ran::of(&output.expect("zkprov runs"))
}
