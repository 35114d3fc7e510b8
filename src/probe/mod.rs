//! One question to a host: everything its resources read becomes one script, and what that answers
//! becomes [`Observed`]. Nothing is changed by it.

use std::collections::{BTreeMap, BTreeSet};

use crate::script::frame::{self, Frame};
use crate::script::{Call, Script};

pub(crate) const SHELL: &str = include_str!("probe.sh");
/// How the distribution calls itself.
const OS_RELEASE: &str = "/etc/os-release";
/// What is read of a file; `head` in `probe.sh` has the same number.
const CONTENT_BYTES_MAX: usize = 512 << 10;

/// What shall be read, gathered from all resources so that each command runs once.
#[derive(Debug, Default)]
pub struct Reading {
    paths: BTreeSet<String>,
    contents: BTreeSet<String>,
    digests: BTreeSet<String>,
    spaces: BTreeSet<String>,
    /// In order: what is asked of the process is asked of the first one's.
    units: Vec<String>,
    ports: Vec<u16>,
    accounts: BTreeSet<String>,
    libraries: Vec<&'static str>,
    calls: Vec<Call>,
}

impl Reading {
    pub fn path(&mut self, path: &str) {
        self.paths.insert(path.to_owned());
    }

    pub fn content(&mut self, path: &str) {
        self.contents.insert(path.to_owned());
    }

    pub fn digest(&mut self, path: &str) {
        self.digests.insert(path.to_owned());
    }

    /// Free space where `path` is, or will be.
    pub fn space(&mut self, path: &str) {
        self.spaces.insert(path.to_owned());
    }

    /// A service, as systemd sees it.
    pub fn unit(&mut self, unit: &str) {
        self.units.push(unit.to_owned());
    }

    /// Who listens there.
    pub fn port(&mut self, port: u16) {
        self.ports.push(port);
    }

    /// A user, and the group of the same name.
    pub fn account(&mut self, name: &str) {
        self.accounts.insert(name.to_owned());
    }

    pub fn library(&mut self, text: &'static str) {
        self.libraries.push(text);
    }

    /// The output of one command, as a fact.
    pub fn call<'a>(
        &mut self,
        fact: &'a str,
        command: &'a str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) {
        let words = ["fact", fact, command].into_iter().chain(arguments);
        self.calls.push(Call::new("zk_frame_of", words));
    }

    /// A function that answers with frames of its own.
    pub fn function<'a>(&mut self, name: &str, arguments: impl IntoIterator<Item = &'a str>) {
        self.calls.push(Call::new(name, arguments));
    }

    /// Appends the questions to a script, and what is asked of every host.
    pub fn ask(self, script: &mut Script) {
        script.library(SHELL);
        script.call("probe_host", []);
        script.call("probe_addresses", []);
        let mut reading = self;
        reading.content(OS_RELEASE);
        reading.ask_only(script);
    }

    /// Appends the questions alone.
    pub fn ask_only(self, script: &mut Script) {
        script.library(SHELL);
        for library in self.libraries {
            script.library(library);
        }
        if !self.paths.is_empty() {
            script.call("probe_paths", self.paths.iter().map(String::as_str));
        }
        if !self.contents.is_empty() {
            script.call("probe_contents", self.contents.iter().map(String::as_str));
        }
        if !self.digests.is_empty() {
            script.call("probe_digests", self.digests.iter().map(String::as_str));
        }
        if !self.spaces.is_empty() {
            script.call("probe_space", self.spaces.iter().map(String::as_str));
        }
        if !self.units.is_empty() {
            script.call("read_service", self.units.iter().map(String::as_str));
        }
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
            script.call("probe_ports", ports.iter().map(String::as_str));
        }
        for name in &self.accounts {
            for (kind, database) in [("user", "passwd"), ("group", "group")] {
                let fact = format!("{kind} {name}");
                script.call("zk_frame_of", ["fact", &fact, "getent", database, name]);
            }
        }
        for call in self.calls {
            script.push(call);
        }
        // The last word: without it the answer is not whole.
        script.call("zk_frame", ["live", "whole", ""]);
    }
}

/// What a probe has read on one host.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    facts: BTreeMap<String, Vec<u8>>,
    paths: BTreeMap<String, FileMetadata>,
    digests: BTreeMap<String, String>,
    /// Free kilobytes by path.
    spaces: BTreeMap<String, u64>,
    units: Vec<Unit>,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMetadata {
    pub kind: Kind,
    pub owner: String,
    pub group: String,
    /// Octal, without leading zero.
    pub mode: String,
    /// Seconds since 1970.
    pub changed_s: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    /// And where it points.
    Symlink(String),
    Other,
}

