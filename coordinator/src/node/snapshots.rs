//! When this server writes a snapshot, the one in the making, and the one that it fetches.
//!
//! The state is walked in small steps between other work; what they give goes to the writer in
//! chunks, and the walk pauses while the writer is behind.

use raft::eraftpb::Message;

use super::SnapshotPoint;
use crate::random::Seeded;
use crate::state::State;

/// A chunk goes to the writer at this size.
const CHUNK_BYTES: usize = 64 << 10;
/// What the last step before that may add included, unless it is a large znode.
const CHUNK_ROOM: usize = CHUNK_BYTES + (CHUNK_BYTES >> 1);

/// So many chunks may wait for the writer; then the snapshot pauses.
const CHUNKS_WAITING_MAX: usize = 2;

/// The entries behind a snapshot are kept for so long after it is saved.
const PIN_AFTER_MS: u64 = 5000;

/// The server's own snapshots.
pub(super) struct Snapshots {
    /// Writes between snapshots, as configured.
    ops: u64,
    /// Writes applied since the last one was begun.
    ops_since: u64,
    /// When the next one is due.
    ops_due: u64,
    saved_ms: u64,
    making: Option<Making>,
    /// Chunks that the writer has not taken, those of one that was given up among them.
    chunks_waiting: usize,
}

/// A snapshot in the making.
struct Making {
    point: SnapshotPoint,
    /// All of the state has been walked.
    walked: bool,
    chunk: Vec<u8>,
    /// Chunks that were written, to be filled again.
    spare: Vec<Vec<u8>>,
}

impl Snapshots {
    pub(super) fn new(ops: u64, random: &mut Seeded) -> Self {
        let mut snapshots = Snapshots {
            ops,
            ops_since: 0,
            ops_due: 0,
            saved_ms: 0,
            making: None,
            chunks_waiting: 0,
        };
        snapshots.schedule(random);
        snapshots
    }

    /// Draws when the next snapshot is due: servers should not all write at once
    /// (`SyncRequestProcessor` draws from the upper half of `snapCount` too).
    fn schedule(&mut self, random: &mut Seeded) {
        self.ops_since = 0;
        self.ops_due = self.ops / 2 + random.below(self.ops / 2 + 1) + 1;
    }

    pub(super) fn applied_one(&mut self) {
        self.ops_since += 1;
    }

    /// The next one is due as soon as what is being applied is applied.
    pub(super) fn due_now(&mut self) {
        self.ops_due = 0;
    }

    /// Enough writes have been applied since the last one. One that a member was offered is left time
    /// to be fetched: few are kept, and on a busy server over a slow link the next ones would replace
    /// it before it is asked for, again and again.
    pub(super) fn due(&self, now_ms: u64, offered: impl FnOnce() -> bool) -> bool {
        self.ops_since >= self.ops_due && !(self.recent(now_ms) && offered())
    }

    /// Writes applied since the last one was begun.
    pub(super) fn ops_since(&self) -> u64 {
        self.ops_since
    }

    /// Begins one of the state as it is now.
    pub(super) fn begin(&mut self, point: SnapshotPoint, random: &mut Seeded) {
        self.schedule(random);
        self.making = Some(Making {
            point,
            walked: false,
            chunk: Vec::with_capacity(CHUNK_ROOM),
            spare: Vec::new(),
        });
    }

    /// Index of the one in the making.
    pub(super) fn in_making(&self) -> Option<u64> {
        self.making.as_ref().map(|making| making.point.index)
    }

    /// Whether the walk through the state may go on now.
    pub(super) fn walks(&self) -> bool {
        let unfinished = self.making.as_ref().is_some_and(|making| !making.walked);
        unfinished && self.chunks_waiting < CHUNKS_WAITING_MAX
    }

    /// Where the next step of the walk puts what it finds.
    pub(super) fn chunk(&mut self) -> Option<&mut Vec<u8>> {
        self.making.as_mut().map(|making| &mut making.chunk)
    }

    /// A step is made, the last one where `done`. Returns a chunk that is ready for the writer.
    pub(super) fn stepped(&mut self, done: bool) -> Option<Vec<u8>> {
        let making = self.making.as_mut()?;
        making.walked |= done;
        if !done && making.chunk.len() < CHUNK_BYTES {
            return None;
        }
        self.chunks_waiting += 1;
        let next = making.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_ROOM));
        Some(std::mem::replace(&mut making.chunk, next))
    }

    /// The writer has taken a chunk.
    pub(super) fn chunk_written(&mut self) {
        self.chunks_waiting = self.chunks_waiting.saturating_sub(1);
    }

    /// A chunk that is written, for the next one.
    pub(super) fn give_back(&mut self, mut chunk: Vec<u8>) {
        if let Some(making) = &mut self.making
            && chunk.capacity() <= 2 * CHUNK_BYTES
        {
            chunk.clear();
            making.spare.push(chunk);
        }
    }

    /// The one in the making is whole on disk.
    pub(super) fn saved(&mut self, now_ms: u64) -> Option<SnapshotPoint> {
        let making = self.making.take()?;
        self.saved_ms = now_ms;
        self.chunks_waiting = 0;
        Some(making.point)
    }

    /// Gives up the one in the making.
    pub(super) fn abort(&mut self, state: &mut State) {
        if self.making.take().is_some_and(|making| !making.walked) {
            state.snapshot_abort();
        }
    }

    /// The writer has given up, and takes no more of it.
    pub(super) fn failed(&mut self, state: &mut State) {
        self.abort(state);
        self.chunks_waiting = 0;
    }

    /// Whether one is in the making, or was until a moment ago: a follower that waits for it asks
    /// again only after its next heartbeat.
    pub(super) fn recent(&self, now_ms: u64) -> bool {
        self.making.is_some() || now_ms < self.saved_ms + PIN_AFTER_MS
    }
}

