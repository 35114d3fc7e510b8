//! The write-ahead log: appends, syncs, segments.
//!
//! Owned by one thread. An append is one write call into space that was zero-filled before, a
//! sync is one fdatasync that changes no metadata. Another thread runs [`prepare_spare`], so that
//! no append waits for a new segment.

use std::collections::VecDeque;
use std::io;

use raft::eraftpb::{Entry, HardState};

use super::direct::BLOCK;
use super::disk::{Disk, DiskFile, fill_zero, read_full};
use super::error::StoreError;
use super::record::{HEAD_BYTES, Head, Place, Position, encode_frame, frame_size};
use super::scan::{Scan, scan, segment_name};

const SPARE: &str = "spare.wal";
const SPARE_MAKING: &str = "spare.tmp";
/// Zero-filling a whole segment takes longer than everything else before a server's first write.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const SEGMENT_MAKING: &str = "segment.tmp";

#[derive(Clone, Debug)]
pub struct WalOptions {
    /// Size of a segment; one that must hold a larger append gets larger.
    pub segment_bytes: u64,
    /// Unpredictable for clients, constant for the data directory: part of each checksum.
    pub salt: u64,
    /// Every append is synced before anybody relies on it: it can go past the page cache.
    pub always_synced: bool,
}

impl WalOptions {
    pub fn new(salt: u64) -> WalOptions {
        WalOptions { segment_bytes: 16 << 20, salt, always_synced: false }
    }
}

/// What the log held at start.
#[derive(Debug)]
pub struct Recovered {
    pub hard_state: HardState,
    /// Everything after the snapshot, without a gap.
    pub entries: Vec<Entry>,
    /// Nothing was ever written here: no term, no vote, no entry.
    pub blank: bool,
    /// Unacknowledged bytes that a crash left half written, now gone.
    pub cut: Option<Cut>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    pub path: String,
    pub offset: u64,
    pub bytes: u64,
}

/// What stands in the log's files.
pub struct ScannedLog(Scan);

/// A segment and the last entry before it.
#[derive(Debug)]
struct Mark {
    sequence: u64,
    last: Position,
}

pub struct Wal<D: Disk> {
    disk: D,
    options: WalOptions,
    file: D::File,
    /// Where the next frame goes.
    offset: u64,
    size: u64,
    /// Bytes of this segment that a sync has covered.
    durable: u64,
    /// Oldest first; the last one is being written.
    segments: VecDeque<Mark>,
    last: Position,
    hard_state: HardState,
    buffer: Vec<u8>,
    poisoned: bool,
    spare_asked: bool,
}

/// Makes the next segment, zero-filled and synced, unless it is there. From any one thread.
pub fn prepare_spare<D: Disk>(disk: &D, options: &WalOptions) -> Result<(), StoreError> {
    let names = disk.list().map_err(|e| StoreError::io("listing", disk, "", e))?;
    if names.iter().any(|n| n == SPARE) {
        return Ok(());
    }
    make_zeroed(disk, SPARE_MAKING, &[], options.segment_bytes)?;
    disk.rename(SPARE_MAKING, SPARE).map_err(|e| StoreError::io("renaming", disk, SPARE, e))
}

/// A synced file of zeroes behind `head`; what was made of it is removed when space runs out.
fn make_zeroed<D: Disk>(
    disk: &D,
    name: &str,
    head: &[u8],
    bytes: u64,
) -> Result<D::File, StoreError> {
    let mut file = disk.create(name).map_err(|e| StoreError::io("creating", disk, name, e))?;
    let made = fill_zero(&mut file, 0, bytes)
        .and_then(|()| if head.is_empty() { Ok(()) } else { file.write_at(head, 0) })
        .and_then(|()| file.sync_data());
    if let Err(e) = made {
        // Best effort: the error that counts is the first one.
        let _ = disk.remove(name);
        return Err(StoreError::io("preallocating", disk, name, e));
    }
    Ok(file)
}

impl<D: Disk> Wal<D> {
    /// Recovers the log that goes with the snapshot at `snapshot` ((0, 0) without one): cuts a
    /// torn tail, refuses damage, drops what the snapshot replaces.
    pub fn open(
        disk: D,
        options: WalOptions,
        snapshot: Position,
    ) -> Result<(Wal<D>, Recovered), StoreError> {
        let scan = scan(&disk, options.salt)?;
        Wal::open_scanned(disk, options, snapshot, ScannedLog(scan))
    }

    /// Reads the whole log, which [`Wal::open_scanned`] goes on with; changes nothing.
    pub fn scan(disk: &D, options: &WalOptions) -> Result<ScannedLog, StoreError> {
        scan(disk, options.salt).map(ScannedLog)
    }

