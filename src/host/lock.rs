//! The operator lock: one run at a time changes an ensemble. It is held on the hosts themselves, by
//! the session that works there; who holds a majority goes on, who does not leaves everything as it is.

use std::time::Duration;

use tokio::sync::watch;

use crate::failure::Failure;
use crate::host::conversation::Event;
use crate::host::session::HostSession;
use crate::script::frame::{Frame, Kind};
use crate::script::{self, Script};

pub const SHELL: &str = include_str!("lock.sh");
/// How long a host's lock is waited for. A run that cannot get a majority ends well before.
const WAIT_S: &str = "10";
/// A held lock ends with its session; this is only for a controller that is frozen.
const HOLD: Duration = Duration::from_hours(4);

/// Who asks for the lock.
#[derive(Clone, Debug)]
pub struct Operator {
    pub run: String,
    pub holder: String,
}

impl Operator {
    /// This process.
    pub fn me() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (user, host) = (user().unwrap_or_else(|| "somebody".into()), host.trim().to_owned());
        let pid = std::process::id();
        Self { run: script::nonce()[..12].to_owned(), holder: format!("{user}@{host}, pid {pid}") }
    }

    /// Makes a script take the lock before anything else, and wait for the word to go on.
    pub fn guard(&self, script: &mut Script) {
        script.library(SHELL);
        script.call("zk_pulse", []);
        script.call("lock_take", [WAIT_S, &self.run, &self.holder]);
        script.line("[ $? = 0 ] && read -r zk_go <&3 && [ \"$zk_go\" = go ] || exit 3");
    }
}

/// The name of the user this process runs as.
fn user() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?;
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().find(|line| line.split(':').nth(2) == Some(uid));
    entry
        .and_then(|line| line.split(':').next())
        .map_or_else(|| format!("uid {uid}"), str::to_owned)
        .into()
}

/// What a host has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Held,
    /// By whom, since when.
    Refused(String),
}

impl Answer {
    /// From the frame of `lock_take`.
    pub fn of(frame: &Frame) -> Option<Self> {
        if frame.kind != Kind::Lock {
            return None;
        }
        if frame.name == "held" {
            return Some(Self::Held);
        }
        let text = frame.text();
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default().trim().to_owned();
        let (now, run, holder, since) = (line(), line(), line(), line());
        let age =
            now.parse::<i64>().ok().zip(since.parse::<i64>().ok()).map(|(now, then)| now - then);
        let age = age.map_or_else(String::new, |age| format!(", for {age} s"));
        Some(Self::Refused(format!("{holder} holds the lock with run {run}{age}")))
    }
}

/// Counts the answers of all hosts, and tells when a majority is held or cannot be.
#[derive(Debug)]
pub struct Ballot {
    hosts: usize,
    answers: std::sync::Mutex<Vec<Answer>>,
    decision: watch::Sender<Option<bool>>,
}

impl Ballot {
    pub fn new(hosts: usize) -> Self {
        Self { hosts, answers: std::sync::Mutex::default(), decision: watch::channel(None).0 }
    }

    /// What the word to go on is read from.
    pub fn decision(&self) -> watch::Receiver<Option<bool>> {
        self.decision.subscribe()
    }

    /// One host's answer; a host that is lost counts as refused.
    pub fn cast(&self, answer: Answer) {
        let mut answers = self.answers.lock().expect("no panic while held");
        answers.push(answer);
        let held = answers.iter().filter(|answer| **answer == Answer::Held).count();
        if held > self.hosts / 2 {
            self.decision.send_replace(Some(true));
        } else if answers.len() - held >= self.hosts.div_ceil(2) {
            self.decision.send_replace(Some(false));
        }
    }

    /// A session that held the lock has ended by itself; true when that was the majority's last.
    fn lose(&self) -> bool {
        let mut answers = self.answers.lock().expect("no panic while held");
        let held = answers.iter().filter(|answer| **answer == Answer::Held).count();
        if let Some(answer) = answers.iter_mut().find(|answer| **answer == Answer::Held) {
            *answer = Answer::Refused("nobody: its session has ended".into());
        }
        *self.decision.borrow() == Some(true) && held == self.hosts / 2 + 1
    }

