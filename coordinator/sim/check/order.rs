//! All servers apply the same entries in the same order, and writes are linearizable: each has a
//! zxid of its own, and one that was answered before another was sent has the lower zxid.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;

#[derive(Default)]
pub struct Order {
    /// By index: term and checksum of the entry that somebody applied.
    applied: BTreeMap<u64, (u64, u32, u8)>,
    answered: BTreeSet<i64>,
    /// Highest zxid of an answered write.
    pub completed_zxid: i64,
}

impl Order {
    pub fn applied(&mut self, server: u8, index: u64, term: u64, checksum: u32) -> Verdict {
        let &mut (t, c, by) = self.applied.entry(index).or_insert((term, checksum, server));
        if (t, c) == (term, checksum) {
            return Ok(());
        }
        Err(format!(
            "server {server} applied entry {index} of term {term} ({checksum:08x}), server {by} had applied \
             one of term {t} ({c:08x}) there"
        ))
    }

    /// `bound` is what [`Order::completed_zxid`] was when the write was sent.
    pub fn answered(&mut self, zxid: i64, bound: i64) -> Verdict {
        if !self.answered.insert(zxid) {
            return Err(format!("two writes were answered with zxid {zxid:#x}"));
        }
        self.completed_zxid = self.completed_zxid.max(zxid);
        if zxid > bound {
            return Ok(());
        }
        Err(format!(
            "a write got zxid {zxid:#x}, but one with {bound:#x} was answered before it was sent"
        ))
    }
}

/// A sync shows everything that was answered before it was sent.
pub fn synced(zxid: i64, bound: i64) -> Verdict {
    if zxid >= bound {
        return Ok(());
    }
    Err(format!("sync was answered at {zxid:#x}, but {bound:#x} was answered before it was sent"))
}
