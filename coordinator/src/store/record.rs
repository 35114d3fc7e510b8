//! Bytes of a log segment: its head, and the frames that follow.
//!
//! One frame is one append: it is valid as a whole or not at all, so a torn write never leaves
//! half a batch. Checksums cover salt, segment number and offset too, so that bytes which a
//! client planted in a znode, or an old frame at another place, never pass for a frame.

use raft::eraftpb::{Entry, EntryType, HardState};

use super::FORMAT_VERSION;

/// Size of the head; the first frame starts here.
pub(super) const HEAD_BYTES: usize = 96;
const HEAD_MAGIC: &[u8; 8] = b"coordwal";
/// Closes the head; its last byte is not zero, so that a torn head is told from a damaged one.
const HEAD_END: u32 = 0xc0de_1061;

pub(super) const FRAME_HEAD_BYTES: usize = 24;
const FRAME_END: u32 = 0xc0de_f4a3;
/// Follows the payload: a frame whose last byte is zero was torn.
const TRAILER: u8 = 0xa5;
/// Frames start at multiples of this.
pub(super) const ALIGN: usize = 8;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

const KIND_ENTRY: u8 = 1;
const KIND_HARD_STATE: u8 = 2;
const ENTRY_HEAD_BYTES: usize = 28;
const HARD_STATE_BYTES: usize = 25;

/// Index and term of an entry; (0, 0) stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}

/// What a segment says about the log before it, so that older segments can be removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    pub sequence: u64,
    pub salt: u64,
    /// Where the frames of the segment before this one end; 0 when there is none.
    pub previous_end: u64,
    /// The last entry at the start of this segment.
    pub last: Position,
    pub hard_state: HardState,
    /// Everything before is void: a received snapshot took its place.
    pub reset: bool,
}

#[derive(Debug)]
pub(super) enum HeadError {
    Checksum,
    Version(u32),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(HEAD_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&u32::from(self.reset).to_le_bytes());
        for field in [
            self.sequence,
            self.salt,
            self.previous_end,
            self.last.index,
            self.last.term,
            self.hard_state.term,
            self.hard_state.vote,
            self.hard_state.commit,
            0,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&HEAD_END.to_le_bytes());
        out.try_into().expect("the fields fill the head")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Head, HeadError> {
        if bytes.len() < HEAD_BYTES || &bytes[..8] != HEAD_MAGIC {
            return Err(HeadError::Checksum);
        }
        let end = HEAD_BYTES - 8;
        if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end)
            || u32_at(bytes, end + 4) != HEAD_END
        {
            return Err(HeadError::Checksum);
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(HeadError::Version(version));
        }
        let field = |n: usize| u64_at(bytes, 16 + 8 * n);
        let hard_state =
            HardState { term: field(5), vote: field(6), commit: field(7), ..HardState::default() };
        Ok(Head {
            sequence: field(0),
            salt: field(1),
            previous_end: field(2),
            last: Position { index: field(3), term: field(4) },
            hard_state,
            reset: u32_at(bytes, 12) & 1 == 1,
        })
    }
}

/// Where a frame stands: part of its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub salt: u64,
    pub sequence: u64,
    pub offset: u64,
}

fn head_checksum(place: Place, head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for field in [place.salt, place.sequence, place.offset] {
        hasher.update(&field.to_le_bytes());
    }
    hasher.update(head);
    hasher.finalize()
}

/// Bytes of a frame with `payload` bytes of records.
fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEAD_BYTES + payload + 1).next_multiple_of(ALIGN)
}

/// Bytes of the frame that [`encode_frame`] would make.
pub(super) fn frame_size(entries: &[Entry], hard_state: Option<&HardState>) -> usize {
    let entries: usize =
        entries.iter().map(|e| ENTRY_HEAD_BYTES + e.context.len() + e.data.len()).sum();
    frame_bytes(entries + hard_state.map_or(0, |_| HARD_STATE_BYTES))
}

