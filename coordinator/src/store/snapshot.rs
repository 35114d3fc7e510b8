//! Snapshots: written aside in checked chunks, then renamed; read back newest first.

use raft::eraftpb::ConfState;

use super::FORMAT_VERSION;
use super::disk::{Disk, DiskFile, read_full};
use super::error::StoreError;
use super::record::Position;

const MAGIC: &[u8; 8] = b"coordsnp";
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";
/// More than any member of an ensemble needs.
const META_BYTES_MAX: usize = 64 << 10;
/// What the reader is willing to hold at once.
const CHUNK_BYTES_MAX: usize = 64 << 20;
const BUFFER_BYTES: usize = 256 << 10;
/// Synced in steps, so that the log's fsync never queues behind a whole snapshot.
const SYNC_BYTES: u64 = 8 << 20;

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

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
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
            Ok((reader.meta.clone(), value))
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
            chunks: 0,
            bytes: 0,
            running: crc32fast::Hasher::new(),
        })
    }

    /// Appends one chunk; an empty one is passed over.
    pub fn chunk(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        assert!(chunk.len() <= CHUNK_BYTES_MAX, "a chunk is what a reader holds at once");
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
            if self.written - self.synced >= SYNC_BYTES {
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

fn chunk_checksum(number: u64, chunk: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(chunk);
    hasher.finalize()
}

fn end_checksum(mut running: crc32fast::Hasher, counts: &[u8]) -> u32 {
    running.update(counts);
    running.finalize()
}

/// Reads a snapshot chunk by chunk; each is checked before it is handed out.
pub struct SnapshotReader<D: Disk> {
    disk: D,
    file: D::File,
    name: String,
    meta: SnapshotMeta,
    offset: u64,
    chunks: u64,
    bytes: u64,
    running: crc32fast::Hasher,
}

impl<D: Disk> SnapshotReader<D> {
    pub fn open(disk: &D, name: &str) -> Result<SnapshotReader<D>, StoreError> {
        let io = |e| StoreError::io("reading", disk, name, e);
        let damage = |what: &str| Err(StoreError::damage(disk, name, 0, what));
        let file = disk.open(name).map_err(io)?;
        let mut fixed = [0; 16];
        if read_full(&file, &mut fixed, 0).map_err(io)? < fixed.len() || &fixed[..8] != MAGIC {
            return damage("this is not a snapshot");
        }
        let word = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
        let length = word(12) as usize;
        if length > META_BYTES_MAX {
            return damage("its description has an impossible length");
        }
        let mut rest = vec![0; length + 4];
        if read_full(&file, &mut rest, 16).map_err(io)? < rest.len() {
            return damage("its description is cut short");
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fixed);
        hasher.update(&rest[..length]);
        if hasher.finalize().to_le_bytes() != rest[length..] {
            return damage("its description has a wrong checksum");
        }
        if word(8) != FORMAT_VERSION {
            return Err(StoreError::Version { path: disk.path(name), found: word(8) });
        }
        let Some(meta) = SnapshotMeta::decode(&rest[..length]) else {
            return damage("its description cannot be read");
        };
        if name_of(meta.position()) != name {
            return damage("its name is not that of its description");
        }
        Ok(SnapshotReader {
            disk: disk.clone(),
            file,
            name: name.to_owned(),
            meta,
            offset: 16 + rest.len() as u64,
            chunks: 0,
            bytes: 0,
            running: crc32fast::Hasher::new(),
        })
    }

    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The error for content that is whole but makes no sense.
    pub fn damage(&self, what: impl Into<String>) -> StoreError {
        StoreError::damage(&self.disk, &self.name, self.offset, what)
    }

    /// Puts the next chunk into `into`; `false` at the end, which is checked as well.
    pub fn chunk(&mut self, into: &mut Vec<u8>) -> Result<bool, StoreError> {
        into.clear();
        let mut head = [0; 8];
        self.read(&mut head)?;
        let length = u32::from_le_bytes(head[..4].try_into().expect("4 bytes")) as usize;
        let checksum = u32::from_le_bytes(head[4..].try_into().expect("4 bytes"));
        if length == 0 {
            return self.end(checksum);
        }
        if length > CHUNK_BYTES_MAX {
            return Err(self.damage("a chunk has an impossible length"));
        }
        into.resize(length, 0);
        self.read_chunk(into)?;
        if chunk_checksum(self.chunks, into) != checksum {
            return Err(self.damage("a chunk has a wrong checksum"));
        }
        self.offset += 8 + length as u64;
        self.chunks += 1;
        self.bytes += length as u64;
        self.running.update(into);
        Ok(true)
    }

    fn end(&mut self, checksum: u32) -> Result<bool, StoreError> {
        let mut counts = [0; 16];
        self.read_chunk(&mut counts)?;
        let count = u64::from_le_bytes(counts[..8].try_into().expect("8 bytes"));
        let bytes = u64::from_le_bytes(counts[8..].try_into().expect("8 bytes"));
        if end_checksum(self.running.clone(), &counts) != checksum
            || count != self.chunks
            || bytes != self.bytes
        {
            return Err(self.damage("its end does not match its chunks"));
        }
        Ok(false)
    }

    fn read(&self, into: &mut [u8]) -> Result<(), StoreError> {
        self.read_from(into, self.offset)
    }

    fn read_chunk(&self, into: &mut [u8]) -> Result<(), StoreError> {
        self.read_from(into, self.offset + 8)
    }

    fn read_from(&self, into: &mut [u8], offset: u64) -> Result<(), StoreError> {
        match read_full(&self.file, into, offset) {
            Ok(got) if got == into.len() => Ok(()),
            Ok(_) => Err(self.damage("the file ends in the middle")),
            Err(e) => Err(StoreError::io("reading", &self.disk, &self.name, e)),
        }
    }
}
