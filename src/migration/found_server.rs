//! An Apache ZooKeeper as one host shows it: how it was started, what it reads, what it is a member of.
//!
//! All of it was said by the host, so that nothing is taken at its word: paths, names and numbers are checked
//! as those of an inventory are, and what is shown is one line.

use std::collections::BTreeMap;

use coordinator::config::read_properties;

use crate::inventory::address::Address;
use crate::inventory::scalar;
use crate::probe::Observed;

/// Servers of an ensemble; ZooKeeper's own ids end there.
const MEMBERS_MAX: usize = 255;
/// Brokers that are looked at on one host.
const BROKERS_MAX: usize = 4;

/// One host's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundServer {
    pub unit_file: String,
    pub drop_ins: Vec<String>,
    pub account: String,
    pub config_path: String,
    /// As the file has them; later ones win.
    pub config: BTreeMap<String, String>,
    /// `server.N` lines, of the dynamic file too.
    pub members: BTreeMap<u8, MemberLine>,
    pub myid: Option<u8>,
    /// By the jar's name.
    pub version: Option<String>,
    /// Flags of Java's own, and system properties that say nothing to ZooKeeper.
    pub flags: Vec<String>,
    pub data_kb: Option<u64>,
    pub brokers: Vec<FoundBroker>,
}

/// `server.N=ADDRESS:QUORUM:ELECTION[:ROLE][;CLIENT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLine {
    pub address: String,
    pub quorum: u16,
    pub election: u16,
    pub observer: bool,
    pub client: Option<u16>,
}

/// A broker, as far as its file may be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundBroker {
    pub file: String,
    pub unit: String,
    pub values: BTreeMap<String, String>,
    /// Names of the other keys.
    pub keys: Vec<String>,
}

impl FoundServer {
    /// What a host has answered; else why there is nothing to adopt.
    pub fn of(observed: &Observed) -> Result<Self, String> {
        let fact = |name: &str| observed.text(name).trim().to_owned();
        let servers = fact("servers");
        match servers.split_whitespace().count() {
            1 => {}
            0 => return Err("no Apache ZooKeeper runs there: what is adopted is what lives".into()),
            count => {
                return Err(format!(
                    "{count} servers of Apache ZooKeeper run there, and a host has one"
                ));
            }
        }
        if fact("inside") == "yes" {
            return Err("its server runs in a container: zkprov works with systemd's units on the host itself; \
                        docs/migration.md has the steps for a container's volume"
                .into());
        }
        let config_path = fact("config_path");
        path(&config_path, "its configuration")?;
        let config =
            observed.fact("config").ok_or_else(|| format!("{config_path} cannot be read"))?;
        let config =
            entries(config).ok_or_else(|| format!("{config_path} is not a properties file"))?;
        let account = fact("account");
        scalar::user(&account)
            .map_err(|wrong| format!("the account of its server: {}", wrong.message))?;
        let (unit_file, drop_ins) = unit(&observed.text("unit"))?;
        let mut lines = config.clone();
        if let Some(dynamic) = observed.fact("dynamic") {
            lines.extend(
                entries(dynamic).ok_or("its dynamic configuration is not a properties file")?,
            );
        }
        let members = members(&lines)?;
        let words = observed.text("words");
        let (from_java, flags) = java(&words);
        // A property of Java's wins: the file's are set where there is none.
        let config = config.into_iter().chain(from_java).collect();
        Ok(Self {
            unit_file,
            drop_ins,
            account,
            config_path,
            config,
            members,
            myid: fact("myid").parse().ok().filter(|id| *id > 0),
            version: version(&fact("jar")),
            flags,
            data_kb: fact("size").split_whitespace().next().and_then(|size| size.parse().ok()),
            brokers: brokers(&observed.text("broker")),
        })
    }

    pub fn value(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }
}

fn path(text: &str, what: &str) -> Result<(), String> {
    scalar::remote_path(text).map_err(|wrong| format!("{what}: {}", wrong.message))
}

/// The last of each key, as Java keeps them.
fn entries(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    Some(read_properties(bytes)?.into_iter().collect())
}

/// Where the unit comes from, and what is laid over it.
fn unit(text: &str) -> Result<(String, Vec<String>), String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim().to_owned()
    };
    let file = value("FragmentPath");
    let service = file.rsplit('/').next().unwrap_or_default();
    if file.is_empty() || value("Id").starts_with("user@") || value("Id").starts_with("session-") {
        return Err("its server runs under no unit of systemd's, so that nothing starts it again after a boot: \
                    write one (`zkprov template show zookeeper.service` shows how ours looks), and start it by that"
            .into());
    }
    path(&file, "its unit")?;
    if service != value("Id") || service.contains('@') {
        return Err(format!(
            "its unit is {}, from {file}: one of a template, which cannot be adopted",
            value("Id")
        ));
    }
    let drop_ins = value("DropInPaths").split_whitespace().map(str::to_owned).collect();
    Ok((file, drop_ins))
}

