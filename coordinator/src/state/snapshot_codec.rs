//! The state in a snapshot: a head with all that is small, then the znodes, then an end.
//!
//! Chunks are what the steps of one snapshot gave, in order; they may be joined, never split.

use super::quota::Quotas;
use super::txn::Corrupt;
use super::{ClusterMetadata, Scratch, Session, State};
use crate::bytes::take;
use crate::tree::snapshot_codec::Builder;
use std::collections::BTreeMap;

/// Version 1 had no time of the last operation.
const VERSION: u32 = 2;
const TIMELESS: u32 = 1;
/// Where a record's flags would stand: no record has all of them.
const END: u8 = 0xff;

impl State {
    /// The snapshot is the state at this moment, whatever is applied until the snapshot is over.
    pub fn snapshot_begin(&mut self) {
        let mut head = Vec::new();
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&self.last_zxid.to_le_bytes());
        head.extend_from_slice(&self.last_time_ms.to_le_bytes());
        head.extend_from_slice(&self.tree.slots().to_le_bytes());
        head.extend_from_slice(&(self.tree.len() as u32).to_le_bytes());
        head.extend_from_slice(&(self.sessions.len() as u32).to_le_bytes());
        for (id, session) in self.sessions() {
            head.extend_from_slice(&id.to_le_bytes());
            head.extend_from_slice(&session.timeout_ms.to_le_bytes());
            head.push(session.origin);
        }
        let mut cluster = Vec::new();
        self.cluster.encode(&mut cluster);
        put_bytes(&mut head, &cluster);
        head.extend_from_slice(&(self.tree.acls.used().count() as u32).to_le_bytes());
        // A list keeps its number while a znode carries it, and a znode that changes its list
        // is emitted before: numbers mean the same to the end of the snapshot.
        for (id, bytes) in self.tree.acls.used() {
            head.extend_from_slice(&id.to_le_bytes());
            put_bytes(&mut head, bytes);
        }
        self.tree.snapshot_begin(head);
    }

    /// Appends the next part, after looking at up to `nodes_max` znodes; true when the snapshot
    /// is complete.
    pub fn snapshot_step(&mut self, nodes_max: usize, out: &mut Vec<u8>) -> bool {
        if !self.tree.snapshotting() {
            return true;
        }
        let done = self.tree.snapshot_step(nodes_max, out);
        if done {
            out.push(END);
        }
        done
    }

    pub fn snapshot_abort(&mut self) {
        self.tree.snapshot_abort();
    }
}

/// What the first bytes of a snapshot say of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    pub last_zxid: i64,
    pub znodes: u32,
    pub sessions: u32,
}

impl SnapshotHead {
    /// From the first chunk; `None` when it is none.
    pub fn peek(mut chunk: &[u8]) -> Option<Self> {
        let input = &mut chunk;
        let (last_zxid, _) = first_fields(input)?;
        let [_slots, znodes, sessions] = [(); 3].map(|()| take(input).map(u32::from_le_bytes));
        Some(Self { last_zxid, znodes: znodes?, sessions: sessions? })
    }
}

/// A state that is being restored, chunk by chunk.
#[derive(Debug, Default)]
pub struct Restore {
    head: Option<Head>,
    ended: bool,
}

#[derive(Debug)]
struct Head {
    last_zxid: i64,
    last_time_ms: i64,
    sessions: BTreeMap<i64, Session>,
    cluster: ClusterMetadata,
    builder: Builder,
    nodes: u32,
    nodes_seen: u32,
}

impl Restore {
    pub fn new() -> Self {
        Self::default()
    }

    /// The chunks of one snapshot, in order.
    pub fn chunk(&mut self, mut bytes: &[u8]) -> Result<(), Corrupt> {
        self.take(&mut bytes).ok_or(Corrupt("snapshot"))
    }

    fn take(&mut self, input: &mut &[u8]) -> Option<()> {
        if input.is_empty() {
            return Some(());
        }
        let head = match &mut self.head {
            Some(head) => head,
            vacant => vacant.insert(Head::decode(input)?),
        };
        while let Some(first) = input.first() {
            if self.ended {
                return None;
            }
            if *first == END {
                *input = &input[1..];
                self.ended = true;
            } else {
                head.builder.node(input)?;
                head.nodes_seen += 1;
            }
        }
        Some(())
    }

    pub fn finish(self) -> Result<State, Corrupt> {
        let complete = self.head.filter(|head| self.ended && head.nodes == head.nodes_seen);
        complete.and_then(Head::finish).ok_or(Corrupt("snapshot"))
    }
}

impl Head {
    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (last_zxid, last_time_ms) = first_fields(input)?;
        let slots = u32::from_le_bytes(take(input)?);
        let nodes = u32::from_le_bytes(take(input)?);
        let mut sessions = BTreeMap::new();
        for _ in 0..u32::from_le_bytes(take(input)?) {
            let id = i64::from_le_bytes(take(input)?);
            let timeout_ms = i32::from_le_bytes(take(input)?);
            let [origin] = take(input)?;
            sessions.insert(id, Session { timeout_ms, origin });
        }
        let cluster = ClusterMetadata::decode(take_bytes(input)?)?;
        let mut builder = Builder::new(slots, nodes as usize)?;
        for _ in 0..u32::from_le_bytes(take(input)?) {
            let id = u32::from_le_bytes(take(input)?);
            builder.acl(id, take_bytes(input)?)?;
        }
        Some(Self { last_zxid, last_time_ms, sessions, cluster, builder, nodes, nodes_seen: 0 })
    }

    fn finish(self) -> Option<State> {
        let tree = self.builder.finish()?;
        Some(State {
            quotas: Quotas::rebuild(&tree),
            tree,
            sessions: self.sessions,
            cluster: self.cluster,
            last_zxid: self.last_zxid,
            last_time_ms: self.last_time_ms,
            scratch: Scratch::default(),
        })
    }
}

/// zxid and time of the last operation.
fn first_fields(input: &mut &[u8]) -> Option<(i64, i64)> {
    let version = u32::from_le_bytes(take(input)?);
    let zxid = i64::from_le_bytes(take(input)?);
    match version {
        VERSION => Some((zxid, i64::from_le_bytes(take(input)?))),
        TIMELESS => Some((zxid, 0)),
        _ => None,
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_le_bytes(take(input)?);
    let (bytes, rest) = input.split_at_checked(len as usize)?;
    *input = rest;
    Some(bytes)
}