/// A snapshot that the leader has offered.
pub(super) struct Offer {
    pub from: u8,
    pub point: SnapshotPoint,
    /// Given to raft when the snapshot is whole.
    pub message: Message,
}

/// The snapshot that comes from the leader.
#[derive(Default)]
pub(super) struct SnapshotFetch {
    /// On its way; one at a time.
    under_way: Option<Offer>,
    /// Whole, until raft has accepted it.
    whole: Option<(SnapshotPoint, Box<State>)>,
}

impl SnapshotFetch {
    pub(super) fn busy(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn begin(&mut self, offer: Offer) {
        self.under_way = Some(offer);
    }

    /// The fetch of this index has ended, one way or the other; `None`: it is not under way.
    pub(super) fn end(&mut self, index: u64) -> Option<Offer> {
        self.under_way.take_if(|offer| offer.point.index == index)
    }

    /// Keeps the state until raft takes it.
    pub(super) fn keep(&mut self, point: SnapshotPoint, state: Box<State>) {
        self.whole = Some((point, state));
    }

    /// What was kept, for raft has accepted or refused it.
    pub(super) fn take(&mut self) -> Option<(SnapshotPoint, Box<State>)> {
        self.whole.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(index: u64) -> SnapshotPoint {
        SnapshotPoint { index, ..SnapshotPoint::default() }
    }

    /// Makes steps of `bytes` each while the walk may go on; returns the chunks for the writer.
    fn walk(snapshots: &mut Snapshots, bytes: usize) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        while snapshots.walks() {
            let chunk = snapshots.chunk().expect("one is in the making");
            chunk.resize(chunk.len() + bytes, 7);
            chunks.extend(snapshots.stepped(false));
        }
        chunks
    }

    #[test]
    fn a_snapshot_is_due_in_the_upper_half_of_the_configured_writes() {
        let mut random = Seeded::new(1);
        let mut snapshots = Snapshots::new(100, &mut random);
        let mut dues = Vec::new();
        for _ in 0..2000 {
            while !snapshots.due(0, || false) {
                snapshots.applied_one();
            }
            dues.push(snapshots.ops_since());
            snapshots.begin(point(1), &mut random);
        }
        assert_eq!((dues.iter().min(), dues.iter().max()), (Some(&51), Some(&101)));
        assert!(!snapshots.due(0, || false));
        snapshots.due_now();
        assert!(snapshots.due(0, || false));
    }

    #[test]
    fn a_snapshot_that_was_offered_is_left_time_to_be_fetched() {
        let mut random = Seeded::new(1);
        let mut snapshots = Snapshots::new(1, &mut random);
        snapshots.begin(point(1), &mut random);
        snapshots.saved(10_000);
        snapshots.due_now();
        assert!(snapshots.due(10_001, || false));
        assert!(!snapshots.due(10_000 + PIN_AFTER_MS - 1, || true));
        assert!(snapshots.due(10_000 + PIN_AFTER_MS, || true), "the log does not grow for ever");
    }

    #[test]
    fn the_walk_pauses_while_the_writer_is_behind_and_chunks_are_used_again() {
        let mut random = Seeded::new(1);
        let mut snapshots = Snapshots::new(100, &mut random);
        snapshots.begin(point(5), &mut random);
        let chunks = walk(&mut snapshots, CHUNK_BYTES / 4 + 1);
        assert_eq!(chunks.len(), CHUNKS_WAITING_MAX);
        assert!(chunks.iter().all(|chunk| chunk.len() == CHUNK_BYTES + 4));
        let mut chunks = chunks.into_iter();
        let first = chunks.next().unwrap();
        let place = first.as_ptr();
        snapshots.give_back(first);
        snapshots.chunk_written();
        let third = walk(&mut snapshots, CHUNK_BYTES).pop().expect("the walk goes on");
        assert_ne!(third.as_ptr(), place);
        snapshots.chunk_written();
        let fourth = walk(&mut snapshots, CHUNK_BYTES).pop().expect("the walk goes on");
        assert_eq!(fourth.as_ptr(), place, "the chunk that came back");
        snapshots.chunk_written();
        assert_eq!(snapshots.stepped(true), Some(Vec::new()), "the end is a chunk however short");
        assert!(!snapshots.walks());
        assert_eq!(snapshots.in_making(), Some(5));
        assert_eq!(snapshots.saved(1000), Some(point(5)));
        assert_eq!(snapshots.saved(1000), None);
        assert!(
            snapshots.recent(1000 + PIN_AFTER_MS - 1) && !snapshots.recent(1000 + PIN_AFTER_MS)
        );
    }

    #[test]
    fn one_offer_is_fetched_at_a_time_and_a_late_end_finds_nothing() {
        let offer = |index| Offer { from: 2, point: point(index), message: Message::default() };
        let mut fetch = SnapshotFetch::default();
        assert!(fetch.end(5).is_none());
        fetch.begin(offer(5));
        assert!(fetch.busy() && fetch.end(4).is_none() && fetch.busy());
        assert_eq!(fetch.end(5).map(|offer| offer.from), Some(2));
        assert!(!fetch.busy() && fetch.take().is_none());
    }
}
