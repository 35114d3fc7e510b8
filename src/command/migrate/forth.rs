//! From Apache ZooKeeper to the coordinator.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::artifacts::build::Builds;
use crate::artifacts::collect;
use crate::cli;
use crate::command::Outcome;
use crate::command::migrate::members::{self, Members};
use crate::command::migrate::standing::Standing;
use crate::command::migrate::{AGAIN, Move, SERVING_S, say_engine, seconds, send_back};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::ensemble;
use crate::host::lock::{Ballot, Operator};
use crate::host::session::{HostSession, gather};
use crate::inventory::{Apache, Engine};
use crate::layout::{
    ACCOUNT, BINARY, BINARY_DIR, CONFIG_DIR, CONFIG_FILE, SECRET_FILE, UNIT, UNIT_FILE,
};
use crate::migration::move_state::{Next, Side};
use crate::plan::change::Difference;
use crate::plan::desired::{self, Artifacts};
use crate::plan::library;
use crate::plan::move_step::MoveStep;
use crate::plan::operation::{Access, Operation};
use crate::plan::resource::Resource;
use crate::plan::template;
use crate::plan::{HostPlan, Step};
use crate::probe::{Observed, Reading};
use crate::report::event::Summary;
use crate::run::Run;
use crate::script::frame::Frame;
use crate::script::{self, Script};

/// Reading of a large tree beside a living server.
const CHECK_S: u32 = 1800;
/// What starting and electing take in the dark.
const START: Duration = Duration::from_millis(1500);

/// What everybody goes on without noticing: the account, the binary; then the checks.
pub(super) async fn stage(
    members: &Members<'_>,
    apache: &Apache,
    arguments: &cli::Migrate,
) -> Result<(), Failure> {
    let run = members.run;
    let reporter = &run.reporter;
    for session in &members.sessions {
        fits(session, run, apache)?;
    }
    if !arguments.dry_run {
        put(members).await?;
    }
    let installed = members.sessions.iter().all(|session| session.observed.path(BINARY).is_some());
    if arguments.dry_run && !installed {
        reporter.summary(
            "the hosts fit; with the tool of `zkprov apply` on them a dry run says how long nobody would be served",
            Summary::default(),
        );
        return Ok(());
    }
    let leader = serving(members, apache).await?;
    let check = check(members, apache, leader).await?;
    let number = |name: &str| check.report[name].as_u64().unwrap_or(0);
    let bytes = check.disk_kb * 1024;
    // Twice over the line, with what a usual network carries, and read once.
    let carried = Duration::from_secs_f64(bytes as f64 * 2.0 / 80e6);
    reporter.text(&format!(
        "{} znodes, {} bytes, {} ephemerals, {} sessions; {} MB of files go from one member to the others\n\
         nobody will be served for about {}: {} to carry, {} to read, the rest to start\n",
        number("znodes"),
        number("bytes"),
        number("ephemerals"),
        number("sessions"),
        bytes.div_ceil(1 << 20),
        seconds(carried + check.took + START),
        seconds(carried),
        seconds(check.took),
    ));
    let lines = |name: &str| -> Vec<String> {
        let all = check.report[name].as_array().into_iter().flatten();
        all.filter_map(|line| line.as_str().map(str::to_owned)).collect()
    };
    for note in lines("notes") {
        reporter.text(&format!("  note  {note}\n"));
    }
    let lost = lines("lost");
    if lost.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("this would be lost: {}", lost.join("; ")))
        .hint("nothing was changed; docs/migration.md says what can be done about each"))
}

/// What one host must have, before anything is touched.
fn fits(session: &HostSession<'_>, run: &Run, apache: &Apache) -> Result<(), Failure> {
    let (host, observed) = (session.host, &session.observed);
    let refuse = |cause: String, hint: &str| {
        Err(Failure::refused(format!("{cause}; nothing was changed"))
            .host(&host.name)
            .hint(hint.to_owned()))
    };
    if observed.text("uid").trim() != "0" {
        return refuse("the login is not root there".into(), "set `become`");
    }
    if observed.text("systemd").trim() != "yes" {
        return refuse("it does not run systemd".into(), "move it by hand: docs/migration.md");
    }
    let listing = observed.listing(&host.data_dir);
    if !listing.iter().any(|name| name == "version-2") {
        return refuse(
            format!("{} holds no `version-2`", host.data_dir),
            "is `data_dir` the directory of the server that runs there? `zkprov adopt` looks",
        );
    }
    let skew = session.skew.certain_ms().unsigned_abs();
    if skew > u64::from(run.inventory.coordinator.tick_time_ms) {
        return refuse(
            format!("its clock is {skew} ms from this machine's"),
            "sessions would be timed wrongly: set the clock first",
        );
    }
    if apache.unit() == UNIT
        && observed
            .path(UNIT_FILE)
            .is_some_and(|file| matches!(file.kind, crate::probe::Kind::Symlink(_)))
    {
        return refuse(format!("{UNIT_FILE} is a link"), "put the unit's file there itself");
    }
    Ok(())
}

