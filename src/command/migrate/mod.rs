//! `zkprov migrate`: a living ensemble goes from Apache ZooKeeper to the coordinator, and back. What can be
//! done before is done while it serves; then all members are stopped at once, and the other engine goes on
//! from the files of the member that has everything that was acknowledged.

mod back;
mod forth;
mod journal;
mod members;
mod standing;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use crate::artifacts::secret;
use crate::cli::{self, MoveTo};
use crate::command::Outcome;
use crate::command::migrate::journal::Journal;
use crate::command::migrate::members::Members;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::lock::{self, Operator};
use crate::host::session::HostSession;
use crate::inventory::{Apache, Engine, Inventory, SecretSource};
use crate::migration::edit;
use crate::migration::move_state::{self, HostState, Next, Side};
use crate::plan::desired;
use crate::plan::library;
use crate::plan::move_step::MoveStep;
use crate::plan::operation::Operation;
use crate::plan::valid;
use crate::report::event::Summary;
use crate::run::{Run, confirm};

/// How long the servers of either side may need until they serve in a quorum.
const SERVING_S: u64 = 180;
const AGAIN: &str = "the hosts say how far it has come: the same command goes on from there, and \
                     `zkprov migrate --undo` ends it as long as the other side has not been opened";

pub async fn run(arguments: cli::Migrate) -> Outcome {
    let path = &arguments.inventory.inventory;
    let mut inventory = Inventory::load(path)?;
    let Some(apache) = inventory.coordinator.apache.clone() else {
        return Err(Failure::usage(
            "the inventory does not say which Apache ZooKeeper is, or was, there",
        )
        .hint("`zkprov adopt HOST…` writes an inventory that does"));
    };
    // What is put on the hosts is the coordinator's, whichever way it goes.
    inventory.coordinator.engine = Engine::Coordinator;
    valid::check(&inventory)?;
    if !arguments.dry_run {
        inventory = with_secret(inventory)?;
    }
    let everybody = cli::Selection::default();
    let run =
        Run::new(inventory, &everybody, &arguments.connection, &arguments.output_options).await?;
    tokio::select! {
        outcome = whole(&run, &apache, &arguments) => outcome,
        interrupted = heed(&run) => Err(interrupted.hint(AGAIN)),
    }
}

async fn heed(run: &Run) -> Failure {
    run.heed_interrupts().await
}

/// Members know each other by a secret from their first moment on.
fn with_secret(mut inventory: Inventory) -> Result<Inventory, Failure> {
    if inventory.coordinator.secret.is_some() {
        return Ok(inventory);
    }
    let place = secret::place(&inventory);
    if !place.exists() {
        secret::keep(&inventory, &secret::make()?)?;
        crate::report::talk(&format!(
            "the secret by which members know each other is kept in {}: whoever works on this ensemble needs it",
            place.display()
        ));
    }
    inventory.coordinator.secret = Some(SecretSource::File(place));
    Ok(inventory)
}

/// One move, and what it works with.
struct Move<'a> {
    run: &'a Run,
    apache: &'a Apache,
    arguments: &'a cli::Migrate,
    members: Members<'a>,
    journal: Journal,
    /// Another run may be at work: nothing more is done, not even undone.
    lost: Cell<bool>,
}

async fn whole(run: &Run, apache: &Apache, arguments: &cli::Migrate) -> Outcome {
    let hosts = run.hosts();
    let replies = run
        .fleet
        .probe(&hosts, |host| {
            let mut reading = desired::reading(&run.inventory, host, &run.artifacts)?;
            reading.path("/etc/systemd/system");
            reading.library(library::MOVE);
            Ok(reading)
        })
        .await;
    for notice in run.fleet.connector.notices() {
        run.reporter.aside(&notice);
    }
    let (mut sessions, mut failures) = (Vec::new(), Vec::new());
    for (_, answer) in replies {
        match answer {
            Ok(session) => sessions.push(session),
            Err(failure) => failures.push(failure),
        }
    }
    for failure in &failures {
        run.reporter.failed(failure);
    }
    let outcome = if failures.is_empty() || arguments.undo {
        Box::pin(steps(run, apache, arguments, &sessions)).await
    } else {
        Err(Failure::new(Exit::Unreachable, "a move takes all hosts; nothing was changed"))
    };
    run.fleet.close(sessions).await;
    outcome
}

