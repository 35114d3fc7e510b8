//! Reads the whole log without changing a byte: what recovery and `check` both start from.

use raft::eraftpb::{Entry, HardState};

use super::disk::{Disk, read_all_into};
use super::error::StoreError;
use super::record::{
    ALIGN, FRAME_HEAD_BYTES, Found, HEAD_BYTES, Head, HeadError, Place, Position, Record, frame_at,
    looks_torn, next_record,
};

const PREFIX: &str = "log-";
const SUFFIX: &str = ".wal";

pub(super) fn segment_name(sequence: u64) -> String {
    format!("{PREFIX}{sequence:016x}{SUFFIX}")
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Sequence numbers of the segments on disk, ascending.
pub(super) fn segments<D: Disk>(disk: &D) -> Result<Vec<u64>, StoreError> {
    let names = disk.list().map_err(|e| StoreError::io("listing", disk, "", e))?;
    // Names are sorted, and fixed-width hexadecimal sorts as its number.
    Ok(names.iter().filter_map(|n| sequence_of(n)).collect())
}

#[derive(Debug)]
pub(super) struct Segment {
    pub sequence: u64,
    /// The last entry before this segment's first.
    pub last: Position,
    /// Where the valid frames end.
    pub end: u64,
    pub size: u64,
    pub salt: u64,
    pub frames: u64,
}

/// The log as its segments tell it.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub segments: Vec<Segment>,
    /// Stands before the first of `entries`; its term is 0 where it is not known any more.
    pub base: Position,
    pub entries: Vec<Entry>,
    pub hard_state: HardState,
    /// Bytes after the end of the last segment that are not zero, from the end to the last such.
    pub torn_bytes: u64,
    /// The last segment has no head yet: it was being created.
    pub unborn: Option<u64>,
}

impl Scan {
    pub(super) fn last(&self) -> Position {
        self.entries.last().map_or(self.base, |e| Position { index: e.index, term: e.term })
    }
}

/// `salt` stands in for the one in a head that was never written.
pub(super) fn scan<D: Disk>(disk: &D, salt: u64) -> Result<Scan, StoreError> {
    let mut scan = Scan::default();
    let sequences = segments(disk)?;
    let newest = sequences.last().copied();
    let mut bytes = Vec::new();
    for sequence in sequences {
        if let Some(before) = scan.segments.last()
            && before.sequence + 1 != sequence
        {
            let name = segment_name(before.sequence + 1);
            return Err(StoreError::damage(disk, &name, 0, "this log segment is missing"));
        }
        scan_segment(disk, sequence, Some(sequence) == newest, salt, &mut bytes, &mut scan)?;
    }
    Ok(scan)
}

fn scan_segment<D: Disk>(
    disk: &D,
    sequence: u64,
    newest: bool,
    salt: u64,
    bytes: &mut Vec<u8>,
    scan: &mut Scan,
) -> Result<(), StoreError> {
    let name = &segment_name(sequence);
    disk.open(name)
        .and_then(|file| read_all_into(&file, bytes))
        .map_err(|e| StoreError::io("reading", disk, name, e))?;
    let bytes = &*bytes;
    let damage =
        |offset: usize, what: &str| Err(StoreError::damage(disk, name, offset as u64, what));
    let head = match Head::decode(bytes) {
        Ok(head) if head.sequence == sequence => head,
        Ok(_) => return damage(16, "the segment's number is not that of its name"),
        Err(HeadError::Version(found)) => {
            return Err(StoreError::Version { path: disk.path(name), found });
        }
        Err(HeadError::Checksum) => {
            let salt = scan.segments.last().map_or(salt, |s| s.salt);
            let durable_follows = durable_after(bytes, sequence, salt, 0);
            if newest && looks_torn(bytes, 0, HEAD_BYTES) && durable_follows.is_none() {
                scan.unborn = Some(sequence);
                scan.torn_bytes = used_bytes(bytes, 0);
                return Ok(());
            }
            return damage(0, "the segment's head has a wrong checksum");
        }
    };
    take_head(disk, name, &head, scan)?;

    let mut offset = HEAD_BYTES;
    let mut frames = 0;
    loop {
        let place = Place { salt: head.salt, sequence, offset: offset as u64 };
        match frame_at(bytes, place) {
            Found::Frame { payload, durable, bytes: size } => {
                if durable > offset as u64 {
                    return damage(offset, "the frame vouches for bytes after itself");
                }
                if let Err(what) = take_frame(payload, scan) {
                    return damage(offset, &what);
                }
                offset += size;
                frames += 1;
            }
            Found::End => break,
            Found::Broken { bytes: extent, durable } => {
                let used = used_bytes(bytes, offset);
                if used == 0 {
                    break;
                }
                // An earlier sync came back before the next segment was made.
                if !newest {
                    return damage(offset, "wrong checksum in a segment that was complete");
                }
                if let Some(later) = durable_after(bytes, sequence, head.salt, offset) {
                    let what = format!(
                        "wrong checksum, and the record at offset {later} was written after this \
                         one had been synced"
                    );
                    return damage(offset, &what);
                }
                let extent = if durable.is_some() { extent } else { FRAME_HEAD_BYTES };
                if !looks_torn(bytes, offset, offset + extent) {
                    return damage(offset, "wrong checksum in a record that was written whole");
                }
                scan.torn_bytes = used;
                break;
            }
        }
    }
    scan.segments.push(Segment {
        sequence,
        last: head.last,
        end: offset as u64,
        size: bytes.len() as u64,
        salt: head.salt,
        frames,
    });
    Ok(())
}

