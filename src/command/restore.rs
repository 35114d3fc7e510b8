//! `zkprov restore`: a backup becomes what the ensemble holds. Verified here first; then every member
//! is stopped, given the data, and started.

use std::process::{Command, Stdio};
use std::time::Duration;

use coordinator::answers::{BackupCheck, RestoreReport};
use futures_util::future::join_all;

use crate::artifacts::build::Builds;
use crate::artifacts::collect;
use crate::cli;
use crate::command::Outcome;
use crate::command::backup::{DEADLINE, SHELL, engine};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble;
use crate::host::lock::{self, Operator};
use crate::host::session::{HostSession, gather};
use crate::host::{Event, Payload};
use crate::inventory::Inventory;
use crate::layout::{BINARY, CONFIG_FILE, UNIT};
use crate::plan::Only;
use crate::plan::change::Phase;
use crate::plan::desired;
use crate::plan::operation::Operation;
use crate::plan::show;
use crate::report::event::Summary;
use crate::run::{Planned, Run, confirm};
use crate::script::frame::Kind;
use crate::script::{self, Script, frame};

/// How long a restored member may need until it serves in a quorum.
const SERVING_S: u64 = 120;
/// How long one script on every host may take.
const EACH: Duration = Duration::from_mins(5);
/// A restore goes on in the next epoch that is a multiple of this.
const EPOCH_STRIDE: u64 = 4096;

pub async fn run(arguments: cli::Restore) -> Outcome {
    let inventory = Inventory::load(&arguments.inventory)?;
    engine(&inventory)?;
    let sound = check(&inventory, &arguments.file)?;
    let everybody = cli::Selection::default();
    let output_options = cli::OutputOptions { output: cli::Output::Text };
    let run = Run::new(inventory, &everybody, &arguments.connection, &output_options).await?;
    tokio::select! {
        outcome = whole(&run, &arguments, &sound) => outcome,
        interrupted = run.heed_interrupts() => Err(interrupted),
    }
}