async fn steps(
    run: &Run,
    apache: &Apache,
    arguments: &cli::Migrate,
    sessions: &[HostSession<'_>],
) -> Outcome {
    let all: Vec<&HostSession<'_>> =
        sessions.iter().filter(|session| session.host.is_member()).collect();
    let states = states(&all)?;
    let majority = run.inventory.majority();
    let what = match (arguments.to, arguments.undo) {
        (Some(MoveTo::Coordinator), _) => "to coordinator",
        (Some(MoveTo::Zookeeper), _) => "to zookeeper",
        (None, true) => "undo",
        (None, false) => "finish",
    };
    let next = match arguments.to {
        Some(MoveTo::Coordinator) => move_state::forth(&states, majority),
        Some(MoveTo::Zookeeper) => move_state::back(&states, majority),
        None => Next::Begin,
    };
    match &next {
        Next::Refused(why) => return Err(Failure::refused(why.clone())),
        Next::Nothing => {
            let engine =
                if what == "to coordinator" { "the coordinator" } else { "Apache ZooKeeper" };
            if !arguments.dry_run {
                say_engine(run, arguments)?;
            }
            run.reporter.summary(&format!("all members run {engine} already"), Summary::default());
            return Ok(Exit::Done);
        }
        _ => {}
    }
    let members = Members { run, sessions: all };
    if arguments.to == Some(MoveTo::Coordinator) && matches!(next, Next::Begin) {
        forth::stage(&members, apache, arguments).await?;
        if arguments.dry_run {
            return Ok(Exit::Done);
        }
    }
    if arguments.dry_run {
        run.reporter.summary(
            &format!("the hosts are in the middle of a move; {what} would go on"),
            Summary::default(),
        );
        return Ok(Exit::Done);
    }
    let question = match what {
        "undo" => "Start everybody as before the move?",
        "finish" => "Give up the way back to Apache ZooKeeper, and delete what it had?",
        "to zookeeper" => "Stop all members, and start Apache ZooKeeper from what they hold?",
        _ => "Stop all members of Apache ZooKeeper, and go on as the coordinator?",
    };
    confirm::confirm(arguments.yes, question)?;
    let journal = Journal::begin(&run.inventory.ensemble, what)?;
    let lost = Cell::new(false);
    let the_move = Move { run, apache, arguments, members, journal, lost };
    let lose = || {
        the_move.lost.set(true);
        run.lose_lock();
    };
    Box::pin(lock::holding(&Operator::me(), sessions, lose, async {
        // Somebody may have moved on since the hosts were asked.
        let again = the_move.members.states().await?;
        if again != states {
            return Err(Failure::refused(
                "another run has changed the hosts in the meantime; nothing was changed",
            )
            .hint("run the same command again"));
        }
        match arguments.to {
            Some(MoveTo::Coordinator) => forth::cut(&the_move, &next).await,
            Some(MoveTo::Zookeeper) => back::cut(&the_move, &next).await,
            None if arguments.undo => undo(&the_move, &states).await,
            None => finish(&the_move, &states).await,
        }
    }))
    .await
}

fn states(sessions: &[&HostSession<'_>]) -> Result<Vec<HostState>, Failure> {
    sessions
        .iter()
        .map(|session| {
            let votes = session.host.role == crate::inventory::Role::Participant;
            HostState::of(&session.host.name, votes, &session.observed.text("move")).ok_or_else(|| {
                Failure::refused("it does not say which server may run on it")
                    .host(&session.host.name)
                    .hint("look at /var/lib/zkprov/migration/state there: one word and the name of the move")
            })
        })
        .collect()
}

/// Everybody as before.
async fn undo(the_move: &Move<'_>, states: &[HostState]) -> Outcome {
    let majority = the_move.run.inventory.majority();
    let (id, side) = move_state::undo(states, majority).map_err(Failure::refused)?;
    send_back(the_move, states, &id, side).await?;
    say_engine_of(
        the_move.run,
        the_move.arguments,
        if side == Side::Zookeeper { "zookeeper" } else { "coordinator" },
    )?;
    the_move.run.reporter.summary("undone: everybody serves as before", Summary::default());
    Ok(Exit::Done)
}

/// Hosts go back to the side that they come from. Those that were opened too early come last: before that a
/// majority must be known to serve, or to be about to serve, on the old side. `states` names them; where none
/// has been opened they need not be known.
async fn send_back(
    the_move: &Move<'_>,
    states: &[HostState],
    id: &str,
    side: Side,
) -> Result<(), Failure> {
    let Move { apache, members, journal, .. } = the_move;
    journal.write("undo", "", id)?;
    let opened = |session: &&HostSession<'_>| {
        states
            .iter()
            .any(|state| state.host == session.host.name && state.side == Side::Coordinator)
    };
    let unit = if side == Side::Zookeeper { apache.unit() } else { crate::layout::UNIT };
    let step = |session: &HostSession<'_>| {
        let step = if side == Side::Zookeeper {
            the_move.returning(session, id)
        } else {
            MoveStep::Unseal { id: id.to_owned(), unit: unit.to_owned() }
        };
        vec![("back".to_owned(), Operation::Move(step))]
    };
    let (early, first): (Vec<_>, Vec<_>) = members
        .sessions
        .iter()
        .copied()
        .partition(|session| side == Side::Zookeeper && opened(session));
    for group in [first, early] {
        let outcomes = members.each(&group, 120, None, step).await;
        for outcome in &outcomes {
            if let Ok(frames) = &outcome.frames {
                journal.write("back", &outcome.host, &members::said(frames))?;
            }
        }
        members::all(outcomes).map_err(|failure| failure.hint(AGAIN))?;
    }
    members.serve(unit, SERVING_S).await.map(drop)
}

