//! From the coordinator back to Apache ZooKeeper.

use std::time::Instant;

use serde_json::Value;

use crate::command::Outcome;
use crate::command::migrate::members;
use crate::command::migrate::{AGAIN, Move, SERVING_S, say_engine, seconds, send_back};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::host::session::HostSession;
use crate::layout::{ACCOUNT, BINARY, CONFIG_FILE, UNIT};
use crate::migration::move_state::{Next, Side};
use crate::plan::move_step::MoveStep;
use crate::plan::operation::Operation;
use crate::report::event::Summary;
use crate::script;

/// An export of a large tree.
const EXPORT_S: u32 = 1800;

pub(super) async fn cut(the_move: &Move<'_>, next: &Next) -> Outcome {
    let id = match next {
        Next::Resume(id) | Next::Complete(id) => id.clone(),
        _ => format!("b{}", &script::nonce()[..12]),
    };
    let begun = Instant::now();
    if !matches!(next, Next::Complete(_))
        && let Err(failure) = Box::pin(seal_and_export(the_move, &id)).await
    {
        if the_move.lost.get() {
            return Err(failure.hint(AGAIN));
        }
        the_move.run.reporter.failed(&failure);
        the_move
            .run
            .reporter
            .aside("nothing of Apache ZooKeeper's has been started: the coordinator goes on");
        // Not asked first: a host that has died must not keep the others from serving.
        return Err(match send_back(the_move, &[], &id, Side::Coordinator).await {
            Ok(()) => Failure::new(
                Exit::RolledBack,
                "the move failed, and was undone: the coordinator serves as before",
            ),
            Err(undoing) => undoing.hint(AGAIN),
        });
    }
    let first = start(the_move, &id).await.map_err(|failure| failure.hint(AGAIN))?;
    let gap = first.duration_since(begun);
    say_engine(the_move.run, the_move.arguments)?;
    the_move.journal.write("serves", "", &seconds(gap))?;
    let text = format!(
        "Apache ZooKeeper serves in the place of the coordinator; nobody was served for {}; {}",
        seconds(gap),
        the_move.journal.path
    );
    the_move.run.reporter.summary(&text, Summary::default());
    Ok(Exit::Done)
}

fn folder(session: &HostSession<'_>) -> String {
    format!("{}/apache.back", session.host.data_dir)
}

/// Every member ends in an orderly way, and writes what it holds as Apache's files. Who has less than another
/// gets that one's.
async fn seal_and_export(the_move: &Move<'_>, id: &str) -> Result<(), Failure> {
    let Move { members, journal, .. } = the_move;
    journal.write("seal", "", id)?;
    let came = members
        .each(&members.sessions, 120, None, |_| {
            let step = MoveStep::Seal { id: id.to_owned(), unit: UNIT.to_owned() };
            vec![("seal".to_owned(), Operation::Move(step))]
        })
        .await;
    members::all(came)?;
    the_move.go_on()?;
    let came = members
        .each(&members.sessions, EXPORT_S, None, |session| {
            let step = MoveStep::Export {
                tool: BINARY.into(),
                config: CONFIG_FILE.into(),
                id: id.to_owned(),
                folder: folder(session),
                account: ACCOUNT.into(),
            };
            vec![("export".to_owned(), Operation::Move(step))]
        })
        .await;
    let mut exports: Vec<(String, Value)> = Vec::new();
    for (host, frames) in members::all(came)? {
        let told = members::told(&host, &frames, "export")?;
        journal.write("exported", &host, &format!("{} {}", told["last_index"], told["digest"]))?;
        exports.push((host, told));
    }
    // As our elections compare them.
    let last = |told: &Value| (told["last_term"].as_u64(), told["last_index"].as_u64());
    let (winner, most) = exports
        .iter()
        .max_by_key(|(_, told)| last(told))
        .cloned()
        .ok_or_else(|| Failure::failed("no member has written anything"))?;
    let behind: Vec<_> = exports
        .iter()
        .filter(|(_, told)| (last(told), &told["digest"]) != (last(&most), &most["digest"]))
        .filter_map(|(host, _)| members.find(host))
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    the_move.go_on()?;
    let session = members.find(&winner).ok_or_else(|| Failure::failed("no such member"))?;
    let name =
        most["snapshot"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let plain = name
        .strip_prefix("snapshot.")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if !plain {
        return Err(Failure::failed(format!("it cannot be understood: {most}"))
            .host(&winner)
            .step("export"));
    }
    let from = folder(session);
    let carried = members.take(session, (&from, &from), (&[name.to_owned()], &[])).await?;
    let payload = carried.payload();
    let came = members
        .each(&behind, 600, Some(&payload), |session| {
            let step = MoveStep::Unpack {
                folder: folder(session),
                account: ACCOUNT.into(),
                bytes: payload.bytes,
            };
            vec![("copy".to_owned(), Operation::Move(step))]
        })
        .await;
    for (host, _) in members::all(came)? {
        journal.write("copied", &host, &winner)?;
    }
    Ok(())
}

/// From here on Apache's may run, host by host; with a majority it serves.
async fn start(the_move: &Move<'_>, id: &str) -> Result<Instant, Failure> {
    let Move { apache, members, journal, .. } = the_move;
    journal.write("return", "", id)?;
    let limit = u32::try_from(SERVING_S).unwrap_or(u32::MAX) + 30;
    let came = members
        .each(&members.sessions, limit, None, |session| {
            let server = crate::plan::desired::server(session.host);
            vec![
                ("return".to_owned(), Operation::Move(the_move.returning(session, id))),
                ("serves".to_owned(), Operation::serving(apache.unit(), SERVING_S, &server)),
            ]
        })
        .await;
    let first = came.iter().filter(|came| came.frames.is_ok()).map(|came| came.at).min();
    for (host, _) in members::all(came)? {
        journal.write("returned", &host, "")?;
    }
    Ok(first.unwrap_or_else(Instant::now))
}
