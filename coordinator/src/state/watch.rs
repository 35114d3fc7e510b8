//! Who watches what on this server. Not replicated: it dies with the connections.
//!
//! One record of 28 bytes per connection and path, whatever kinds of watch they are, linked both
//! from the path and from the connection; paths are stored once. So firing costs as much as there
//! are watchers, dropping a connection as much as it has watches, and neither leaves anything. What
//! a connection with very many of them leaves is forgotten bit by bit, so that nobody waits.

use super::State;
use super::effects::{Effects, EventKind, Readers};
use crate::tree::arena::Arena;
use crate::tree::index::{Index, hash_name, hash_pair};
use crate::tree::path;
use crate::tree::slab::{self, Slab};
use crate::wire::code::Code;
use crate::wire::request::{SetWatches, WatchList};
use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// What a watch waits for, and whether it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WatchKind {
    /// One-shot, by exists and getData.
    Data = 1,
    /// One-shot, by getChildren.
    Child = 2,
    /// Stays; everything about the znode and its list of children.
    Persistent = 4,
    /// Stays; everything about the znode and all below, but no list of children.
    PersistentRecursive = 8,
}

/// Set of [`WatchKind`].
type Kinds = u8;

const DATA: Kinds = WatchKind::Data as Kinds;
const CHILD: Kinds = WatchKind::Child as Kinds;
const PERSISTENT: Kinds = WatchKind::Persistent as Kinds;
const RECURSIVE: Kinds = WatchKind::PersistentRecursive as Kinds;
const ONE_SHOT: Kinds = DATA | CHILD;
const ALL: Kinds = ONE_SHOT | PERSISTENT | RECURSIVE;

impl WatchKind {
    /// `AddWatchMode.fromInt`.
    pub fn from_add_mode(mode: i32) -> Option<Self> {
        match mode {
            0 => Some(Self::Persistent),
            1 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }
}

const NONE: u32 = u32::MAX;

/// What a watch takes beside its path.
const WATCH_BYTES: usize = 64;
/// What the watches of one connection may take: over a million of them with paths of 40 bytes.
const CONNECTION_BYTES_MAX: usize = 128 << 20;
/// What those of all connections may take.
const BYTES_MAX: usize = 2 << 30;

/// Watches of a dropped connection that are forgotten at once: some milliseconds of work.
const DROPPED_AT_ONCE: usize = 2048;

/// All watches of one server's connections.
#[derive(Debug, Default)]
pub struct Watches {
    records: Arena<Record>,
    by_pair: Index,
    paths: Arena<Path>,
    by_path: Index,
    texts: Slab,
    conns: Arena<Conn>,
    by_conn: HashMap<u32, u32, FixedState>,
    /// Connections that are gone, and still have records.
    dropped: Vec<u32>,
    /// One for each kind in each record.
    count: usize,
    paths_live: usize,
    /// Records with [`RECURSIVE`]: without any, ancestors need no look.
    recursive: usize,
    /// What all records take.
    bytes: usize,
    /// Number of the last event fired.
    event: u64,
}

/// What one connection watches at one path.
#[derive(Clone, Copy, Debug)]
struct Record {
    path: u32,
    conn: u32,
    path_next: u32,
    path_prev: u32,
    conn_next: u32,
    conn_prev: u32,
    kinds: Kinds,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    text: slab::Handle,
    len: u32,
    first: u32,
    /// Records here with [`RECURSIVE`].
    recursive: u32,
}

#[derive(Clone, Copy, Debug)]
struct Conn {
    id: u32,
    first: u32,
    /// The last event it was told: it hears of each once.
    event: u64,
    /// Dropped: it hears of nothing more.
    gone: bool,
    /// What its records take.
    bytes: usize,
}

/// The figures of `wchs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub connections: usize,
    pub paths: usize,
    pub watches: usize,
}

impl Watches {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Registering the same watch again changes nothing; different kinds live side by side. `false`:
    /// the connection, or all of them, have all the watches they may have.
    pub fn register(&mut self, conn: u32, path: &str, kind: WatchKind) -> bool {
        let bytes = WATCH_BYTES + path.len();
        let held = self.by_conn.get(&conn).map_or(0, |conn| self.conns[*conn].bytes);
        let full = held + bytes > CONNECTION_BYTES_MAX || self.bytes + bytes > BYTES_MAX;
        if full && !self.watches_already(conn, path) {
            return false;
        }
        let path = self.path_or_new(path);
        let conn = self.conn_or_new(conn);
        let record = self.find(path, conn).unwrap_or_else(|| self.link(path, conn));
        let kinds = &mut self.records[record].kinds;
        let added = kind as Kinds & !*kinds;
        *kinds |= added;
        if added != 0 {
            self.count += 1;
        }
        if added & RECURSIVE != 0 {
            self.recursive += 1;
            self.paths[path].recursive += 1;
        }
        true
    }

