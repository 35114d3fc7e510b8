//! `coordinator status`: asks servers how they are, as a client would.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;

use crate::access::{Access, Secured};
use crate::answers::{Mode, Peers, Probe, Status};
use crate::client::{Client, CreateOptions, Error, Options, Servers, word_over};
use crate::exit::{self, Failure};
use crate::wire::request::create_mode;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The server to ask, or several; each gets its block, and lag is told between them
    #[arg(long, value_name = "HOST:PORT[,HOST:PORT...]", default_value = "localhost:2181")]
    pub server: String,
    /// Print JSON, one object a server and line
    #[arg(long)]
    pub json: bool,
    /// Also write, read and delete a znode through each server
    #[arg(long)]
    pub probe: bool,
    /// How long to wait for each answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    pub timeout_ms: u64,
    #[command(flatten)]
    pub access: Access,
}

pub fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let servers = Servers::parse(&arguments.server)
        .map_err(|error| Failure::new(exit::USAGE, error.to_string()))?;
    let timeout = Duration::from_millis(arguments.timeout_ms);
    let secured = arguments.access.open()?;
    let mut reports: Vec<Report> =
        servers.addresses().iter().map(|address| ask(address, timeout, &secured)).collect();
    let newest = reports.iter().filter_map(|report| report.zxid).max();
    for report in &mut reports {
        report.lag = lag(newest, report.zxid);
        if arguments.probe && report.serving() {
            report.probe = Some(probe(&report.server, timeout, &secured));
        }
    }
    let text: String = reports
        .iter()
        .map(|report| if arguments.json { report.json() } else { report.text() })
        .collect();
    // Whoever closed the pipe still gets the exit code.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    let well =
        reports.iter().all(|report| report.serving() && !matches!(report.probe, Some(Err(_))));
    Ok(if well { exit::OK } else { exit::FAILED })
}

/// What one server says of itself.
#[derive(Debug, Default)]
struct Report {
    server: String,
    mode: Option<Mode>,
    version: Option<String>,
    zxid: Option<i64>,
    /// Operations behind the newest of the servers asked; `None` across epochs.
    lag: Option<i64>,
    /// Of `srvr`: connections, nodes, outstanding requests.
    connections: Option<i64>,
    node_count: Option<i64>,
    outstanding: Option<i64>,
    /// Of `mntr`, empty where it is not on the whitelist.
    monitor: BTreeMap<String, String>,
    /// Why it does not serve.
    trouble: Option<String>,
    /// How long it took, or why it failed.
    probe: Option<Result<Duration, String>>,
}

fn ask(address: &str, timeout: Duration, secured: &Secured) -> Report {
    let word = |word: &str| word_over(secured.tls.as_deref(), address, word, timeout);
    let mut report = Report { server: address.to_owned(), ..Report::default() };
    match word("srvr") {
        Ok(answer) => report.read_srvr(&answer),
        Err(error) => report.trouble = Some(format!("cannot be asked: {error}")),
    }
    if report.mode.is_some()
        && let Ok(answer) = word("mntr")
    {
        report.monitor = answer
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
    }
    report
}

/// The counter says how many operations apart two servers are, within one epoch.
fn lag(newest: Option<i64>, own: Option<i64>) -> Option<i64> {
    let (newest, own) = (newest?, own?);
    (newest >> 32 == own >> 32).then_some(newest - own)
}

