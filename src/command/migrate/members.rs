//! All members at once, and the files of one of them on their way to the others.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::session::HostSession;
use crate::host::{Event, Payload};
use crate::migration::move_state::{HostState, Side};
use crate::plan::desired;
use crate::plan::library;
use crate::plan::move_step::MoveStep;
use crate::plan::operation::Operation;
use crate::probe::Observed;
use crate::rolling::journal::folder;
use crate::run::Run;
use crate::script::frame::{self, Frame, Kind};
use crate::script::{self, Script};

/// Some gigabytes over a slow line.
const CARRY: Duration = Duration::from_hours(2);
/// What one script of a move answers is some lines.
const FRAMES_MAX: usize = 1000;

pub(super) struct Members<'a> {
    pub(super) run: &'a Run,
    pub(super) sessions: Vec<&'a HostSession<'a>>,
}

/// What came of one host's script.
pub(super) struct Came {
    pub(super) host: String,
    pub(super) frames: Result<Vec<Frame>, Failure>,
    pub(super) at: Instant,
}

impl<'a> Members<'a> {
    /// Steps on these hosts at the same time. A Ctrl-C does not stop them: between two of them the run looks.
    /// With `payload` the step that takes it is one of them.
    pub(super) async fn each(
        &self,
        sessions: &[&'a HostSession<'a>],
        seconds: u32,
        payload: Option<&Payload>,
        steps: impl Fn(&HostSession<'_>) -> Vec<(String, Operation)>,
    ) -> Vec<Came> {
        join_all(sessions.iter().map(|session| {
            let steps = steps(session);
            async move {
                let frames = run(session, seconds, payload, steps).await;
                let host = session.host.name.clone();
                let frames = frames.map_err(|failure| failure.host(&host));
                Came { host, frames, at: Instant::now() }
            }
        }))
        .await
    }

    pub(super) fn find(&self, host: &str) -> Option<&'a HostSession<'a>> {
        self.sessions.iter().copied().find(|session| session.host.name == host)
    }

    /// Waits until every member serves in a quorum; gives the moment at which the first one did.
    pub(super) async fn serve(&self, unit: &str, seconds: u64) -> Result<Instant, Failure> {
        let awaiting = |session: &HostSession<'_>| {
            let server = desired::server(session.host);
            vec![("serves".to_owned(), Operation::serving(unit, seconds, &server))]
        };
        let limit = u32::try_from(seconds).unwrap_or(u32::MAX) + 15;
        let came = self.each(&self.sessions, limit, None, awaiting).await;
        let first = came.iter().filter(|came| came.frames.is_ok()).map(|came| came.at).min();
        all(came)?;
        Ok(first.unwrap_or_else(Instant::now))
    }

    /// What the hosts say now of which server may run on them.
    pub(super) async fn states(&self) -> Result<Vec<HostState>, Failure> {
        let answers = join_all(self.sessions.iter().map(|session| async move {
            let mut script = Script::new(&script::nonce());
            script.library(library::MOVE);
            script.call("zk_guard", ["20"]);
            script.call("move_tell", []);
            script.call("zk_frame", ["live", "whole", ""]);
            let host = &session.host.name;
            let heard =
                crate::host::session::gather(&session.link, &script, Duration::from_secs(20));
            let (frames, _) = heard.await.map_err(|failure| failure.host(host))?;
            let observed = Observed::new(frames);
            let votes = session.host.role == crate::inventory::Role::Participant;
            let state = HostState::of(host, votes, &observed.text("move"));
            state.filter(|_| observed.is_whole()).ok_or_else(|| {
                Failure::new(Exit::Unreachable, "it does not say which server may run on it")
                    .host(host)
            })
        }))
        .await;
        answers.into_iter().collect()
    }

    /// The hosts that the coordinator has not been opened on: all, unless a run before this one has begun to.
    pub(super) async fn not_opened(&self) -> Result<Vec<&'a HostSession<'a>>, Failure> {
        let states = self.states().await?;
        let opened = |session: &HostSession<'_>| {
            states
                .iter()
                .any(|state| state.host == session.host.name && state.side == Side::Coordinator)
        };
        Ok(self.sessions.iter().copied().filter(|session| !opened(session)).collect())
    }

    /// Brings files of one member here: `folder` and `log` hold `version-2`.
    pub(super) async fn take(
        &self,
        session: &HostSession<'_>,
        (folder, log): (&str, &str),
        (snapshots, logs): (&[String], &[String]),
    ) -> Result<Carried, Failure> {
        let host = &session.host.name;
        let mut script = Script::new(&script::nonce());
        script.library(library::MOVE);
        script.call("zk_guard", [CARRY.as_secs().to_string().as_str()]);
        script.call("move_take", [folder, log, &snapshots.join(" "), &logs.join(" ")]);
        let mut carried = Carried::begin()?;
        let (mut said, mut broken) = (None, None);
        // Its end stops the script: nothing is taken that cannot be kept.
        let (stop, stopped) = watch::channel(false);
        let ended = session.link.run_until(&script, &[], CARRY, None, stopped, |event| {
            let Event::Frame(frame) = event else { return };
            match frame.kind {
                Kind::Piece if broken.is_none() => {
                    if let Err(error) = carried.write(&frame.body) {
                        broken = Some(error);
                        let _ = stop.send(true);
                    }
                }
                Kind::Backup => said = Some(frame.text()),
                _ => {}
            }
        });
        let ended = ended.await.map_err(|failure| failure.host(host))?;
        if let Some(failure) = broken {
            return Err(failure);
        }
        let said = said.ok_or_else(|| {
            let why = ended.stderr.lines().last().unwrap_or("the connection was lost");
            Failure::failed(format!("its files did not come to their end: {why}")).host(host)
        })?;
        match said.rsplit_once("status ") {
            Some((_, status)) if status.trim() == "0" => carried.whole(),
            _ => {
                Err(Failure::failed(format!("its files cannot be read: {}", said.trim()))
                    .host(host))
            }
        }
    }
}