/// What is in the backup, read to its end on this machine before any host is asked.
fn check(inventory: &Inventory, file: &std::path::Path) -> Result<BackupCheck, Failure> {
    let name = file.display();
    std::fs::File::open(file)
        .map_err(|error| Failure::usage(format!("cannot read the backup `{name}`: {error}")))?;
    let binary = collect::binary(inventory, std::env::consts::ARCH, Builds::WhenStale)?.path;
    let output =
        Command::new(&binary).arg("check").arg(file).stdin(Stdio::null()).output().map_err(
            |error| Failure::failed(format!("cannot run `{}`: {error}", binary.display())),
        )?;
    if output.status.success()
        && let Ok(sound) = serde_json::from_slice::<BackupCheck>(&output.stdout)
        && sound.sound
    {
        return Ok(sound);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("coordinator: ");
    Err(Failure::refused(said.to_owned()).hint("no host was touched"))
}

async fn whole(run: &Run, arguments: &cli::Restore, sound: &BackupCheck) -> Outcome {
    let planned = run.probe_and_plan(&Only::default()).await?;
    let outcome = Box::pin(replace(run, arguments, sound, &planned)).await;
    run.fleet.close(planned.sessions).await;
    let restored = outcome?;
    let text = format!(
        "{} restored in {:.1} s: {} znodes, digest {}, from zxid {:#x} on",
        show::count(run.inventory.hosts.len(), "member"),
        run.reporter.elapsed_s(),
        restored.znodes,
        restored.digest,
        restored.zxid,
    );
    run.reporter
        .summary(&text, Summary { restored: Some((&restored).into()), ..Summary::default() });
    Ok(Exit::Done)
}

async fn replace(
    run: &Run,
    arguments: &cli::Restore,
    sound: &BackupCheck,
    planned: &Planned<'_>,
) -> Result<RestoreReport, Failure> {
    ready(run, planned)?;
    if !arguments.force {
        empty(&planned.sessions).await?;
    }
    run.reporter.text(&format!(
        "{}: {} znodes at zxid {:#x}, {} sessions that will end\n",
        arguments.file.display(),
        sound.znodes,
        sound.zxid,
        sound.sessions,
    ));
    let ensemble = &run.inventory.ensemble;
    confirm::confirm(
        arguments.yes,
        &format!("Stop all members of {ensemble} and replace what they hold?"),
    )?;
    let operator = Operator::me();
    let work = async {
        // All of them down first: no member may serve beside one that has other data.
        each(run, &planned.sessions, |_, script| {
            Operation::StopUnit { unit: UNIT.into() }.step("stop", script);
        })
        .await?;
        let restored = load(run, arguments, &planned.sessions, epoch(run, planned, sound)).await?;
        let digest = &sound.digest;
        if let Some((host, _)) = restored.iter().find(|(_, told)| told.digest != *digest) {
            let cause = format!("it holds another tree than the backup, whose digest is {digest}");
            return Err(Failure::failed(cause).host(host).step("restore"));
        }
        each(run, &planned.sessions, |session, script| {
            let server = desired::server(session.host);
            Operation::StartUnit { unit: UNIT.into(), again: false }.step("start", script);
            Operation::serving(UNIT, SERVING_S, &server).step("serves", script);
        })
        .await?;
        Ok(restored.into_iter().next().map(|(_, told)| told).unwrap_or_default())
    };
    Box::pin(lock::holding(&operator, &planned.sessions, || run.lose_lock(), work)).await
}

/// Every member is there and is what the inventory says, but for the service's running.
fn ready(run: &Run, planned: &Planned<'_>) -> Result<(), Failure> {
    for failure in &planned.failures {
        run.reporter.failed(failure);
    }
    if !planned.failures.is_empty() {
        let missing = show::count(planned.failures.len(), "host");
        let cause =
            format!("{missing} cannot be reached, and a restore takes all; nothing was changed");
        return Err(Failure::new(Exit::Unreachable, cause));
    }
    let unready = planned.plan.hosts.iter().find(|host| {
        !host.refusals.is_empty() || host.steps.iter().any(|step| step.phase == Phase::Switch)
    });
    match unready {
        None => Ok(()),
        Some(host) => Err(Failure::refused("it differs from the inventory; nothing was changed")
            .host(&host.host)
            .hint("`zkprov apply` first: a restore fills an ensemble that is installed")),
    }
}

/// Refuses when a member holds anything.
async fn empty(sessions: &[HostSession<'_>]) -> Result<(), Failure> {
    for session in sessions {
        let held = session.observed.listing(&session.host.data_dir);
        if !held.contains(&"coordinator".into()) && !held.contains(&"version-2".into()) {
            continue;
        }
        let mut script = Script::guarded(Duration::from_secs(30));
        script.library(SHELL);
        script.call("ask_empty", [BINARY, &desired::server(session.host)]);
        let (frames, _) = gather(&session.link, &script, Duration::from_secs(30)).await?;
        let root = frames.iter().find(|frame| frame.name == "root");
        let root = root.map(crate::script::frame::Frame::text).unwrap_or_default();
        let root = root.trim();
        if root == "[zookeeper]" {
            continue;
        }
        let what = if root.starts_with('[') {
            format!("the ensemble is not empty: / has {root}")
        } else {
            let path = &session.host.data_dir;
            format!("{path} holds data, and the server does not say what: {root}")
        };
        return Err(Failure::refused(format!("{what}; nothing was changed"))
            .host(&session.host.name)
            .hint(
                "--force replaces it; what is there is kept beside it, as coordinator.replaced-N",
            ));
    }
    Ok(())
}

/// The epoch to go on in: above the backup's, and above what serves now.
fn epoch(run: &Run, planned: &Planned<'_>, sound: &BackupCheck) -> u64 {
    let find = |name: &str| planned.sessions.iter().find(|session| session.host.name == name);
    let view = ensemble::view(
        &run.inventory,
        |host| find(&host.name).map(|session| &session.observed),
        |_| None,
    );
    let seen = view.members.iter().filter_map(ensemble::Member::epoch).max().unwrap_or(0);
    let backup = sound.zxid.cast_unsigned() >> 32;
    next_epoch(backup, u64::try_from(seen).unwrap_or(0))
}

fn next_epoch(backup: u64, seen: u64) -> u64 {
    ((backup.max(seen)) / EPOCH_STRIDE + 1) * EPOCH_STRIDE
}

/// Sends the file to every host; gives what each one's coordinator says about what it loaded.
async fn load(
    run: &Run,
    arguments: &cli::Restore,
    sessions: &[HostSession<'_>],
    epoch: u64,
) -> Result<Vec<(String, RestoreReport)>, Failure> {
    let bytes = std::fs::metadata(&arguments.file).map_or(0, |data| data.len());
    let payload = Payload { path: arguments.file.clone(), bytes };
    let word = script::nonce();
    let outcomes = join_all(sessions.iter().map(|session| async {
        let mut script = Script::new(&script::nonce());
        Operation::LoadBackup {
            tool: BINARY.into(),
            config: CONFIG_FILE.into(),
            bytes,
            ensemble_id: word.clone(),
            epoch,
        }
        .step("restore", &mut script);
        script.call("zk_guard", [DEADLINE.as_secs().to_string().as_str()]);
        let mut frames = Vec::new();
        let payloads = std::slice::from_ref(&payload);
        let ended = session.link.run(&script, payloads, DEADLINE, |event| {
            if let Event::Frame(frame) = event {
                frames.push(frame);
            }
        });
        let ended = ended.await.map_err(|failure| failure.host(&session.host.name))?;
        let at = |cause: String| Failure::failed(cause).host(&session.host.name).step("restore");
        if let Some(failed) = frame::failed(&frames) {
            return Err(at(failed.said()));
        }
        let said =
            frames.iter().find(|f| f.kind == Kind::End).map(crate::script::frame::Frame::text);
        let told = said.as_deref().and_then(|said| {
            said.lines().find_map(|line| serde_json::from_str::<RestoreReport>(line).ok())
        });
        let told =
            told.ok_or_else(|| at(format!("it did not come to its end: {}", ended.stderr)))?;
        run.reporter.aside(&format!("{}  restored", session.host.name));
        Ok((session.host.name.clone(), told))
    }))
    .await;
    outcomes.into_iter().collect::<Result<_, _>>().map_err(|failure: Failure| {
        failure.hint(
            "all members are stopped, what they held is kept as coordinator.replaced-N in the data \
             directories; once it is fixed: `zkprov restore --force`",
        )
    })
}

/// One script on every host; the first failure is told.
async fn each(
    run: &Run,
    sessions: &[HostSession<'_>],
    steps: impl Fn(&HostSession<'_>, &mut Script),
) -> Result<(), Failure> {
    let outcomes = join_all(sessions.iter().map(|session| {
        let mut script = Script::guarded(EACH);
        steps(session, &mut script);
        script.line("zk_frame live finished \"$zk_bad\"");
        async move {
            let host = &session.host.name;
            let (frames, stderr) = gather(&session.link, &script, EACH).await?;
            if let Some(failed) = frame::failed(&frames) {
                return Err(Failure::failed(failed.said()).host(host).step(&failed.step));
            }
            for frame in frames.iter().filter(|frame| frame.kind == Kind::End) {
                run.reporter.aside(&format!("{host}  {}", frame.name));
            }
            if frames.iter().any(|frame| frame.name == "finished") {
                return Ok(());
            }
            Err(Failure::failed(format!("it did not come to its end: {stderr}")).host(host))
        }
    }))
    .await;
    outcomes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::next_epoch;

    #[test]
    fn zxids_never_go_back() {
        assert_eq!(next_epoch(3, 0), 4096);
        assert_eq!(next_epoch(3, 4097), 8192, "above what serves now");
        assert_eq!(next_epoch(4096, 4096), 8192);
    }
}
