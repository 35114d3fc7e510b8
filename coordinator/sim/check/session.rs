//! Per session: replies in order, zxids that never go back, ephemerals exactly while it lives.

use std::collections::BTreeMap;

use super::Verdict;
use crate::network::{MS, Micros};

/// Clocks of servers are apart by this much within a timeout, and look every so often.
const CLOCKS_US: Micros = 150 * MS;

/// What is known of one session.
#[derive(Debug)]
pub struct Known {
    pub client: usize,
    pub timeout_ms: i32,
    pub last_zxid: i64,
    /// The client asked for its end.
    pub closing: bool,
    /// When a server last heard from it, and how long it was silent before, at most.
    pub heard_us: Micros,
    pub silence_us: Micros,
    /// When the first server applied its end.
    pub gone_us: Option<Micros>,
    /// Ephemerals: path to "its deletion was asked for".
    pub ephemerals: BTreeMap<String, bool>,
}

impl Known {
    /// A client that has pinged in time is not expired a moment later. What a server has heard behind
    /// its last confirmed report may be lost, but only within its lease, a third of the timeout.
    fn not_early(&self, session: i64, now_us: Micros) -> Verdict {
        let timeout_us = self.timeout_ms as u64 * MS;
        let since_us = now_us.saturating_sub(self.heard_us);
        if self.silence_us > timeout_us / 2 || since_us + CLOCKS_US >= timeout_us / 6 {
            return Ok(());
        }
        Err(format!(
            "session {session:#x} of {} ms expired {} ms after a server had heard from it",
            self.timeout_ms,
            since_us / MS
        ))
    }
}

#[derive(Default)]
pub struct Sessions {
    known: BTreeMap<i64, Known>,
    /// Sessions that nobody has ended yet, and the first index at which a server had them.
    living: BTreeMap<i64, u64>,
    pub expired: u64,
}

impl Sessions {
    pub fn opened(
        &mut self,
        client: usize,
        session: i64,
        timeout_ms: i32,
        zxid: i64,
        now_us: Micros,
    ) -> Verdict {
        if session == 0 {
            return Err(format!("client {client} got session 0"));
        }
        let known = self.known.entry(session).or_insert(Known {
            client,
            timeout_ms,
            last_zxid: zxid,
            closing: false,
            heard_us: now_us,
            silence_us: 0,
            gone_us: None,
            ephemerals: BTreeMap::new(),
        });
        known.timeout_ms = timeout_ms;
        if known.client == client {
            return Ok(());
        }
        Err(format!("clients {} and {client} both got session {session:#x}", known.client))
    }

    /// A server has heard from the session's client.
    pub fn heard(&mut self, session: i64, now_us: Micros) {
        if let Some(known) = self.known.get_mut(&session) {
            known.silence_us = known.silence_us.max(now_us.saturating_sub(known.heard_us));
            known.heard_us = known.heard_us.max(now_us);
        }
    }

    pub fn get(&mut self, session: i64) -> Option<&mut Known> {
        self.known.get_mut(&session)
    }

    /// A reply was shown to the client.
    pub fn replied(&mut self, session: i64, zxid: i64) -> Verdict {
        let Some(known) = self.known.get_mut(&session) else { return Ok(()) };
        if zxid < known.last_zxid {
            return Err(format!(
                "session {session:#x} was shown zxid {:#x} and then {zxid:#x}",
                known.last_zxid
            ));
        }
        known.last_zxid = zxid;
        Ok(())
    }

    /// A server that has applied everything up to `index` has this session.
    pub fn held(&mut self, session: i64, index: u64) {
        if self.known.get(&session).is_none_or(|known| known.gone_us.is_none()) {
            self.living
                .entry(session)
                .and_modify(|first| *first = index.min(*first))
                .or_insert(index);
        }
    }

    /// A server that has applied everything up to `index` has only sessions that `has` knows: those
    /// that lived before are gone, even when it has never shown them because it was quick.
    pub fn ended(&mut self, index: u64, has: impl Fn(i64) -> bool, now_us: Micros) -> Verdict {
        let mut verdict = Ok(());
        let gone = |session: &i64, first: &mut u64| *first <= index && !has(*session);
        for (session, _) in self.living.extract_if(.., gone) {
            if let Some(known) = self.known.get_mut(&session)
                && known.gone_us.is_none()
            {
                known.gone_us = Some(now_us);
                if !known.closing {
                    self.expired += 1;
                    verdict = verdict.and(known.not_early(session, now_us));
                }
            }
        }
        verdict
    }

    /// A server sends to the client of this session: it may not believe any more once others can
    /// see its ephemerals gone.
    pub fn served(&self, session: i64, server: u8, now_us: Micros) -> Verdict {
        match self.known.get(&session) {
            Some(Known { gone_us: Some(gone), closing: false, .. }) if *gone < now_us => {
                Err(format!(
                    "server {server} served session {session:#x} at {now_us} us, which had expired at {gone} us"
                ))
            }
            _ => Ok(()),
        }
    }

    /// The client read one of its own ephemerals as absent.
    pub fn missing(&self, session: i64, path: &str) -> Verdict {
        match self.known.get(&session) {
            Some(known) if known.ephemerals.get(path) == Some(&false) => {
                Err(format!("{path} is gone, but session {session:#x} lives and did not delete it"))
            }
            _ => Ok(()),
        }
    }

    /// `found` are all ephemerals at the end, `alive` the sessions that the servers hold.
    pub fn settle(&self, found: &BTreeMap<String, i64>, alive: &[i64]) -> Verdict {
        for (path, owner) in found {
            if !alive.contains(owner) {
                return Err(format!("{path} outlives its session {owner:#x}"));
            }
        }
        for (session, known) in &self.known {
            if alive.contains(session) {
                for (path, &deletion_tried) in &known.ephemerals {
                    if !deletion_tried && found.get(path) != Some(session) {
                        return Err(format!("{path} is gone, its session {session:#x} is not"));
                    }
                }
            }
        }
        Ok(())
    }
}
