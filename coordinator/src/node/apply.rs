//! Committed entries become state, events and answers.
//!
//! Every server applies the same entries in the same order and computes the same results; only the
//! server that serves a session answers it. Per write: state first, then the events it fires, then
//! its answer, so that nobody sees an answer before the event that belongs to it.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};

use super::audit::audited_ephemerals;
use super::client::{Phase, Waiting};
use super::entry::{self, BadEntry, Segment};
use super::outbox::Waiter;
use super::reconfig::terms;
use super::{Level, Node, Output, budget};
use crate::state::cluster::Admission;
use crate::state::members::Terms;
use crate::state::{Exceeded, Stamp, Txn, may_hear};
use crate::wire::code::Code;
use crate::wire::opcode::OpCode;
use crate::wire::reply;

/// Quotas are counted by so many first names of paths.
const NAMESPACES_MAX: usize = 1000;
/// One line about quotas in so many milliseconds.
const QUOTA_TOLD_EVERY_MS: u64 = 1000;

impl Node {
    pub(super) fn apply_entries(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.stats.entries_applied += 1;
            // Raft hands over what is committed in order, each once; an installed snapshot moves both.
            assert!(entry.index == self.applied_index + 1, "entries are applied in order");
            match entry.get_entry_type() {
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => match self.apply_entry(entry.term, &entry.data) {
                    Ok(()) => {}
                    Err(BadEntry::Unreadable) => self.pass_over(&entry),
                    Err(newer @ BadEntry::Newer { .. }) => {
                        let Entry { index, term, .. } = entry;
                        return self.halt(format!(
                            "entry {index} of term {term} cannot be applied: {newer}. Start the \
                             newer coordinator on this data directory"
                        ));
                    }
                },
                EntryType::EntryConfChangeV2 => {
                    let mut change = ConfChangeV2::default();
                    if change.merge_from_bytes(&entry.data).is_ok() {
                        self.apply_conf_change(&change, &entry.context);
                    } else {
                        self.pass_over(&entry);
                    }
                }
                // No leader of ours proposes this kind.
                EntryType::EntryConfChange => self.pass_over(&entry),
            }
            let led_before = self.leading();
            self.applied_index = entry.index;
            self.applied_term = entry.term;
            if !led_before && self.leading() {
                // Everything of earlier leaders is applied: now the sessions are known.
                self.track_all_sessions();
                self.find_endings();
                // Whose votes count is settled before the first client is served.
                self.review_members();
                self.publish_members();
            }
        }
    }

    /// An entry that no release can read: it has no effect on any server, and the log goes on.
    fn pass_over(&mut self, entry: &Entry) {
        self.stats.entries_unreadable += 1;
        let Entry { index, term, .. } = *entry;
        self.log(
            Level::Error,
            &format!("entry {index} of term {term} cannot be read: it has no effect on any server"),
        );
    }

    /// This server cannot go on; the others can.
    fn halt(&mut self, why: String) {
        self.outputs.push(Output::Fatal(why));
        self.halted = true;
    }

    fn apply_entry(&mut self, term: u64, data: &[u8]) -> Result<(), BadEntry> {
        let (time_ms, segments) = entry::parse(data, self.config.level)?;
        if !self.is_leader() {
            self.proposals.continue_from(time_ms); // a leader is ahead of what it applies
        }
        self.state.enforce_quotas(false);
        self.state.set_terms(Terms::default());
        for segment in segments {
            match segment? {
                Segment::Ops { origin, boot, first_sequence, count: _, ops } => {
                    self.apply_ops(term, time_ms, origin, boot, first_sequence, ops)?;
                }
                Segment::LeaderOps { mut ops } => {
                    while !ops.is_empty() {
                        let txn = Txn::decode(&mut ops).map_err(|_| BadEntry::Unreadable)?;
                        let origin = self.state.session(txn.session).map_or(0, |s| s.origin);
                        self.apply_txn(term, time_ms, origin, &txn, None);
                    }
                }
                Segment::Register { origin, boot } => {
                    self.state.cluster_mut().register(origin, boot);
                    if origin == self.config.id && boot == self.outbox.boot() {
                        self.log(
                            Level::Debug,
                            "the ensemble has registered this run of the server",
                        );
                        self.outbox.resend();
                    }
                }
                Segment::Found { cluster_id, secret } => {
                    let cluster = self.state.cluster_mut();
                    if cluster.cluster_id == 0 {
                        cluster.cluster_id = cluster_id;
                        cluster.secret = secret;
                        self.log(Level::Info, &format!("founded ensemble {cluster_id:032x}"));
                        self.snapshots.due_now();
                        self.review_level();
                    }
                }
                Segment::Terms { flags, synced } => self.state.set_terms(terms(flags, synced)),
                Segment::EnforceQuotas => self.state.enforce_quotas(true),
                Segment::Incarnation { id, incarnation } => {
                    if self.state.cluster().incarnation(id).is_none() {
                        self.state.cluster_mut().set_incarnation(id, incarnation);
                        self.review_own_vote();
                    }
                }
                Segment::Level { level } => self.level_raised(level),
                Segment::Compare => self.begin_comparison(self.applied_index + 1),
                Segment::Verdict { index, digest } => self.compared(index, digest),
            }
        }
        Ok(())
    }

    fn apply_ops(
        &mut self,
        term: u64,
        time_ms: i64,
        origin: u8,
        boot: u64,
        first_sequence: u64,
        mut ops: &[u8],
    ) -> Result<(), BadEntry> {
        let mine = origin == self.config.id && boot == self.outbox.boot();
        let mut sequence = first_sequence;
        while !ops.is_empty() {
            let txn = Txn::decode(&mut ops).map_err(|_| BadEntry::Unreadable)?;
            match self.state.cluster_mut().admit(origin, boot, sequence) {
                Admission::Apply => {
                    let waiter = if mine { self.outbox.applied(sequence) } else { None };
                    if let Some(waiter) = &waiter {
                        self.answer_ahead(waiter.conn);
                    }
                    self.apply_txn(term, time_ms, origin, &txn, waiter);
                }
                Admission::Duplicate => {}
                Admission::Gap | Admission::Stale => {
                    if mine {
                        self.outbox.resend();
                    }
                    return Ok(());
                }
            }
            sequence += 1;
        }
        Ok(())
    }

    /// One write: state, events, answer.
    fn apply_txn(
        &mut self,
        term: u64,
        time_ms: i64,
        origin: u8,
        txn: &Txn<'_>,
        waiter: Option<Waiter>,
    ) {
        let zxid = next_zxid(self.state.last_zxid(), term);
        let stamp = Stamp { zxid, time_ms };
        self.effects.clear();
        self.effects.wanted = !self.watches.is_empty();
        self.reply.clear();
        // The whole answer to a change of members is that it is done.
        let changed = txn.op == OpCode::Reconfig && txn.session == 0 && txn.body.is_empty();
        let waiter = if changed { self.membership.take_asker() } else { waiter };
        let answer = waiter.is_some().then_some(&mut self.reply);
        let ephemerals = audited_ephemerals(self.audit.is_some(), &self.state, txn);
        let znodes = self.state.node_count();
        let code = self.state.apply(stamp, origin, txn, &mut self.effects, answer);
        self.audit_applied(waiter.as_ref().filter(|_| !changed), txn, code, &ephemerals);
        let moved = znodes.abs_diff(self.state.node_count());
        let cost = budget::units(txn.op, txn.body.len(), self.reply.len());
        self.budget.applied(cost.saturating_add(moved.try_into().unwrap_or(u32::MAX)));
        self.snapshots.applied_one();
        if let Some(exceeded) = self.state.take_exceeded() {
            self.quota_exceeded(&exceeded);
        }

        if self.effects.wanted && !self.effects.is_empty() {
            let clients = &mut self.clients;
            let mut fired = 0;
            self.watches.fire(&self.effects, |slot, kind, path, readers| {
                if let Some((conn, client)) = clients.at_slot(slot)
                    && client.phase != Phase::Closing
                    && may_hear(readers, client.identity.as_identity())
                {
                    reply::put_notification(&mut client.output, kind, path);
                    client.stats.sent += 1;
                    clients.mark(conn);
                    fired += 1;
                }
            });
            self.stats.sent += fired;
            self.budget.applied(fired.try_into().unwrap_or(u32::MAX));
        }
        let closes = txn.op == OpCode::CloseSession;
        let ended = closes && !self.effects.closed.is_empty();
        let leaves = closes && self.close_applied(txn, ended);
        let pending = txn.op == OpCode::Reconfig && txn.session != 0 && code == Code::Ok;
        match waiter {
            Some(waiter) if pending => self.membership.set_asker(waiter),
            Some(waiter) if leaves => self.endings.wait(txn.session, waiter),
            Some(waiter) if self.endings.closes(txn.session, waiter.conn) => {}
            Some(waiter) => self.answer_write(waiter, txn.op, zxid, code),
            None => {}
        }
        match txn.op {
            OpCode::Reconfig if code == Code::Ok => self.members_decided(),
            OpCode::CreateSession | OpCode::AttachSession if code == Code::Ok => {
                self.session_arrived(txn.session, origin);
            }
            OpCode::CloseSession if code == Code::Ok => {
                self.stats.sessions_closed += u64::from(ended);
                self.session_gone(txn.session);
            }
            _ => {}
        }
    }

    /// The write at the head of its connection's line is applied.
    pub(super) fn answer_write(&mut self, waiter: Waiter, applied: OpCode, zxid: i64, code: Code) {
        let conn = waiter.conn;
        let latency_ms = self.clocks.now_ms().saturating_sub(waiter.since_ms);
        self.stats.write_latency_us.record(latency_ms * 1000);
        self.stats.latency_us.record(latency_ms * 1000);
        let Some(client) = self.clients.get_mut(conn) else { return };
        if client.phase == Phase::Closing {
            return;
        }
        client.stats.answered(latency_ms);
        client.stats.last_zxid = zxid;
        client.stats.last_reply_ms = self.clocks.now_ms();
        match client.pop() {
            Some(Waiting::Upgrade) if applied == OpCode::CreateSession => {}
            Some(Waiting::Connect { read_only }) => self.connected(conn, read_only, code),
            Some(Waiting::Write { xid, op, .. }) if op == applied => {
                client.reconfiguring = false;
                match code {
                    Code::Ok => client.put_reply(xid, zxid, &self.reply),
                    code => client.put_header(xid, zxid, code),
                }
                self.stats.sent += 1;
                self.clients.mark(conn);
                if matches!(code, Code::SessionExpired | Code::SessionMoved)
                    || op == OpCode::CloseSession
                {
                    return self.close_client(conn);
                }
            }
            // Its number says that this connection waits for the write, its line that it does not:
            // only an entry that no leader of ours wrote can do that.
            other => {
                self.log(
                    Level::Error,
                    &format!("closing a connection: it waits for {other:?}, not for {applied:?}"),
                );
                return self.close_client(conn);
            }
        }
        self.advance_client(conn);
    }

    /// The leader says, now and then, that a quota is not kept to, and counts what it refuses.
    fn quota_exceeded(&mut self, exceeded: &Exceeded) {
        if !self.leading() {
            return;
        }
        let counts = &mut self.stats.quota_exceeded;
        let namespace = exceeded.namespace();
        if exceeded.hard && (counts.len() < NAMESPACES_MAX || counts.contains_key(namespace)) {
            *counts.entry(namespace.to_owned()).or_default() += 1;
        }
        if self.clocks.now_ms() >= self.stats.quota_told_ms + QUOTA_TOLD_EVERY_MS {
            self.stats.quota_told_ms = self.clocks.now_ms();
            self.log(Level::Warn, &exceeded.to_string());
        }
    }

    /// A session was created, or lives on another server from now on.
    fn session_arrived(&mut self, session: i64, origin: u8) {
        if self.is_leader()
            && let Some(timeout_ms) = self.state.session(session).map(|s| s.timeout_ms)
        {
            self.sessions.expiry.track(session, timeout_ms as u64, self.clocks.attentive_ms());
        }
        if origin != self.config.id {
            self.close_session_here(session);
        }
    }

    /// A session was closed by its client or has expired.
    fn session_gone(&mut self, session: i64) {
        self.sessions.expiry.forget(session);
        if !self.endings.waits(session) {
            self.close_session_here(session);
        }
    }
}

