//! Driving raft: from gathered writes to entries, from entries to disk and peers.

use raft::eraftpb::{Message, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, Ready, StateRole};
use slog::Drain as _;

use super::entry::Segment;
use super::log::{LogCache, stamp_ms};
use super::peer::{self, PeerMessage};
use super::proposals::Head;
use super::{Level, Node, NodeConfig, Output};

/// Entries of at most this size travel in one message.
const APPEND_BYTES: u64 = 1 << 20;

/// Committed entries handed over at once: bounds the time between two looks at the sockets.
pub(super) const COMMITTED_BYTES: u64 = 128 << 10;

/// Raft's own clock. Long enough that an idle server sleeps, short enough for heartbeats.
pub(super) fn start_raft(config: &NodeConfig, log: LogCache, applied: u64) -> RawNode<LogCache> {
    let tick = config.tick_ms;
    let election_tick = (config.election_timeout_ms / tick).max(2) as usize;
    let raft_config = Config {
        id: u64::from(config.id),
        election_tick,
        // Raft draws the timeout from an unseeded source at each change of term or leader. Its
        // draws fall far outside of ours, so that each is seen, and replaced.
        max_election_tick: usize::MAX,
        heartbeat_tick: ((config.heartbeat_ms / tick) as usize).clamp(1, election_tick - 1),
        applied,
        max_size_per_msg: APPEND_BYTES,
        max_inflight_msgs: 256,
        check_quorum: true,
        pre_vote: true,
        // Read-index asks a majority; a lease would trust every clock.
        read_only_option: ReadOnlyOption::Safe,
        // Batching puts entries behind an empty append of another index after a follower has
        // refused one (raft 0.7 `try_batching`): the follower then acknowledges what it does not
        // have. One entry carries many writes anyway.
        batch_append: false,
        max_committed_size_per_ready: COMMITTED_BYTES,
        ..Config::default()
    };
    // Raft's own lines say what the node's say already.
    let logger = slog::Logger::root(slog::Discard.fuse(), slog::o!());
    RawNode::new(&raft_config, log, &logger).expect("the configuration above is valid")
}

impl Node {
    // ---- time ----

    pub(super) fn tick_raft(&mut self) {
        let now_ms = self.clocks.now_ms();
        while self.elections.take_tick(now_ms) {
            self.tick_raft_once();
        }
        if self.elections.take_campaign(now_ms) && self.misses_leader() {
            self.campaign();
        }
    }

    fn tick_raft_once(&mut self) {
        // Whoever may not vote does not stand for election either.
        let installing = self.raft.raft.raft_log.applied < self.applied_index;
        let unfit = !self.membership.may_vote() || self.should_not_lead();
        if (unfit || installing) && !self.is_leader() {
            self.raft.raft.election_elapsed = 0;
            return;
        }
        self.redraw_election_timeout();
        self.raft.tick();
        if self.is_candidate() && self.raft.raft.election_elapsed == 0 {
            self.elections.stands();
        }
        self.after_raft();
    }

    /// After everything that may have changed raft's mind about who leads.
    pub(super) fn after_raft(&mut self) {
        self.redraw_election_timeout();
        let (leader, term) = (self.raft.raft.leader_id, self.raft.raft.term);
        if !self.elections.leader_changed(leader, term) {
            return;
        }
        self.membership.list_settled();
        self.proposals.clear();
        self.leases.reports_lost();
        if leader == 0 {
            return self.log(Level::Info, &format!("no leader in term {term}"));
        }
        self.stats.leader_changes += 1;
        let what = if self.is_leader() { "leads" } else { "follows" };
        self.log(Level::Info, &format!("{what} server {leader} in term {term}"));
        if self.is_leader() {
            self.stats.leader_since_ms = self.clocks.now_ms();
            self.heed_stamps();
            self.track_all_sessions();
        } else {
            self.sessions.expiry.clear();
        }
        self.outbox.resend();
        self.report();
        self.announce();
    }

    /// Time goes on from the last stamp in the log, applied or not.
    fn heed_stamps(&mut self) {
        let log = &self.raft.raft.raft_log;
        let unstable = log.unstable.entries.iter().rev().find_map(stamp_ms);
        if let Some(last) = unstable.or_else(|| log.store.last_stamp_ms()) {
            self.proposals.continue_from(last);
        }
    }

    // ---- from writes to entries ----

    /// Hands the writes that nobody has yet to the leader.
    pub(super) fn submit_writes(&mut self) {
        if !self.outbox.has_unsent() {
            return;
        }
        if self.is_leader() {
            return self.propose_own_writes();
        }
        let (leader, boot) = (self.leader(), self.outbox.boot());
        if leader == 0 || !self.peers.is_up(leader) {
            return;
        }
        for batch in self.outbox.take_unsent() {
            self.stats.forwarded += u64::from(batch.count);
            self.peers.send_with(leader, |out| {
                peer::forward(boot, batch.first_sequence, batch.count, &batch.ops, out);
            });
        }
    }