fn members(config: &BTreeMap<String, String>) -> Result<BTreeMap<u8, MemberLine>, String> {
    let mut members = BTreeMap::new();
    for (key, value) in config {
        let Some(id) = key.strip_prefix("server.") else { continue };
        let wrong = || format!("`{key}={value}` cannot be read: a member is ADDRESS:PORT:PORT");
        let id: u8 = id
            .trim()
            .parse()
            .ok()
            .filter(|id| *id > 0)
            .ok_or_else(|| format!("`{key}`: ids from 1 to {MEMBERS_MAX} can be adopted"))?;
        members.insert(id, MemberLine::parse(value).ok_or_else(wrong)?);
    }
    Ok(members)
}

impl MemberLine {
    fn parse(text: &str) -> Option<Self> {
        let (server, client) = match text.split_once(';') {
            Some((server, client)) => (server, client.rsplit(':').next()?.trim().parse().ok()),
            None => (text, None),
        };
        // Several addresses of one member are a thing of 3.6 and later.
        if server.contains('|') {
            return None;
        }
        let (address, rest) = match server.trim().strip_prefix('[') {
            Some(six) => {
                six.split_once(']').and_then(|(six, rest)| Some((six, rest.strip_prefix(':')?)))?
            }
            None => server.trim().split_once(':')?,
        };
        let mut parts = rest.split(':').map(str::trim);
        let (quorum, election) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let observer = match parts.next() {
            None | Some("participant") => false,
            Some("observer") => true,
            Some(_) => return None,
        };
        Address::parse(address).ok()?;
        Some(Self { address: address.to_owned(), quorum, election, observer, client })
    }

    /// Whether it says where the member listens, and not where it is.
    pub fn is_wildcard(&self) -> bool {
        Address::parse(&self.address).is_ok_and(|address| address.is_wildcard())
    }
}

/// What Java was started with: system properties that ZooKeeper reads as keys of its file, and the rest.
fn java(words: &str) -> (Vec<(String, String)>, Vec<String>) {
    let (mut properties, mut flags) = (Vec::new(), Vec::new());
    for word in
        words.lines().skip(1).take_while(|word| word.starts_with('-') || word.contains(".jar"))
    {
        let set = word.strip_prefix("-D").and_then(|set| set.split_once('='));
        match set {
            Some((key, value))
                if key == "jute.maxbuffer" || key == "java.security.auth.login.config" =>
            {
                properties.push((key.to_owned(), value.to_owned()));
            }
            Some((key, value)) if key.starts_with("zookeeper.") => {
                let key = key.trim_start_matches("zookeeper.");
                // Of its logging, which is systemd's here.
                if !key.starts_with("log.")
                    && !key.starts_with("root.logger")
                    && !key.starts_with("console.")
                {
                    properties.push((key.to_owned(), value.to_owned()));
                }
            }
            _ if word == "-cp" || word == "-classpath" || !word.starts_with('-') => {}
            _ => flags.push(word.to_owned()),
        }
    }
    (properties, flags)
}

/// `…/zookeeper-3.8.0.jar`.
fn version(jar: &str) -> Option<String> {
    let name = jar
        .lines()
        .next()?
        .trim()
        .rsplit('/')
        .next()?
        .strip_prefix("zookeeper-")?
        .strip_suffix(".jar")?;
    // Debian's has its revision in the package alone; others add `-ccs` and the like.
    let version = name.split('-').next()?;
    let numbers = version.split('.').count();
    let plain =
        version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    (plain && (2..=4).contains(&numbers)).then(|| version.to_owned())
}

fn brokers(text: &str) -> Vec<FoundBroker> {
    let mut found: Vec<FoundBroker> = Vec::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "file" {
            if found.len() == BROKERS_MAX {
                break;
            }
            found.push(FoundBroker { file: rest.to_owned(), ..FoundBroker::default() });
            continue;
        }
        let Some(broker) = found.last_mut() else { continue };
        match word {
            "unit" => rest.clone_into(&mut broker.unit),
            "value" => {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                broker.values.insert(key.to_owned(), value.trim().to_owned());
            }
            "key" => broker.keys.push(rest.to_owned()),
            _ => {}
        }
    }
    found
}
