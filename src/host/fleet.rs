//! All hosts at once: logs in, asks, changes. Each host succeeds or fails apart from the others.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::execute::{self, Progress};
use crate::host::lock::{Answer, Ballot, Operator};
use crate::host::{Connector, Event, Link};
use crate::inventory::Host;
use crate::plan::{HostPlan, Step};
use crate::probe::{Observed, Reading};
use crate::script::frame::Frame;
use crate::script::{self, Script};

/// A probe reads small files; a host that needs longer hangs.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);
/// What one script may answer: each file of a probe is shorter than a megabyte, and there are some tens.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Facts and steps are some hundreds.
const ANSWER_FRAMES_MAX: usize = 10_000;

/// The hosts a run works on, and the limits it works within.
#[derive(Debug)]
pub struct Fleet {
    pub connector: Connector,
    forks: Semaphore,
}

/// A host that has answered; the login stays open for what follows.
#[derive(Debug)]
pub struct Asked<'a> {
    pub host: &'a Host,
    pub link: Link,
    pub observed: Observed,
    /// The host's clock against the controller's, as far as the round trip lets it be known.
    pub skew: Skew,
}

/// How far a clock is off, between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    pub least_ms: i64,
    pub most_ms: i64,
}

impl Skew {
    /// The smallest deviation that is certain.
    pub fn certain_ms(self) -> i64 {
        if self.least_ms > 0 {
            self.least_ms
        } else if self.most_ms < 0 {
            self.most_ms
        } else {
            0
        }
    }
}