/// The zxid of the next write: the term above, a counter below. 2^32 writes in one term make it
/// run on into the numbers of the term to come, which then goes on from there: zxids only ever
/// grow. Well before that the leader begins a new term.
fn next_zxid(last: i64, term: u64) -> i64 {
    const EPOCH_MAX: u64 = i32::MAX as u64;
    let first = (term.min(EPOCH_MAX) as i64) << 32 | 1;
    last.saturating_add(1).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zxids_grow_whatever_the_counter_and_the_term_are() {
        assert_eq!(next_zxid(0, 1), 0x1_0000_0001);
        assert_eq!(next_zxid(0x1_0000_0001, 1), 0x1_0000_0002);
        assert_eq!(next_zxid(0x1_0000_0002, 3), 0x3_0000_0001);
        let mut zxid = 0x3_ffff_fffd;
        for term in [3, 3, 3, 3, 4, 4, 5] {
            let next = next_zxid(zxid, term);
            assert!(next > zxid, "{next:#x} after {zxid:#x}");
            zxid = next;
        }
        assert_eq!(zxid, 0x5_0000_0001);
        assert!(next_zxid(zxid, u64::MAX) > zxid);
        assert_eq!(next_zxid(i64::MAX, u64::MAX), i64::MAX);
    }
}