    fn watches_already(&self, conn: u32, path: &str) -> bool {
        let found = self.find_path(path).zip(self.by_conn.get(&conn));
        found.is_some_and(|(path, conn)| self.find(path, *conn).is_some())
    }

    /// Tells each connection of each event it watches, once, in order. One-shot watches are gone
    /// before `tell` hears of them.
    ///
    /// `tell` gets who may hear of the event: a one-shot watch is gone all the same.
    pub fn fire(
        &mut self,
        effects: &Effects,
        mut tell: impl FnMut(u32, EventKind, &str, Readers<'_>),
    ) {
        if self.is_empty() {
            return;
        }
        for (kind, path, readers) in effects.guarded_events() {
            self.event += 1;
            let here = match kind {
                EventKind::NodeCreated | EventKind::NodeDataChanged => {
                    DATA | PERSISTENT | RECURSIVE
                }
                EventKind::NodeDeleted => ALL,
                EventKind::NodeChildrenChanged => CHILD | PERSISTENT,
            };
            self.fire_at(path, here, |conn| tell(conn, kind, path, readers));
            if self.recursive > 0 && kind != EventKind::NodeChildrenChanged {
                for above in path::ancestors(path) {
                    self.fire_at(above, RECURSIVE, |conn| tell(conn, kind, path, readers));
                }
            }
        }
    }

    fn fire_at(&mut self, path: &str, kinds: Kinds, mut tell: impl FnMut(u32)) {
        let Some(path) = self.find_path(path) else { return };
        if kinds == RECURSIVE && self.paths[path].recursive == 0 {
            return;
        }
        let mut next = self.paths[path].first;
        while next != NONE {
            let id = next;
            let record = self.records[id];
            next = record.path_next;
            if record.kinds & kinds == 0 {
                continue;
            }
            let conn = &mut self.conns[record.conn];
            if conn.gone {
                continue;
            }
            let conn_id = conn.id;
            let untold = std::mem::replace(&mut conn.event, self.event) != self.event;
            self.clear(id, kinds & ONE_SHOT);
            if untold {
                tell(conn_id);
            }
        }
    }

    /// removeWatches: type 1 children, 2 data, 3 any, 4 persistent, 5 recursive.
    pub fn remove(&mut self, conn: u32, path: &str, watcher_type: i32) -> Code {
        match self.matching(conn, path, watcher_type) {
            Ok((record, kinds)) => {
                self.clear(record, kinds);
                Code::Ok
            }
            Err(code) => code,
        }
    }

    /// checkWatches: whether remove would find any.
    pub fn check(&self, conn: u32, path: &str, watcher_type: i32) -> Code {
        self.matching(conn, path, watcher_type).err().unwrap_or(Code::Ok)
    }

    fn matching(&self, conn: u32, path: &str, watcher_type: i32) -> Result<(u32, Kinds), Code> {
        let kinds = match watcher_type {
            1 => CHILD,
            2 => DATA,
            3 => ALL,
            4 => PERSISTENT,
            5 => RECURSIVE,
            // `WatcherType.fromInt` throws, and ZooKeeper answers so.
            _ => return Err(Code::MarshallingError),
        };
        let found =
            self.find_path(path).and_then(|path| self.find(path, *self.by_conn.get(&conn)?));
        let record = found.ok_or(Code::NoWatcher)?;
        let kinds = self.records[record].kinds & kinds;
        if kinds == 0 { Err(Code::NoWatcher) } else { Ok((record, kinds)) }
    }

    pub fn drop_connection(&mut self, conn: u32) {
        let Some(conn) = self.by_conn.remove(&conn) else { return };
        self.conns[conn].gone = true;
        self.dropped.push(conn);
        self.forget_dropped();
    }

    /// Forgets some of what dropped connections have left. To be called now and then.
    pub fn forget_dropped(&mut self) {
        for _ in 0..DROPPED_AT_ONCE {
            let Some(&conn) = self.dropped.last() else { return };
            let first = self.conns[conn].first;
            // The connection's own record goes with its last watch.
            if self.records[first].conn_next == NONE {
                self.dropped.pop();
            }
            self.clear(first, ALL);
        }
    }

    /// A client comes back: what it missed is told at once, the rest watches on.
    /// `DataTree.setWatches`, with events in its order.
    pub fn set_watches(
        &mut self,
        conn: u32,
        state: &State,
        request: &SetWatches<'_>,
        mut tell: impl FnMut(EventKind, &str),
    ) {
        let seen = request.relative_zxid;
        for (list, paths) in [
            (WatchList::Data, request.data),
            (WatchList::Exist, request.exist),
            (WatchList::Child, request.child),
            (WatchList::Persistent, request.persistent),
            (WatchList::PersistentRecursive, request.persistent_recursive),
        ] {
            for path in paths.iter() {
                self.restore(conn, state, seen, list, path, &mut tell);
            }
        }
    }

    /// One path of it. `false`: the connection has all the watches it may have.
    pub fn restore(
        &mut self,
        conn: u32,
        state: &State,
        seen: i64,
        list: WatchList,
        path: &str,
        mut tell: impl FnMut(EventKind, &str),
    ) -> bool {
        let tree = state.tree();
        let id = tree.find(path);
        let (missed, kind) = match list {
            WatchList::Data => {
                let missed = match id.map(|id| tree.fields(id).mzxid) {
                    None => Some(EventKind::NodeDeleted),
                    Some(mzxid) => (mzxid > seen).then_some(EventKind::NodeDataChanged),
                };
                (missed, WatchKind::Data)
            }
            WatchList::Exist => (id.map(|_| EventKind::NodeCreated), WatchKind::Data),
            WatchList::Child => {
                let missed = match id.map(|id| tree.fields(id).pzxid) {
                    None => Some(EventKind::NodeDeleted),
                    Some(pzxid) => (pzxid > seen).then_some(EventKind::NodeChildrenChanged),
                };
                (missed, WatchKind::Child)
            }
            WatchList::Persistent => (None, WatchKind::Persistent),
            WatchList::PersistentRecursive => (None, WatchKind::PersistentRecursive),
        };
        match missed {
            Some(event) => {
                tell(event, path);
                true
            }
            None => self.register(conn, path, kind),
        }
    }

    /// Watches of all kinds, each counted.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn summary(&self) -> Summary {
        Summary { connections: self.by_conn.len(), paths: self.paths_live, watches: self.count }
    }

