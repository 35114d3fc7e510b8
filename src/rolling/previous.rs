//! What a service ran before the last change: kept on its host just before it is changed, so that a bad
//! change can be put back, and a regretted one rolled back. Pure, but for the shell that keeps it.

use crate::cli::Part;
use crate::inventory::{Engine, Inventory};
use crate::layout::{
    BINARY, BINARY_DIR, BROKER_CONFIG_FILE, BROKER_LOGIN_FILE, BROKER_UNIT, BROKER_UNIT_FILE,
    CONFIG_FILE, LOGIN_FILE, SECRET_FILE, STATE_DIR, UNIT, UNIT_FILE,
};
use crate::plan::Step;
use crate::plan::change::{Action, Change, Lane, Phase};
use crate::plan::diff::unified;
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::plan::subject::Subject;
use crate::probe::{Kind, Observed, Reading, Unit};

/// Which way a change goes: each keeps what it replaces in a folder of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// `apply`: a later `rollback` goes back to it.
    #[default]
    Previous,
    /// `rollback`: only for a member that does not come back from it.
    Undone,
}

impl Keep {
    pub fn folder(self, part: Part) -> String {
        let way = match self {
            Self::Previous => "previous",
            Self::Undone => "undone",
        };
        match part {
            Part::Coordinator => format!("{STATE_DIR}/{way}"),
            Part::Broker => format!("{STATE_DIR}/{way}-broker"),
        }
    }
}

/// What is changed on hosts, each in its own turn of a roll.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    pub hosts: Vec<(String, Vec<Step>)>,
    /// The name of this change, as [`change_name`] makes it.
    pub change: String,
    pub keep: Keep,
}

/// The name of a change: the second in which it began, so that the last one can be told, and something
/// that is its own.
pub fn change_name(nonce: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{} {}", now.unwrap_or_default().as_secs(), &nonce[..8])
}

/// What a service reads when it starts.
pub fn reads(inventory: &Inventory, part: Part) -> Vec<String> {
    let mut reads: Vec<&str> = match part {
        Part::Coordinator => vec![UNIT_FILE, CONFIG_FILE, SECRET_FILE, LOGIN_FILE, BINARY],
        Part::Broker => vec![BROKER_UNIT_FILE, BROKER_CONFIG_FILE, BROKER_LOGIN_FILE],
    };
    let root = inventory.kafka.install_root.trim_end_matches('/');
    let release = format!("{root}/kafka");
    // Apache's engine is started out of the release that this link leads to.
    if part == Part::Coordinator && inventory.coordinator.engine == Engine::Zookeeper {
        reads.push(&release);
    }
    reads.into_iter().map(str::to_owned).collect()
}

/// What one host's service could go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousState {
    pub change: String,
    /// What would be put back, one step for each; none when what is kept is what is there.
    pub steps: Vec<Step>,
    /// It was put back before, and the process from before that still runs.
    pub stale: bool,
    /// Why it must not go back.
    pub refused: Option<(String, String)>,
}

impl PreviousState {
    /// Reads both folders and what is there now.
    pub fn read(inventory: &Inventory, part: Part, reading: &mut Reading) {
        let (previous, undone) = (Keep::Previous.folder(part), Keep::Undone.folder(part));
        reading.content(&format!("{previous}/.change"));
        reading.content(&format!("{undone}/.process"));
        for path in reads(inventory, part) {
            for path in [beside(&previous, &path), path] {
                reading.path(&path);
                if is_secret(&path) {
                    reading.digest(&path);
                } else {
                    reading.content(&path);
                }
            }
        }
    }

    /// `None` where nothing was ever changed.
    pub fn of(inventory: &Inventory, part: Part, observed: &Observed) -> Option<Self> {
        let previous = Keep::Previous.folder(part);
        let change = text(observed, &format!("{previous}/.change"))?;
        let steps: Vec<Step> = reads(inventory, part)
            .iter()
            .filter_map(|path| step(observed, part, path, &beside(&previous, path)))
            .collect();
        let unit = match part {
            Part::Coordinator => UNIT,
            Part::Broker => BROKER_UNIT,
        };
        let undone = text(observed, &format!("{}/.process", Keep::Undone.folder(part)));
        let stale = undone.is_some_and(|undone| undone == process(&observed.unit(unit)));
        let refused = refused(observed, &previous, part);
        Some(Self { change, steps, stale, refused })
    }