    /// [`Wal::open`] with the log that [`Wal::scan`] has read meanwhile.
    pub fn open_scanned(
        disk: D,
        options: WalOptions,
        snapshot: Position,
        ScannedLog(scan): ScannedLog,
    ) -> Result<(Wal<D>, Recovered), StoreError> {
        if scan.segments.is_empty() {
            return Wal::open_first(disk, options, snapshot, &scan);
        }
        let cut = repair(&disk, &scan)?;
        let tail = scan.segments.last().expect("not empty");
        let name = segment_name(tail.sequence);
        let mut file = disk.open(&name).map_err(|e| StoreError::io("opening", &disk, &name, e))?;
        // What the page cache kept over the end of a process is not on disk yet. After a failed
        // fsync it is in the cache and clean: only writing it again makes the next one write it.
        rewrite(&mut file, tail.end)
            .and_then(|()| file.sync_data())
            .map_err(|e| StoreError::io("syncing", &disk, &name, e))?;
        disk.sync_dir().map_err(|e| StoreError::io("syncing", &disk, "", e))?;

        let last = scan.last();
        let mark = |s: &super::scan::Segment| Mark { sequence: s.sequence, last: s.last };
        let mut wal = Wal {
            file: to_append(&disk, &options, &name, tail.end, file)?,
            offset: tail.end,
            size: tail.size,
            durable: tail.end,
            segments: scan.segments.iter().map(mark).collect(),
            last,
            hard_state: scan.hard_state.clone(),
            buffer: Vec::new(),
            poisoned: false,
            spare_asked: false,
            // The salt is that of the file: a frame must match its head.
            options: WalOptions { salt: tail.salt, ..options },
            disk,
        };
        let entries = wal.entries_after(snapshot, scan)?;
        let blank = wal.hard_state == HardState::default() && wal.last == Position::default();
        let mut hard_state = wal.hard_state.clone();
        // What is in a snapshot was committed, also where the log was not told so any more.
        hard_state.commit = hard_state.commit.max(snapshot.index);
        Ok((wal, Recovered { hard_state, entries, blank, cut }))
    }

    fn open_first(
        disk: D,
        options: WalOptions,
        snapshot: Position,
        scan: &Scan,
    ) -> Result<(Wal<D>, Recovered), StoreError> {
        if snapshot != Position::default() {
            let what = format!(
                "there is a snapshot of index {} but no log, so votes given are forgotten",
                snapshot.index
            );
            return Err(StoreError::damage(&disk, &segment_name(1), 0, what));
        }
        repair(&disk, scan)?;
        let head = Head { sequence: 1, salt: options.salt, ..Head::default() };
        let bytes = options.segment_bytes.min(FIRST_SEGMENT_BYTES);
        let started = start_segment(&disk, &options, &head, bytes)?;
        let mut wal = Wal {
            file: started.file,
            offset: HEAD_BYTES as u64,
            size: started.size,
            durable: started.durable,
            segments: VecDeque::from([Mark { sequence: 1, last: Position::default() }]),
            last: Position::default(),
            hard_state: HardState::default(),
            buffer: Vec::new(),
            poisoned: false,
            spare_asked: false,
            options,
            disk,
        };
        wal.sync()?;
        let recovered = Recovered {
            hard_state: HardState::default(),
            entries: Vec::new(),
            blank: true,
            cut: None,
        };
        Ok((wal, recovered))
    }

    /// The entries that follow the snapshot; starts the log anew where it stands apart from it.
    fn entries_after(&mut self, snapshot: Position, scan: Scan) -> Result<Vec<Entry>, StoreError> {
        let tail = segment_name(self.sequence());
        let committed = scan.hard_state.commit;
        if committed > scan.last().index.max(snapshot.index) {
            let what = format!(
                "the log ends with entry {}, but entry {committed} was committed",
                scan.last().index
            );
            return Err(StoreError::damage(&self.disk, &tail, self.offset, what));
        }
        let oldest = segment_name(scan.segments[0].sequence);
        if snapshot.index < scan.base.index {
            let what = format!(
                "the log starts after entry {}, but the newest readable snapshot ends at {}",
                scan.base.index, snapshot.index
            );
            return Err(StoreError::damage(&self.disk, &oldest, 0, what));
        }
        let known = (snapshot.index - scan.base.index) as usize;
        let term_there = if known == 0 {
            Some(scan.base.term)
        } else {
            scan.entries.get(known - 1).map(|e| e.term)
        };
        let replaced = known == 0 && scan.base.term == 0;
        if term_there == Some(snapshot.term) || replaced {
            let mut entries = scan.entries;
            entries.drain(..known);
            return Ok(entries);
        }
        if known == 0 {
            let what = format!(
                "the log continues entry {} of term {}, the snapshot says term {}",
                snapshot.index, scan.base.term, snapshot.term
            );
            return Err(StoreError::damage(&self.disk, &oldest, 0, what));
        }
        // A received snapshot is ahead of the log, or of another history than its tail: the
        // crash came before `reset`.
        self.reset(snapshot)?;
        Ok(Vec::new())
    }

