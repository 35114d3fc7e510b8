//! Sessions between servers: reports to the leader, its answers, and what follows from silence.
//!
//! Every server tells the leader which sessions it has heard from; the leader alone expires them.
//! A server whose reports are not confirmed is cut off and closes its connections in time, so no
//! client believes in an ephemeral that the majority has removed.

use super::client::Phase;
use super::{Level, Node, peer};
use crate::node::entry::Segment;
use crate::state::{IdentityBuf, ReapCursor, Txn};
use crate::wire::opcode::OpCode;

/// Containers and TTL nodes looked at in one tick.
const LOOKED_MAX: usize = 2000;
const MINUTE_MS: u64 = 60_000;
/// The leader's own operations go into the log in segments of about this size.
const SEGMENT_BYTES: usize = 32 << 10;
/// Where clients read who the members are.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Reports on their way at once; more would mean that nobody confirms them.
const REPORTS_MAX: usize = 64;

/// A report that was sent to the leader.
pub(super) struct Report {
    number: u64,
    at_ms: u64,
    /// Sessions heard from since the report before.
    sessions: Vec<i64>,
}

/// The leader's look for containers and TTL nodes.
#[derive(Default)]
pub(super) struct Reaper {
    /// When the next look begins.
    next_ms: u64,
    at: Option<ReapCursor>,
    /// Deletions that are allowed now, in units of which one takes a minute's milliseconds.
    credit: u64,
    credited_ms: u64,
}

impl Reaper {
    /// The first look begins at this time.
    pub(super) fn new(next_ms: u64) -> Self {
        Self { next_ms, ..Self::default() }
    }
}

impl Node {
    /// Whether clients are served: there is a leader, it knows this run of the server, and it has
    /// confirmed a report lately.
    pub fn serving(&self) -> bool {
        self.admitted()
            && self.raft.raft.leader_id != 0
            && self.clocks.now_ms() < self.contact_ms + self.config.election_timeout_ms * 3
            && !self.stopping
            && !self.disk_fails_ensemble()
    }

    /// The ensemble is founded and takes this server's stream of writes.
    pub(super) fn admitted(&self) -> bool {
        let cluster = self.state.cluster();
        cluster.cluster_id != 0 && cluster.boot(self.config.id) == Some(self.outbox.boot())
    }

    /// Tells the leader which sessions were heard from since the last report.
    pub(super) fn report(&mut self) {
        for (conn, session) in std::mem::take(&mut self.touched) {
            if let Some(client) = self.clients.get_mut(conn) {
                client.touched = false;
            }
            self.unreported.push(session);
        }
        self.unreported.sort_unstable();
        self.unreported.dedup();
        if self.is_leader() {
            for session in std::mem::take(&mut self.unreported) {
                self.expiry.touch(session, self.clocks.attentive_ms());
            }
            return;
        }
        let leader = self.raft.raft.leader_id as u8;
        if leader == 0 || !self.peers.is_up(leader) {
            return;
        }
        self.report_number += 1;
        let sessions = std::mem::take(&mut self.unreported);
        let mut message = Vec::new();
        peer::report(self.report_number, sessions.iter().copied(), &mut message);
        self.peers.send(leader, &message);
        let (number, at_ms) = (self.report_number, self.clocks.now_ms());
        self.reports_sent.push_back(Report { number, at_ms, sessions });
        if self.reports_sent.len() > REPORTS_MAX {
            let oldest = self.reports_sent.pop_front();
            self.unreported.extend(oldest.into_iter().flat_map(|report| report.sessions));
        }
    }

    /// What one leader, or one connection to it, has not confirmed, the next one must hear.
    pub(super) fn reports_lost(&mut self) {
        let lost = self.reports_sent.drain(..);
        self.unreported.extend(lost.flat_map(|report| report.sessions));
    }

    /// A server reports to this one, which answers only as a leader.
    pub(super) fn reported(&mut self, from: u8, number: u64, sessions: peer::Sessions<'_>) {
        if !self.is_leader() || !self.raft.raft.commit_to_current_term() {
            return;
        }
        for session in sessions.iter() {
            self.expiry.touch(session, self.clocks.attentive_ms());
        }
        let mut message = Vec::new();
        peer::report_ack(number, &mut message);
        self.peers.send(from, &message);
    }

    /// The leader has counted a report of ours. Those before it that it has not confirmed it did not
    /// count: their sessions are named again, the others never. A session that has died is not kept
    /// alive by reports that are still on their way.
    pub(super) fn report_confirmed(&mut self, from: u8, number: u64) {
        if u64::from(from) != self.raft.raft.leader_id {
            return;
        }
        while let Some(report) = self.reports_sent.pop_front_if(|report| report.number <= number) {
            if report.number == number {
                // From when it was sent: the way back may have taken long.
                self.contact_ms = self.contact_ms.max(report.at_ms);
            } else {
                self.unreported.extend(report.sessions);
            }
        }
    }