    /// When the change was made, in seconds since 1970.
    pub fn changed_s(&self) -> u64 {
        self.change.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// Of what is shown nowhere, digests are compared.
fn is_secret(path: &str) -> bool {
    [SECRET_FILE, LOGIN_FILE, BROKER_LOGIN_FILE]
        .iter()
        .any(|secret| path.rsplit('/').next() == secret.rsplit('/').next())
}

fn beside(folder: &str, path: &str) -> String {
    format!("{folder}/{}", path.rsplit('/').next().unwrap_or(path))
}

fn text(observed: &Observed, path: &str) -> Option<String> {
    observed.content(path).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
}

/// As `service_process` on the host writes it.
fn process(unit: &Unit) -> String {
    let line = |key: &str| format!("{key}={}", unit.get(key));
    format!("{}\n{}", line("MainPID"), line("ExecMainStartTimestamp"))
}

/// What is put back at `path` from `kept`; `None` where it is the same.
fn step(observed: &Observed, part: Part, path: &str, kept: &str) -> Option<Step> {
    let subject = Subject::File(path.to_owned());
    let (subject, reason, diff) = match &observed.path(kept)?.kind {
        Kind::Symlink(old) => {
            let now = match &observed.path(path).map(|there| &there.kind) {
                Some(Kind::Symlink(now)) => Some(now.clone()),
                _ => None,
            };
            if now.as_ref() == Some(old) {
                return None;
            }
            let reason = Reason::PreviousLink { from: now, to: old.clone() };
            (Subject::Symlink(path.to_owned()), reason, None)
        }
        _ if is_secret(path) => {
            if observed.digest(path) == observed.digest(kept) {
                return None;
            }
            (subject, Reason::PreviousSecret, None)
        }
        _ => {
            let (now, old) = (observed.content(path).unwrap_or_default(), observed.content(kept)?);
            if now == old {
                return None;
            }
            let (now, old) = (String::from_utf8_lossy(now), String::from_utf8_lossy(old));
            (subject, Reason::Previous, Some(unified(path, &now, &old)))
        }
    };
    let phase = match part {
        Part::Coordinator => Phase::Switch,
        Part::Broker => Phase::BrokerSwitch,
    };
    let operation =
        Operation::RollBack { folder: Keep::Previous.folder(part), files: vec![path.to_owned()] };
    let change = Change { diff, ..Change::new(Action::Update, reason, operation) };
    Some(Step { subject, phase, lane: Lane::Main, change })
}

/// Why a host must not go back, and what to do instead.
fn refused(observed: &Observed, previous: &str, part: Part) -> Option<(String, String)> {
    if part == Part::Broker {
        return None;
    }
    let members = |path: &str| -> Vec<String> {
        let config = text(observed, path).unwrap_or_default();
        // One's own line may say where it listens; which ids there are is what counts.
        let id = |line: &str| Some(line.strip_prefix("server.")?.split('=').next()?.to_owned());
        let mut ids: Vec<String> = config.lines().filter_map(id).collect();
        ids.sort();
        ids
    };
    let kept = beside(previous, CONFIG_FILE);
    let (then, now) = (members(&kept), members(CONFIG_FILE));
    if observed.content(&kept).is_some() && then != now {
        return Some((
            format!("the members were {} then, and are {} now", then.join(", "), now.join(", ")),
            "members come and go by `zkprov apply` with an inventory that says so".into(),
        ));
    }
    if let Kind::Symlink(binary) = &observed.path(&beside(previous, BINARY))?.kind {
        let path =
            if binary.starts_with('/') { binary.clone() } else { format!("{BINARY_DIR}/{binary}") };
        if observed.path(&path).is_none() {
            return Some((
                format!("{path}, which it ran then, is not there any more"),
                "name the binary by `coordinator.binary` in the inventory, and apply".into(),
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(previous: &str, now: &str, links: [char; 2]) -> Option<PreviousState> {
        let yaml = b"ensemble: t\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\n";
        let reading = crate::inventory::read(std::path::Path::new("inventory.yaml"), yaml, None);
        let inventory = reading.inventory.expect("valid");
        let link = |folder: &str, digit| {
            format!("symbolic link|root|root|777|1|1|{folder}/coordinator -> coordinator-{digit}\n")
        };
        let file = |path: &str| format!("regular file|root|root|644|1|1|{path}\n");
        let paths = link("/var/lib/zkprov/previous", links[0])
            + &link(BINARY_DIR, links[1])
            + &file("/var/lib/zkprov/previous/zookeeper.properties")
            + &file(CONFIG_FILE)
            + &file(&format!("{BINARY_DIR}/coordinator-a"));
        let observed = Observed::of([
            ("paths", paths.as_str()),
            ("content /var/lib/zkprov/previous/.change", "1700000000 abc\n"),
            ("content /var/lib/zkprov/previous/zookeeper.properties", previous),
            ("content /var/lib/zkprov/undone/.process", "MainPID=7\nExecMainStartTimestamp=x\n"),
            (&format!("content {CONFIG_FILE}"), now),
            ("units", "Id=zookeeper.service\nMainPID=7\nExecMainStartTimestamp=x\n"),
        ]);
        PreviousState::of(&inventory, Part::Coordinator, &observed)
    }

    fn names(kept: &PreviousState) -> Vec<String> {
        kept.steps.iter().map(Step::name).collect()
    }

    #[test]
    fn only_what_differs_goes_back() {
        let found = kept("tickTime=1\n", "tickTime=2\n", ['a', 'b']).expect("kept");
        assert_eq!(names(&found), [format!("file {CONFIG_FILE}"), format!("symlink {BINARY}")]);
        assert_eq!(found.changed_s(), 1_700_000_000);
        assert!(found.refused.is_none());
        let same = kept("tickTime=1\n", "tickTime=1\n", ['a', 'a']).expect("kept");
        assert!(same.steps.is_empty());
        assert!(same.stale, "the process from before the rollback still runs");
    }

    #[test]
    fn what_cannot_go_back_is_refused_by_name() {
        let cause = |previous, now, links| {
            kept(previous, now, links).and_then(|kept| kept.refused).expect("refused").0
        };
        let other = cause("server.1=a\n", "server.1=a\nserver.2=b\n", ['a', 'a']);
        assert!(other.contains("1 then, and are 1, 2 now"), "{other}");
        let gone = cause("", "", ['c', 'a']);
        assert!(gone.contains("coordinator-c"), "{gone}");
    }
}