impl Report {
    fn read_srvr(&mut self, answer: &str) {
        let field = |name: &str| {
            answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let number = |name: &str| field(name).and_then(|text| text.trim().parse().ok());
        let mode = field("Mode").map(str::trim);
        self.mode = mode.and_then(Mode::from_word);
        self.version = field("Zookeeper version").map(str::to_owned);
        self.zxid = field("Zxid")
            .and_then(|text| text.strip_prefix("0x"))
            .and_then(|hex| i64::from_str_radix(hex, 16).ok());
        self.connections = number("Connections");
        self.node_count = number("Node count");
        self.outstanding = number("Outstanding");
        if let (None, Some(mode)) = (self.mode, mode) {
            self.trouble = Some(format!("is in mode `{mode}`, which this release does not know"));
        } else if self.mode.is_none() {
            self.trouble = Some(match answer.trim() {
                "" => "closes the connection without an answer".to_owned(),
                text if text.contains("whitelist") => {
                    "does not answer `srvr`\n\nadd it to `4lw.commands.whitelist`".to_owned()
                }
                text => text.lines().take(2).collect::<Vec<_>>().join(". "),
            });
        }
    }

    fn serving(&self) -> bool {
        self.mode.is_some_and(Mode::serves)
    }

    fn monitored(&self, key: &str) -> Option<i64> {
        self.monitor.get(key)?.parse().ok()
    }

    /// The leader knows its peers: how many follow, how many of those closely, out of how many.
    fn peers(&self) -> Option<(i64, i64, i64)> {
        let synced = self.monitored("zk_synced_followers")?;
        let observers = self.monitored("zk_synced_observers").unwrap_or(0);
        let voters = self.monitored("zk_quorum_size")?;
        Some((self.monitored("zk_learners")?, synced + observers, voters - 1))
    }

    /// A figure about the other members; `None` where there are none, or nobody says.
    fn of_members(&self, key: &str) -> Option<i64> {
        self.mode.filter(|mode| *mode != Mode::Standalone)?;
        self.monitored(key)
    }

    /// Whether members have to know a secret.
    fn peers_authenticated(&self) -> Option<bool> {
        Some(self.of_members("zk_peers_authenticated")? != 0)
    }

    /// Linked members to which everything goes in a form that can be read on the way.
    fn peers_unencrypted(&self) -> Option<i64> {
        self.of_members("zk_peers_unencrypted")
    }

    /// What the network between the members is trusted with.
    fn trusted_network(&self) -> Option<String> {
        if self.peers_authenticated() == Some(false) {
            let text = "the members do not authenticate each other: set `coordinator.secretFile`";
            return Some(text.to_owned());
        }
        let count = self.peers_unencrypted().filter(|&count| count > 0)?;
        Some(format!(
            "what goes to {count} of the members can be read on the way: a processor lacks AES; see \
             the log, or use TLS between members"
        ))
    }

    fn text(&self) -> String {
        let mut lines = vec![("server", self.server.clone())];
        let mut put = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        put("mode", self.mode.map(|mode| mode.word().to_owned()));
        put("trouble", self.trouble.clone());
        put("zxid", self.zxid.map(|zxid| format!("{zxid:#x}")));
        put("lag", number(self.lag));
        put(
            "peers",
            self.peers().map(|(connected, synced, voters)| {
                format!("{connected} connected, {synced} synced, {voters} voters besides")
            }),
        );
        put("security", self.trusted_network());
        put("sessions", number(self.monitored("zk_global_sessions")));
        put("connections", number(self.connections));
        put("outstanding", number(self.outstanding));
        put("znodes", number(self.node_count));
        put("version", self.version.clone());
        put(
            "probe",
            self.probe.as_ref().map(|probe| match probe {
                Ok(took) => format!("written, read and deleted in {} ms", took.as_millis()),
                Err(why) => format!("failed: {why}"),
            }),
        );
        let mut text = String::new();
        for (name, value) in lines {
            text.extend([format!("{:13}", format!("{name}:")), value, "\n".to_owned()]);
        }
        text
    }

    /// One line.
    fn json(&self) -> String {
        let line = serde_json::to_string(&self.status()).expect("a status has names for keys");
        line + "\n"
    }

    fn status(&self) -> Status {
        let peers = self.peers().map(|(connected, synced, voters)| Peers {
            connected: Some(connected),
            synced: Some(synced),
            voters_besides: Some(voters),
        });
        let probe = self.probe.as_ref().map(|probe| match probe {
            Ok(took) => Probe { ok: true, ms: Some(took.as_millis() as u64), error: None },
            Err(why) => Probe { ok: false, ms: None, error: Some(why.clone()) },
        });
        Status {
            server: self.server.clone(),
            serving: self.serving(),
            mode: self.mode,
            error: self.trouble.clone(),
            version: self.version.clone(),
            zxid: self.zxid,
            epoch: self.zxid.map(|zxid| zxid >> 32),
            counter: self.zxid.map(|zxid| zxid & 0xffff_ffff),
            lag: self.lag,
            peers,
            peers_authenticated: self.peers_authenticated(),
            peers_unencrypted: self.peers_unencrypted(),
            sessions: self.monitored("zk_global_sessions"),
            connections: self.connections,
            outstanding: self.outstanding,
            node_count: self.node_count,
            probe,
        }
    }
}

/// A session, an ephemeral znode written, read and deleted: the whole way through the quorum.
fn probe(server: &str, timeout: Duration, secured: &Secured) -> Result<Duration, String> {
    let begun = Instant::now();
    let attempt = || -> Result<(), Error> {
        let options = Options { connect_timeout: timeout, ..Options::default() };
        let options = secured.options(options);
        let mut zk = Client::open(Servers::parse(server)?, options, None)?;
        let path = format!("/coordinator-probe-{:x}", zk.session().id);
        let ephemeral = CreateOptions { mode: create_mode::EPHEMERAL, ..CreateOptions::default() };
        zk.create(&path, Some(path.as_bytes()), ephemeral)?;
        let (data, _) = zk.get_data(&path, false)?;
        if data.as_deref() != Some(path.as_bytes()) {
            return Err(Error::Protocol(format!("`{path}` does not hold what was written")));
        }
        zk.delete(&path, 0)?;
        zk.close()
    };
    attempt().map(|()| begun.elapsed()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answer: &str) -> Report {
        let mut report = Report { server: "a:1".to_owned(), ..Report::default() };
        report.read_srvr(answer);
        report
    }

    #[test]
    fn srvr_answers() {
        let answer = "Zookeeper version: 3.8.0, built on x\nLatency min/avg/max: 0/0.0/0\n\
            Received: 7\nSent: 6\nConnections: 2\nOutstanding: 0\nZxid: 0x300000007\n\
            Mode: follower\nNode count: 5\n";
        let leader = report(answer);
        assert!(leader.serving());
        assert_eq!((leader.zxid, leader.connections), (Some(0x3_0000_0007), Some(2)));
        assert_eq!(leader.status().epoch, Some(3));
        for (answer, trouble) in [
            ("", "closes the connection without an answer"),
            (
                "This ZooKeeper instance is not currently serving requests\n",
                "This ZooKeeper instance is not currently serving requests",
            ),
            (
                "srvr is not executed because it is not in the whitelist.\n",
                "does not answer `srvr`\n\nadd it to `4lw.commands.whitelist`",
            ),
        ] {
            let report = report(answer);
            assert!(!report.serving());
            assert_eq!(report.trouble.as_deref(), Some(trouble));
        }
        assert!(!report("Mode: read-only\n").serving());
        let later = report("Mode: witness\n");
        assert!(!later.serving());
        let trouble = "is in mode `witness`, which this release does not know";
        assert_eq!(later.trouble.as_deref(), Some(trouble));
    }

    #[test]
    fn a_link_that_can_be_read_is_told() {
        let with = |authenticated: &str, unencrypted: &str| {
            let mut report = report("Mode: follower\n");
            report.monitor = [("authenticated", authenticated), ("unencrypted", unencrypted)]
                .map(|(name, value)| (format!("zk_peers_{name}"), value.to_owned()))
                .into();
            report
        };
        assert!(!with("1", "0").text().contains("security:"));
        assert!(with("0", "2").text().contains("do not authenticate each other"));
        let readable = with("1", "2");
        assert!(readable.text().contains("what goes to 2 of the members can be read"));
        assert_eq!(readable.status().peers_unencrypted, Some(2));
        let mut alone = with("1", "2");
        alone.mode = Some(Mode::Standalone);
        assert_eq!((alone.trusted_network(), alone.status().peers_unencrypted), (None, None));
    }

    #[test]
    fn lag_is_counted_within_an_epoch() {
        assert_eq!(lag(Some(0x1_0000_0009), Some(0x1_0000_0007)), Some(2));
        assert_eq!(lag(Some(0x2_0000_0001), Some(0x1_0000_0007)), None);
        assert_eq!(lag(None, None), None);
    }
}