impl Move<'_> {
    fn returning(&self, session: &HostSession<'_>, id: &str) -> MoveStep {
        MoveStep::Return {
            id: id.to_owned(),
            unit: self.apache.unit().to_owned(),
            own_unit: crate::layout::UNIT.to_owned(),
            account: self.apache.account.clone(),
            data: session.host.data_dir.clone(),
            log: session.host.data_log_dir.clone(),
            files: vec![crate::layout::CONFIG_FILE.to_owned()],
        }
    }

    /// Stops between two steps.
    fn go_on(&self) -> Result<(), Failure> {
        if self.run.stopped() {
            return Err(Failure::failed("stopped between two steps"));
        }
        Ok(())
    }
}

/// The way back is given up.
async fn finish(the_move: &Move<'_>, states: &[HostState]) -> Outcome {
    if let Some(other) = states.iter().find(|state| state.side != Side::Coordinator) {
        return Err(Failure::refused(
            "it has not moved to the coordinator, or the move is not over",
        )
        .host(&other.host)
        .hint("`zkprov migrate --to coordinator` first"));
    }
    let Move { run, members, journal, arguments, .. } = the_move;
    let outcomes = members
        .each(&members.sessions, 300, None, |session| {
            let step = MoveStep::Finish {
                account: crate::layout::ACCOUNT.to_owned(),
                data: session.host.data_dir.clone(),
                log: session.host.data_log_dir.clone(),
            };
            vec![("finish".to_owned(), Operation::Move(step))]
        })
        .await;
    members::all(outcomes)?;
    journal.write("finished", "", "")?;
    let path = &arguments.inventory.inventory;
    edited(path, edit::without_apache, "take `apache:` out of its section `coordinator`")?;
    run.reporter.summary(
        "finished: sessions that begin from the next apply on have passwords that only this ensemble knows; `zkprov apply` \
         rolls the members to it",
        Summary::default(),
    );
    Ok(Exit::Done)
}

/// The inventory names the engine that serves.
fn say_engine(run: &Run, arguments: &cli::Migrate) -> Result<(), Failure> {
    let to = match arguments.to {
        Some(MoveTo::Zookeeper) => "zookeeper",
        _ => "coordinator",
    };
    say_engine_of(run, arguments, to)
}

fn say_engine_of(run: &Run, arguments: &cli::Migrate, to: &str) -> Result<(), Failure> {
    let path = &arguments.inventory.inventory;
    let now = if Inventory::load(path)?.coordinator.engine == Engine::Coordinator {
        "coordinator"
    } else {
        "zookeeper"
    };
    if now != to {
        let hint = format!("say `engine: {to}` in it");
        edited(path, |text| edit::with_engine(text, now, to), &hint)?;
        run.reporter.aside(&format!("{} says `engine: {to}` now", path.display()));
    }
    Ok(())
}

fn edited(path: &Path, edit: impl Fn(&str) -> Option<String>, hint: &str) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::failed(format!(
            "the hosts are done, and {} could not be changed: {why}",
            path.display()
        ))
        .hint(hint.to_owned())
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text =
        edit(&text).ok_or_else(|| failed("it does not say that on one line of its own".into()))?;
    // Beside it first: a full disk must not leave half an inventory.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::set_permissions(&beside, std::fs::metadata(path)?.permissions()))
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| failed(error.to_string()))
}

/// As many milliseconds as people say it.
fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
