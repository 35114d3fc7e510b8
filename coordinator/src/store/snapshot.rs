//! Snapshots: written aside in checked chunks, then renamed; read back newest first.

use std::io;

use raft::eraftpb::ConfState;

use super::FORMAT_VERSION;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::record::Position;
use super::snapshot_stream::{SnapshotStream, StreamError};
use crate::bytes::take;

pub(super) const MAGIC: &[u8; 8] = b"coordsnp";
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";
/// More than any member of an ensemble needs.
pub(super) const META_BYTES_MAX: usize = 64 << 10;
/// What the reader is willing to hold at once.
pub(super) const CHUNK_BYTES_MAX: usize = 64 << 20;
const BUFFER_BYTES: usize = 64 << 10;
/// Synced in steps, so that the log's fsync never queues behind a whole snapshot.
const SYNC_BYTES: u64 = 4 << 20;

/// What a snapshot is of. Travels to followers as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotMeta {
    pub index: u64,
    pub term: u64,
    pub conf_state: ConfState,
    pub zxid: i64,
    pub cluster_id: u128,
}

impl SnapshotMeta {
    pub fn position(&self) -> Position {
        Position { index: self.index, term: self.term }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.term.to_le_bytes());
        out.extend_from_slice(&self.zxid.to_le_bytes());
        out.extend_from_slice(&self.cluster_id.to_le_bytes());
        out.push(u8::from(self.conf_state.auto_leave));
        let conf = &self.conf_state;
        for ids in [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next] {
            out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
            for id in ids {
                out.extend_from_slice(&id.to_le_bytes());
            }
        }
    }

    /// `None` when the bytes are not what [`SnapshotMeta::encode`] makes.
    pub fn decode(mut bytes: &[u8]) -> Option<SnapshotMeta> {
        let bytes = &mut bytes;
        let index = u64::from_le_bytes(take(bytes)?);
        let term = u64::from_le_bytes(take(bytes)?);
        let zxid = i64::from_le_bytes(take(bytes)?);
        let cluster_id = u128::from_le_bytes(take(bytes)?);
        let [auto_leave] = take(bytes)?;
        let mut lists = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for list in &mut lists {
            let count = u32::from_le_bytes(take(bytes)?);
            for _ in 0..count {
                list.push(u64::from_le_bytes(take(bytes)?));
            }
        }
        let [voters, learners, voters_outgoing, learners_next] = lists;
        let conf_state = ConfState {
            voters,
            learners,
            voters_outgoing,
            learners_next,
            auto_leave: auto_leave == 1,
            ..ConfState::default()
        };
        bytes.is_empty().then_some(SnapshotMeta { index, term, conf_state, zxid, cluster_id })
    }
}

fn name_of(position: Position) -> String {
    format!("{PREFIX}{:016x}-{:016x}{SUFFIX}", position.index, position.term)
}

/// The snapshots on disk, newest first.
pub fn list_snapshots<D: Disk>(disk: &D) -> Result<Vec<(Position, String)>, StoreError> {
    let names = disk.list().map_err(|e| StoreError::io("listing", disk, "", e))?;
    let parse = |name: String| {
        let middle = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (index, term) = middle.split_once('-')?;
        let index = u64::from_str_radix(index, 16).ok()?;
        let term = u64::from_str_radix(term, 16).ok()?;
        Some((Position { index, term }, name))
    };
    let mut found: Vec<_> = names.into_iter().filter_map(parse).collect();
    found.sort_by_key(|(position, _)| std::cmp::Reverse((position.index, position.term)));
    Ok(found)
}

/// Removes all but the newest `retain` snapshots.
pub fn purge_snapshots<D: Disk>(disk: &D, retain: usize) -> Result<(), StoreError> {
    for (_, name) in list_snapshots(disk)?.into_iter().skip(retain.max(1)) {
        disk.remove(&name).map_err(|e| StoreError::io("removing", disk, &name, e))?;
    }
    Ok(())
}

/// Loads the newest snapshot that `load` reads to its end without damage. Damaged ones are
/// returned as the errors they gave; any other error ends the search.
#[expect(clippy::type_complexity, reason = "a pair of what was found and what was passed over")]
pub fn newest_snapshot<D: Disk, T>(
    disk: &D,
    mut load: impl FnMut(&mut SnapshotReader<D>) -> Result<T, StoreError>,
) -> Result<(Option<(SnapshotMeta, T)>, Vec<StoreError>), StoreError> {
    let mut passed = Vec::new();
    for (_, name) in list_snapshots(disk)? {
        let loaded = SnapshotReader::open(disk, &name).and_then(|mut reader| {
            let value = load(&mut reader)?;
            Ok((reader.meta().clone(), value))
        });
        match loaded {
            Ok(found) => return Ok((Some(found), passed)),
            Err(e) if e.is_damage() => passed.push(e),
            Err(e) => return Err(e),
        }
    }
    Ok((None, passed))
}

/// A snapshot being written. Dropped without [`SnapshotWriter::finish`] it leaves a partial file,
/// which the next start removes.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    file: D::File,
    position: Position,
    partial: String,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    sync_bytes: u64,
    chunks: u64,
    bytes: u64,
    running: crc32fast::Hasher,
}

