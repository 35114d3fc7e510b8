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
    /// ACLs of znodes that not everybody may read, one after the other.
    acls: Vec<u8>,
    events: Vec<Event>,
}

/// Who may hear of an event: whoever may read its znode (CVE-2024-23944). `None`: everybody.
pub type Readers<'a> = Option<&'a [u8]>;

#[derive(Clone, Copy, Debug)]
struct Event {
    kind: EventKind,
    start: usize,
    len: u32,
    acl_start: usize,
    /// 0: everybody may hear of it.
    acl_len: u32,
}

/// A point to come back to when a multi fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    paths: usize,
    acls: usize,
    events: usize,
}

impl Effects {
    pub fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    pub fn clear(&mut self) {
        self.closed.clear();
        self.paths.clear();
        self.acls.clear();
        self.events.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.closed.is_empty()
    }

    pub fn events(&self) -> impl Iterator<Item = (EventKind, &str)> {
        self.guarded_events().map(|(kind, path, _)| (kind, path))
    }

    /// Events with those who may hear of them.
    pub fn guarded_events(&self) -> impl Iterator<Item = (EventKind, &str, Readers<'_>)> {
        self.events.iter().map(|event| {
            let path = &self.paths[event.start..event.start + event.len as usize];
            let acl = &self.acls[event.acl_start..event.acl_start + event.acl_len as usize];
            (event.kind, path, (event.acl_len > 0).then_some(acl))
        })
    }

    pub(super) fn created(&mut self, path: &str, readers: Readers<'_>, of_parent: Readers<'_>) {
        self.push(EventKind::NodeCreated, path, readers);
        self.push_parent(of_parent);
    }

    pub(super) fn deleted(&mut self, path: &str, readers: Readers<'_>, of_parent: Readers<'_>) {
        self.push(EventKind::NodeDeleted, path, readers);
        self.push_parent(of_parent);
    }

    pub(super) fn data_changed(&mut self, path: &str, readers: Readers<'_>) {
        self.push(EventKind::NodeDataChanged, path, readers);
    }

    fn push(&mut self, kind: EventKind, path: &str, readers: Readers<'_>) {
        if !self.wanted {
            return;
        }
        let start = self.paths.len();
        self.paths.push_str(path);
        let (acl_start, acl_len) = self.keep(readers);
        self.events.push(Event { kind, start, len: path.len() as u32, acl_start, acl_len });
    }

    /// The parent of the znode whose event came last has other children now.
    fn push_parent(&mut self, readers: Readers<'_>) {
        let Some(&Event { start, len, .. }) = self.events.last().filter(|_| self.wanted) else {
            return;
        };
        // The parent's path is the beginning of the child's.
        let child = &self.paths[start..start + len as usize];
        let len = path::parent(child).len() as u32;
        let (acl_start, acl_len) = self.keep(readers);
        let kind = EventKind::NodeChildrenChanged;
        self.events.push(Event { kind, start, len, acl_start, acl_len });
    }

    /// One operation may bring thousands of events with the same few lists: one that stands among
    /// the last two is not written down again.
    fn keep(&mut self, readers: Readers<'_>) -> (usize, u32) {
        let readers = readers.unwrap_or_default();
        for event in self.events.iter().rev().take(2) {
            let kept = &self.acls[event.acl_start..event.acl_start + event.acl_len as usize];
            if kept == readers {
                return (event.acl_start, event.acl_len);
            }
        }
        let start = self.acls.len();
        self.acls.extend_from_slice(readers);
        (start, readers.len() as u32)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { paths: self.paths.len(), acls: self.acls.len(), events: self.events.len() }
    }

    pub(super) fn back_to(&mut self, mark: Mark) {
        self.paths.truncate(mark.paths);
        self.acls.truncate(mark.acls);
        self.events.truncate(mark.events);
    }
}
