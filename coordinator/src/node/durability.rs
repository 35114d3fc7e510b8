//! What raft has decided that is not on disk yet, and what must wait for it.
//!
//! An answer that speaks of entries or of a vote leaves only when those are durable. A disk that
//! does not answer is noticed here too: heartbeats go on without it, so no other server would see.

use std::collections::VecDeque;

use raft::eraftpb::{HardState, Message, MessageType};

use super::peer;

/// From one try to hand leadership over to the next.
const HAND_OVER_MS: u64 = 500;

/// A message that must not leave before its ready is on disk.
struct Held {
    ready: u64,
    to: u8,
    bytes: Vec<u8>,
}

/// What an answer to the leader says: who leads, in which term, and up to which entry the log is kept.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Acknowledgement {
    leader: u64,
    term: u64,
    index: u64,
}

/// How long the log's disk has been busy.
#[derive(Default)]
struct DiskWatch {
    /// When the oldest write that is not on disk was handed over, or the one before it was there.
    since_ms: u64,
    hangs: bool,
    hand_over_ms: u64,
}

/// What goes to the log with a ready's entries.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    pub hard_state: Option<HardState>,
}

/// What has become of the disk since it was last reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskChange {
    /// It has not answered for so many ms.
    Hangs(u64),
    Answers,
}

/// The order between raft's readies, the disk and the messages that speak of both.
pub(super) struct Durability {
    /// Numbers of the readies that are on their way to the disk, oldest first.
    persisting: VecDeque<u64>,
    last_ready: u64,
    /// The newest ready that changed term or vote.
    last_vote: u64,
    /// What is committed as far as the log on disk says, or will say.
    saved_commit: u64,
    /// A change of members was applied that the log on disk does not call committed yet.
    members_unsaved: bool,
    held: VecDeque<Held>,
    /// What the leader was last told over the connection that stands.
    acknowledged: Acknowledgement,
    disk: DiskWatch,
}

impl Durability {
    /// `saved_commit`: what the log on disk says is committed.
    pub(super) fn new(saved_commit: u64) -> Self {
        Durability {
            persisting: VecDeque::new(),
            last_ready: 0,
            last_vote: 0,
            saved_commit,
            members_unsaved: false,
            held: VecDeque::new(),
            acknowledged: Acknowledgement::default(),
            disk: DiskWatch::default(),
        }
    }

    /// Raft has a new ready; `votes`: it changes term or vote.
    pub(super) fn begin(&mut self, ready: u64, votes: bool) {
        self.last_ready = ready;
        if votes {
            self.last_vote = ready;
        }
    }

    /// The next write names the commit index: a change of members counts from there on, and after a
    /// restart the old members may lack a majority.
    pub(super) fn members_changed(&mut self) {
        self.members_unsaved = true;
    }

    /// What must be written of the ready, if anything must.
    /// `changed` is what raft asks to save, `known` all that it holds now.
    pub(super) fn persist(
        &mut self,
        must_sync: bool,
        changed: Option<HardState>,
        known: &HardState,
        now_ms: u64,
    ) -> Option<Write> {
        let members_unsaved = std::mem::take(&mut self.members_unsaved);
        if !must_sync && !members_unsaved {
            return None;
        }
        // What is known to be committed goes along, though raft does not ask for it.
        let newer = || (known.commit > self.saved_commit).then(|| known.clone());
        let hard_state = changed.or_else(newer);
        self.saved_commit = self.saved_commit.max(known.commit);
        if self.persisting.is_empty() {
            self.disk.since_ms = now_ms;
        }
        self.persisting.push_back(self.last_ready);
        Some(Write { hard_state })
    }

    /// Nothing is on its way to the disk.
    pub(super) fn idle(&self) -> bool {
        self.persisting.is_empty()
    }

    /// Whether a message that raft wants persisted first may leave at once. Heartbeats and pre-votes
    /// speak of the term alone: they do not wait for entries, lest a slow disk look like a dead server.
    pub(super) fn may_leave(&self, kind: MessageType) -> bool {
        let about_term = matches!(
            kind,
            MessageType::MsgHeartbeatResponse
                | MessageType::MsgReadIndex
                | MessageType::MsgRequestPreVote
                | MessageType::MsgRequestPreVoteResponse
        );
        let vote_saved = self.persisting.front().is_none_or(|&first| self.last_vote < first);
        self.persisting.is_empty() || about_term && vote_saved
    }