    /// All (connection, path) pairs, sorted by connection.
    pub fn by_connection(&self) -> Vec<(u32, &str)> {
        let mut pairs: Vec<_> = self.pairs().collect();
        pairs.sort_unstable();
        pairs
    }

    /// All (path, connection) pairs, sorted by path.
    pub fn by_path(&self) -> Vec<(&str, u32)> {
        let mut pairs: Vec<_> = self.pairs().map(|(conn, path)| (path, conn)).collect();
        pairs.sort_unstable();
        pairs
    }

    /// All (connection, path) pairs, in no order that means anything.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, &str)> {
        let some = |id: u32| (id != NONE).then_some(id);
        let list = move |first: u32| {
            std::iter::successors(some(first), move |id| some(self.records[*id].conn_next))
        };
        self.by_conn.iter().flat_map(move |(conn, slot)| {
            list(self.conns[*slot].first).map(|id| (*conn, self.text(self.records[id].path)))
        })
    }

    fn text(&self, path: u32) -> &str {
        std::str::from_utf8(self.text_bytes(path)).unwrap_or_default()
    }

    fn text_bytes(&self, path: u32) -> &[u8] {
        let Path { text, len, .. } = self.paths[path];
        self.texts.get(text, len as usize)
    }

    fn find_path(&self, text: &str) -> Option<u32> {
        let hash = hash_name(0, text.as_bytes());
        self.by_path.find(hash, |path| self.text_bytes(path) == text.as_bytes())
    }

    fn path_or_new(&mut self, text: &str) -> u32 {
        if let Some(path) = self.find_path(text) {
            return path;
        }
        let handle = self.texts.store(text.as_bytes(), &[]);
        let path = Path { text: handle, len: text.len() as u32, first: NONE, recursive: 0 };
        let path = self.paths.insert(path);
        self.paths_live += 1;
        self.by_path.insert(hash_name(0, text.as_bytes()), path);
        path
    }

    fn conn_or_new(&mut self, id: u32) -> u32 {
        let conns = &mut self.conns;
        *self.by_conn.entry(id).or_insert_with(|| {
            conns.insert(Conn { id, first: NONE, event: 0, gone: false, bytes: 0 })
        })
    }

    fn find(&self, path: u32, conn: u32) -> Option<u32> {
        self.by_pair.find(hash_pair(path, conn), |id| {
            let record = &self.records[id];
            (record.path, record.conn) == (path, conn)
        })
    }

    fn link(&mut self, path: u32, conn: u32) -> u32 {
        let (path_next, conn_next) = (self.paths[path].first, self.conns[conn].first);
        let id = self.records.insert(Record {
            path,
            conn,
            path_next,
            path_prev: NONE,
            conn_next,
            conn_prev: NONE,
            kinds: 0,
        });
        self.paths[path].first = id;
        self.conns[conn].first = id;
        let bytes = WATCH_BYTES + self.paths[path].len as usize;
        self.conns[conn].bytes += bytes;
        self.bytes += bytes;
        if path_next != NONE {
            self.records[path_next].path_prev = id;
        }
        if conn_next != NONE {
            self.records[conn_next].conn_prev = id;
        }
        self.by_pair.insert(hash_pair(path, conn), id);
        id
    }

    /// Takes kinds away, and the record with the last of them.
    fn clear(&mut self, id: u32, kinds: Kinds) {
        let record = self.records[id];
        let gone = record.kinds & kinds;
        self.count -= gone.count_ones() as usize;
        if gone & RECURSIVE != 0 {
            self.recursive -= 1;
            self.paths[record.path].recursive -= 1;
        }
        self.records[id].kinds &= !gone;
        if self.records[id].kinds == 0 {
            self.unlink(id, record);
        }
    }

    fn unlink(&mut self, id: u32, record: Record) {
        self.by_pair.remove(hash_pair(record.path, record.conn), id);
        if record.path_next != NONE {
            self.records[record.path_next].path_prev = record.path_prev;
        }
        if record.path_prev == NONE {
            self.paths[record.path].first = record.path_next;
        } else {
            self.records[record.path_prev].path_next = record.path_next;
        }
        if record.conn_next != NONE {
            self.records[record.conn_next].conn_prev = record.conn_prev;
        }
        if record.conn_prev == NONE {
            self.conns[record.conn].first = record.conn_next;
        } else {
            self.records[record.conn_prev].conn_next = record.conn_next;
        }
        self.records.remove(id);
        let bytes = WATCH_BYTES + self.paths[record.path].len as usize;
        self.conns[record.conn].bytes -= bytes;
        self.bytes -= bytes;
        if self.paths[record.path].first == NONE {
            self.forget_path(record.path);
        }
        let conn = self.conns[record.conn];
        if conn.first == NONE {
            // The id of one that is gone may be another connection's by now.
            if !conn.gone {
                self.by_conn.remove(&conn.id);
            }
            self.conns.remove(record.conn);
        }
    }

    fn forget_path(&mut self, path: u32) {
        let hash = hash_name(0, self.text_bytes(path));
        self.by_path.remove(hash, path);
        let Path { text, len, .. } = self.paths[path];
        self.texts.free(text, len as usize);
        self.paths.remove(path);
        self.paths_live -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_connection_hears_nothing_more_and_its_id_is_free() {
        let mut watches = Watches::new();
        let many = 2 * DROPPED_AT_ONCE + 1;
        for number in 0..many {
            watches.register(7, &format!("/{number}"), WatchKind::Persistent);
        }
        watches.drop_connection(7);
        assert_eq!(watches.count(), many - DROPPED_AT_ONCE);
        assert!(watches.by_connection().is_empty());
        watches.register(7, "/0", WatchKind::Persistent);

        let mut effects = Effects::new(true);
        for number in 0..many {
            effects.data_changed(&format!("/{number}"), None);
        }
        let mut told = Vec::new();
        watches.fire(&effects, |conn, _, path, _| told.push((conn, path.to_owned())));
        assert_eq!(told, [(7, "/0".to_owned())]);

        for left in [DROPPED_AT_ONCE + 2, 2, 1] {
            assert_eq!(watches.count(), left);
            watches.forget_dropped();
        }
        assert_eq!(watches.by_connection(), [(7, "/0")]);
        watches.drop_connection(7);
        let summary = Summary { connections: 0, paths: 0, watches: 0 };
        assert_eq!(watches.summary(), summary);
    }
}
