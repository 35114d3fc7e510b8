//! A znode is shown to those who may read it at that zxid, and to nobody else.
//!
//! One znode changes its list. Each change counts its aversion up by one, so between two answered
//! changes with neighbouring numbers the list is known, whatever was lost besides.

use std::collections::BTreeMap;

use super::Verdict;

/// A read by somebody whom the list lets read at some times only.
struct Attempt {
    zxid: i64,
    /// The aversion that was shown; `None`: refused.
    shown: Option<i32>,
    client: usize,
}

#[derive(Default)]
pub struct Access {
    /// zxid of a change to (aversion, everybody may read).
    changes: BTreeMap<i64, (i32, bool)>,
    attempts: Vec<Attempt>,
}

impl Access {
    pub fn changed(&mut self, zxid: i64, aversion: i32, open: bool) {
        self.changes.insert(zxid, (aversion, open));
    }

    pub fn read(&mut self, client: usize, zxid: i64, shown: Option<i32>) {
        self.attempts.push(Attempt { zxid, shown, client });
    }

    pub fn settle(&self) -> Verdict {
        let mut before = 0;
        for (zxid, (aversion, _)) in &self.changes {
            if *aversion <= before {
                return Err(format!("aversion {aversion} of {zxid:#x} comes after {before}"));
            }
            before = *aversion;
        }
        self.attempts.iter().try_for_each(|attempt| self.judge(attempt))
    }

    fn judge(&self, attempt: &Attempt) -> Verdict {
        let &Attempt { zxid, shown, client } = attempt;
        let (aversion, open) =
            self.changes.range(..=zxid).next_back().map_or((0, true), |(_, change)| *change);
        let next = self.changes.range(zxid + 1..).next().map(|(_, change)| change.0);
        let known = shown == Some(aversion) || next == Some(aversion + 1);
        if known && shown.is_some() != open {
            let what = if open { "was refused" } else { "was shown" };
            return Err(format!(
                "client {client} {what} at {zxid:#x} what has list {aversion} then, open: {open}"
            ));
        }
        Ok(())
    }
}
