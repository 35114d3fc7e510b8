//! All sessions by their ids, and looks at them as they were at a moment.
//!
//! A snapshot and a digest take sessions in steps while others begin and end. What changes before
//! its turn is kept as it was.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Session;

#[derive(Debug, Default)]
pub(super) struct SessionTable {
    live: BTreeMap<i64, Session>,
    snapshot: Option<Look>,
    digest: Option<Look>,
}

/// In ascending order of ids.
#[derive(Debug, Default)]
struct Look {
    /// The last one seen.
    after: Option<i64>,
    /// What has changed before it was seen, as it was; `None`: it was not there.
    before: BTreeMap<i64, Option<Session>>,
}

impl Look {
    fn touch(&mut self, id: i64, live: &BTreeMap<i64, Session>) {
        if self.after.is_none_or(|after| id > after) {
            self.before.entry(id).or_insert_with(|| live.get(&id).copied());
        }
    }

    fn next(&mut self, live: &BTreeMap<i64, Session>) -> Option<(i64, Session)> {
        loop {
            let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
            let here = live.range((from, Bound::Unbounded)).next().map(|(id, _)| *id);
            let changed = self.before.first_key_value().map(|(id, _)| *id);
            let id = match (here, changed) {
                (Some(here), Some(changed)) => here.min(changed),
                (one, other) => one.or(other)?,
            };
            self.after = Some(id);
            let was = self.before.remove(&id).unwrap_or_else(|| live.get(&id).copied());
            if let Some(session) = was {
                return Some((id, session));
            }
        }
    }
}

impl SessionTable {
    pub(super) fn get(&self, id: i64) -> Option<&Session> {
        self.live.get(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Session)> {
        self.live.iter().map(|(id, session)| (*id, session))
    }

    pub(super) fn insert(&mut self, id: i64, session: Session) {
        self.touch(id);
        self.live.insert(id, session);
    }

    pub(super) fn remove(&mut self, id: i64) -> Option<Session> {
        self.touch(id);
        self.live.remove(&id)
    }

    fn touch(&mut self, id: i64) {
        for look in self.snapshot.iter_mut().chain(&mut self.digest) {
            look.touch(id, &self.live);
        }
    }

    pub(super) fn snapshot_begin(&mut self) {
        self.snapshot = Some(Look::default());
    }

    pub(super) fn snapshot_abort(&mut self) {
        self.snapshot = None;
    }

    /// Calls `each` with up to so many sessions of the snapshot's moment; how many there were. Fewer
    /// than asked for: that was the last one.
    pub(super) fn snapshot_step(&mut self, max: usize, each: impl FnMut(i64, Session)) -> usize {
        step(&mut self.snapshot, &self.live, max, each)
    }

    pub(super) fn digest_begin(&mut self) {
        self.digest = Some(Look::default());
    }

    pub(super) fn digest_abort(&mut self) {
        self.digest = None;
    }

    /// The same, of the digest's moment.
    pub(super) fn digest_step(&mut self, max: usize, each: impl FnMut(i64, Session)) -> usize {
        step(&mut self.digest, &self.live, max, each)
    }
}

fn step(
    look: &mut Option<Look>,
    live: &BTreeMap<i64, Session>,
    max: usize,
    mut each: impl FnMut(i64, Session),
) -> usize {
    for done in 0..max {
        let Some((id, session)) = look.as_mut().and_then(|look| look.next(live)) else {
            *look = None;
            return done;
        };
        each(id, session);
    }
    max
}

impl From<BTreeMap<i64, Session>> for SessionTable {
    fn from(live: BTreeMap<i64, Session>) -> Self {
        Self { live, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::state::PasswordRule;

    fn session(timeout_ms: i32) -> Session {
        Session { timeout_ms, origin: 1, password: PasswordRule::Keyed }
    }

    #[test]
    fn a_look_sees_the_sessions_of_its_moment_whatever_comes_between() {
        for seed in 0..200 {
            let mut random = Seeded::new(seed);
            let mut table = SessionTable::default();
            for _ in 0..random.below(40) {
                table.insert(random.below(60) as i64, session(random.below(9) as i32));
            }
            let moment: Vec<_> = table.iter().map(|(id, s)| (id, *s)).collect();
            table.snapshot_begin();
            let mut seen = Vec::new();
            loop {
                for _ in 0..random.below(6) {
                    let id = random.below(60) as i64;
                    if random.chance(1, 2) {
                        table.remove(id);
                    } else {
                        table.insert(id, session(random.below(9) as i32));
                    }
                }
                let max = random.range(1, 5) as usize;
                if table.snapshot_step(max, |id, session| seen.push((id, session))) < max {
                    break;
                }
            }
            assert_eq!(seen, moment, "seed {seed}");
        }
    }
}