/// A unit as `systemctl show` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit(BTreeMap<String, String>);

impl Unit {
    /// A property; empty when it is not there.
    pub fn get(&self, property: &str) -> &str {
        self.0.get(property).map_or("", String::as_str)
    }
}

impl Observed {
    pub fn new(frames: impl IntoIterator<Item = Frame>) -> Self {
        let facts = frames.into_iter().map(|frame| (frame.name, frame.body)).collect();
        let mut observed = Self { facts, ..Self::default() };
        observed.split_contents();
        observed.spaces = spaces(&observed.text("space"));
        observed.paths = observed.text("paths").lines().filter_map(there).collect();
        observed.digests = observed
            .text("digests")
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
            .collect();
        observed.units = observed
            .text("units")
            .split("\n\n")
            .map(|block| {
                Unit(
                    block
                        .lines()
                        .filter_map(|line| line.split_once('='))
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .collect(),
                )
            })
            .collect();
        observed
    }

    /// Facts by name, for tests.
    pub fn of<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::new(facts.into_iter().map(|(name, body)| Frame {
            kind: frame::Kind::Fact,
            name: name.into(),
            body: body.as_bytes().to_vec(),
        }))
    }

    /// Whether the probe came to its end.
    pub fn is_whole(&self) -> bool {
        self.facts.contains_key("whole")
    }

    /// A fact as text; empty when it was not answered.
    pub fn text(&self, fact: &str) -> String {
        self.facts
            .get(fact)
            .map(|body| String::from_utf8_lossy(body).into_owned())
            .unwrap_or_default()
    }

    /// The line of a user in the accounts' files; empty when there is none.
    pub fn user(&self, name: &str) -> String {
        self.text(&format!("user {name}"))
    }

    /// The same of a group.
    pub fn group(&self, name: &str) -> String {
        self.text(&format!("group {name}"))
    }

    /// A fact byte for byte.
    pub fn fact(&self, fact: &str) -> Option<&[u8]> {
        self.facts.get(fact).map(Vec::as_slice)
    }

    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.facts.get(&format!("content {path}")).map(Vec::as_slice)
    }

    pub fn path(&self, path: &str) -> Option<&FileMetadata> {
        self.paths.get(path)
    }

    pub fn digest(&self, path: &str) -> Option<&str> {
        self.digests.get(path).map(String::as_str)
    }

    /// All units that were read.
    pub fn units(&self) -> Vec<&Unit> {
        self.units.iter().collect()
    }

    pub fn unit(&self, id: &str) -> Unit {
        self.units.iter().find(|unit| unit.get("Id") == id).cloned().unwrap_or_default()
    }

    pub fn space_kb(&self, path: &str) -> Option<u64> {
        self.spaces.get(path).copied()
    }

    /// Paths of a folder, as far as they were read.
    pub fn paths_below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a FileMetadata)> {
        let paths = self.paths.range(prefix.to_owned()..);
        paths
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, there)| (path.as_str(), there))
    }

    /// Gives each file of the frame `contents` a fact of its own. A file that changed between its
    /// size and its bytes leaves an answer that is not whole.
    fn split_contents(&mut self) {
        let Some(body) = self.facts.remove("contents") else { return };
        let Some(end) = body.windows(2).position(|pair| pair == b"\n\n") else { return };
        let sizes = String::from_utf8_lossy(&body[..end]).into_owned();
        let mut rest = &body[end + 2..];
        for line in sizes.lines() {
            let Some((size, path)) = line.split_once(' ') else { continue };
            let size = size.parse::<usize>().unwrap_or(usize::MAX).min(CONTENT_BYTES_MAX);
            let Some((content, after)) = rest.split_at_checked(size) else {
                self.facts.remove("whole");
                return;
            };
            self.facts.insert(format!("content {path}"), content.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            self.facts.remove("whole");
        }
    }

    /// The names in a directory, as far as they were read.
    pub fn listing(&self, path: &str) -> Vec<String> {
        self.text(&format!("listing {path}")).lines().map(str::to_owned).collect()
    }

    /// The architecture as `uname -m` names it.
    pub fn architecture(&self) -> String {
        self.text("kernel").split_whitespace().last().unwrap_or_default().to_owned()
    }

    /// Addresses of the host's own interfaces, loopback left out.
    pub fn addresses(&self) -> Vec<String> {
        self.text("addresses")
            .lines()
            .filter_map(|line| {
                let mut words =
                    line.split_whitespace().skip_while(|w| *w != "inet" && *w != "inet6");
                let address = words.nth(1)?.split('/').next()?;
                Some(address.to_owned())
            })
            .collect()
    }

    /// Kilobytes of memory that the host may use.
    pub fn memory_kb(&self) -> Option<u64> {
        self.text("memory").trim().parse().ok()
    }

    /// The distribution, as it calls itself.
    pub fn distribution(&self) -> String {
        self.os_release("PRETTY_NAME").unwrap_or_else(|| "Linux".into())
    }

    /// A value of `/etc/os-release`.
    pub fn os_release(&self, key: &str) -> Option<String> {
        let os = self.text(&format!("content {OS_RELEASE}"));
        let value = os.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    }
}

