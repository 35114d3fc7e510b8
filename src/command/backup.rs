//! `zkprov backup`: one moment of the ensemble in one file, streamed from the leader.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordinator::answers::BackupReport;
use sha2::{Digest as _, Sha256};

use crate::cli;
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble;
use crate::host::Event;
use crate::host::lock::{self, Operator};
use crate::host::session::HostSession;
use crate::inventory::{Engine, Inventory};
use crate::layout::BINARY;
use crate::plan::Only;
use crate::report::event::Summary;
use crate::run::{Planned, Run};
use crate::script::Script;
use crate::script::frame::Kind;

pub(super) const SHELL: &str = include_str!("backup.sh");
/// A backup of some gigabytes over a slow line; who needs longer has another problem.
pub(super) const DEADLINE: Duration = Duration::from_hours(2);

pub async fn run(arguments: cli::Backup) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory)?;
    engine(&inventory)?;
    if arguments.file.exists() {
        let cause = format!("`{}` exists already", arguments.file.display());
        return Err(Failure::usage(cause).hint("name a new file: a backup replaces nothing"));
    }
    let everybody = cli::Selection::default();
    let output_options = cli::OutputOptions { output: cli::Output::Text };
    let run = Run::new(inventory, &everybody, &arguments.connection, &output_options).await?;
    let mut part = Part::begin(&arguments.file)?;
    tokio::select! {
        outcome = whole(&run, &mut part) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    }
}

/// Only our own server has the commands.
pub(super) fn engine(inventory: &Inventory) -> Result<(), Failure> {
    if inventory.coordinator.engine == Engine::Coordinator {
        return Ok(());
    }
    Err(Failure::refused("backup and restore need `engine: coordinator`").hint(
        "with Apache ZooKeeper copy `version-2` of the leader's data directory, snapshots and logs",
    ))
}

async fn whole(run: &Run, part: &mut Part) -> Outcome {
    let planned = run.probe_and_plan(&Only::default()).await?;
    for failure in &planned.failures {
        run.reporter.failed(failure);
    }
    let outcome = lock::holding(&Operator::me(), &planned.sessions, || run.lose_lock(), async {
        let leader = leader(run, &planned)?;
        run.reporter.aside(&format!("from {}, which leads", leader.host.name));
        let said = receive(leader, part).await.map_err(|f| f.host(&leader.host.name))?;
        part.finish(&said)?;
        Ok(said)
    })
    .await;
    run.fleet.close(planned.sessions).await;
    let said = outcome?;
    let text = format!("{}: {}", part.target.display(), summary(&said));
    run.reporter.summary(&text, Summary { backup: Some((&said).into()), ..Summary::default() });
    Ok(Exit::Done)
}

fn summary(said: &BackupReport) -> String {
    let BackupReport { znodes, zxid, bytes, sha256, .. } = said;
    format!("{znodes} znodes at zxid {zxid:#x}, {bytes} bytes, sha256 {sha256}")
}

/// The leader has everything that was acknowledged anywhere.
fn leader<'a, 'b>(run: &Run, planned: &'b Planned<'a>) -> Result<&'b HostSession<'a>, Failure> {
    let find = |name: &str| planned.sessions.iter().find(|session| session.host.name == name);
    let view = ensemble::view(
        &run.inventory,
        |host| find(&host.name).map(|session| &session.observed),
        |_| Some("not reached".into()),
    );
    view.leader().and_then(|leader| find(&leader.host)).ok_or_else(|| {
        Failure::refused(format!("no backup was taken: {}", view.complaints().join("; ")))
            .hint("a backup is taken from a leader, since only a serving ensemble knows what is acknowledged: `zkprov status`")
    })
}

/// Writes what the host sends to the file; gives what its coordinator says about it.
async fn receive(leader: &HostSession<'_>, part: &mut Part) -> Result<BackupReport, Failure> {
    let socket = format!("{}/coordinator/admin.sock", leader.host.data_dir);
    let mut script = Script::guarded(DEADLINE);
    script.library(SHELL);
    script.call("backup_send", [BINARY, &socket]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut said = None;
    let mut broken = None;
    let ended = leader.link.run_until(&script, &[], DEADLINE, None, stopped, |event| {
        let Event::Frame(frame) = event else { return };
        match frame.kind {
            Kind::Piece if broken.is_none() => {
                if let Err(error) = part.write(&frame.body) {
                    broken = Some(error);
                    let _ = stop.send(true);
                }
            }
            Kind::Backup => said = Some(frame.text()),
            _ => {}
        }
    });
    let ended = ended.await;
    if let Some(failure) = broken {
        return Err(failure);
    }
    let ended = ended?;
    let Some(said) = said else {
        let why = ended.stderr.lines().last().unwrap_or("the connection was lost").to_owned();
        return Err(Failure::failed(format!("the backup did not come to its end: {why}")));
    };
    let (said, status) = said.rsplit_once("status ").unwrap_or((said.as_str(), ""));
    match serde_json::from_str::<BackupReport>(said.trim()) {
        Ok(value) if status.trim() == "0" => Ok(value),
        _ => Err(Failure::failed(said.trim().to_owned())),
    }
}

/// The file while it is being written: under a name that says that it is not whole.
#[derive(Debug)]
struct Part {
    target: PathBuf,
    path: PathBuf,
    file: Option<BufWriter<File>>,
    hash: Sha256,
    bytes: u64,
}

impl Part {
    fn begin(target: &Path) -> Result<Self, Failure> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        // Data and credentials' digests are in it: nobody else reads it.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(|error| {
            Failure::usage(format!("cannot write `{}`: {error}", path.display()))
        })?;
        let file = Some(BufWriter::new(file));
        Ok(Self { target: target.to_owned(), path, file, hash: Sha256::new(), bytes: 0 })
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::failed(format!("cannot write `{}`: {error}", self.path.display()))
            .hint("no backup was taken; the ensemble is as it was")
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(piece));
        written.map_err(|error| self.failed(&error))
    }

    /// Whole, as the other end says, on disk, and only then under its name.
    fn finish(&mut self, said: &BackupReport) -> Result<(), Failure> {
        let sha256 = crate::digest::hex(&self.hash.clone().finalize());
        if said.sha256 != sha256 || said.bytes != self.bytes {
            return Err(Failure::failed(format!(
                "what arrived is not what was sent: {} bytes with sha256 {sha256}, instead of {} with {}",
                self.bytes, said.bytes, said.sha256,
            )));
        }
        let Some(file) = self.file.take() else { return Ok(()) };
        let synced = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        synced
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.target))
            .and_then(|()| {
                let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
            })
            .map_err(|error| self.failed(&error))
    }
}

impl Drop for Part {
    /// What is not whole is no backup; once it is, there is nothing under this name.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