/// Account, folders and binary: nothing that a server of Apache's reads.
async fn put(members: &Members<'_>) -> Result<(), Failure> {
    let run = members.run;
    let mut plans = Vec::new();
    for session in &members.sessions {
        let architecture = session.observed.architecture();
        let binary = collect::binary(&run.inventory, &architecture, Builds::WhenStale)
            .map_err(|failure| failure.host(&session.host.name))?;
        let artifacts = Artifacts { binary: Some(binary), ..run.artifacts.clone() };
        let mut plan = HostPlan::new(&session.host.name);
        let mut changed = Vec::new();
        for resource in desired::resources(&run.inventory, session.host, &artifacts)? {
            let quiet = match &resource {
                Resource::Group(_) | Resource::User(_) | Resource::Binary(_) => true,
                Resource::Directory(folder) => {
                    [CONFIG_DIR, BINARY_DIR].contains(&folder.path.as_str())
                }
                Resource::Symlink(link) => link.path == BINARY,
                _ => false,
            };
            if !quiet {
                continue;
            }
            match resource.differ(&session.observed, &changed) {
                Difference::Changes(changes) => {
                    let (subject, phase, lane) =
                        (resource.subject(), resource.phase(), resource.lane());
                    plan.steps.extend(changes.into_iter().map(|change| Step {
                        subject: subject.clone(),
                        phase,
                        lane,
                        change,
                    }));
                    changed.push(subject);
                }
                Difference::Refused { cause, hint } => {
                    return Err(Failure::refused(cause).host(&session.host.name).hint(hint));
                }
                _ => {}
            }
        }
        plans.push((*session, plan));
    }
    plans.retain(|(_, plan)| !plan.steps.is_empty());
    if plans.is_empty() {
        return Ok(());
    }
    let (operator, ballot) = (Operator::me(), Ballot::new(plans.len()));
    let outcomes = join_all(plans.iter().map(|(session, plan)| {
        let lock = (&operator, &ballot);
        async move {
            let steps: Vec<_> = plan.steps.iter().collect();
            run.fleet.change(session, plan, &steps, lock, |_| {}).await.1
        }
    }))
    .await;
    outcomes.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    run.reporter.aside("account and binary are on the hosts; what runs has not noticed");
    Ok(())
}

/// The leader, where all members serve and have caught up.
async fn serving<'a>(
    members: &Members<'a>,
    apache: &Apache,
) -> Result<&'a HostSession<'a>, Failure> {
    let mut inventory = members.run.inventory.clone();
    inventory.coordinator.engine = Engine::Zookeeper;
    let looks = join_all(members.sessions.iter().map(|session| async move {
        let mut script = Script::new(&script::nonce());
        script.library(library::SERVICE);
        script.call("zk_guard", ["20"]);
        let mut reading = Reading::default();
        reading.function("read_service", [apache.unit()]);
        reading.function("probe_status", [BINARY, &desired::server(session.host)]);
        reading.ask_only(&mut script);
        let heard = gather(&session.link, &script, Duration::from_secs(20)).await;
        let (frames, _) = heard.map_err(|failure| failure.host(&session.host.name))?;
        Ok((session.host.name.clone(), Observed::new(frames)))
    }))
    .await;
    let looks = looks.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    let find =
        |name: &str| looks.iter().find(|(host, _)| host == name).map(|(_, observed)| observed);
    let view = ensemble::view(&inventory, |host| find(&host.name), |_| None);
    let complaints = view.complaints();
    if !complaints.is_empty() {
        return Err(Failure::refused(format!("not all members serve: {}", complaints.join("; ")))
            .hint("nothing was changed; a move begins from a healthy ensemble"));
    }
    view.leader().and_then(|leader| members.find(&leader.host)).ok_or_else(|| {
        Failure::refused("nobody leads")
            .hint("nothing was changed; a move begins from a healthy ensemble")
    })
}

