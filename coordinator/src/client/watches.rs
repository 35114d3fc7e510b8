//! What this client watches, so that it can be registered again on another connection.

use std::collections::BTreeSet;

use crate::wire::code::Code;
use crate::wire::jute::{Reader, Strings, put_strings};
use crate::wire::reply::EventKind;
use crate::wire::request::{Request, SetWatches};

/// Java's client splits here as well: servers may refuse longer frames.
const SET_WATCHES_PATH_BYTES_MAX: usize = 128 << 10;

/// What a request will register if its reply allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Data(String),
    /// A data watch if the node is there, else one that waits for it.
    Exists(String),
    Child(String),
    Persistent(String),
    Recursive(String),
    Remove(String, i32),
}

impl Intent {
    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        match request {
            Request::GetData(read) if read.watch => Some(Self::Data(read.path.to_owned())),
            Request::Exists(read) if read.watch => Some(Self::Exists(read.path.to_owned())),
            Request::GetChildren(read) | Request::GetChildren2(read) if read.watch => {
                Some(Self::Child(read.path.to_owned()))
            }
            Request::AddWatch(add) => Some(match add.mode {
                0 => Self::Persistent(add.path.to_owned()),
                _ => Self::Recursive(add.path.to_owned()),
            }),
            Request::RemoveWatches(remove) => {
                Some(Self::Remove(remove.path.to_owned(), remove.mode))
            }
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Watches {
    /// In the order of the record: data, exist, child, persistent, recursive.
    sets: [BTreeSet<String>; 5],
}

impl Watches {
    pub(super) fn registered(&mut self, intent: Intent, err: i32) {
        let ok = err == Code::Ok.as_i32();
        let (set, path) = match intent {
            Intent::Exists(path) if err == Code::NoNode.as_i32() => (1, path),
            Intent::Data(path) | Intent::Exists(path) if ok => (0, path),
            Intent::Child(path) if ok => (2, path),
            Intent::Persistent(path) if ok => (3, path),
            Intent::Recursive(path) if ok => (4, path),
            Intent::Remove(path, kind) if ok => return self.remove(&path, kind),
            _ => return,
        };
        self.sets[set].insert(path);
    }

    /// `WatcherType`: 1 children, 2 data, 3 any.
    fn remove(&mut self, path: &str, kind: i32) {
        let sets: &[usize] = match kind {
            1 => &[2],
            2 => &[0, 1],
            _ => &[0, 1, 2, 3, 4],
        };
        for set in sets {
            self.sets[*set].remove(path);
        }
    }

    /// One-shot watches end with their event.
    pub(super) fn fired(&mut self, kind: i32, path: &str) {
        let sets: &[usize] = match EventKind::from_i32(kind) {
            Some(EventKind::NodeCreated | EventKind::NodeDataChanged) => &[0, 1],
            Some(EventKind::NodeChildrenChanged) => &[2],
            Some(EventKind::NodeDeleted) => &[0, 1, 2],
            None => &[],
        };
        for set in sets {
            self.sets[*set].remove(path);
        }
    }

    /// Calls `send` with as many setWatches as it takes.
    pub(super) fn for_each_batch<E>(
        &self,
        relative_zxid: i64,
        mut send: impl FnMut(&Request<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut batch: [Vec<&str>; 5] = Default::default();
        let mut batch_bytes = 0;
        for (set, paths) in self.sets.iter().enumerate() {
            for path in paths {
                if batch_bytes > 0 && batch_bytes + path.len() > SET_WATCHES_PATH_BYTES_MAX {
                    send_batch(relative_zxid, &batch, &mut send)?;
                    batch = Default::default();
                    batch_bytes = 0;
                }
                batch[set].push(path);
                batch_bytes += path.len() + 4;
            }
        }
        if batch_bytes == 0 { Ok(()) } else { send_batch(relative_zxid, &batch, &mut send) }
    }
}

fn send_batch<E>(
    relative_zxid: i64,
    batch: &[Vec<&str>; 5],
    send: &mut impl FnMut(&Request<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let encoded = batch.each_ref().map(|paths| {
        let mut bytes = Vec::new();
        put_strings(&mut bytes, paths.iter().copied());
        bytes
    });
    let [data, exist, child, persistent, persistent_recursive] = encoded
        .each_ref()
        .map(|bytes| Strings::decode(&mut Reader::new(bytes)).unwrap_or(Strings::EMPTY));
    let record = SetWatches { relative_zxid, data, exist, child, persistent, persistent_recursive };
    // The older form wherever it says all: every server knows it.
    if persistent.is_empty() && persistent_recursive.is_empty() {
        send(&Request::SetWatches(record))
    } else {
        send(&Request::SetWatches2(record))
    }
}