    /// Writes of this server's own sessions, as leader.
    fn propose_own_writes(&mut self) {
        let (origin, boot) = (self.config.id, self.outbox.boot());
        let mut outbox = std::mem::replace(&mut self.outbox, super::Outbox::new(0));
        for batch in outbox.take_unsent() {
            if batch.reconfig {
                self.propose_terms();
            }
            let (first_sequence, count, ops) = (batch.first_sequence, batch.count, &batch.ops);
            self.propose_segment(&Segment::Ops { origin, boot, first_sequence, count, ops });
        }
        self.outbox = outbox;
    }

    /// Adds a segment to the entry under construction. For the leader only.
    pub(super) fn propose_segment(&mut self, segment: &Segment<'_>) {
        let head = Head { level: self.state.cluster().level, wall_ms: self.clocks.wall_ms() };
        if let Some(back_ms) = self.proposals.add(segment, head) {
            let ahead = back_ms / 1000;
            self.log(
                Level::Warn,
                &format!(
                    "the log's times are {ahead} s ahead of this server's clock, of a leader \
                     whose clock was wrong: they go back"
                ),
            );
        }
    }

    pub(super) fn propose_entries(&mut self) {
        if !self.is_leader() || self.raft.raft.lead_transferee.is_some() {
            // Kept in order until leadership is settled.
            return;
        }
        while let Some(data) = self.proposals.next() {
            self.stats.proposal_size.record(data.len());
            self.stats.proposals += 1;
            if self.raft.propose(Vec::new(), data).is_err() {
                // Only a lost leadership refuses: whoever leads next gets the writes again.
                self.outbox.resend();
                return;
            }
        }
    }

    /// Asks for this run's stream of writes to be recorded; as leader, founds the ensemble.
    pub(super) fn announce(&mut self) {
        if self.admitted() {
            return;
        }
        let boot = self.outbox.boot();
        if self.is_leader() {
            if self.state.cluster().cluster_id == 0 {
                let cluster_id = self.config.fresh_cluster_id;
                self.propose_segment(&Segment::Found {
                    cluster_id,
                    secret: self.config.fresh_secret,
                });
                // Whoever has the founding in its log knows who took part, and from where.
                for (id, incarnation) in self.membership.introduced(&self.peers) {
                    self.propose_segment(&Segment::Incarnation { id, incarnation });
                }
            }
            self.propose_segment(&Segment::Register { origin: self.config.id, boot });
        } else if self.leader() != 0 && self.peers.is_up(self.leader()) {
            let mut message = Vec::new();
            peer::register(boot, &mut message);
            self.peers.send(self.leader(), &message);
        }
    }

    // ---- messages ----

    /// A message of an authenticated peer.
    pub fn peer_message(&mut self, from: u8, bytes: &[u8]) {
        self.heard_from(from);
        let Ok(message) = peer::parse(bytes) else {
            self.log(Level::Warn, &format!("malformed message from server {from}; disconnecting"));
            self.outputs.push(Output::Disconnect(from));
            return;
        };
        match message {
            PeerMessage::Raft(message) => self.raft_message(from, *message),
            PeerMessage::Forward { boot, first_sequence, count, ops } => {
                self.forwarded(from, boot, first_sequence, count, ops);
            }
            PeerMessage::Report { number, sessions } => self.reported(from, number, sessions),
            PeerMessage::ReportAck { number } => self.report_confirmed(from, number),
            PeerMessage::Register { boot } => {
                if self.is_leader() && self.state.cluster().boot(from) != Some(boot) {
                    self.propose_segment(&Segment::Register { origin: from, boot });
                }
            }
            PeerMessage::Alive => {}
            PeerMessage::Digest { round, digest } => self.digest_told(from, round, digest),
            PeerMessage::Unknown(kind) => {
                if self.peers.unknown_is_news(from) {
                    self.log(
                        Level::Info,
                        &format!("server {from} sends messages of kind {kind}, of a later release"),
                    );
                }
            }
            PeerMessage::SnapshotFailed => {
                self.raft.report_snapshot(u64::from(from), raft::SnapshotStatus::Failure);
            }
        }
    }

    fn raft_message(&mut self, from: u8, mut message: Message) {
        // Writes come forwarded, and changes of members are the leader's own: no server proposes
        // through another one.
        let proposes = message.get_msg_type() == MessageType::MsgPropose;
        if message.from != u64::from(from)
            || message.to != u64::from(self.config.id)
            || proposes
            || !self.trusted(from, &message)
        {
            return;
        }
        if message.get_msg_type() == MessageType::MsgSnapshot {
            return self.snapshot_offered(from, message);
        }
        if message.get_msg_type() == MessageType::MsgAppend {
            self.durability.leader_appends(message.index);
        }
        if message.get_msg_type() == MessageType::MsgHeartbeat {
            // Raft (0.7 `commit_to`) panics on an index that it does not have.
            message.commit = message.commit.min(self.raft.raft.raft_log.last_index());
        }
        let answers_candidate = matches!(
            message.get_msg_type(),
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse
        );
        let stood = self.is_candidate();
        let asks = message.get_msg_type() == MessageType::MsgRequestPreVote;
        let log = &self.raft.raft.raft_log;
        let knows_less = !log.is_up_to_date(message.index, message.log_term);
        let _ = self.raft.step(message);
        if asks {
            self.asked_for_vote(knows_less);
        }
        if answers_candidate && stood {
            self.review_candidacy();
        }
        self.after_raft();
    }

