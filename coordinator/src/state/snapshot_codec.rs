//! The state in a snapshot: a head, then sessions, lists of ACLs and znodes, a record each, then an
//! end.
//!
//! Chunks are what the steps of one snapshot gave, in order; they may be joined, never split. Up to
//! version 2 sessions and lists stand in the head, which is one piece: that is still written while
//! members, or a release to go back to, know no more, as long as the head stays small.

use super::quota::Quotas;
use super::txn::Corrupt;
use super::{ClusterMetadata, PasswordRule, Scratch, Session, State};
use crate::bytes::take;
use crate::tree::snapshot_codec::{Builder, LIST};
use std::collections::BTreeMap;

/// Version 1 had no time of the last operation.
const TIMELESS: u32 = 1;
/// All but the znodes in the head.
const ONE_HEAD: u32 = 2;
const VERSION: u32 = 3;

/// A head of one piece is no longer than this; readers hold it at once.
const HEAD_BYTES_MAX: usize = 16 << 20;
/// On the disk a session takes this.
const SESSION_BYTES: usize = 13;
/// Stands before the record of a session; no znode has such flags.
const SESSION: u8 = 0xfd;
/// The same, where its password follows Apache ZooKeeper's rule.
const ZOOKEEPER_SESSION: u8 = 0xfc;
/// Where a record's flags would stand: no record has all of them.
const END: u8 = 0xff;

impl State {
    /// The snapshot is the state at this moment, whatever is applied until the snapshot is over.
    pub fn snapshot_begin(&mut self) {
        let in_one_piece = self.sessions.len() * SESSION_BYTES + self.tree.acls.total_bytes();
        let keyed = || self.sessions().all(|(_, s)| s.password == PasswordRule::Keyed);
        let one_head = self.cluster.level == 0 && in_one_piece <= HEAD_BYTES_MAX && keyed();
        let mut part = Vec::new();
        part.extend_from_slice(&(if one_head { ONE_HEAD } else { VERSION }).to_le_bytes());
        part.extend_from_slice(&self.last_zxid.to_le_bytes());
        part.extend_from_slice(&self.last_time_ms.to_le_bytes());
        part.extend_from_slice(&self.tree.slots().to_le_bytes());
        part.extend_from_slice(&(self.tree.len() as u32).to_le_bytes());
        part.extend_from_slice(&(self.sessions.len() as u32).to_le_bytes());
        let mut cluster = Vec::new();
        self.cluster.encode(&mut cluster);
        self.sessions.snapshot_abort();
        if one_head {
            for (id, session) in self.sessions() {
                put_session(id, *session, &mut part);
            }
            put_bytes(&mut part, &cluster);
            part.extend_from_slice(&(self.tree.acls.used().count() as u32).to_le_bytes());
            for (id, bytes) in self.tree.acls.used() {
                part.extend_from_slice(&id.to_le_bytes());
                put_bytes(&mut part, bytes);
            }
        } else {
            put_bytes(&mut part, &cluster);
            self.sessions.snapshot_begin();
        }
        self.snapshot_head = Some(part);
        self.tree.snapshot_begin(one_head);
    }

    /// Appends the next part, after looking at up to so many sessions or znodes; true when the
    /// snapshot is complete.
    pub fn snapshot_step(&mut self, look_at: usize, out: &mut Vec<u8>) -> bool {
        if !self.tree.snapshotting() {
            return true;
        }
        if let Some(mut head) = self.snapshot_head.take() {
            out.append(&mut head);
            // A long one is a chunk of its own: with a large znode it would be too long for readers.
            return false;
        }
        let looked = self.sessions.snapshot_step(look_at, |id, session| {
            out.push(match session.password {
                PasswordRule::Keyed => SESSION,
                PasswordRule::Zookeeper => ZOOKEEPER_SESSION,
            });
            put_session(id, session, out);
        });
        if looked == look_at {
            return false;
        }
        let done = self.tree.snapshot_step(look_at - looked, out);
        if done {
            out.push(END);
        }
        done
    }