    /// Keeps a message until the present ready is on disk.
    pub(super) fn hold(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        peer::raft(message, &mut bytes);
        self.held.push_back(Held { ready: self.last_ready, to: message.to as u8, bytes });
    }

    /// Everything up to ready `number` is on disk. Returns the last ready that counts as saved:
    /// readies behind it with nothing to save do too, up to the next that waits.
    pub(super) fn persisted(&mut self, number: u64, now_ms: u64) -> u64 {
        while self.persisting.front().is_some_and(|&first| first <= number) {
            self.persisting.pop_front();
            self.disk.since_ms = now_ms;
        }
        self.persisting.front().map_or(self.last_ready, |next| next - 1)
    }

    /// The next message held for a ready up to `through`.
    pub(super) fn release(&mut self, through: u64) -> Option<(u8, Vec<u8>)> {
        let held = self.held.pop_front_if(|held| held.ready <= through)?;
        Some((held.to, held.bytes))
    }

    // ---- what the leader was told ----

    /// Whether an answer to the leader says nothing new over the connection that stands. A leader tells
    /// its commit index by an empty append, and raft answers each: half of all messages to a leader.
    pub(super) fn acknowledged_before(&mut self, message: &Message, leader: u64) -> bool {
        // To one that is not its leader it says that there is a higher term, until that is heard.
        let follows = message.to == leader;
        if message.get_msg_type() != MessageType::MsgAppendResponse || message.reject || !follows {
            return false;
        }
        let now = Acknowledgement { leader, term: message.term, index: message.index };
        std::mem::replace(&mut self.acknowledged, now) == now
    }

    /// The leader may have missed what it was told: the next answer leaves in any case.
    pub(super) fn acknowledge_again(&mut self) {
        self.acknowledged = Acknowledgement::default();
    }

    /// The leader appends behind `index`. Where that is less than was acknowledged, it has not heard.
    pub(super) fn leader_appends(&mut self, index: u64) {
        if index < self.acknowledged.index {
            self.acknowledge_again();
        }
    }

    // ---- the disk ----

    /// Looks whether the oldest write takes longer than `patience_ms`.
    pub(super) fn review_disk(&mut self, now_ms: u64, patience_ms: u64) -> Option<DiskChange> {
        let busy_ms = now_ms.saturating_sub(self.disk.since_ms);
        let hangs = !self.persisting.is_empty() && busy_ms >= patience_ms;
        match (std::mem::replace(&mut self.disk.hangs, hangs), hangs) {
            (false, true) => Some(DiskChange::Hangs(busy_ms)),
            (true, false) => Some(DiskChange::Answers),
            _ => None,
        }
    }

    /// The disk hung when it was last reviewed.
    pub(super) fn disk_hangs(&self) -> bool {
        self.disk.hangs
    }