    fn sequence(&self) -> u64 {
        self.segments.back().expect("one is being written").sequence
    }

    pub fn last(&self) -> Position {
        self.last
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Appends in one write call. Durable only after [`Wal::sync`]. The first entry's index is at
    /// most one past the last; where it is lower, it replaces the tail.
    pub fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        if entries.is_empty() && hard_state.is_none() {
            return Ok(());
        }
        if let Some(first) = entries.first()
            && first.index > self.last.index + 1
        {
            return Err(StoreError::Gap { last: self.last.index, next: first.index });
        }
        let bytes = frame_size(entries, hard_state) as u64;
        if bytes > u64::from(u32::MAX) {
            return Err(StoreError::TooLarge { what: "an append to the log", bytes });
        }
        if self.offset + bytes > self.size {
            self.rotate(bytes)?;
        }
        let place =
            Place { salt: self.options.salt, sequence: self.sequence(), offset: self.offset };
        self.buffer.clear();
        encode_frame(place, self.durable, entries, hard_state, &mut self.buffer);
        let written = self.file.write_at(&self.buffer, self.offset);
        self.fatal("writing", written)?;
        self.offset += self.buffer.len() as u64;
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new(); // one large batch must not keep its memory
        }
        if let Some(entry) = entries.last() {
            self.last = Position { index: entry.index, term: entry.term };
        }
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
        Ok(())
    }

    /// After this everything appended survives a power loss.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        if self.durable < self.offset {
            let synced = self.file.sync_data();
            self.fatal("syncing", synced)?;
            self.durable = self.offset;
        }
        Ok(())
    }

    /// Nothing may follow a failure: after a failed fsync Linux drops the dirty pages, and the
    /// next fsync would say `Ok` for bytes that are gone.
    fn fatal(&mut self, doing: &'static str, result: io::Result<()>) -> Result<(), StoreError> {
        result.map_err(|e| {
            self.poisoned = true;
            StoreError::io(doing, &self.disk, &segment_name(self.sequence()), e)
        })
    }

    /// Whether it is time to run [`prepare_spare`]; says so once a segment, when half of it is
    /// used: a server that has just started has better uses for its disk.
    pub fn wants_spare(&mut self) -> bool {
        let due = !self.spare_asked && self.offset >= self.size / 2;
        self.spare_asked |= due;
        due
    }

    /// Goes on in a new segment with room for `bytes`.
    fn rotate(&mut self, bytes: u64) -> Result<(), StoreError> {
        // The next segment's existence says that this one is complete.
        self.sync()?;
        self.start_next(self.last, false, bytes)
    }

    fn start_next(&mut self, last: Position, reset: bool, room: u64) -> Result<(), StoreError> {
        let head = Head {
            sequence: self.sequence() + 1,
            salt: self.options.salt,
            previous_end: self.offset,
            last,
            hard_state: self.hard_state.clone(),
            reset,
        };
        // Only files of whole blocks are written past the page cache.
        let bytes = (HEAD_BYTES as u64 + room).next_multiple_of(BLOCK as u64);
        let bytes = self.options.segment_bytes.max(bytes);
        let started = start_segment(&self.disk, &self.options, &head, bytes);
        self.poisoned |= started.is_err();
        let started = started?;
        self.file = started.file;
        self.size = started.size;
        self.offset = HEAD_BYTES as u64;
        self.durable = started.durable;
        self.spare_asked = false;
        self.segments.push_back(Mark { sequence: head.sequence, last });
        Ok(())
    }

    /// Starts anew after a received snapshot, which is already durable. Term and vote stay.
    pub fn reset(&mut self, snapshot: Position) -> Result<(), StoreError> {
        self.sync()?;
        self.hard_state.commit = self.hard_state.commit.max(snapshot.index);
        if self.hard_state.term < snapshot.term {
            self.hard_state.term = snapshot.term;
            self.hard_state.vote = 0; // a vote in the new term would have been written first
        }
        self.last = snapshot;
        self.start_next(snapshot, true, 0)?;
        self.sync()?;
        self.remove_before(self.segments.len() - 1)
    }

    /// Removes the segments that hold nothing after entry `index`. The caller has a durable
    /// snapshot up to there, or keeps an older one and passes its index.
    pub fn purge(&mut self, index: u64) -> Result<(), StoreError> {
        let names = self.release(index)?;
        remove_segments(&self.disk, &names)
    }

    /// As [`Wal::purge`], but leaves it to the caller to hand the names to [`remove_segments`],
    /// in the order of the calls, from any thread.
    pub fn release(&mut self, index: u64) -> Result<Vec<String>, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        // All that precedes a segment stands at or before its mark.
        let unneeded = self.segments.iter().skip(1).take_while(|m| m.last.index <= index).count();
        if unneeded > 0 {
            // The new oldest segment carries the hard state for those removed.
            self.sync()?;
        }
        Ok(self.segments.drain(..unneeded).map(|mark| segment_name(mark.sequence)).collect())
    }

    fn remove_before(&mut self, count: usize) -> Result<(), StoreError> {
        let gone = self.segments.drain(..count).map(|mark| segment_name(mark.sequence));
        remove_segments(&self.disk, &gone.collect::<Vec<_>>())
    }
}

