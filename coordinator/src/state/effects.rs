//! What an operation leaves for others to see: events for watches, and sessions that ended.

use crate::tree::path;
pub use crate::wire::reply::EventKind;

/// Filled by apply, in the order in which watches must see it. Reused: the caller clears it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Whether anyone watches anything here. If not, events are not even written down.
    pub wanted: bool,
    /// Sessions that ended, with or without ephemerals.
    pub closed: Vec<i64>,
    /// All paths, one after the other.
    paths: String,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    kind: EventKind,
    start: u32,
    len: u32,
}

/// A point to come back to when a multi fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    paths: usize,
    events: usize,
}

impl Effects {
    pub fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    pub fn clear(&mut self) {
        self.closed.clear();
        self.paths.clear();
        self.events.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.closed.is_empty()
    }

    pub fn events(&self) -> impl Iterator<Item = (EventKind, &str)> {
        self.events.iter().map(|event| {
            let start = event.start as usize;
            (event.kind, &self.paths[start..start + event.len as usize])
        })
    }

    pub(super) fn created(&mut self, path: &str) {
        self.push(EventKind::NodeCreated, path, true);
    }

    pub(super) fn deleted(&mut self, path: &str) {
        self.push(EventKind::NodeDeleted, path, true);
    }

    pub(super) fn data_changed(&mut self, path: &str) {
        self.push(EventKind::NodeDataChanged, path, false);
    }

    fn push(&mut self, kind: EventKind, path: &str, parent_too: bool) {
        if !self.wanted {
            return;
        }
        let start = self.paths.len() as u32;
        self.paths.push_str(path);
        self.events.push(Event { kind, start, len: path.len() as u32 });
        if parent_too {
            // The parent's path is the beginning of the child's.
            let len = path::parent(path).len() as u32;
            self.events.push(Event { kind: EventKind::NodeChildrenChanged, start, len });
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { paths: self.paths.len(), events: self.events.len() }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.paths.truncate(mark.paths);
        self.events.truncate(mark.events);
    }
}