/// What the leader's files hold, read beside the living server.
struct Check {
    report: Value,
    took: Duration,
    disk_kb: u64,
}

async fn check<'a>(
    members: &Members<'a>,
    apache: &Apache,
    leader: &'a HostSession<'a>,
) -> Result<Check, Failure> {
    let mut inventory = members.run.inventory.clone();
    // The account that reads is Apache's, which has no business with our secret.
    inventory.coordinator.secret = None;
    let host = leader.host;
    let content = template::render(&inventory, host, "zookeeper.properties")?;
    let from = match &host.data_log_dir {
        Some(log) => format!("{},{log}", host.data_dir),
        None => host.data_dir.clone(),
    };
    let begun = Instant::now();
    let came = members
        .each(&[leader], CHECK_S, None, |_| {
            let check = MoveStep::Check {
                tool: BINARY.into(),
                properties: content.clone(),
                from: from.clone(),
                account: apache.account.clone(),
            };
            vec![("check".to_owned(), Operation::Move(check))]
        })
        .await;
    let took = begun.elapsed();
    let frames = members::all(came).map_err(|failure| failure.hint("nothing was stopped"))?;
    let (_, frames) = frames.into_iter().next().unwrap_or_default();
    let report = members::told(&host.name, &frames, "check")?;
    let disk_kb = report["disk_kb"].as_u64().unwrap_or(0);
    Ok(Check { report, took, disk_kb })
}

/// From the first stopped process to the first member that serves.
pub(super) async fn cut(the_move: &Move<'_>, next: &Next) -> Outcome {
    let id = match next {
        Next::Resume(id) | Next::Complete(id) => id.clone(),
        _ => format!("m{}", &script::nonce()[..12]),
    };
    let gap = match Box::pin(stop_and_open(the_move, &id)).await {
        Ok(gap) => gap,
        Err((failure, opening)) => {
            return Err(aftermath(
                the_move,
                &id,
                failure,
                opening,
                matches!(next, Next::Complete(_)),
            )
            .await);
        }
    };
    say_engine(the_move.run, the_move.arguments)?;
    the_move.journal.write("serves", "", &seconds(gap))?;
    let text = format!(
        "the coordinator serves in the place of Apache ZooKeeper; nobody was served for {}; {}",
        seconds(gap),
        the_move.journal.path
    );
    the_move.run.reporter.summary(&text, Summary::default());
    Ok(Exit::Done)
}

/// A failure with what was done about it. Before any host is opened everybody goes back at once.
async fn aftermath(
    the_move: &Move<'_>,
    id: &str,
    failure: Failure,
    opening: bool,
    complete: bool,
) -> Failure {
    if opening || complete || the_move.lost.get() {
        return failure.hint(AGAIN);
    }
    the_move.run.reporter.failed(&failure);
    the_move.run.reporter.aside("nothing has been opened: everybody goes back to Apache ZooKeeper");
    // Not asked first: a host that has died must not keep the others from serving.
    match send_back(the_move, &[], id, Side::Zookeeper).await {
        Ok(()) => Failure::new(
            Exit::RolledBack,
            "the move failed, and was undone: Apache ZooKeeper serves as before",
        ),
        Err(undoing) => undoing.hint(AGAIN),
    }
}

/// The gap; or the failure, and whether the opening had begun.
async fn stop_and_open(the_move: &Move<'_>, id: &str) -> Result<Duration, (Failure, bool)> {
    let before = |failure| (failure, false);
    // A host that was opened before this run has been fenced as well.
    let waiting = the_move.members.not_opened().await.map_err(before)?;
    let (stopped, told) = fence(the_move, id, &waiting).await.map_err(before)?;
    let chosen = choose(the_move, told).await.map_err(before)?;
    the_move.go_on().map_err(before)?;
    import(the_move, id, &chosen, &waiting).await.map_err(before)?;
    the_move.go_on().map_err(before)?;
    let after = |failure| (failure, true);
    let first = open(the_move, id).await.map_err(after)?;
    Ok(first.duration_since(stopped))
}

