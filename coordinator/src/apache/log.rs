//! A log file: txns with a checksum each, zeroes behind the last one.
//!
//! What Apache ZooKeeper itself takes for the end of a log after a crash is one here: a record that
//! the end of the file, or the zeroes behind it, cut off. A checksum that is wrong, and anything
//! that stands behind an end, is damage: whoever reads over it loses acknowledged writes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::ReadError;
use super::input::Input;

const MAGIC: i32 = 0x5a4b_4c47; // ZKLG
const VERSION: i32 = 2;
const HEAD_BYTES: usize = 16;
/// Checksum and length.
const FRAME_BYTES: usize = 12;
const END_OF_RECORD: u8 = b'B';

/// A log that is being read.
pub struct Log<R> {
    input: Input<R>,
    /// Of the record that was cut off, once that was seen.
    torn: Option<u64>,
}

impl Log<File> {
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|e| ReadError::io(path, e))?;
        Self::new(file, path)
    }
}

impl<R: Read> Log<R> {
    pub fn new(inner: R, path: &Path) -> Result<Self, ReadError> {
        let mut log = Self { input: Input::new(inner, path), torn: None };
        if !log.input.holds(HEAD_BYTES)? {
            // The server ended as it made the file.
            log.tear(0)?;
            return Ok(log);
        }
        if log.input.ahead()[..HEAD_BYTES].iter().all(|byte| *byte == 0) {
            log.tear(0)?;
            return Ok(log);
        }
        if log.input.int_at(0) != MAGIC {
            return Err(log.input.damage("this is no log of ZooKeeper's"));
        }
        if log.input.int_at(4) != VERSION {
            let what = format!("version {} of the format", log.input.int_at(4));
            return Err(log.input.damage(what));
        }
        log.input.take(HEAD_BYTES);
        Ok(log)
    }

    pub fn path(&self) -> &Path {
        self.input.path()
    }

    /// Where a half-written record begins, when the log ended with one.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    /// The bytes of the next txn and where its record begins; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the log")]
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, ReadError> {
        let at = self.input.offset();
        if self.torn.is_some() || !self.input.holds(1)? {
            return Ok(None);
        }
        if !self.input.holds(FRAME_BYTES)? {
            return self.tear(at).map(|()| None);
        }
        let (sum, length) = (self.input.long_at(0), self.input.int_at(8));
        if length == 0 {
            self.input.take(FRAME_BYTES);
            if !self.input.only_zeroes_follow()? {
                let what = "zeroes between txns: the log goes on behind its end";
                return Err(ReadError::damage(self.path(), at, what));
            }
            if sum != 0 {
                self.torn = Some(at);
            }
            return Ok(None);
        }
        let length = usize::try_from(length)
            .map_err(|_| self.input.damage(format!("a txn of {length} bytes")))?;
        if !self.input.holds(FRAME_BYTES + length + 1)? {
            return self.tear(at).map(|()| None);
        }
        if self.input.ahead()[FRAME_BYTES + length] != END_OF_RECORD {
            self.input.take(FRAME_BYTES + length);
            return self.tear(at).map(|()| None);
        }
        let bytes = &self.input.ahead()[FRAME_BYTES..FRAME_BYTES + length];
        if i64::from(adler2::adler32_slice(bytes)) != sum {
            return Err(self.input.damage("the checksum is not that of the txn"));
        }
        let range = self.input.take(FRAME_BYTES + length + 1);
        let bytes = self.input.taken(range.start + FRAME_BYTES..range.end - 1);
        Ok(Some((at, bytes)))
    }

    /// The log ends with a record that was not written to its end: what follows can be its own
    /// bytes, when the file ends with them, or zeroes.
    fn tear(&mut self, at: u64) -> Result<(), ReadError> {
        // Either the file has ended, or the record's end mark is missing where it should stand.
        let ends = self.input.offset() == at;
        if !ends && !self.input.only_zeroes_follow()? {
            let what = "a txn without its end mark, and more behind it";
            return Err(ReadError::damage(self.path(), at, what));
        }
        self.torn = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> Vec<u8> {
        let mut out = i64::from(adler2::adler32_slice(bytes)).to_be_bytes().to_vec();
        out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        out.extend_from_slice(bytes);
        out.push(END_OF_RECORD);
        out
    }

    fn file(records: &[&[u8]]) -> Vec<u8> {
        let mut out = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
        for bytes in records {
            out.extend_from_slice(&record(bytes));
        }
        out
    }

    /// The txns, and whether the end was torn.
    fn read(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, bool), ReadError> {
        let mut log = Log::new(bytes, Path::new("log"))?;
        let mut found = Vec::new();
        while let Some((_, txn)) = log.next()? {
            found.push(txn.to_vec());
        }
        Ok((found, log.torn().is_some()))
    }

    #[test]
    fn a_log_cut_anywhere_is_a_prefix_and_one_flipped_bit_is_damage_or_an_end() {
        let whole = file(&[b"one", b"two two", b"three"]);
        let all = read(&whole).unwrap().0;
        assert_eq!(all.len(), 3);
        for cut in 0..whole.len() {
            for zeroes in [0, 100] {
                let mut bytes = whole[..cut].to_vec();
                bytes.resize(cut + zeroes, 0);
                let Ok((found, _)) = read(&bytes) else {
                    // Zeroes in the place of a txn's last bytes do not tear it when its mark is
                    // there, which it is not.
                    assert!(cut < HEAD_BYTES, "cut at {cut}");
                    continue;
                };
                assert_eq!(found, all[..found.len()], "cut at {cut}");
            }
        }
        for bit in HEAD_BYTES * 8..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok((found, torn)) = read(&bytes) {
                assert!(torn && found == all[..found.len()], "bit {bit}");
            }
        }
        // The end of the first record is not the end of the log.
        let mut bytes = whole;
        bytes[HEAD_BYTES + FRAME_BYTES + 3] = 0;
        assert!(read(&bytes).unwrap_err().is_damage());
    }
}