impl<D: Disk> SnapshotWriter<D> {
    pub fn create(disk: D, meta: &SnapshotMeta) -> Result<SnapshotWriter<D>, StoreError> {
        let position = meta.position();
        let partial = format!("{}.tmp", name_of(position));
        let file =
            disk.create(&partial).map_err(|e| StoreError::io("creating", &disk, &partial, e))?;
        let mut encoded = Vec::new();
        meta.encode(&mut encoded);
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        buffer.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&encoded);
        let checksum = crc32fast::hash(&buffer);
        buffer.extend_from_slice(&checksum.to_le_bytes());
        Ok(SnapshotWriter {
            disk,
            file,
            position,
            partial,
            buffer,
            written: 0,
            synced: 0,
            sync_bytes: SYNC_BYTES,
            chunks: 0,
            bytes: 0,
            running: crc32fast::Hasher::new(),
        })
    }

    /// From now on what was written is synced in steps of about this size.
    pub fn sync_every(&mut self, bytes: u64) {
        self.sync_bytes = bytes;
    }

    /// Appends one chunk; an empty one is passed over.
    pub fn chunk(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        if chunk.len() > CHUNK_BYTES_MAX {
            let what = "a part of a snapshot";
            return Err(StoreError::TooLarge { what, bytes: chunk.len() as u64 });
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.buffer.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&chunk_checksum(self.chunks, chunk).to_le_bytes());
        self.buffer.extend_from_slice(chunk);
        self.chunks += 1;
        self.bytes += chunk.len() as u64;
        self.running.update(chunk);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let result = self.file.write_at(&self.buffer, self.written).and_then(|()| {
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            if self.written - self.synced >= self.sync_bytes {
                self.synced = self.written;
                return self.file.sync_data();
            }
            Ok(())
        });
        result.map_err(|e| StoreError::io("writing", &self.disk, &self.partial, e))
    }

    /// Makes the snapshot durable under its name.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let mut end = [0; 24];
        end[8..16].copy_from_slice(&self.chunks.to_le_bytes());
        end[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = end_checksum(self.running.clone(), &end[8..24]);
        end[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.buffer.extend_from_slice(&end);
        self.flush()?;
        let name = name_of(self.position);
        let done = self
            .file
            .sync_data()
            .and_then(|()| self.disk.rename(&self.partial, &name))
            .and_then(|()| self.disk.sync_dir());
        done.map_err(|e| StoreError::io("finishing", &self.disk, &name, e))
    }

    /// Gives up, and the space back.
    pub fn abort(self) -> Result<(), StoreError> {
        let removed = self.disk.remove(&self.partial);
        removed.map_err(|e| StoreError::io("removing", &self.disk, &self.partial, e))
    }
}

pub(super) fn chunk_checksum(number: u64, chunk: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(chunk);
    hasher.finalize()
}

pub(super) fn end_checksum(mut running: crc32fast::Hasher, counts: &[u8]) -> u32 {
    running.update(counts);
    running.finalize()
}

/// Reads a snapshot of the directory chunk by chunk; each is checked before it is handed out.
pub struct SnapshotReader<D: Disk> {
    disk: D,
    name: String,
    stream: SnapshotStream<FrontToBack<D::File>>,
}

impl<D: Disk> SnapshotReader<D> {
    pub fn open(disk: &D, name: &str) -> Result<SnapshotReader<D>, StoreError> {
        let file = disk.open(name).map_err(|e| StoreError::io("reading", disk, name, e))?;
        let stream = SnapshotStream::open(FrontToBack { file, offset: 0 })
            .map_err(|e| in_file(disk, name, e))?;
        if name_of(stream.meta().position()) != name {
            let what = "its name is not that of its description";
            return Err(StoreError::damage(disk, name, 0, what));
        }
        Ok(SnapshotReader { disk: disk.clone(), name: name.to_owned(), stream })
    }

    pub fn meta(&self) -> &SnapshotMeta {
        self.stream.meta()
    }

    /// The error for content that is whole but makes no sense.
    pub fn damage(&self, what: impl Into<String>) -> StoreError {
        in_file(&self.disk, &self.name, self.stream.damage(what))
    }

    /// Puts the next chunk into `into`; `false` at the end, which is checked as well.
    pub fn chunk(&mut self, into: &mut Vec<u8>) -> Result<bool, StoreError> {
        self.stream.chunk(into).map_err(|e| in_file(&self.disk, &self.name, e))
    }
}

fn in_file<D: Disk>(disk: &D, name: &str, error: StreamError) -> StoreError {
    match error {
        StreamError::Io(e) => StoreError::io("reading", disk, name, e),
        StreamError::Damage { offset, what } => StoreError::damage(disk, name, offset, what),
        StreamError::Version(found) => StoreError::Version { path: disk.path(name), found },
    }
}

/// A file as a stream.
struct FrontToBack<F> {
    file: F,
    offset: u64,
}

impl<F: DiskFile> io::Read for FrontToBack<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(into, self.offset)?;
        self.offset += got as u64;
        Ok(got)
    }
}