    /// Closes the connections whose lease is over.
    pub(super) fn enforce_leases(&mut self) {
        if self.is_leader() {
            self.contact_ms = self.clocks.now_ms();
            return;
        }
        let silence_ms = self.clocks.now_ms() - self.contact_ms;
        let shortest = Self::lease(self.config.session_timeout_min_ms).as_millis() as u64;
        if silence_ms < shortest || self.clients.count == 0 {
            return;
        }
        for conn in self.clients.ids() {
            let Some(client) = self.clients.get(conn) else { continue };
            let over = silence_ms >= Self::lease(client.timeout_ms).as_millis() as u64;
            if over && !client.read_only && matches!(client.phase, Phase::Open | Phase::Connecting)
            {
                self.log(
                    Level::Warn,
                    &format!(
                        "closing {} (session {:#x}): no word from a leader for {silence_ms} ms",
                        client.address, client.session
                    ),
                );
                self.close_client(conn);
            }
        }
    }

    /// A new leader gives every session its full timeout.
    pub(super) fn track_all_sessions(&mut self) {
        self.expiry.clear();
        for (id, session) in self.state.sessions() {
            self.expiry.track(id, session.timeout_ms as u64, self.clocks.attentive_ms());
        }
    }

    /// The leader closes the sessions that nobody has heard from.
    pub(super) fn expire_sessions(&mut self) {
        if !self.expiry.is_due(self.clocks.attentive_ms()) {
            return;
        }
        // What this server has heard since it last counted.
        self.report();
        let expired = self.expiry.take_expired(self.clocks.attentive_ms());
        if expired.is_empty() {
            return;
        }
        // Other servers may have applied the end before this one has it on disk.
        for session in &expired {
            if let Some(&conn) = self.by_session.get(session) {
                self.close_client(conn);
            }
        }
        let mut ops = Vec::new();
        let identity = IdentityBuf::superuser();
        self.stats.sessions_expired += expired.len() as u64;
        for session in expired {
            self.log(Level::Info, &format!("session {session:#x} has expired"));
            let identity = identity.as_identity();
            Txn { session, identity, op: OpCode::CloseSession, body: &[] }.encode(&mut ops);
            self.propose_when_full(&mut ops);
        }
        self.propose_own(&ops);
    }

    /// The leader deletes empty containers and outlived TTL nodes: it looks at some in each tick, and
    /// deletes no more in a minute than the configuration says.
    pub(super) fn reap(&mut self) {
        let config = &self.config;
        let reaper = &mut self.reaper;
        let per_minute = u64::from(config.reap_per_minute);
        let elapsed_ms = self.clocks.now_ms() - std::mem::replace(&mut reaper.credited_ms, self.clocks.now_ms());
        // What could be deleted in a second may be deleted at once.
        let credit_max = (1000 * per_minute).max(MINUTE_MS);
        reaper.credit = (reaper.credit + elapsed_ms.min(1000) * per_minute).min(credit_max);
        if reaper.at.is_none() && self.clocks.now_ms() >= reaper.next_ms {
            reaper.next_ms = self.clocks.now_ms() + config.reap_interval_ms;
            reaper.at = Some(ReapCursor::default());
        }
        let found_max = (reaper.credit / MINUTE_MS) as usize;
        // Servers of level 0 would read the time as a part of the path.
        let known = self.state.cluster().level >= 1;
        let never_used_ms = config.never_used_ms.filter(|_| known);
        let (at, wall_ms) = (&mut reaper.at, self.clocks.wall_ms());
        let bodies = self.state.reapable(at, wall_ms, never_used_ms, LOOKED_MAX, found_max);
        reaper.credit -= bodies.len() as u64 * MINUTE_MS;
        let mut ops = Vec::new();
        let identity = IdentityBuf::superuser();
        for body in bodies {
            let body = body.as_bytes();
            let identity = identity.as_identity();
            Txn { session: 0, identity, op: OpCode::DeleteContainer, body }.encode(&mut ops);
            self.propose_when_full(&mut ops);
        }
        self.propose_own(&ops);
    }

    fn propose_when_full(&mut self, ops: &mut Vec<u8>) {
        if ops.len() >= SEGMENT_BYTES {
            self.propose_own(ops);
            ops.clear();
        }
    }

    fn propose_own(&mut self, ops: &[u8]) {
        if !ops.is_empty() {
            self.propose_segment(&Segment::LeaderOps { ops });
        }
    }

    /// The leader lets `/zookeeper/config` say who the members are, where it says otherwise.
    pub(super) fn publish_members(&mut self) {
        // Only what this leader has applied tells it what is published.
        if !self.leading() || self.raft.raft.lead_transferee.is_some() {
            return;
        }
        let Some(members) = &self.config.published_members else { return };
        let cluster = self.state.cluster();
        // Where the ensemble has a list of its own, no server's configuration is one.
        let own = members.ends_with("version=");
        if cluster.membership.is_some() || own && cluster.level < 1 || self.members_proposed {
            return;
        }
        let tree = self.state.tree();
        let published = tree.find(CONFIG_PATH).and_then(|id| tree.data(id));
        if published == Some(members.as_bytes()) {
            return;
        }
        let mut ops = Vec::new();
        let identity = IdentityBuf::superuser();
        let (identity, body) = (identity.as_identity(), members.as_bytes());
        Txn { session: 0, identity, op: OpCode::Reconfig, body }.encode(&mut ops);
        self.members_proposed = true;
        self.propose_own(&ops);
    }
}
