//! The bytes of a file from front to back: in pieces as long as asked for, counted, summed up.
//!
//! A length that a file names is believed only as far as the file goes: memory grows with the
//! bytes that arrive, never with the number that announces them.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use adler2::Adler32;

use super::error::ReadError;

const BUFFER_BYTES: usize = 256 << 10;
/// The longest piece that is held at once: more than any znode, txn or ACL list that Apache
/// ZooKeeper takes with `jute.maxbuffer` raised as far as people raise it.
pub const PIECE_BYTES_MAX: usize = 64 << 20;

/// A file that is being read.
pub struct Input<R> {
    inner: R,
    path: PathBuf,
    buffer: Vec<u8>,
    /// What has arrived and was not taken: `buffer[start..]`.
    start: usize,
    /// Of `buffer[0]` in the file as it is unpacked.
    base: u64,
    /// Over everything before `buffer[summed]`; `None` where nobody asks for it.
    sum: Option<Adler32>,
    summed: usize,
    ended: bool,
}

impl<R: Read> Input<R> {
    pub fn new(inner: R, path: &Path) -> Self {
        Self {
            inner,
            path: path.to_owned(),
            buffer: Vec::new(),
            start: 0,
            base: 0,
            sum: None,
            summed: 0,
            ended: false,
        }
    }

    /// The same, adding up what is taken.
    pub fn summing(inner: R, path: &Path) -> Self {
        Self { sum: Some(Adler32::new()), ..Self::new(inner, path) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of the next byte to be taken.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    pub fn damage(&self, what: impl Into<String>) -> ReadError {
        ReadError::damage(&self.path, self.offset(), what)
    }

    pub fn cut(&self) -> ReadError {
        self.damage("the file ends here")
    }

    /// Whether so many bytes follow; they are then in [`Input::ahead`].
    pub fn holds(&mut self, count: usize) -> Result<bool, ReadError> {
        if self.buffer.len() - self.start >= count {
            return Ok(true);
        }
        if count > PIECE_BYTES_MAX {
            let what = format!("{count} bytes at once, at most {PIECE_BYTES_MAX} are taken");
            return Err(self.damage(what));
        }
        self.fill(count)
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<bool, ReadError> {
        self.sum_up();
        self.buffer.drain(..self.start);
        self.base += self.start as u64;
        (self.start, self.summed) = (0, 0);
        while self.buffer.len() < count && !self.ended {
            let before = self.buffer.len();
            self.buffer.resize(before + BUFFER_BYTES, 0);
            let got = self.inner.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // What does not unpack is damage; a disk that fails is not.
                Err(e) if unpacks_no_further(&e) => {
                    let at = self.base + self.buffer.len() as u64;
                    return Err(ReadError::damage(&self.path, at, format!("it is packed: {e}")));
                }
                Err(e) => return Err(ReadError::io(&self.path, e)),
            }
        }
        Ok(self.buffer.len() >= count)
    }

    /// As [`Input::holds`], where the file must go on.
    pub fn need(&mut self, count: usize) -> Result<(), ReadError> {
        if self.holds(count)? { Ok(()) } else { Err(self.cut()) }
    }

    /// What has arrived, from the next byte on.
    pub fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub fn int_at(&self, at: usize) -> i32 {
        i32::from_be_bytes(self.ahead()[at..at + 4].try_into().expect("4 bytes"))
    }

    pub fn long_at(&self, at: usize) -> i64 {
        i64::from_be_bytes(self.ahead()[at..at + 8].try_into().expect("8 bytes"))
    }

    /// Takes so many bytes of those ahead; where they stand until the next call.
    pub fn take(&mut self, count: usize) -> Range<usize> {
        let range = self.start..self.start + count;
        self.start = range.end;
        range
    }

    pub fn taken(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    pub fn int(&mut self) -> Result<i32, ReadError> {
        self.need(4)?;
        let value = self.int_at(0);
        self.take(4);
        Ok(value)
    }

    pub fn long(&mut self) -> Result<i64, ReadError> {
        self.need(8)?;
        let value = self.long_at(0);
        self.take(8);
        Ok(value)
    }

    /// The length of a buffer or string `at` bytes ahead; `None` for null.
    pub fn length_at(&self, at: usize) -> Result<Option<usize>, ReadError> {
        match self.int_at(at) {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| self.damage(format!("a length of {length}"))),
        }
    }

    fn sum_up(&mut self) {
        if let Some(sum) = &mut self.sum {
            sum.write_slice(&self.buffer[self.summed..self.start]);
        }
        self.summed = self.start;
    }

    /// Over everything taken so far.
    pub fn checksum(&mut self) -> u32 {
        self.sum_up();
        self.sum.as_ref().map_or(1, Adler32::checksum)
    }

    /// Whether nothing but zeroes follows, to the end of the file.
    pub fn only_zeroes_follow(&mut self) -> Result<bool, ReadError> {
        while self.holds(1)? {
            if self.ahead().iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            self.take(self.ahead().len());
        }
        Ok(true)
    }
}

/// What decoders say of bytes that make no sense to them.
fn unpacks_no_further(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    error.raw_os_error().is_none()
        && matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_the_file_does_not_have_costs_no_memory() {
        let mut input = Input::new(&[0u8; 100][..], Path::new("f"));
        assert!(!input.holds(PIECE_BYTES_MAX).unwrap());
        assert!(input.buffer.capacity() < 1 << 20);
        assert!(input.holds(PIECE_BYTES_MAX + 1).unwrap_err().is_damage());
        input.take(60);
        assert!(input.only_zeroes_follow().unwrap());
        assert_eq!(input.offset(), 100);
    }

    #[test]
    fn the_sum_is_over_what_was_taken() {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let mut input = Input::summing(&bytes[..], Path::new("f"));
        for count in [1, 300_000, 7, 400_000] {
            input.need(count).unwrap();
            input.take(count);
        }
        assert_eq!(input.checksum(), adler2::adler32_slice(&bytes[..700_008]));
    }
}