/// What is heard while hosts are worked on.
pub enum News<'a> {
    /// A host's step began.
    Begin(&'a str),
    /// It is done; `output` is what it printed.
    Done {
        step: &'a str,
        output: &'a str,
    },
    Failed(&'a str),
    /// Payload bytes that have left, of so many.
    Sent(u64, u64),
}

impl Fleet {
    pub fn new(connector: Connector, forks: usize) -> Self {
        Self { connector, forks: Semaphore::new(forks.max(1)) }
    }

    /// Logs in to every host and asks what `reading` says.
    pub async fn probe<'a>(
        &self,
        hosts: &[&'a Host],
        reading: impl Fn(&'a Host) -> Result<Reading, Failure>,
    ) -> Vec<(&'a Host, Result<Asked<'a>, Failure>)> {
        join_all(hosts.iter().map(|&host| {
            let reading = reading(host);
            async move {
                let asked = async {
                    let _permit = self.forks.acquire().await.expect("never closed");
                    let link = self.connector.connect(host).await?;
                    match observe(&link, host, reading?).await {
                        Ok((observed, skew)) => Ok(Asked { host, link, observed, skew }),
                        Err(failure) => {
                            link.close().await;
                            Err(failure)
                        }
                    }
                };
                (host, asked.await)
            }
        }))
        .await
    }

    /// Runs `steps` of one host's plan, and tells how it goes.
    pub async fn change(
        &self,
        asked: &Asked<'_>,
        plan: &HostPlan,
        steps: &[&Step],
        lock: (&Operator, &Ballot),
        mut news: impl FnMut(News<'_>),
    ) -> (Progress, Result<(), Failure>) {
        let (operator, ballot) = lock;
        let _permit = self.forks.acquire().await.expect("never closed");
        let program = execute::program(&script::nonce(), operator, steps, asked.host);
        let total = program.payloads.iter().map(|payload| payload.bytes).sum();
        let mut progress = Progress::default();
        let mut answered = false;
        let ended = asked
            .link
            .run_when(
                &program.script,
                &program.payloads,
                execute::DEADLINE,
                ballot.decision(),
                |event| match event {
                    Event::Frame(frame) => {
                        progress.hear(&frame);
                        if let Some(answer) = Answer::of(&frame) {
                            answered = true;
                            ballot.cast(answer);
                        }
                        match frame.kind.as_str() {
                            "begin" => news(News::Begin(&frame.name)),
                            "end" => news(News::Done { step: &frame.name, output: &frame.text() }),
                            "fail" => news(News::Failed(&frame.name)),
                            _ => {}
                        }
                    }
                    Event::Sent(bytes) => news(News::Sent(bytes, total)),
                },
            )
            .await;
        if !answered {
            ballot.cast(Answer::Refused(format!("{} is lost", plan.host)));
        }
        let outcome = match ended {
            Ok(ended) => progress.conclude(plan, steps.len(), &ended),
            Err(failure) => {
                let step = progress.begun().first().cloned();
                let failure = Failure { step: failure.step.clone().or(step), ..failure };
                Err(failure.host(&plan.host))
            }
        };
        (progress, outcome)
    }

    /// Ends all logins.
    pub async fn close(&self, asked: impl IntoIterator<Item = Asked<'_>>) {
        join_all(asked.into_iter().map(|asked| asked.link.close())).await;
    }
}

/// By which addresses a host can be reached, asked over a login of its own.
pub async fn addresses(connector: &Connector, host: &Host) -> Result<Vec<String>, Failure> {
    let link = connector.connect(host).await?;
    let mut script = Script::new(&script::nonce());
    script.library(crate::probe::SHELL);
    script.call("probe_addresses", []);
    let heard = gather(&link, &script, PROBE_DEADLINE).await;
    link.close().await;
    Ok(Observed::new(heard?.0).addresses())
}

/// Asks one host over a login that is open.
pub async fn observe(
    link: &Link,
    host: &Host,
    reading: Reading,
) -> Result<(Observed, Skew), Failure> {
    let mut script = Script::new(&script::nonce());
    script.open();
    script.call("zk_guard", ["60"]);
    reading.ask(&mut script);
    let began = now_ms();
    let clock = Instant::now();
    let (frames, heard) =
        gather(link, &script, PROBE_DEADLINE).await.map_err(|f| f.host(&host.name))?;
    let took = i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX);
    let observed = Observed::new(frames);
    if !observed.is_whole() {
        let stderr = heard.lines().last().unwrap_or("it said nothing else").to_owned();
        let cause = format!("the probe did not come to its end: {stderr}");
        return Err(Failure::new(Exit::Unreachable, cause).host(&host.name).hint(
            "the login must give a POSIX shell: `zkprov plan --show-scripts` prints what runs",
        ));
    }
    let there = clock_ms(&observed.text("clock")).unwrap_or(began);
    Ok((observed, Skew { least_ms: there - began - took, most_ms: there - began }))
}

/// Runs a script that answers with facts; gives them, and what it wrote to stderr.
pub async fn gather(
    link: &Link,
    script: &Script,
    deadline: Duration,
) -> Result<(Vec<Frame>, String), Failure> {
    let heard = Mutex::new(Heard::default());
    let flooded = tokio::sync::Notify::new();
    let run = link.run(script, &[], deadline, |event| {
        if let Event::Frame(frame) = event
            && !heard.lock().expect("no panic while held").keep(frame)
        {
            flooded.notify_one();
        }
    });
    let ended = tokio::select! {
        ended = run => ended?,
        () = flooded.notified() => {
            let cause = "it answers with more than a script of zkprov's can: is this the right host?";
            return Err(Failure::new(Exit::Unreachable, cause));
        }
    };
    Ok((heard.into_inner().expect("no panic while held").frames, ended.stderr))
}

/// The frames of one script, as many as a host may fill this machine's memory with.
#[derive(Debug, Default)]
struct Heard {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Heard {
    /// Whether there was room for it.
    fn keep(&mut self, frame: Frame) -> bool {
        self.bytes += frame.kind.len() + frame.name.len() + frame.body.len();
        let room = self.bytes <= ANSWER_BYTES_MAX && self.frames.len() < ANSWER_FRAMES_MAX;
        if room {
            self.frames.push(frame);
        }
        room
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds of `date +%s.%N`.
fn clock_ms(text: &str) -> Option<i64> {
    let (seconds, nanos) = text.trim().split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i64 = nanos.get(..3)?.parse().ok()?;
    Some(seconds * 1000 + nanos)
}
