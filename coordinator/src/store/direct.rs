//! Appends past the page cache: a write that waits for the disk anyway is copied less and is there
//! sooner (`docs/decisions/0015`).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

/// Offset, length and memory of such a write are multiples of this, whatever the disk's own blocks.
pub(super) const BLOCK: usize = 4096;
/// What is written at a time, at most.
const MEMORY: usize = 1 << 20;

/// The end of a file that is written block by block, its last block again and again as it fills.
pub(super) struct Direct {
    file: File,
    /// From `start` on at a multiple of [`BLOCK`], as the file from `base` on.
    memory: Vec<u8>,
    start: usize,
    base: u64,
    /// Bytes of it that count; zeroes follow, as they do in the file.
    filled: usize,
    /// Bytes of it that are written.
    written: usize,
    /// Something was written that no sync has covered.
    unsynced: bool,
}

impl Direct {
    /// For what follows `offset` in a file that ends with zeroes from there on; `None` where the
    /// system cannot do it. What was written there before is synced with the first sync.
    pub(super) fn open(path: &Path, cached: &File, offset: u64) -> Option<Direct> {
        if !cached.metadata().ok()?.len().is_multiple_of(BLOCK as u64) {
            return None;
        }
        let flags = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
        let memory = vec![0; MEMORY + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        let filled = (offset % BLOCK as u64) as usize;
        let base = offset - filled as u64;
        let mut direct = Direct { file, memory, start, base, filled, written: 0, unsynced: true };
        let known = start..start + filled;
        cached.read_exact_at(&mut direct.memory[known], base).ok()?;
        // Some file systems refuse only here; it changes nothing.
        direct.write(false).ok()?;
        Some(direct)
    }

    /// Where the next byte goes.
    pub(super) fn end(&self) -> u64 {
        self.base + self.filled as u64
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let (now, later) = bytes.split_at(bytes.len().min(MEMORY - self.filled));
            let at = self.start + self.filled;
            self.memory[at..at + now.len()].copy_from_slice(now);
            self.filled += now.len();
            if later.is_empty() {
                return Ok(());
            }
            self.write(false)?;
            self.advance();
            bytes = later;
        }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.written < self.filled {
            // Where a disk can, this one write is made durable without a flush of all others.
            let alone = !self.unsynced;
            self.write(alone)?;
        }
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        self.advance();
        Ok(())
    }

    /// Writes the blocks that hold something new; `durable` asks for those alone to be synced.
    fn write(&mut self, durable: bool) -> io::Result<()> {
        let mut from = self.written / BLOCK * BLOCK;
        let to = self.filled.next_multiple_of(BLOCK);
        let mut flags = ReadWriteFlags::empty();
        flags.set(ReadWriteFlags::DSYNC, durable);
        self.unsynced |= !durable;
        while from < to {
            let slice = [IoSlice::new(&self.memory[self.start + from..self.start + to])];
            match pwritev2(&self.file, &slice, self.base + from as u64, flags) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => from += count,
                Err(Errno::INTR) => {}
                // Linux before 4.7.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) if durable => {
                    flags = ReadWriteFlags::empty();
                    self.unsynced = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.written = self.filled;
        Ok(())
    }

    /// Leaves whole blocks behind that are written.
    fn advance(&mut self) {
        let whole = self.written / BLOCK * BLOCK;
        let used = self.start + self.filled.next_multiple_of(BLOCK);
        self.memory.copy_within(self.start + whole..self.start + self.filled, self.start);
        self.base += whole as u64;
        self.filled -= whole;
        self.written -= whole;
        self.memory[self.start + self.filled..used].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    /// A file of zeroes behind `head`, or nothing where this system cannot write past its cache.
    #[expect(clippy::print_stdout, reason = "a test that was skipped says so")]
    fn begin(directory: &Path, bytes: usize, head: &[u8]) -> Option<(File, Direct)> {
        let path = directory.join("log");
        std::fs::write(&path, vec![0; bytes]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        file.write_all_at(head, 0).unwrap();
        let direct = Direct::open(&path, &file, head.len() as u64);
        if direct.is_none() {
            println!("skipped: no O_DIRECT in {}", directory.display());
        }
        Some((file, direct?))
    }

    #[test]
    fn the_file_holds_what_was_appended_and_zeroes_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Seeded::new(1);
        for round in 0..20 {
            let mut whole = vec![7; random.below(9000) as usize];
            let bytes = 8 << 20;
            let Some((file, mut direct)) = begin(directory.path(), bytes, &whole) else { return };
            loop {
                let most = [200, 5000, 3 << 20][random.below(3) as usize];
                let part = vec![round + 1; random.below(most) as usize];
                if whole.len() + part.len() > bytes {
                    break;
                }
                direct.append(&part).unwrap();
                whole.extend_from_slice(&part);
                assert_eq!(direct.end(), whole.len() as u64);
                if random.chance(1, 2) {
                    direct.sync().unwrap();
                    let mut found = vec![0; bytes];
                    file.read_exact_at(&mut found, 0).unwrap();
                    assert!(found.starts_with(&whole), "round {round}, {} bytes", whole.len());
                    assert!(found[whole.len()..].iter().all(|&byte| byte == 0));
                }
            }
            assert_eq!(file.metadata().unwrap().len(), bytes as u64, "it has grown");
        }
    }

    #[test]
    fn a_file_of_no_whole_blocks_is_left_to_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, [0; 5000]).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(Direct::open(&path, &file, 10).is_none());
    }
}