    /// Why no majority was to be had.
    pub fn refusal(&self) -> Option<Failure> {
        if *self.decision.borrow() != Some(false) {
            return None;
        }
        let answers = self.answers.lock().expect("no panic while held");
        let holder = answers.iter().find_map(|answer| match answer {
            Answer::Refused(holder) => Some(holder.clone()),
            Answer::Held => None,
        })?;
        Some(
            Failure::refused(format!("another run is at work: {holder}")).hint(
                "wait for it; should it be dead for good, `zkprov unlock` ends it on the hosts",
            ),
        )
    }
}

/// Locks of a run that works with several commands, each held by a session of its own.
#[derive(Debug)]
pub struct Held {
    release: watch::Sender<bool>,
}

/// Holds the lock on as many of these hosts as can be had, while `work` runs; refuses without a
/// majority of them. `lost` is told when the majority is lost on the way: hosts that died, or
/// somebody's `zkprov unlock`.
pub async fn holding<T>(
    operator: &Operator,
    sessions: &[HostSession<'_>],
    lost: impl Fn(),
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let ballot = Ballot::new(sessions.len());
    let (release, released) = watch::channel(false);
    let held = Held { release };
    let holders = futures_util::future::join_all(sessions.iter().map(|session| {
        let (ballot, released, lost) = (&ballot, released.clone(), &lost);
        async move {
            let mut script = Script::new(&script::nonce());
            operator.guard(&mut script);
            script.call("lock_hold", []);
            let mut answer = None;
            let ended = session.link.run_until(
                &script,
                &[],
                HOLD,
                Some(ballot.decision()),
                released.clone(),
                |event| {
                    if let Event::Frame(frame) = event
                        && let Some(given) = Answer::of(&frame)
                    {
                        answer = Some(given.clone());
                        ballot.cast(given);
                    }
                },
            );
            let ended = ended.await;
            match answer {
                Some(Answer::Held) if !*released.borrow() && ballot.lose() => lost(),
                Some(_) => {}
                None => {
                    let why =
                        ended.err().map_or_else(|| "no answer".into(), |failure| failure.cause);
                    ballot.cast(Answer::Refused(format!("{}: {why}", session.host.name)));
                }
            }
        }
    }));
    let worked = async {
        let mut decision = ballot.decision();
        let decided = decision.wait_for(Option::is_some).await.map(|decided| *decided);
        match decided {
            Ok(Some(true)) => work.await,
            _ => Err(ballot
                .refusal()
                .unwrap_or_else(|| Failure::refused("the operator lock cannot be had"))),
        }
    };
    tokio::pin!(worked);
    tokio::pin!(holders);
    let mut ended = false;
    let outcome = loop {
        tokio::select! {
            outcome = &mut worked => break outcome,
            _ = &mut holders, if !ended => ended = true,
        }
    };
    held.release.send_replace(true);
    if !ended {
        let _ = tokio::time::timeout(Duration::from_secs(2), holders).await;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_decides_and_a_minority_never_goes_on() {
        let refused = || Answer::Refused("ann@x, pid 7 holds the lock with run 1, for 3 s".into());
        let decide = |answers: &[Answer]| {
            let ballot = Ballot::new(3);
            for answer in answers {
                ballot.cast(answer.clone());
            }
            let decision = *ballot.decision().borrow();
            (decision, ballot.refusal().is_some())
        };
        assert_eq!(decide(&[Answer::Held]), (None, false));
        assert_eq!(decide(&[Answer::Held, refused()]), (None, false));
        assert_eq!(decide(&[Answer::Held, refused(), Answer::Held]), (Some(true), false));
        assert_eq!(decide(&[refused(), Answer::Held, refused()]), (Some(false), true));
    }

    #[test]
    fn a_refusal_says_who_and_since_when() {
        let frame = Frame {
            kind: Kind::Lock,
            name: "refused".into(),
            body: b"1000\nabc\nann@ops, pid 7\n940\n4711".to_vec(),
        };
        assert_eq!(
            Answer::of(&frame),
            Some(Answer::Refused("ann@ops, pid 7 holds the lock with run abc, for 60 s".into()))
        );
    }
}