    pub(super) fn step_raft(&mut self, message: Message) {
        let _ = self.raft.step(message);
        self.after_raft();
    }

    fn send_raft(&mut self, message: &Message) {
        if !self.peers.send_with(message.to as u8, |out| peer::raft(message, out)) {
            self.raft.report_unreachable(message.to);
        }
    }

    /// What is to be sent to a peer: frames of `length u32` (little-endian) and a message.
    pub fn peer_output(&mut self, peer: u8) -> Option<&mut Vec<u8>> {
        self.peers.output(peer)
    }

    /// Ids of all other servers.
    pub fn peer_ids(&self) -> Vec<u8> {
        self.peers.ids()
    }

    // ---- raft's ready ----

    /// Carries out what raft has decided, in the one safe order.
    pub(super) fn handle_ready(&mut self) {
        while !self.halted && self.raft.has_ready() && self.budget.may_apply() {
            let ready = self.raft.ready();
            self.handle_one_ready(ready);
            self.after_raft();
        }
        self.review_pin();
        let alone = self.membership.alone();
        let applied = self.applied_index;
        self.raft.mut_store().trim(applied, alone);
    }

    fn handle_one_ready(&mut self, mut ready: Ready) {
        let number = ready.number();

        // A leader's appends may leave before its own disk has them: its vote for itself counts
        // only once they are there (Raft thesis, 10.2.1).
        for message in ready.take_messages() {
            self.send_raft(&message);
        }
        for read in ready.take_read_states() {
            self.read_index_confirmed(read.index, &read.request_ctx);
        }

        // The state of a received snapshot replaces ours before anything behind it is applied.
        let installed = (!ready.snapshot().is_empty()).then(|| self.install_snapshot());

        // In the cache before raft is told so, on disk before anybody else is.
        let entries = ready.take_entries();
        let hard_state = ready.hs().cloned();
        let log = self.raft.mut_store();
        log.append(&entries);
        let votes = hard_state.as_ref().is_some_and(|new| log.set_hard_state(new.clone()));
        self.durability.begin(number, votes);
        if let Some(point) = installed {
            self.outputs.push(Output::Install { point });
        }
        let known = self.raft.store().hard_state();
        let now_ms = self.clocks.attentive_ms();
        if let Some(write) = self.durability.persist(ready.must_sync(), hard_state, known, now_ms) {
            self.stats.batch_entries.record(entries.len() as u64);
            let hard_state = write.hard_state;
            self.outputs.push(Output::Persist { number, entries, hard_state });
        }

        // A follower's answers speak of what it has kept.
        let leader = self.raft.raft.leader_id;
        for message in ready.take_persisted_messages() {
            if self.durability.acknowledged_before(&message, leader) {
                continue;
            }
            if self.durability.may_leave(message.get_msg_type()) {
                self.send_raft(&message);
            } else {
                self.durability.hold(&message);
            }
        }

        let committed = ready.take_committed_entries();
        self.raft.advance_append_async(ready);
        if self.durability.idle() {
            self.raft.on_persist_ready(number);
        }
        if !committed.is_empty() {
            self.apply_entries(committed);
            self.raft.advance_apply_to(self.applied_index);
        }
    }

    /// Everything up to ready `number` is on disk.
    pub fn persisted(&mut self, number: u64) {
        let through = self.durability.persisted(number, self.clocks.attentive_ms());
        self.raft.on_persist_ready(through);
        // Raft does not count a received snapshot as applied by itself, and looks for entries
        // before it when it stands for election.
        let log = &self.raft.raft.raft_log;
        if log.applied < self.applied_index
            && self.applied_index <= log.committed.min(log.persisted)
        {
            self.raft.advance_apply_to(self.applied_index);
        }
        while let Some((to, bytes)) = self.durability.release(through) {
            self.peers.send(to, &bytes);
        }
        self.after_raft();
    }

    /// Hands leadership to `to`, or to the follower that is furthest.
    pub fn transfer_leadership(&mut self, to: Option<u8>) -> Option<u8> {
        if self.raft.raft.state != StateRole::Leader {
            return None;
        }
        let me = u64::from(self.config.id);
        let furthest = self
            .raft
            .raft
            .prs()
            .iter()
            .filter(|&(&id, _)| id != me && self.membership.is_voter(id))
            .filter(|&(&id, _)| self.peers.is_up(id as u8))
            .filter(|&(&id, _)| to.is_none_or(|to| u64::from(to) == id))
            .max_by_key(|&(&id, progress)| (progress.matched, std::cmp::Reverse(id)))
            .map(|(&id, _)| id)?;
        self.log(Level::Info, &format!("transferring leadership to server {furthest}"));
        self.raft.transfer_leader(furthest);
        Some(furthest as u8)
    }
}