/// Barred everywhere first, so that between the first kill and the last there is nothing but the network.
/// Gives the moment of the kill, and what the hosts say of how far they have come.
async fn fence<'a>(
    the_move: &Move<'a>,
    id: &str,
    waiting: &[&'a HostSession<'a>],
) -> Result<(Instant, Told), Failure> {
    let Move { run, apache, members, journal, .. } = the_move;
    let (unit, account) = (apache.unit(), &apache.account);
    journal.write("bar", "", id)?;
    // Apache's process has read its configuration, and no other one can be started any more.
    let staged = files(run, waiting, |path| [CONFIG_FILE, SECRET_FILE].contains(&path))?;
    let came = members
        .each(waiting, 60, None, |session| {
            let bar = MoveStep::Bar { id: id.to_owned(), unit: unit.to_owned() };
            let keep = MoveStep::KeepFile { path: CONFIG_FILE.to_owned() };
            let mut steps = vec![
                ("bar".to_owned(), Operation::Move(bar)),
                ("keep".to_owned(), Operation::Move(keep)),
            ];
            steps.extend(staged.get(&session.host.name).cloned().into_iter().flatten());
            steps
        })
        .await;
    members::all(came)?;
    the_move.go_on()?;
    journal.write("fence", "", "")?;
    let stopped = Instant::now();
    let came = members
        .each(waiting, 60, None, |session| {
            let step = MoveStep::Fence {
                id: id.to_owned(),
                unit: unit.to_owned(),
                account: account.clone(),
                data: session.host.data_dir.clone(),
                log: session.host.data_log_dir.clone(),
            };
            vec![("fence".to_owned(), Operation::Move(step)), standing(session)]
        })
        .await;
    let told = members::all(came)?;
    for (host, _) in &told {
        journal.write("fenced", host, "")?;
    }
    run.reporter.aside("all members of Apache ZooKeeper are stopped");
    Ok((stopped, told))
}

/// By host, the steps that write those of its files that are wanted, named by their paths.
type Files = BTreeMap<String, Vec<(String, Operation)>>;

