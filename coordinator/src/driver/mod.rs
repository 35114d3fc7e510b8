//! Drives a node: takes what has arrived, lets the node work, carries out what it asks.
//!
//! Everything that decides is here: which thread syncs a write, which messages leave before it,
//! whether writes wait for others to share a sync, when a snapshot yields, when the thread polls
//! and when it sleeps. The world is a [`Host`]: the server's `edge` with sockets, threads and
//! clocks, or the simulator. So the simulator replaces the world and never the program
//! (`docs/decisions/0016`).
//!
//! `host` is what a world has to offer, `outputs` carries out, `completions` takes what other
//! threads have finished, `log` and `snapshot` are the work of those threads, `recover` reads a
//! data directory, `operators` answers people; `busy_poll`, `group_commit` and `backoff` decide
//! about waiting.

mod backoff;
mod busy_poll;
mod completions;
mod group_commit;
mod host;
mod log;
mod operators;
mod outputs;
mod recover;
mod snapshot;

use std::sync::mpsc::Sender;
use std::time::Duration;

pub use host::{Completion, Host, Milestone, Written};
pub use log::{Chore, Chores, LogWork, LogWriter};
pub use operators::Operators;
pub use recover::{Halves, Newest, RecoverError, claim, read_halves, recover};
pub use snapshot::{ReceivedSnapshot, SnapshotStep, SnapshotThread, SnapshotWork, open_snapshot};

use busy_poll::BusyPoll;
use group_commit::GroupCommit;
use log::LogSchedule;

use crate::node::Node;
use crate::store::{Disk, Identity};

/// An idle server wakes this often: raft's clock.
pub const TICK: Duration = Duration::from_millis(20);

/// An orderly stop takes no longer than this.
const STOP_TIME: Duration = Duration::from_secs(3);

/// What a driver must know before it starts.
#[derive(Clone, Copy, Debug)]
pub struct DriverConfig {
    /// The thread may look for work without sleeping (`coordinator.busyPoll`).
    pub busy_poll: bool,
    /// Cores of the machine, or of the process's quota.
    pub cores: usize,
    /// A sync that takes longer is worth a line (`fsync.warningthresholdms`).
    pub sync_warning: Duration,
}

/// A node and all that happens around it, but for the I/O itself.
pub struct Driver<D: Disk> {
    node: Node,
    disk: D,
    identity: Identity,
    /// The data directory says which ensemble it belongs to.
    joined: bool,
    config: DriverConfig,
    operators: Operators,
    log: LogSchedule,
    group_commit: GroupCommit,
    busy_poll: BusyPoll,
    /// Nobody else waits while the writes at hand are synced: at most one socket was ready this
    /// turn, or all those whose writes are usually answered together were.
    lone: bool,
    /// Writes wait for others to share their sync.
    held: bool,
    /// The thread looks for work without sleeping.
    polling: bool,
    next_tick: Duration,
    stop_by: Option<Duration>,
    served: bool,
    /// Who waits for a snapshot of this index or a later one.
    backups: Vec<(u64, Sender<Result<u64, String>>)>,
    /// A snapshot could not be fetched; when the node learns it, and of which index it was.
    failed_fetch: Option<(Duration, u64)>,
    fatal: Option<String>,
}

/// How the server came to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    Fatal(String),
}

/// How to wait for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Wake up after this, whatever has come.
    pub at_most: Duration,
    /// Where nothing has come, other threads of this core go first.
    pub yields: bool,
}

impl<D: Disk> Driver<D> {
    /// `disk` is the data directory's, `identity` what stands in it.
    pub fn new(
        node: Node,
        disk: D,
        identity: Identity,
        operators: Operators,
        config: DriverConfig,
    ) -> Self {
        let busy_poll =
            if config.busy_poll { BusyPoll::new(config.cores) } else { BusyPoll::off() };
        Driver {
            node,
            disk,
            identity,
            joined: false,
            operators,
            log: LogSchedule::new(),
            group_commit: GroupCommit::default(),
            busy_poll,
            config,
            lone: false,
            held: false,
            polling: false,
            next_tick: Duration::ZERO,
            stop_by: None,
            served: false,
            backups: Vec::new(),
            failed_fetch: None,
            fatal: None,
        }
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How to wait before the next turn.
    pub fn wait(&mut self, host: &impl Host<Disk = D>) -> Wait {
        self.polling = false;
        if self.held || self.node.busy() || self.node.pending() {
            return Wait { at_most: Duration::ZERO, yields: self.held };
        }
        let now = host.now();
        self.polling = self.busy_poll.keep(now);
        let at_most =
            if self.polling { Duration::ZERO } else { self.next_tick.saturating_sub(now) };
        Wait { at_most, yields: self.polling }
    }

    /// Takes what has arrived, works, and carries out what comes of it. `ready` is the number of
    /// sockets with something to say, the other threads counted as one. Returns the server's end.
    pub fn turn(&mut self, host: &mut impl Host<Disk = D>, ready: usize) -> Option<End> {
        if self.polling && ready == 0 {
            return None;
        }
        let now = host.now();
        self.busy_poll.end(now);
        // Leases are looked at before requests are answered, sessions expire after all that has
        // arrived was read: a server that was stopped for a while hears its clients out first.
        self.node.wake(now.as_millis() as u64, host.wall_ms());
        self.lone = ready <= 1;
        host.receive(&mut self.node);
        while let Some(completion) = host.completed() {
            if let Some(end) = self.complete(host, completion) {
                return Some(end);
            }
        }
        self.node.tick();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick(host, now);
        }
        self.held = self.stop_by.is_none() && self.holds(now);
        if self.held {
            return None;
        }
        self.carry_out(host);
        if !self.served && self.node.serving() {
            self.served = true;
            host.reached(Milestone::Serving);
        }
        if let Some(why) = self.fatal.take() {
            return Some(End::Fatal(why));
        }
        if let Some(by) = self.stop_by
            && (self.node.stopped() || now >= by)
        {
            self.carry_out(host);
            return Some(End::Stopped);
        }
        None
    }

    fn tick(&mut self, host: &mut impl Host<Disk = D>, now: Duration) {
        host.tend_links(&mut self.node);
        if self.node.differs() {
            for (_, answer) in self.backups.drain(..) {
                let _ = answer.send(Err("this server's state differs from the others'".to_owned()));
            }
        }
        // The snapshot in the making began too early for them, or was given up.
        if !self.backups.is_empty() {
            self.node.begin_snapshot();
        }
        if let Some((_, index)) = self.failed_fetch.take_if(|&mut (due, _)| due <= now) {
            self.node.snapshot_fetched(index, None);
        }
    }

    /// Whether writes that have arrived wait for others, to share one sync with them. Only where
    /// no other member's disk is waited for as well.
    fn holds(&mut self, now: Duration) -> bool {
        if !self.node.alone() {
            return false;
        }
        let (waiting, received) = (self.node.writes_waiting(), self.node.requests_received());
        if let Some(sync) = self.log.quick_sync()
            && self.group_commit.hold(waiting, received, now, sync)
        {
            return true;
        }
        self.lone |= self.group_commit.all_here(waiting, received);
        false
    }
}
