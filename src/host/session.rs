//! A host that is logged in to: what it answered, and the scripts that run on it.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::conversation::Event;
use crate::host::ssh::{Connector, Link};
use crate::inventory::Host;
use crate::probe::{Observed, Reading};
use crate::script::frame::{self, Frame, Kind, StepFailure};
use crate::script::{self, Script};

/// A probe reads small files; a host that needs longer hangs.
const PROBE_DEADLINE: Duration = Duration::from_mins(1);
/// What one script may answer: each file of a probe is shorter than a megabyte, and there are some tens.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Facts and steps are some hundreds.
const ANSWER_FRAMES_MAX: usize = 10_000;

/// A host that has answered; the login stays open for what follows.
#[derive(Debug)]
pub struct HostSession<'a> {
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
        let said: Vec<&str> =
            heard.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = match &said[said.len().saturating_sub(5)..] {
            [] => "it said nothing".to_owned(),
            said => format!("it said: {}", said.join(" / ")),
        };
        let cause = format!("the probe did not come to its end; {said}");
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
        self.bytes += frame.name.len() + frame.body.len();
        let room = self.bytes <= ANSWER_BYTES_MAX && self.frames.len() < ANSWER_FRAMES_MAX;
        if room {
            self.frames.push(frame);
        }
        room
    }
}

/// Runs a script of steps; gives its frames. The first step that fails is the failure, and so is a
/// script that did not come to a step's end.
pub async fn steps(
    link: &Link,
    script: &Script,
    deadline: Duration,
) -> Result<Vec<Frame>, StepsError> {
    let (frames, stderr) = gather(link, script, deadline).await.map_err(StepsError::Lost)?;
    if let Some(failed) = frame::failed(&frames) {
        return Err(StepsError::Step(failed));
    }
    if frames.iter().any(|frame| frame.kind == Kind::End) {
        return Ok(frames);
    }
    let said = stderr.lines().last().unwrap_or("the connection was lost").to_owned();
    Err(StepsError::Lost(Failure::new(Exit::Unreachable, said)))
}

/// Why a script of steps did not come to its end.
#[derive(Clone, Debug)]
pub enum StepsError {
    Step(StepFailure),
    /// The connection, or the shell, ended before.
    Lost(Failure),
}

impl StepsError {
    /// For steps whose own output says what is wrong.
    pub fn said(self) -> Failure {
        match self {
            Self::Step(failed) => Failure::failed(failed.said()).step(failed.step),
            Self::Lost(failure) => failure,
        }
    }

    /// With the status that the step ended with.
    pub fn with_status(self) -> Failure {
        match self {
            Self::Step(failed) => {
                let cause = format!("ended with status {}\n    {}", failed.status, failed.said());
                Failure::failed(cause).step(failed.step)
            }
            Self::Lost(failure) => failure,
        }
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