/// Removes segments that [`Wal::release`] has named: oldest first, so that what a crash leaves has
/// no hole.
pub fn remove_segments<D: Disk>(disk: &D, names: &[String]) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    for name in names {
        disk.remove(name).map_err(|e| StoreError::io("removing", disk, name, e))?;
    }
    disk.sync_dir().map_err(|e| StoreError::io("syncing", disk, "", e))
}

/// Writes the first bytes of a file once more.
fn rewrite<F: DiskFile>(file: &mut F, bytes: u64) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let mut buffer = vec![0; STEP.min(bytes) as usize];
    let mut at = 0;
    while at < bytes {
        let part = &mut buffer[..STEP.min(bytes - at) as usize];
        read_full(file, part, at)?;
        file.write_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// A segment that holds its head and nothing else.
struct Started<F> {
    file: F,
    size: u64,
    durable: u64,
}

/// The segment, open as `file`, for what follows `end`.
fn to_append<D: Disk>(
    disk: &D,
    options: &WalOptions,
    name: &str,
    end: u64,
    file: D::File,
) -> Result<D::File, StoreError> {
    if !options.always_synced {
        return Ok(file);
    }
    disk.open_to_append(name, end).map_err(|e| StoreError::io("opening", disk, name, e))
}

/// Puts a zero-filled file in place under the segment's name and writes the head.
fn start_segment<D: Disk>(
    disk: &D,
    options: &WalOptions,
    head: &Head,
    bytes: u64,
) -> Result<Started<D::File>, StoreError> {
    let name = segment_name(head.sequence);
    let io = |doing, e| StoreError::io(doing, disk, &name, e);
    let spare = match disk.open(SPARE) {
        Ok(file) if file.size().map_err(|e| io("reading", e))? >= bytes => Some(file),
        Ok(_) => None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io("opening", e)),
    };
    let encoded = head.encode();
    let Some(mut file) = spare else {
        // Made on the spot, it can have its head from the beginning: one sync less to wait for.
        let file = make_zeroed(disk, SEGMENT_MAKING, &encoded, bytes)?;
        disk.rename(SEGMENT_MAKING, &name).map_err(|e| io("renaming", e))?;
        disk.sync_dir().map_err(|e| io("syncing", e))?;
        let file = to_append(disk, options, &name, encoded.len() as u64, file)?;
        return Ok(Started { file, size: bytes, durable: HEAD_BYTES as u64 });
    };
    disk.rename(SPARE, &name).map_err(|e| io("renaming", e))?;
    disk.sync_dir().map_err(|e| io("syncing", e))?;
    file.write_at(&encoded, 0).map_err(|e| io("writing", e))?;
    let size = file.size().map_err(|e| io("reading", e))?;
    let file = to_append(disk, options, &name, encoded.len() as u64, file)?;
    Ok(Started { file, size, durable: 0 })
}

/// Makes the disk say what `scan` understood: no bytes after the end, no headless segment.
fn repair<D: Disk>(disk: &D, scan: &Scan) -> Result<Option<Cut>, StoreError> {
    if let Some(sequence) = scan.unborn {
        let name = segment_name(sequence);
        disk.remove(&name).map_err(|e| StoreError::io("removing", disk, &name, e))?;
        return Ok(None);
    }
    if scan.torn_bytes == 0 {
        return Ok(None);
    }
    let tail = scan.segments.last().expect("torn bytes are in a segment");
    let name = segment_name(tail.sequence);
    let zero = |e| StoreError::io("clearing the torn tail of", disk, &name, e);
    let mut file = disk.open(&name).map_err(zero)?;
    let mut torn = vec![0; scan.torn_bytes as usize];
    read_full(&file, &mut torn, tail.end).map_err(zero)?;
    let cleared =
        fill_zero(&mut file, tail.end, tail.end + scan.torn_bytes).and_then(|()| file.sync_data());
    if let Err(e) = cleared {
        // The zeroes are in the cache now, and may never get to the disk: the next start would take
        // them for clean, and after a power cut what was torn would stand behind what came since.
        let _ = file.write_at(&torn, tail.end);
        return Err(zero(e));
    }
    Ok(Some(Cut { path: disk.path(&name), offset: tail.end, bytes: scan.torn_bytes }))
}