fn there(line: &str) -> Option<(String, FileMetadata)> {
    let mut fields = line.splitn(7, '|');
    let kind = fields.next()?;
    let (owner, group) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let mode = fields.next()?.to_owned();
    let _size = fields.next()?;
    let changed_s = fields.next()?.parse().ok()?;
    let name = fields.next()?;
    let (path, kind) = match kind {
        "regular file" | "regular empty file" => (name, Kind::File),
        "directory" => (name, Kind::Directory),
        "symbolic link" => {
            let (path, target) = name.split_once(" -> ")?;
            (path, Kind::Symlink(target.to_owned()))
        }
        _ => (name, Kind::Other),
    };
    Some((path.to_owned(), FileMetadata { kind, owner, group, mode, changed_s }))
}

/// Free kilobytes: the paths that were asked for, an empty line, df's head, and a line for each.
fn spaces(text: &str) -> BTreeMap<String, u64> {
    let Some((paths, answers)) = text.split_once("\n\n") else { return BTreeMap::new() };
    let free = answers.lines().skip(1).map(|line| line.split_whitespace().nth(3)?.parse().ok());
    let known = paths.lines().zip(free).filter_map(|(path, free)| Some((path.to_owned(), free?)));
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_stat_prints_them() {
        let observed = Observed::of([(
            "paths",
            "directory|kafka|kafka|750|4096|1795604357|/data/zookeeper\n\
             symbolic link|root|root|777|4|1795604357|/opt/kafka -> kafka_2.13-3.3.1\n\
             regular empty file|root|root|644|0|1795604357|/etc/fstab\n\
             socket|root|root|666|0|0|/run/x\n",
        )]);
        assert_eq!(observed.path("/data/zookeeper").map(|there| there.mode.as_str()), Some("750"));
        assert_eq!(
            observed.path("/opt/kafka").map(|there| &there.kind),
            Some(&Kind::Symlink("kafka_2.13-3.3.1".into()))
        );
        assert_eq!(observed.path("/etc/fstab").map(|there| &there.kind), Some(&Kind::File));
        assert_eq!(observed.path("/missing"), None);
    }

    #[test]
    fn contents_arrive_on_end_and_are_told_apart() {
        let whole = [("contents", "4 /a\n0 /b\n3 /c d\n\none\n\n\nx"), ("whole", "")];
        let observed = Observed::of(whole);
        let content = |path: &str| observed.content(path).map(<[u8]>::to_vec);
        assert_eq!(content("/a").as_deref(), Some(&b"one\n"[..]));
        assert_eq!(content("/b").as_deref(), Some(&b""[..]));
        assert_eq!(content("/c d").as_deref(), Some(&b"\n\nx"[..]));
        assert!(observed.is_whole());
        for cut in ["4 /a\n\none", "4 /a\n\none\nmore"] {
            assert!(!Observed::of([("contents", cut), ("whole", "")]).is_whole(), "{cut}");
        }
    }

    #[test]
    fn free_space_is_told_by_path() {
        let observed = Observed::of([(
            "space",
            "/data/zookeeper\n/opt\n\nFilesystem 1024-blocks Used Available Capacity Mounted on\n\
             tmpfs 1024 0 1000 0% /data\noverlay 9 4 5 80% /\n",
        )]);
        assert_eq!(observed.space_kb("/data/zookeeper"), Some(1000));
        assert_eq!(observed.space_kb("/opt"), Some(5));
        assert_eq!(observed.space_kb("/srv"), None);
    }

    #[test]
    fn addresses_come_from_iproute() {
        let observed = Observed::of([(
            "addresses",
            "2: eth0    inet 10.78.0.11/24 scope global eth0\\       valid_lft forever\n\
             2: eth0    inet6 fd00::1/64 scope global \\       valid_lft forever\n",
        )]);
        assert_eq!(observed.addresses(), ["10.78.0.11", "fd00::1"]);
    }
}