/// Appends one frame to `out`. `durable` is how far this segment was synced before.
pub(super) fn encode_frame(
    place: Place,
    durable: u64,
    entries: &[Entry],
    hard_state: Option<&HardState>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + FRAME_HEAD_BYTES, 0);
    for entry in entries {
        let kind = match entry.entry_type {
            EntryType::EntryNormal => 0,
            EntryType::EntryConfChange => 1,
            EntryType::EntryConfChangeV2 => 2,
        };
        out.extend_from_slice(&[KIND_ENTRY, kind, 0, 0]);
        out.extend_from_slice(&(entry.context.len() as u32).to_le_bytes());
        out.extend_from_slice(&(entry.data.len() as u32).to_le_bytes());
        out.extend_from_slice(&entry.term.to_le_bytes());
        out.extend_from_slice(&entry.index.to_le_bytes());
        out.extend_from_slice(&entry.context);
        out.extend_from_slice(&entry.data);
    }
    if let Some(state) = hard_state {
        out.push(KIND_HARD_STATE);
        for field in [state.term, state.vote, state.commit] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }
    let payload = out.len() - start - FRAME_HEAD_BYTES;
    let length = u32::try_from(payload).expect("the caller has refused longer ones");
    let checksum = crc32fast::hash(&out[start + FRAME_HEAD_BYTES..]);
    // The trailer is the last byte: padding stands before it.
    out.resize(start + frame_bytes(payload), 0);
    *out.last_mut().expect("not empty") = TRAILER;
    let head = &mut out[start..start + FRAME_HEAD_BYTES];
    head[0..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&checksum.to_le_bytes());
    head[8..16].copy_from_slice(&durable.to_le_bytes());
    let own = head_checksum(place, &head[..16]);
    head[16..20].copy_from_slice(&own.to_le_bytes());
    head[20..24].copy_from_slice(&FRAME_END.to_le_bytes());
}

/// A frame found where one was looked for.
pub(super) enum Found<'a> {
    Frame {
        payload: &'a [u8],
        durable: u64,
        bytes: usize,
    },
    /// No valid frame; `bytes` is its extent as far as that is known.
    Broken {
        bytes: usize,
        durable: Option<u64>,
    },
    End,
}

/// What stands at `place.offset` of the segment.
pub(super) fn frame_at(segment: &[u8], place: Place) -> Found<'_> {
    let rest = &segment[(place.offset as usize).min(segment.len())..];
    if rest.len() < FRAME_HEAD_BYTES {
        return Found::End;
    }
    let head = &rest[..FRAME_HEAD_BYTES];
    let head_valid =
        u32_at(head, 20) == FRAME_END && head_checksum(place, &head[..16]) == u32_at(head, 16);
    if !head_valid {
        return Found::Broken { bytes: FRAME_HEAD_BYTES, durable: None };
    }
    let length = u32_at(head, 0) as usize;
    let durable = u64_at(head, 8);
    let bytes = frame_bytes(length);
    if bytes > rest.len() {
        return Found::Broken { bytes: rest.len(), durable: Some(durable) };
    }
    let payload = &rest[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length];
    if rest[bytes - 1] != TRAILER || crc32fast::hash(payload) != u32_at(head, 4) {
        return Found::Broken { bytes, durable: Some(durable) };
    }
    Found::Frame { payload, durable, bytes }
}

/// Whether an invalid stretch looks like a write that only got to the disk in part, into space
/// that was zero: its end is missing, or one of its sectors is. Anything else is damage.
pub(super) fn looks_torn(segment: &[u8], from: usize, to: usize) -> bool {
    let to = to.min(segment.len());
    if from >= to || segment[to - 1] == 0 {
        return true;
    }
    let mut at = from;
    while at < to {
        let next = ((at / SECTOR + 1) * SECTOR).min(to);
        if segment[at..next].iter().all(|&b| b == 0) {
            return true;
        }
        at = next;
    }
    false
}

pub(super) enum Record {
    Entry(Entry),
    HardState(HardState),
}

/// Takes the first record off `payload`.
pub(super) fn next_record(payload: &mut &[u8]) -> Result<Record, &'static str> {
    match payload.first() {
        Some(&KIND_ENTRY) => {
            let head = payload.get(..ENTRY_HEAD_BYTES).ok_or("entry cut short")?;
            let entry_type = match head[1] {
                0 => EntryType::EntryNormal,
                1 => EntryType::EntryConfChange,
                2 => EntryType::EntryConfChangeV2,
                _ => return Err("entry of a type that does not exist"),
            };
            let context = u32_at(head, 4) as usize;
            let data = u32_at(head, 8) as usize;
            let body = ENTRY_HEAD_BYTES..ENTRY_HEAD_BYTES + context + data;
            let body = payload.get(body).ok_or("entry cut short")?;
            let entry = Entry {
                entry_type,
                term: u64_at(head, 12),
                index: u64_at(head, 20),
                context: body[..context].to_vec().into(),
                data: body[context..].to_vec().into(),
                ..Entry::default()
            };
            *payload = &payload[ENTRY_HEAD_BYTES + context + data..];
            Ok(Record::Entry(entry))
        }
        Some(&KIND_HARD_STATE) => {
            let record = payload.get(..HARD_STATE_BYTES).ok_or("hard state cut short")?;
            let state = HardState {
                term: u64_at(record, 1),
                vote: u64_at(record, 9),
                commit: u64_at(record, 17),
                ..HardState::default()
            };
            *payload = &payload[HARD_STATE_BYTES..];
            Ok(Record::HardState(state))
        }
        Some(_) => Err("record of a kind that does not exist"),
        None => Err("record expected"),
    }
}
