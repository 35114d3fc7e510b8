//! Carrying out what a node asks for, and in which order things leave.

use std::time::Duration;

use raft::eraftpb::{Entry, HardState};

use super::log::LogWork;
use super::snapshot::SnapshotWork;
use super::{Driver, Host, Milestone};
use crate::node::{Level, Output};
use crate::store::{Disk, Position, SnapshotMeta};

/// Rounds in one turn: after that the sockets are looked at again.
const ROUNDS_MAX: usize = 8;

/// A snapshot takes its time until a restart would have to repeat this many writes, some
/// hundredths of a second's worth. Where so many come, they share syncs and bear with it.
const HURRY_WRITES: u64 = 30_000;

impl<D: Disk> Driver<D> {
    /// Lets the node work and does what it asks, until it asks for nothing more.
    pub(super) fn carry_out(&mut self, host: &mut impl Host<Disk = D>) {
        for _ in 0..ROUNDS_MAX {
            self.node.flush();
            let outputs = self.node.take_outputs();
            host.observe(&self.node, &outputs);
            if !self.joined {
                self.join(host);
            }
            if self.fatal.is_some() {
                return;
            }
            // A write waits for another member's disk: the message that takes it there leaves
            // first. Where nothing is to be written the messages report what is done already:
            // clients wait for that.
            if outputs.iter().any(|output| matches!(output, Output::Persist { .. })) {
                host.send_to_peers(&mut self.node);
                host.send_to_clients(&mut self.node);
            } else {
                host.send_to_clients(&mut self.node);
                host.send_to_peers(&mut self.node);
            }
            let mut synced = false;
            for output in outputs {
                synced |= self.carry_out_one(host, output);
            }
            if !synced && !self.node.pending() {
                return;
            }
        }
        host.send_to_peers(&mut self.node);
        host.send_to_clients(&mut self.node);
    }

    /// Returns whether the log was synced: what waited for that can be sent now.
    fn carry_out_one(&mut self, host: &mut impl Host<Disk = D>, output: Output) -> bool {
        match output {
            Output::Persist { number, entries, hard_state } => {
                return self.persist(host, number, entries, hard_state);
            }
            Output::Install { point } => {
                self.log.given_snapshot();
                let position = Position { index: point.index, term: point.term };
                host.log_work(LogWork::Install(position));
            }
            Output::SnapshotBegin { point, zxid, cluster_id } => {
                let meta = SnapshotMeta {
                    index: point.index,
                    term: point.term,
                    conf_state: point.conf_state,
                    zxid,
                    cluster_id,
                };
                host.snapshot_work(SnapshotWork::Begin(meta));
            }
            Output::SnapshotChunk(bytes) => {
                let hurry = self.node.writes_since_snapshot() > HURRY_WRITES;
                host.snapshot_work(SnapshotWork::Chunk { bytes, hurry });
            }
            Output::SnapshotEnd => host.snapshot_work(SnapshotWork::End),
            Output::FetchSnapshot { from, index, term: _ } => host.fetch_snapshot(from, index),
            Output::Word { conn, word } => {
                let (text, action) = self.operators.answer(&self.node, host, word);
                self.node.answer_word(conn, &text, action);
            }
            Output::Redial(member) => host.redial(member, &mut self.node),
            Output::Disconnect(member) => host.disconnect(member, &mut self.node),
            Output::Members(members) => host.set_members(members, &mut self.node),
            Output::Log(level, text) => host.log(level, &text),
            Output::Audit(lines) => host.audit(lines),
            Output::Fatal(why) => self.fails(why),
        }
        false
    }

    /// Makes entries durable: at once where nobody else waits, else by the log's thread. Returns
    /// whether they are.
    fn persist(
        &mut self,
        host: &mut impl Host<Disk = D>,
        number: u64,
        entries: Vec<Entry>,
        hard_state: Option<HardState>,
    ) -> bool {
        let bytes = entries.iter().map(|entry| entry.data.len()).sum();
        if self.log.inline(entries.len(), bytes, self.lone)
            && let Some(written) = host.write_log(&entries, hard_state.as_ref())
        {
            match written {
                Ok(sync) => {
                    self.log.took(sync);
                    self.persisted(host, number, sync);
                    if self.node.alone() {
                        self.busy_poll.rest();
                    }
                }
                Err(error) => self.fails(error.to_string()),
            }
            return true;
        }
        // Also where the thread, which has reported its work, has yet to let the writer go.
        self.log.given(number);
        host.log_work(LogWork::Append { number, entries, hard_state });
        false
    }

    pub(super) fn persisted(
        &mut self,
        host: &mut impl Host<Disk = D>,
        number: u64,
        sync: Option<Duration>,
    ) {
        if let Some(sync) = sync {
            self.node.record_sync(sync.as_micros() as u64);
            if sync >= self.config.sync_warning {
                host.log(
                    Level::Warn,
                    &format!(
                        "the log's fdatasync took {} ms (fsync.warningthresholdms); the disk is \
                         slow or busy",
                        sync.as_millis()
                    ),
                );
            }
        }
        let before = self.node.writes_waiting();
        self.node.persisted(number);
        self.group_commit.synced(before, self.node.requests_received());
    }

    /// The data directory belongs to this ensemble from now on: before anybody hears from a
    /// member of it.
    fn join(&mut self, host: &mut impl Host<Disk = D>) {
        let cluster_id = self.node.state().cluster().cluster_id;
        if cluster_id == 0 {
            return;
        }
        match self.identity.join(&self.disk, cluster_id) {
            Ok(()) => {
                self.joined = true;
                host.reached(Milestone::Joined);
            }
            Err(error) => self.fails(error.to_string()),
        }
    }

    /// The server ends with this turn.
    pub(super) fn fails(&mut self, why: String) {
        self.fatal.get_or_insert(why);
    }
}