    pub fn snapshot_abort(&mut self) {
        self.snapshot_head = None;
        self.sessions.snapshot_abort();
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
        let (_, last_zxid, _) = first_fields(input)?;
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
    /// So many the head promises.
    nodes: u32,
    nodes_seen: u32,
    sessions_promised: u32,
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
            match *first {
                END => {
                    *input = &input[1..];
                    self.ended = true;
                }
                mark @ (SESSION | ZOOKEEPER_SESSION) => {
                    *input = &input[1..];
                    let (id, mut session) = take_session(input)?;
                    if mark == ZOOKEEPER_SESSION {
                        session.password = PasswordRule::Zookeeper;
                    }
                    head.sessions.insert(id, session);
                }
                LIST => {
                    *input = &input[1..];
                    let id = u32::from_le_bytes(take(input)?);
                    head.builder.acl(id, take_bytes(input)?)?;
                }
                _ => {
                    head.builder.node(input)?;
                    head.nodes_seen += 1;
                }
            }
        }
        Some(())
    }

    pub fn finish(self) -> Result<State, Corrupt> {
        let complete = self.head.filter(|head| self.ended && head.complete());
        complete.and_then(Head::finish).ok_or(Corrupt("snapshot"))
    }
}

impl Head {
    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (version, last_zxid, last_time_ms) = first_fields(input)?;
        let slots = u32::from_le_bytes(take(input)?);
        let nodes = u32::from_le_bytes(take(input)?);
        let sessions_promised = u32::from_le_bytes(take(input)?);
        let mut sessions = BTreeMap::new();
        let in_head = if version == VERSION { 0 } else { sessions_promised };
        for _ in 0..in_head {
            let (id, session) = take_session(input)?;
            sessions.insert(id, session);
        }
        let cluster = ClusterMetadata::decode(take_bytes(input)?)?;
        let mut builder = Builder::new(slots, nodes as usize)?;
        let lists = if version == VERSION { 0 } else { u32::from_le_bytes(take(input)?) };
        for _ in 0..lists {
            let id = u32::from_le_bytes(take(input)?);
            builder.acl(id, take_bytes(input)?)?;
        }
        Some(Self {
            last_zxid,
            last_time_ms,
            sessions,
            cluster,
            builder,
            nodes,
            nodes_seen: 0,
            sessions_promised,
        })
    }

    fn complete(&self) -> bool {
        self.nodes == self.nodes_seen && self.sessions.len() == self.sessions_promised as usize
    }

    fn finish(self) -> Option<State> {
        let tree = self.builder.finish()?;
        Some(State {
            terms: super::members::Terms::default(),
            quotas: Quotas::rebuild(&tree),
            tree,
            sessions: self.sessions.into(),
            cluster: self.cluster,
            last_zxid: self.last_zxid,
            last_time_ms: self.last_time_ms,
            scratch: Scratch::default(),
            snapshot_head: None,
            digest: None,
        })
    }
}

/// Version, zxid and time of the last operation.
fn first_fields(input: &mut &[u8]) -> Option<(u32, i64, i64)> {
    let version = u32::from_le_bytes(take(input)?);
    let zxid = i64::from_le_bytes(take(input)?);
    match version {
        ONE_HEAD | VERSION => Some((version, zxid, i64::from_le_bytes(take(input)?))),
        TIMELESS => Some((version, zxid, 0)),
        _ => None,
    }
}

fn put_session(id: i64, session: Session, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&session.timeout_ms.to_le_bytes());
    out.push(session.origin);
}

fn take_session(input: &mut &[u8]) -> Option<(i64, Session)> {
    let id = i64::from_le_bytes(take(input)?);
    let timeout_ms = i32::from_le_bytes(take(input)?);
    let [origin] = take(input)?;
    Some((id, Session { timeout_ms, origin, password: PasswordRule::Keyed }))
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
