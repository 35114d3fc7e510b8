//! How the members of the ensemble are looked at while they are rolled.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cli::Part;
use crate::failure::Failure;
use crate::health::ensemble::{self, View};
use crate::host::session::HostSession;
use crate::inventory::{Engine, Host, Inventory};
use crate::layout::BINARY;
use crate::plan::desired;
use crate::plan::library;
use crate::plan::operation::Operation;
use crate::probe::{Observed, Reading};
use crate::report::event::RollStep;
use crate::rolling::drive::{Drive, Machine, Service};
use crate::rolling::gate::{Next, Target};
use crate::rolling::members::Roll;
use crate::script::{self, Script};

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(15);
/// How often it is looked whether a member has lost its vote.
const REMOVAL_LOOKS: usize = 40;
/// How long a member that was put back may take to serve again.
const SERVING_S: u64 = 120;

impl Machine for Roll {
    type View = View;
    fn service(inventory: &Inventory) -> Service {
        Service {
            part: Part::Coordinator,
            unit: inventory.unit().to_owned(),
            noun: "member",
            prefix: "",
            stop_s: None,
            // The old process is ended in an orderly way first.
            restart_s: 150,
            put_back_s: 240,
            back: "serves and has caught up",
            well: "serves",
        }
    }

    fn next(&mut self, view: &View, now_ms: u64) -> Next {
        self.next(view, now_ms)
    }

    fn restarted(&mut self, host: &str, before: &View, now_ms: u64) {
        self.restarted(host, before, now_ms);
    }

    fn transferred(&mut self) {
        self.transferred();
    }

    fn pending(&self) -> &[Target] {
        self.pending()
    }

    async fn look(drive: &Drive<'_>) -> View {
        look(drive).await
    }

    fn awaited(drive: &Drive<'_>, host: &Host) -> Operation {
        Operation::serving(drive.run.inventory.unit(), SERVING_S, &desired::server(host))
    }
}

/// Whether the engine can hand its leadership over.
pub(super) fn transfers(drive: &Drive<'_>) -> bool {
    drive.run.inventory.coordinator.engine == Engine::Coordinator
}

/// The ensemble now, every host asked at the same time.
pub async fn look(drive: &Drive<'_>) -> View {
    let answers: Vec<(String, Result<Observed, Failure>)> =
        join_all(drive.sessions.iter().map(|session| async move {
            (session.host.name.clone(), look_at(drive, session).await)
        }))
        .await;
    let find = |host: &Host| answers.iter().find(|(name, _)| *name == host.name);
    ensemble::view(
        &drive.run.inventory,
        |host| find(host).and_then(|(_, answer)| answer.as_ref().ok()),
        |host| find(host).and_then(|(_, answer)| answer.as_ref().err()).map(|f| f.cause.clone()),
    )
}

async fn look_at(drive: &Drive<'_>, session: &HostSession<'_>) -> Result<Observed, Failure> {
    let mut script = Script::new(&script::nonce());
    script.library(library::SERVICE);
    script.call("zk_guard", ["15"]);
    let mut reading = Reading::default();
    reading.function("read_service", [drive.run.inventory.unit()]);
    reading.function("probe_status", [BINARY, &desired::server(session.host)]);
    reading.ask_only(&mut script);
    drive.observe(session, &script, LOOK).await
}

/// Takes the vote from a member that is stopped and not in the inventory any more: with more votes
/// than servers nobody could be spared for a restart.
pub(super) async fn remove(drive: &Drive<'_>, id: u8) -> Result<(), Failure> {
    let unlisted = |view: &View| view.unlisted() > 0 && view.unlisted_up() == 0;
    let view = look(drive).await;
    let Some(leader) = view.leader().filter(|_| transfers(drive) && unlisted(&view)) else {
        return Ok(());
    };
    let command = ["remove-member".to_owned(), id.to_string()];
    drive.tell(RollStep::Remove, &leader.host, &format!("takes the vote from member {id}"));
    drive.admin(&leader.host, "remove a member", &command).await?;
    for _ in 0..REMOVAL_LOOKS {
        if !unlisted(&look(drive).await) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err(Failure::failed(format!("member {id} still has its vote"))
        .host(&leader.host)
        .hint("the leader's journal says why: `zkprov logs`; apply again when it is fixed"))
}
