//! Cluster metadata: the ensemble's identity, each member's data directory, and the client table
//! of forwarded writes (how far each server's stream has been applied).
//!
//! It is replicated state. All servers hold the same metadata at the same log index, so they all
//! decide alike whether a write has been applied before.

use super::members::Membership;
use crate::bytes::take;
use std::collections::BTreeMap;

/// From this feature level on lists of ACLs may name `sasl` and `x509` users, and sessions have
/// passwords by Apache ZooKeeper's rule.
pub const PRINCIPALS: u16 = 1;
/// From this one on a session with many ephemerals ends in parts.
pub const PARTED_ENDS: u16 = 2;

/// The ensemble and its members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// Names this ensemble; 0 until the first leader has founded it.
    pub cluster_id: u128,
    /// Key of the session passwords; never leaves the servers.
    pub secret: [u8; 32],
    /// The feature level of the ensemble: what every member understands.
    pub level: u16,
    /// Who the members are, once the ensemble itself decides that (`reconfigEnabled`).
    pub membership: Option<Membership>,
    /// Per server that has ever forwarded a write: how far its stream has been applied.
    origins: BTreeMap<u8, Origin>,
    /// Per member: the random name of the data directory that holds its votes and its log.
    incarnations: BTreeMap<u8, u128>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin {
    /// Names one run of the server's process: a restarted server starts a new stream.
    boot: u64,
    /// Last sequence number applied of that stream; the first write has number 1.
    last_sequence: u64,
}

/// What becomes of a forwarded write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The next one of its stream.
    Apply,
    /// Applied before: it was sent again after a change of leader.
    Duplicate,
    /// An earlier one is missing: its server sends both again.
    Gap,
    /// From a run of the server that has ended.
    Stale,
}

impl ClusterMetadata {
    /// A server announces a new run: its stream of writes begins anew.
    pub fn register(&mut self, origin: u8, boot: u64) {
        match self.origins.get(&origin) {
            Some(known) if known.boot == boot => {}
            _ => {
                self.origins.insert(origin, Origin { boot, last_sequence: 0 });
            }
        }
    }

    /// The run of `origin` that may write now.
    pub fn boot(&self, origin: u8) -> Option<u64> {
        self.origins.get(&origin).map(|o| o.boot)
    }

    /// Last applied sequence number of the running stream of `origin`.
    pub fn last_sequence(&self, origin: u8) -> u64 {
        self.origins.get(&origin).map_or(0, |o| o.last_sequence)
    }

    /// Decides one write and, when it is to be applied, counts it.
    pub fn admit(&mut self, origin: u8, boot: u64, sequence: u64) -> Admission {
        let Some(known) = self.origins.get_mut(&origin).filter(|o| o.boot == boot) else {
            return Admission::Stale;
        };
        if sequence <= known.last_sequence {
            return Admission::Duplicate;
        }
        if sequence > known.last_sequence + 1 {
            return Admission::Gap;
        }
        known.last_sequence = sequence;
        Admission::Apply
    }

    /// The data directory known for member `id`.
    pub fn incarnation(&self, id: u8) -> Option<u128> {
        self.incarnations.get(&id).copied()
    }

    /// All known data directories, by member.
    pub fn incarnations(&self) -> impl Iterator<Item = (u8, u128)> + '_ {
        self.incarnations.iter().map(|(&id, &incarnation)| (id, incarnation))
    }

    /// Member `id` lives in this data directory from now on.
    pub fn set_incarnation(&mut self, id: u8, incarnation: u128) {
        self.incarnations.insert(id, incarnation);
    }

    /// Member `id` has left the ensemble.
    pub fn forget_member(&mut self, id: u8) {
        self.incarnations.remove(&id);
    }

    /// Appends the cluster metadata as it stands in snapshots (little-endian, fixed layout).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster_id.to_le_bytes());
        out.extend_from_slice(&self.secret);
        out.push(self.origins.len() as u8);
        for (&id, origin) in &self.origins {
            out.push(id);
            out.extend_from_slice(&origin.boot.to_le_bytes());
            out.extend_from_slice(&origin.last_sequence.to_le_bytes());
        }
        out.push(self.incarnations.len() as u8);
        for (&id, incarnation) in &self.incarnations {
            out.push(id);
            out.extend_from_slice(&incarnation.to_le_bytes());
        }
        // Level 0 is written as releases before the levels did.
        if self.level > 0 {
            out.extend_from_slice(&self.level.to_le_bytes());
            if let Some(membership) = &self.membership {
                membership.encode(out);
            }
        }
    }

    /// Reads what [`ClusterMetadata::encode`] wrote; `None` when the bytes are not a cluster metadata.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let mut cluster = ClusterMetadata {
            cluster_id: u128::from_le_bytes(take(input)?),
            secret: take(input)?,
            ..ClusterMetadata::default()
        };
        let [origins] = take(input)?;
        for _ in 0..origins {
            let [id] = take(input)?;
            let boot = u64::from_le_bytes(take(input)?);
            let last_sequence = u64::from_le_bytes(take(input)?);
            cluster.origins.insert(id, Origin { boot, last_sequence });
        }
        let [incarnations] = take(input)?;
        for _ in 0..incarnations {
            let [id] = take(input)?;
            cluster.incarnations.insert(id, u128::from_le_bytes(take(input)?));
        }
        if !input.is_empty() {
            cluster.level = u16::from_le_bytes(take(input)?);
        }
        if !input.is_empty() {
            cluster.membership = Some(Membership::decode(input)?);
        }
        input.is_empty().then_some(cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_applied_once_and_in_order() {
        let mut cluster = ClusterMetadata::default();
        assert_eq!(cluster.admit(1, 7, 1), Admission::Stale);
        cluster.register(1, 7);
        assert_eq!(cluster.admit(1, 7, 1), Admission::Apply);
        assert_eq!(cluster.admit(1, 7, 3), Admission::Gap);
        assert_eq!(cluster.admit(1, 7, 1), Admission::Duplicate);
        assert_eq!(cluster.admit(1, 7, 2), Admission::Apply);
        cluster.register(1, 7);
        assert_eq!(cluster.last_sequence(1), 2, "announcing a run twice keeps its stream");
        cluster.register(1, 8);
        assert_eq!(cluster.admit(1, 7, 3), Admission::Stale);
        assert_eq!(cluster.admit(1, 8, 1), Admission::Apply);
    }

    #[test]
    fn encoding_keeps_everything() {
        let mut cluster =
            ClusterMetadata { cluster_id: 5, secret: [9; 32], ..ClusterMetadata::default() };
        cluster.register(3, 1);
        cluster.admit(3, 1, 1);
        cluster.set_incarnation(2, 77);
        for level in [0, 3] {
            cluster.level = level;
            let mut bytes = Vec::new();
            cluster.encode(&mut bytes);
            assert_eq!(ClusterMetadata::decode(&bytes), Some(cluster.clone()));
            bytes.push(0);
            assert_eq!(ClusterMetadata::decode(&bytes), None);
        }
    }
}