fn files(
    run: &Run,
    sessions: &[&HostSession<'_>],
    wanted: impl Fn(&str) -> bool,
) -> Result<Files, Failure> {
    let mut files = Files::new();
    for session in sessions {
        let resources = desired::resources(&run.inventory, session.host, &run.artifacts)?;
        let steps = resources.into_iter().filter_map(|resource| {
            let Resource::File(file) = resource else { return None };
            wanted(&file.path).then(|| {
                let operation = Operation::WriteFile {
                    path: file.path.clone(),
                    access: file.access,
                    content: file.content,
                    secret: true,
                    aside: None,
                };
                (format!("file {}", file.path), operation)
            })
        });
        files.insert(session.host.name.clone(), steps.collect());
    }
    Ok(files)
}

/// Hosts, and the frames of what each said.
type Told = Vec<(String, Vec<Frame>)>;

fn standing(session: &HostSession<'_>) -> (String, Operation) {
    let step = MoveStep::Standing {
        tool: BINARY.into(),
        data: session.host.data_dir.clone(),
        log: session.host.data_log_dir.clone(),
    };
    ("standing".to_owned(), Operation::Move(step))
}

/// The files of the member that Apache ZooKeeper would elect, and the epoch that nobody has seen yet.
struct Chosen {
    carried: members::Carried,
    epoch: u64,
}

async fn choose(the_move: &Move<'_>, mut told: Told) -> Result<Chosen, Failure> {
    let Move { members, journal, .. } = the_move;
    // Who was opened before this run has its files of Apache's still.
    let others: Vec<_> = members
        .sessions
        .iter()
        .copied()
        .filter(|session| told.iter().all(|(host, _)| *host != session.host.name))
        .collect();
    let came = members.each(&others, 300, None, |session| vec![standing(session)]).await;
    told.extend(members::all(came)?);
    let mut standings = Vec::new();
    for (host, frames) in told {
        let told = members::told(&host, &frames, "standing")?;
        let standing = Standing::of(&host, &told)?;
        journal.write("standing", &host, &format!("{:?}", standing.vote))?;
        standings.push(standing);
    }
    // As an election compares them: epoch, zxid, then id. Observers have what a voter has logged before.
    let winner = standings.iter().max_by_key(|standing| standing.vote);
    let winner = winner.ok_or_else(|| Failure::failed("no member has any files"))?;
    let session = members.find(&winner.host).ok_or_else(|| Failure::failed("no such member"))?;
    let folder = format!("{}/apache", session.host.data_dir);
    let log = session
        .host
        .data_log_dir
        .as_ref()
        .map_or_else(|| folder.clone(), |log| format!("{log}/apache"));
    let carried = members.take(session, (&folder, &log), (&winner.snapshots, &winner.logs)).await?;
    journal.write("taken", &winner.host, &carried.payload().bytes.to_string())?;
    let epoch = standings.iter().map(|standing| standing.epoch).max().unwrap_or(0) + 1;
    Ok(Chosen { carried, epoch })
}

/// Every member begins from the same files with the same word, so that all begin alike.
async fn import<'a>(
    the_move: &Move<'a>,
    id: &str,
    chosen: &Chosen,
    waiting: &[&'a HostSession<'a>],
) -> Result<(), Failure> {
    let Move { run, members, journal, .. } = the_move;
    let payload = chosen.carried.payload();
    let files = files(run, waiting, |path| path.ends_with("/myid"))?;
    let came = members
        .each(waiting, 3600, Some(&payload), |session| {
            let host = session.host;
            let mut steps: Vec<(String, Operation)> =
                [Some(&host.data_dir), host.data_log_dir.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|path| {
                        let access = Access::new(ACCOUNT, ACCOUNT, "750");
                        (
                            format!("directory {path}"),
                            Operation::MakeDirectory { path: path.clone(), access },
                        )
                    })
                    .collect();
            let folder = format!("{}/apache.copy", host.data_dir);
            let (account, bytes) = (ACCOUNT.to_owned(), payload.bytes);
            let unpack = MoveStep::Unpack { folder: folder.clone(), account, bytes };
            steps.push(("copy".to_owned(), Operation::Move(unpack)));
            steps.extend(files.get(&host.name).cloned().into_iter().flatten());
            let import = MoveStep::Import {
                tool: BINARY.into(),
                config: CONFIG_FILE.into(),
                folder,
                id: id.to_owned(),
                epoch: chosen.epoch,
                account: ACCOUNT.into(),
                data: host.data_dir.clone(),
            };
            steps.push(("import".to_owned(), Operation::Move(import)));
            steps
        })
        .await;
    let mut first: Option<(String, Value)> = None;
    for (host, frames) in members::all(came)? {
        let told = members::told(&host, &frames, "import")?;
        journal.write("imported", &host, told["digest"].as_str().unwrap_or("?"))?;
        match &first {
            Some((other, known))
                if (&known["ensemble"], &known["digest"])
                    != (&told["ensemble"], &told["digest"]) =>
            {
                let cause =
                    format!("it begins with another tree than {other}, from the same files");
                return Err(Failure::failed(cause).host(&host).step("import"));
            }
            Some(_) => {}
            None => first = Some((host, told)),
        }
    }
    Ok(())
}

/// From here on ours may run, host by host; with a majority it serves.
async fn open(the_move: &Move<'_>, id: &str) -> Result<Instant, Failure> {
    let Move { run, members, journal, .. } = the_move;
    journal.write("open", "", id)?;
    let mut units = BTreeMap::new();
    for session in &members.sessions {
        units.insert(
            session.host.name.clone(),
            template::render(&run.inventory, session.host, "zookeeper.service")?,
        );
    }
    let limit = u32::try_from(SERVING_S).unwrap_or(u32::MAX) + 30;
    let came = members
        .each(&members.sessions, limit, None, |session| {
            let content = units.get(&session.host.name).cloned().unwrap_or_default();
            let server = desired::server(session.host);
            let unit = Operation::WriteFile {
                path: UNIT_FILE.into(),
                access: Access::new("root", "root", "644"),
                content,
                secret: false,
                aside: None,
            };
            vec![
                ("allow".to_owned(), Operation::Move(MoveStep::Allow { id: id.to_owned() })),
                (format!("file {UNIT_FILE}"), unit),
                (
                    "open".to_owned(),
                    Operation::Move(MoveStep::Open { id: id.to_owned(), unit: UNIT.to_owned() }),
                ),
                ("serves".to_owned(), Operation::serving(UNIT, SERVING_S, &server)),
            ]
        })
        .await;
    let first = came.iter().filter(|came| came.frames.is_ok()).map(|came| came.at).min();
    for (host, _) in members::all(came)? {
        journal.write("opened", &host, "")?;
    }
    Ok(first.unwrap_or_else(Instant::now))
}
