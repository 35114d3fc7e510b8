//! One roll from its preflight to its end, the same for `apply`, `restart` and `rollback`.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::health::ensemble::Member;
use crate::host::session::HostSession;
use crate::rolling::brokers::{self, BrokerRoll};
use crate::rolling::drive::{Drive, Rolled as _};
use crate::rolling::gate::{Machine as _, Target};
use crate::rolling::journal::{Entry, Journal};
use crate::rolling::members::{Policy, Roll};
use crate::rolling::previous::Switches;
use crate::rolling::{drive_brokers, drive_members};
use crate::run::Run;

/// How long members that serve no more may take to elect a leader.
const ELECTION: Duration = Duration::from_secs(10);

/// What the person says about the roll.
#[derive(Clone, Copy, Debug)]
pub struct RollOptions {
    pub allow_quorum_loss: bool,
    pub settle_s: Option<u32>,
    /// What the members run is changed with the restart.
    pub changes: bool,
    /// How long what was started just now may take before the first one's turn.
    pub patience_s: u32,
    /// A member whose vote is taken away before the first one's turn.
    pub leaving: Option<u8>,
}

/// Where a roll of members is recorded.
#[derive(Debug, Default)]
pub struct Recorded<'a> {
    /// Of an earlier run that goes on here; a new one otherwise.
    pub journal: Option<Journal>,
    /// Brokers whose turn comes afterwards.
    pub then: &'a [Target],
}

/// One roll, from the preflight to its end; gives its journal.
pub async fn roll(
    run: &Run,
    sessions: &[HostSession<'_>],
    switches: Switches,
    targets: Vec<Target>,
    recorded: Recorded<'_>,
    options: RollOptions,
) -> Result<Journal, Failure> {
    let coordinator = &run.inventory.coordinator;
    let drive = Drive::new(run, sessions, switches);
    let settled_ms =
        (2 * u64::from(coordinator.tick_time_ms) * u64::from(coordinator.sync_limit)).max(10_000);
    let policy = Policy {
        gate_timeout_ms: 300_000,
        settle_ms: options.settle_s.map_or(settled_ms, |seconds| u64::from(seconds) * 1000),
        allow_quorum_loss: options.allow_quorum_loss,
        transfer: drive_members::transfers(&drive),
        dark: false,
    };
    let mut roll = Roll::new(policy, targets.clone());
    if let Some(id) = options.leaving {
        drive_members::remove(&drive, id).await?;
    }
    let begun = Instant::now();
    let reasons = loop {
        let view = drive_members::look(&drive).await;
        let mut patience = Duration::from_secs(options.patience_s.into());
        if options.changes && !view.members.iter().any(Member::serves) {
            // With other files they may come to serve; before, they are given the time of an election.
            patience = patience.max(ELECTION);
            if begun.elapsed() >= ELECTION {
                roll.accept_dark();
            }
        }
        let reasons = roll.preflight(&view);
        let waited = begun.elapsed() >= patience;
        if reasons.is_empty() || waited || run.stopped() {
            break reasons;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    Roll::service(&run.inventory).preflight(&reasons)?;
    let journal = match recorded.journal {
        Some(journal) => journal,
        None => Journal::members(&run.inventory.ensemble, &targets, recorded.then)?,
    };
    drive.whole(roll, journal).await
}

/// One roll of brokers, from the preflight to its end; `before` is the journal of the members that
/// it follows.
pub async fn roll_brokers(
    run: &Run,
    sessions: &[HostSession<'_>],
    switches: Switches,
    targets: Vec<Target>,
    (journal, before): (Option<Journal>, Option<Journal>),
    options: RollOptions,
) -> Result<(), Failure> {
    let drive = Drive::new(run, sessions, switches);
    let policy = brokers::Policy {
        gate_timeout_ms: 300_000,
        back_timeout_ms: 600_000,
        settle_ms: options.settle_s.map_or(10_000, |seconds| u64::from(seconds) * 1000),
    };
    let roll = BrokerRoll::new(policy, targets.clone());
    let cluster = drive_brokers::look(&drive).await;
    BrokerRoll::service(&run.inventory).preflight(&roll.preflight(&cluster))?;
    let bare = cluster.without_spare();
    if !bare.is_empty() {
        let names: Vec<&str> = bare.iter().map(String::as_str).collect();
        run.reporter.aside(&format!(
            "without a spare replica, not to be written to while a broker of theirs restarts: {}",
            names.join(", ")
        ));
    }
    let journal = match journal {
        Some(journal) => journal,
        None => Journal::brokers(&run.inventory.ensemble, &targets)?,
    };
    if let Some(mut before) = before {
        before.write(&Entry::Handed { run: journal.run.clone() })?;
    }
    drive.whole(roll, journal).await.map(drop)
}
