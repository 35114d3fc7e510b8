//! Side tables for the few znodes that are not persistent: who owns them, when they may go.

use super::node::{Kind, NodeId};
use foldhash::quality::FixedState;
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, BTreeSet};

type Nodes = HashSet<NodeId, FixedState>;

#[derive(Debug, Default)]
pub(super) struct Owners {
    session_of: HashMap<NodeId, i64, FixedState>,
    /// Sessions with at least one ephemeral.
    nodes_of: HashMap<i64, Nodes, FixedState>,
    ttl_ms: BTreeMap<NodeId, i64>,
    containers: BTreeSet<NodeId>,
}

impl Owners {
    pub(super) fn insert(&mut self, id: NodeId, kind: Kind) {
        match kind {
            Kind::Persistent => {}
            Kind::Ephemeral(session) => {
                self.session_of.insert(id, session);
                self.nodes_of.entry(session).or_default().insert(id);
            }
            Kind::Container => {
                self.containers.insert(id);
            }
            Kind::Ttl(ms) => {
                self.ttl_ms.insert(id, ms);
            }
        }
    }

    pub(super) fn remove(&mut self, id: NodeId, kind: Kind) {
        match kind {
            Kind::Persistent => {}
            Kind::Ephemeral(session) => {
                self.session_of.remove(&id);
                if let Some(nodes) = self.nodes_of.get_mut(&session) {
                    nodes.remove(&id);
                    if nodes.is_empty() {
                        self.nodes_of.remove(&session);
                    }
                }
            }
            Kind::Container => {
                self.containers.remove(&id);
            }
            Kind::Ttl(_) => {
                self.ttl_ms.remove(&id);
            }
        }
    }

    pub(super) fn session_of(&self, id: NodeId) -> i64 {
        self.session_of.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn ttl_ms(&self, id: NodeId) -> i64 {
        self.ttl_ms.get(&id).copied().unwrap_or(0)
    }

    /// In no particular order: sort before anything depends on it.
    pub(super) fn nodes_of(&self, session: i64) -> impl Iterator<Item = NodeId> {
        self.nodes_of.get(&session).into_iter().flatten().copied()
    }

    /// Sessions with ephemerals, in no particular order.
    pub(super) fn sessions(&self) -> impl Iterator<Item = i64> {
        self.nodes_of.keys().copied()
    }

    pub(super) fn ephemerals(&self) -> usize {
        self.session_of.len()
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = NodeId> {
        self.containers.iter().copied()
    }

    pub(super) fn ttls(&self) -> impl Iterator<Item = (NodeId, i64)> {
        self.ttl_ms.iter().map(|(id, ms)| (*id, *ms))
    }

    pub(super) fn container_from(&self, id: NodeId) -> Option<NodeId> {
        self.containers.range(id..).next().copied()
    }

    pub(super) fn ttl_from(&self, id: NodeId) -> Option<NodeId> {
        self.ttl_ms.range(id..).next().map(|(id, _)| *id)
    }
}