/// Holds the head against what the segments before it said.
fn take_head<D: Disk>(
    disk: &D,
    name: &str,
    head: &Head,
    scan: &mut Scan,
) -> Result<(), StoreError> {
    if let Some(before) = scan.segments.last() {
        let before_name = segment_name(before.sequence);
        if head.previous_end != before.end {
            let what = format!(
                "records up to offset {} were here, says the next segment",
                head.previous_end
            );
            return Err(StoreError::damage(disk, &before_name, before.end, what));
        }
        if !head.reset && (head.last != scan.last() || head.hard_state != scan.hard_state) {
            let what = "the segment does not continue the one before it";
            return Err(StoreError::damage(disk, name, 0, what));
        }
    }
    if head.reset || scan.segments.is_empty() {
        scan.entries.clear();
        scan.base = head.last;
        scan.hard_state = head.hard_state.clone();
    }
    Ok(())
}

fn take_frame(mut payload: &[u8], scan: &mut Scan) -> Result<(), String> {
    while !payload.is_empty() {
        match next_record(&mut payload)? {
            Record::HardState(state) => scan.hard_state = state,
            Record::Entry(entry) => {
                let last = scan.last();
                if entry.index > last.index + 1 {
                    return Err(format!("entry {} follows entry {}", entry.index, last.index));
                }
                if entry.index == 0 {
                    return Err("entry 0 cannot be".to_owned());
                }
                if entry.index <= scan.base.index {
                    // The segments that held the replaced tail were purged; the term of what is
                    // now before the first entry went with them.
                    scan.entries.clear();
                    scan.base = Position { index: entry.index - 1, term: 0 };
                }
                scan.entries.truncate((entry.index - scan.base.index - 1) as usize);
                scan.entries.push(entry);
            }
        }
    }
    Ok(())
}

/// Bytes from `from` to the last one that is not zero.
fn used_bytes(segment: &[u8], from: usize) -> u64 {
    let last = segment[from.min(segment.len())..].iter().rposition(|&b| b != 0);
    last.map_or(0, |last| last as u64 + 1)
}

/// Offset of a valid frame after `from` that was written when `from` had been synced.
fn durable_after(segment: &[u8], sequence: u64, salt: u64, from: usize) -> Option<u64> {
    let end = from + used_bytes(segment, from) as usize;
    let mut offset = (from + 1).next_multiple_of(ALIGN).max(HEAD_BYTES);
    while offset < end {
        let place = Place { salt, sequence, offset: offset as u64 };
        match frame_at(segment, place) {
            Found::Frame { durable, .. } | Found::Broken { durable: Some(durable), .. }
                if durable > from as u64 =>
            {
                return Some(offset as u64);
            }
            Found::Frame { bytes, .. } => offset += bytes,
            Found::Broken { .. } => offset += ALIGN,
            Found::End => break,
        }
    }
    None
}
