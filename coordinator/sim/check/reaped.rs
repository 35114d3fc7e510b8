//! Times in the log never go back, and no znode with a TTL goes before its time is over.

use std::collections::BTreeMap;

use super::Verdict;

#[derive(Default)]
pub struct Times {
    /// zxid to the time its write was stamped with.
    stamps: BTreeMap<i64, i64>,
    /// Path to (time of its creation, TTL).
    ttls: BTreeMap<String, (i64, i64)>,
    absent: Vec<(String, i64)>,
}

impl Times {
    pub fn stamped(&mut self, zxid: i64, time_ms: i64) {
        self.stamps.insert(zxid, time_ms);
    }

    pub fn created(&mut self, path: &str, time_ms: i64, ttl_ms: i64) {
        self.ttls.insert(path.to_owned(), (time_ms, ttl_ms));
    }

    pub fn absent(&mut self, path: &str, zxid: i64) {
        self.absent.push((path.to_owned(), zxid));
    }

    pub fn settle(&self) -> Verdict {
        let mut before = (0, i64::MIN);
        for (&zxid, &time) in &self.stamps {
            if time < before.1 {
                return Err(format!("{zxid:#x} has time {time}, {:#x} had {}", before.0, before.1));
            }
            before = (zxid, time);
        }
        for (path, zxid) in &self.absent {
            let Some((created, ttl)) = self.ttls.get(path) else { continue };
            // It went at or before this zxid, so no later than the next time that is known.
            if let Some((after, time)) = self.stamps.range(zxid..).next()
                && time - created <= *ttl
            {
                return Err(format!(
                    "{path} of {created} with a TTL of {ttl} ms was gone at {zxid:#x}; {after:#x} has time {time}"
                ));
            }
        }
        Ok(())
    }
}