    /// Whether it is time for a try to hand leadership over; counts as one.
    pub(super) fn hand_over_due(&mut self, now_ms: u64) -> bool {
        let due = now_ms >= self.disk.hand_over_ms;
        if due {
            self.disk.hand_over_ms = now_ms + HAND_OVER_MS;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPEND: MessageType = MessageType::MsgAppendResponse;
    const HEARTBEAT: MessageType = MessageType::MsgHeartbeatResponse;

    fn message(kind: MessageType, to: u64, index: u64) -> Message {
        let mut message = Message { to, index, term: 1, ..Message::default() };
        message.set_msg_type(kind);
        message
    }

    fn with(hard_state: Option<HardState>) -> Write {
        Write { hard_state }
    }

    fn commit(commit: u64) -> HardState {
        HardState { commit, ..HardState::default() }
    }

    /// A ready with entries to write.
    fn write(durability: &mut Durability, ready: u64, votes: bool) {
        durability.begin(ready, votes);
        assert!(durability.persist(true, None, &HardState::default(), 0).is_some());
    }

    #[test]
    fn an_answer_waits_for_its_entries_and_a_heartbeat_for_the_vote_alone() {
        let mut durability = Durability::new(0);
        durability.begin(1, false);
        assert!(durability.may_leave(APPEND), "nothing is on its way to the disk");
        write(&mut durability, 2, false);
        assert!(!durability.may_leave(APPEND));
        assert!(durability.may_leave(HEARTBEAT), "it speaks of a term that is on disk");
        write(&mut durability, 3, true);
        assert!(!durability.may_leave(HEARTBEAT), "the vote of ready 3 is not on disk");
        durability.persisted(2, 0);
        assert!(!durability.may_leave(HEARTBEAT));
        durability.persisted(3, 0);
        assert!(durability.may_leave(HEARTBEAT) && durability.may_leave(APPEND));
    }

    #[test]
    fn held_messages_leave_in_order_and_with_their_own_ready() {
        let mut durability = Durability::new(0);
        write(&mut durability, 1, false);
        durability.hold(&message(APPEND, 2, 10));
        write(&mut durability, 2, false);
        durability.hold(&message(APPEND, 3, 11));
        let through = durability.persisted(1, 0);
        assert_eq!(through, 1);
        assert_eq!(durability.release(through).map(|(to, _)| to), Some(2));
        assert!(durability.release(through).is_none(), "ready 2 is not on disk");
        durability.persisted(2, 0);
        assert_eq!(durability.release(2).map(|(to, _)| to), Some(3));
    }

    #[test]
    fn readies_with_nothing_to_save_count_as_saved_up_to_the_next_that_waits() {
        let mut durability = Durability::new(0);
        write(&mut durability, 1, false);
        durability.begin(2, false);
        durability.begin(3, false);
        assert_eq!(durability.persisted(1, 0), 3);
        write(&mut durability, 4, false);
        durability.begin(5, false);
        write(&mut durability, 6, false);
        assert_eq!(durability.persisted(4, 0), 5);
        assert!(!durability.idle());
        assert_eq!(durability.persisted(6, 0), 6);
        assert!(durability.idle());
    }

    #[test]
    fn the_commit_index_goes_along_with_a_write_and_is_forced_by_a_change_of_members() {
        let mut durability = Durability::new(5);
        durability.begin(1, false);
        assert_eq!(durability.persist(false, None, &commit(9), 0), None, "raft asks for nothing");
        assert_eq!(
            durability.persist(true, None, &commit(5), 0),
            Some(with(None)),
            "it is on disk"
        );
        assert_eq!(durability.persist(true, None, &commit(9), 0), Some(with(Some(commit(9)))));
        assert_eq!(
            durability.persist(true, None, &commit(9), 0),
            Some(with(None)),
            "once is enough"
        );
        durability.members_changed();
        assert_eq!(durability.persist(false, None, &commit(10), 0), Some(with(Some(commit(10)))));
        assert_eq!(durability.persist(false, None, &commit(11), 0), None);
    }

    #[test]
    fn the_same_acknowledgement_is_sent_once_over_one_connection() {
        let mut durability = Durability::new(0);
        let answer = message(APPEND, 3, 7);
        assert!(!durability.acknowledged_before(&answer, 3));
        assert!(durability.acknowledged_before(&answer, 3));
        assert!(!durability.acknowledged_before(&message(APPEND, 2, 7), 3), "not to its leader");
        assert!(durability.acknowledged_before(&answer, 3));
        durability.leader_appends(7);
        assert!(durability.acknowledged_before(&answer, 3));
        durability.leader_appends(6);
        assert!(!durability.acknowledged_before(&answer, 3), "the leader has not heard it");
        durability.acknowledge_again();
        assert!(!durability.acknowledged_before(&answer, 3));
        let refusal = Message { reject: true, ..answer };
        assert!(!durability.acknowledged_before(&refusal, 3));
    }

    #[test]
    fn a_disk_hangs_when_no_write_ends_for_too_long() {
        let mut durability = Durability::new(0);
        assert_eq!(durability.review_disk(10_000, 100), None, "it has nothing to do");
        durability.begin(1, false);
        durability.persist(true, None, &commit(0), 10_000);
        durability.begin(2, false);
        durability.persist(true, None, &commit(0), 10_090);
        assert_eq!(durability.review_disk(10_099, 100), None);
        durability.persisted(1, 10_099);
        assert_eq!(durability.review_disk(10_150, 100), None, "one write of two is there");
        assert_eq!(durability.review_disk(10_199, 100), Some(DiskChange::Hangs(100)));
        assert_eq!(durability.review_disk(10_250, 100), None, "it was said");
        assert!(durability.disk_hangs());
        assert!(durability.hand_over_due(10_250) && !durability.hand_over_due(10_749));
        assert!(durability.hand_over_due(10_750));
        durability.persisted(2, 10_800);
        assert_eq!(durability.review_disk(10_800, 100), Some(DiskChange::Answers));
        assert!(!durability.disk_hangs());
    }
}