async fn run(
    session: &HostSession<'_>,
    seconds: u32,
    payload: Option<&Payload>,
    steps: Vec<(String, Operation)>,
) -> Result<Vec<Frame>, Failure> {
    let mut script = Script::new(&script::nonce());
    let limit = seconds.to_string();
    let takes =
        |operation: &Operation| matches!(operation, Operation::Move(MoveStep::Unpack { .. }));
    let last = steps.iter().position(|(_, operation)| takes(operation));
    if last.is_none() {
        script.call("zk_guard", [limit.as_str()]);
    }
    for (at, (name, operation)) in steps.iter().enumerate() {
        operation.step(name, &mut script);
        if last == Some(at) {
            // Only now does nobody else read what is sent.
            script.call("zk_guard", [limit.as_str()]);
        }
    }
    script.line("zk_frame live finished \"$zk_bad\"");
    let (_kept, never) = watch::channel(false);
    let mut frames = Vec::new();
    let payloads: Vec<Payload> = payload.into_iter().cloned().collect();
    let deadline = Duration::from_secs(seconds.into())
        + if payload.is_some() { CARRY } else { Duration::ZERO };
    let ended = session.link.run_until(&script, &payloads, deadline, None, never, |event| {
        if let Event::Frame(frame) = event
            && frames.len() < FRAMES_MAX
        {
            frames.push(frame);
        }
    });
    let ended = ended.await?;
    if let Some(failed) = frame::failed(&frames) {
        return Err(Failure::failed(failed.said()).step(&failed.step));
    }
    let finished = frames.iter().any(|frame| frame.name == "finished" && frame.body.is_empty());
    if !finished {
        let why =
            ended.stderr.lines().last().unwrap_or("the connection was lost, or the host went away");
        return Err(Failure::new(Exit::Unreachable, format!("it did not come to its end: {why}")));
    }
    Ok(frames)
}

/// All of them, or the first failure.
pub(super) fn all(came: Vec<Came>) -> Result<Vec<(String, Vec<Frame>)>, Failure> {
    came.into_iter().map(|came| Ok((came.host, came.frames?))).collect()
}

/// What the step has printed, by its name.
pub(super) fn of(frames: &[Frame], step: &str) -> String {
    let frame = frames.iter().find(|frame| frame.kind == Kind::End && frame.name == step);
    frame.map(Frame::text).unwrap_or_default().trim().to_owned()
}

/// All that steps have printed, as one line.
pub(super) fn said(frames: &[Frame]) -> String {
    let ends = frames.iter().filter(|frame| frame.kind == Kind::End);
    let lines: Vec<String> = ends.map(|frame| frame.text().trim().to_owned()).collect();
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// The JSON that the coordinator has printed in a step.
pub(super) fn told(host: &str, frames: &[Frame], step: &str) -> Result<Value, Failure> {
    let text = of(frames, step);
    // A report has a line for each of its keys, and may stand behind what a shell has said.
    let value = text.find('{').and_then(|at| serde_json::from_str(&text[at..]).ok());
    value.ok_or_else(|| {
        Failure::failed(format!("it cannot be understood: {text}")).host(host).step(step)
    })
}

/// Files of a member on this machine, as long as they are carried.
pub(super) struct Carried {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
}

impl Carried {
    fn begin() -> Result<Self, Failure> {
        let folder = folder()?;
        let path =
            folder.join(format!("move-{}-{}.tar", std::process::id(), &script::nonce()[..8]));
        forget_dead(&folder);
        let mut options = OpenOptions::new();
        // The data of the ensemble: nobody else reads it.
        let file = std::fs::create_dir_all(&folder)
            .and_then(|()| options.write(true).create_new(true).mode(0o600).open(&path))
            .map_err(|error| {
                Failure::failed(format!("cannot write `{}`: {error}", path.display()))
            })?;
        Ok(Self { path, file: Some(BufWriter::new(file)), bytes: 0 })
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::failed(format!("cannot write `{}`: {error}", self.path.display()))
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.bytes += piece.len() as u64;
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(piece));
        written.map_err(|error| self.failed(&error))
    }

    fn whole(mut self) -> Result<Self, Failure> {
        let flushed = self.file.take().map_or(Ok(()), |mut file| file.flush());
        flushed.map_err(|error| self.failed(&error))?;
        Ok(self)
    }

    pub(super) fn payload(&self) -> Payload {
        Payload { path: self.path.clone(), bytes: self.bytes }
    }
}

/// Files that runs which were killed have left here go, where this system tells which processes live.
fn forget_dead(folder: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix("move-")?.strip_suffix(".tar"));
        let process = name.and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
