//! A watch fires at most once, before the reply that shows the change, and is never lost.
//!
//! Kept by each client as the Java client's `ZKWatchManager` keeps its tables.

use std::collections::BTreeMap;

use coordinator::wire::reply::EventKind;

use super::Verdict;
use super::stream::Streams;

/// Watches by path, with the zxid of the state in which they were set.
#[derive(Clone, Debug, Default)]
pub struct Watching {
    pub data: BTreeMap<String, i64>,
    pub exist: BTreeMap<String, i64>,
    pub child: BTreeMap<String, i64>,
    pub streams: Streams,
    /// Paths that this client may not hear of.
    pub hidden: &'static [&'static str],
    pub fired: u64,
}

/// What a reply shows of a path.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// zxid of the last change of its data; `None`: it does not exist.
    pub mzxid: Option<i64>,
    /// zxid of the last change of its children.
    pub pzxid: Option<i64>,
}

impl Watching {
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
            && self.exist.is_empty()
            && self.child.is_empty()
            && self.streams.is_empty()
    }

    /// Those of a removeWatches: 1 children, 2 data, 3 any, 4 persistent, 5 recursive. `false`:
    /// there was none.
    pub fn remove(&mut self, path: &str, kind: i32) -> bool {
        let mut found = false;
        if matches!(kind, 2 | 3) {
            found |= self.data.remove(path).is_some();
            found |= self.exist.remove(path).is_some();
        }
        if matches!(kind, 1 | 3) {
            found |= self.child.remove(path).is_some();
        }
        if matches!(kind, 3 | 4) {
            found |= self.streams.remove(path, false);
        }
        if matches!(kind, 3 | 5) {
            found |= self.streams.remove(path, true);
        }
        found
    }

    /// An older watch on the same path stays the stricter one.
    pub fn set(table: &mut BTreeMap<String, i64>, path: &str, zxid: i64) {
        table.entry(path.to_owned()).or_insert(zxid);
    }

    pub fn event(&mut self, kind: EventKind, path: &str) -> Verdict {
        let (data, exist, child) = match kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => (true, true, false),
            EventKind::NodeDeleted => (true, true, true),
            EventKind::NodeChildrenChanged => (false, false, true),
        };
        if self.hidden.contains(&path) {
            return Err(format!("{kind:?} for {path} told to somebody who may not read it"));
        }
        let mut expected = self.streams.event(kind, path);
        for (table, concerned) in
            [(&mut self.data, data), (&mut self.exist, exist), (&mut self.child, child)]
        {
            if concerned {
                expected |= table.remove(path).is_some();
            }
        }
        self.fired += 1;
        if expected {
            Ok(())
        } else {
            Err(format!("{kind:?} for {path}, on which no watch is set"))
        }
    }

    /// A reply, or the final state, shows this: no watch may be left that it should have fired.
    pub fn shown(&self, path: &str, shown: Shown) -> Verdict {
        let late = |set: i64, what: &str| {
            Err(format!(
                "{shown:?} of {path} was shown, but the {what} watch set at {set:#x} has not fired"
            ))
        };
        if let Some(&set) = self.data.get(path)
            && shown.mzxid.is_none_or(|m| m > set)
        {
            return late(set, "data");
        }
        if let Some(&set) = self.exist.get(path)
            && shown.mzxid.is_some()
        {
            return late(set, "exist");
        }
        if let Some(&set) = self.child.get(path)
            && (shown.mzxid.is_none() || shown.pzxid.is_some_and(|p| p > set))
        {
            return late(set, "child");
        }
        Ok(())
    }

    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.data.keys().chain(self.exist.keys()).chain(self.child.keys())
    }
}
