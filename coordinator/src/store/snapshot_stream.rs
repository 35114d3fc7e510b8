//! A snapshot as a stream of bytes: read front to back, each chunk checked before it is handed out.
//!
//! Files of the data directory are read through it as well as backups, which may come from a pipe.

use std::fmt;
use std::io::{self, Read};

use super::FORMAT_VERSION;
use super::snapshot::{
    CHUNK_BYTES_MAX, MAGIC, META_BYTES_MAX, SnapshotMeta, chunk_checksum, end_checksum,
};

/// Why a stream is not a whole snapshot.
#[derive(Debug)]
pub enum StreamError {
    Io(io::Error),
    Damage { offset: u64, what: String },
    Version(u32),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Io(error) => write!(f, "cannot be read: {error}"),
            StreamError::Damage { offset, what } => {
                write!(f, "is damaged at offset {offset}: {what}")
            }
            StreamError::Version(found) => write!(
                f,
                "has format version {found}, this coordinator knows up to {FORMAT_VERSION}: use \
                 the newer coordinator that wrote it"
            ),
        }
    }
}

impl std::error::Error for StreamError {}

/// The chunks of a snapshot, from any reader.
pub struct SnapshotStream<R> {
    input: R,
    meta: SnapshotMeta,
    /// Where the chunk to come begins.
    offset: u64,
    chunks: u64,
    bytes: u64,
    running: crc32fast::Hasher,
}

impl<R: Read> SnapshotStream<R> {
    /// Reads the description.
    pub fn open(mut input: R) -> Result<SnapshotStream<R>, StreamError> {
        let damage = |what: &str| Err(StreamError::Damage { offset: 0, what: what.to_owned() });
        let mut fixed = [0; 16];
        if fill(&mut input, &mut fixed)? < fixed.len() || &fixed[..8] != MAGIC {
            return damage("this is not a snapshot");
        }
        let word = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
        let length = word(12) as usize;
        if length > META_BYTES_MAX {
            return damage("its description has an impossible length");
        }
        let mut rest = vec![0; length + 4];
        if fill(&mut input, &mut rest)? < rest.len() {
            return damage("its description is cut short");
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fixed);
        hasher.update(&rest[..length]);
        if hasher.finalize().to_le_bytes() != rest[length..] {
            return damage("its description has a wrong checksum");
        }
        if word(8) != FORMAT_VERSION {
            return Err(StreamError::Version(word(8)));
        }
        let Some(meta) = SnapshotMeta::decode(&rest[..length]) else {
            return damage("its description cannot be read");
        };
        Ok(SnapshotStream {
            input,
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

    /// Bytes read so far, whole chunks.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Names the content read so far: checksum, chunks, bytes.
    pub fn fingerprint(&self) -> (u32, u64, u64) {
        (self.running.clone().finalize(), self.chunks, self.bytes)
    }

    /// The error for content that is whole but makes no sense.
    pub fn damage(&self, what: impl Into<String>) -> StreamError {
        StreamError::Damage { offset: self.offset, what: what.into() }
    }

    /// Puts the next chunk into `into`; `false` at the end, which is checked as well.
    pub fn chunk(&mut self, into: &mut Vec<u8>) -> Result<bool, StreamError> {
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
        self.read(into)?;
        if chunk_checksum(self.chunks, into) != checksum {
            return Err(self.damage("a chunk has a wrong checksum"));
        }
        self.offset += 8 + length as u64;
        self.chunks += 1;
        self.bytes += length as u64;
        self.running.update(into);
        Ok(true)
    }

    fn end(&mut self, checksum: u32) -> Result<bool, StreamError> {
        let mut counts = [0; 16];
        self.read(&mut counts)?;
        let count = u64::from_le_bytes(counts[..8].try_into().expect("8 bytes"));
        let bytes = u64::from_le_bytes(counts[8..].try_into().expect("8 bytes"));
        if end_checksum(self.running.clone(), &counts) != checksum
            || count != self.chunks
            || bytes != self.bytes
        {
            return Err(self.damage("its end does not match its chunks"));
        }
        self.offset += 24;
        Ok(false)
    }

    /// After the end: nothing follows.
    pub fn expect_end(mut self) -> Result<(), StreamError> {
        match fill(&mut self.input, &mut [0])? {
            0 => Ok(()),
            _ => Err(self.damage("bytes follow its end")),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), StreamError> {
        if fill(&mut self.input, into)? == into.len() {
            return Ok(());
        }
        Err(self.damage("the file ends in the middle"))
    }
}

/// Fills `into` as far as the input reaches.
fn fill(input: &mut impl Read, into: &mut [u8]) -> Result<usize, StreamError> {
    let mut got = 0;
    while got < into.len() {
        match input.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(StreamError::Io(e)),
        }
    }
    Ok(got)
}
