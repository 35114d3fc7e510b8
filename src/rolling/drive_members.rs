//! How the members of the ensemble are looked at while they are rolled.

use std::time::Duration;

use crate::failure::Failure;
use crate::health::ensemble::{self, View};
use crate::inventory::{Engine, Host, Inventory};
use crate::layout::BINARY;
use crate::plan::desired;
use crate::plan::operation::Operation;
use crate::probe::Reading;
use crate::report::event::RollStep;
use crate::rolling::drive::{Drive, Rolled};
use crate::rolling::members::Roll;
use crate::rolling::service::Service;

/// A look that takes longer counts as no answer.
const LOOK: Duration = Duration::from_secs(15);
/// How often it is looked whether a member has lost its vote.
const REMOVAL_LOOKS: usize = 40;
/// How long a member that was put back may take to serve again.
const SERVING_S: u64 = 120;

impl Rolled for Roll {
    fn service(inventory: &Inventory) -> Service {
        Service::members(inventory.unit())
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
    let reading = |host: &Host| {
        let mut reading = Reading::default();
        reading.function("read_service", [drive.run.inventory.unit()]);
        reading.function("probe_status", [BINARY, &desired::server(host)]);
        Some(reading)
    };
    let answers = drive.ask(reading, LOOK).await;
    let find = |host: &Host| answers.iter().find(|(name, _)| *name == host.name);
    ensemble::view(
        &drive.run.inventory,
        |host| find(host).and_then(|(_, answer)| answer.as_ref().ok()),
        |host| find(host).and_then(|(_, answer)| answer.as_ref().err()).map(|f| f.cause.clone()),
    )
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
