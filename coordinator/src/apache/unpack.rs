//! A snapshot as a stream of plain bytes, however it is packed (`snapshot.compression.method`).

use std::fs::File;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::directory::{self, Packing};
use super::error::ReadError;

/// What `SnappyOutputStream` begins with: a name, the version, the least version that reads it.
const SNAPPY_HEAD: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// It packs blocks of 32 KiB by default, and of 512 MiB at most; nobody raises this for snapshots.
const SNAPPY_BLOCK_BYTES_MAX: usize = 4 << 20;

pub(super) type Bytes = Box<dyn Read + Send>;

pub(super) fn open(file: &directory::File) -> Result<Bytes, ReadError> {
    let opened = File::open(&file.path).map_err(|e| ReadError::io(&file.path, e))?;
    Ok(match file.packing {
        Packing::Plain => Box::new(opened),
        Packing::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::new(opened))),
        Packing::Snappy => Box::new(SnappyStream::new(io::BufReader::new(opened))),
    })
}

/// The blocks of xerial's stream format, one after the other.
pub struct SnappyStream<R> {
    inner: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    /// What was given away of the block.
    given: usize,
    begun: bool,
}

impl<R: Read> SnappyStream<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, packed: Vec::new(), block: Vec::new(), given: 0, begun: false }
    }

    /// Unpacks the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut head = [0; 4];
        if !self.begun {
            let mut magic = [0; 16];
            self.inner.read_exact(&mut magic)?;
            if &magic != SNAPPY_HEAD {
                return Err(wrong("no snappy stream of a known version"));
            }
            self.begun = true;
        }
        let mut got = 0;
        while got < head.len() {
            match self.inner.read(&mut head[got..])? {
                0 if got == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count,
            }
        }
        let length = u32::from_be_bytes(head) as usize;
        if length > SNAPPY_BLOCK_BYTES_MAX {
            return Err(wrong("a block that is too long"));
        }
        self.packed.resize(length, 0);
        self.inner.read_exact(&mut self.packed)?;
        let unpacked =
            snap::raw::decompress_len(&self.packed).map_err(|e| wrong(&e.to_string()))?;
        if unpacked > SNAPPY_BLOCK_BYTES_MAX {
            return Err(wrong("a block that is too long"));
        }
        self.block.resize(unpacked, 0);
        snap::raw::Decoder::new()
            .decompress(&self.packed, &mut self.block)
            .map_err(|e| wrong(&e.to_string()))?;
        self.given = 0;
        Ok(true)
    }
}

impl<R: Read> Read for SnappyStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = &self.block[self.given..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
