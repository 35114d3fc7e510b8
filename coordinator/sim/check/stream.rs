//! A persistent watch tells of each change, once: as many events as the versions count up.
//!
//! Between two replies that show a version, exactly so many events have come as it has grown by,
//! if the watch stood all the while on one connection.

use std::collections::BTreeMap;

use coordinator::wire::reply::EventKind;

use super::Verdict;

/// What a reply showed, and how many events have come since.
#[derive(Clone, Copy, Debug)]
struct Measure {
    version: i32,
    events: i32,
}

/// The persistent watches of one client.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// By path; `true` for recursive ones.
    watched: BTreeMap<String, bool>,
    /// By path, for data and for children.
    data: BTreeMap<String, Measure>,
    children: BTreeMap<String, Measure>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Streams {
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    pub fn add(&mut self, path: &str, recursive: bool) {
        self.watched.insert(path.to_owned(), recursive);
    }

    /// `true`: there was one.
    pub fn remove(&mut self, path: &str, recursive: bool) -> bool {
        if self.watched.get(path) != Some(&recursive) {
            return false;
        }
        self.watched.remove(path);
        self.disconnected();
        true
    }

    /// What happens until the next reply is not counted.
    pub fn disconnected(&mut self) {
        self.data.clear();
        self.children.clear();
    }

    pub fn paths(&self, recursive: bool) -> Vec<&str> {
        self.watched.iter().filter(|(_, r)| **r == recursive).map(|(p, _)| p.as_str()).collect()
    }

    fn recursive_above(&self, path: &str) -> bool {
        let mut at = path;
        while !at.is_empty() {
            if self.watched.get(at) == Some(&true) {
                return true;
            }
            at = parent(at);
        }
        false
    }

    /// Counts an event; `false`: no watch of these waits for it.
    pub fn event(&mut self, kind: EventKind, path: &str) -> bool {
        let here = self.watched.get(path) == Some(&false);
        let above = self.recursive_above(path);
        let measure = match kind {
            EventKind::NodeChildrenChanged if here => self.children.get_mut(path),
            EventKind::NodeChildrenChanged => return false,
            EventKind::NodeDataChanged => self.data.get_mut(path),
            EventKind::NodeCreated | EventKind::NodeDeleted if above => {
                self.children.get_mut(parent(path))
            }
            EventKind::NodeCreated | EventKind::NodeDeleted => None,
        };
        if let Some(measure) = measure
            && (here || above)
        {
            measure.events += 1;
        }
        here || above
    }

    /// A reply shows this version of the data.
    pub fn data_shown(&mut self, path: &str, version: i32) -> Verdict {
        if self.watched.get(path) != Some(&false) && !self.recursive_above(path) {
            return Ok(());
        }
        shown(&mut self.data, path, version)
    }

    /// A reply shows this version of the list of children.
    pub fn children_shown(&mut self, path: &str, cversion: i32) -> Verdict {
        if self.watched.get(path) != Some(&false) && !self.recursive_above(path) {
            return Ok(());
        }
        shown(&mut self.children, path, cversion)
    }

    /// Paths whose data, or whose children, are counted.
    pub fn measured(&self) -> impl Iterator<Item = (&str, bool)> {
        let data = self.data.keys().map(|path| (path.as_str(), true));
        data.chain(self.children.keys().map(|path| (path.as_str(), false)))
    }
}

fn shown(table: &mut BTreeMap<String, Measure>, path: &str, version: i32) -> Verdict {
    let Some(measure) = table.get_mut(path) else {
        table.insert(path.to_owned(), Measure { version, events: 0 });
        return Ok(());
    };
    let Measure { version: before, events } = *measure;
    // Behind the highest number comes the lowest one.
    if version.wrapping_sub(before) != events {
        return Err(format!(
            "{path} went from version {before} to {version}, and {events} events came of its persistent watch"
        ));
    }
    *measure = Measure { version, events: 0 };
    Ok(())
}
