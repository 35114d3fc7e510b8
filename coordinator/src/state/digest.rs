//! A hash of all that the state means, alike on every server and architecture.
//!
//! Znodes are hashed one by one and summed, so neither slots nor the order of siblings matter.

use super::State;
use crate::tree::Tree;
use crate::tree::node::{Kind, NodeId, ROOT};

/// An unkeyed 64-bit hash that is ours, so that no library's update changes digests.
#[derive(Clone, Copy)]
struct Mix(u64);

impl Mix {
    fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((mixed ^ (mixed >> 29)).rotate_left(17))
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let mix = chunks.iter().fold(self, |mix, chunk| mix.word(u64::from_le_bytes(*chunk)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix.word(u64::from_le_bytes(last)).word(bytes.len() as u64)
    }

    fn finish(self) -> u64 {
        let h = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 32)
    }
}

impl State {
    /// Over znodes, ACLs, sessions, cluster metadata and the last zxid.
    pub fn digest(&self) -> u64 {
        let mut mix = Mix(1).word(self.last_zxid as u64);
        for (id, session) in self.sessions() {
            let origin = u64::from(session.origin) | (session.password as u64) << 8;
            mix = mix.word(id as u64).word(session.timeout_ms as u64).word(origin);
        }
        let mut cluster = Vec::new();
        self.cluster.encode(&mut cluster);
        mix.bytes(&cluster).word(tree(&self.tree)).finish()
    }

    /// Over what clients have stored for good: znodes that are not ephemeral, outside
    /// `/zookeeper/config`. The ends of sessions leave it as it is, so cversion and pzxid are out.
    pub fn content_digest(&self) -> u64 {
        let mut above = Vec::new();
        let mut sum: u64 = 0;
        let config = self.tree.find("/zookeeper/config");
        for (id, depth) in self.tree.walk(ROOT) {
            above.truncate(depth);
            let path = above.last().copied().unwrap_or(Mix(3)).bytes(self.tree.name(id));
            above.push(path);
            if Some(id) == config || matches!(self.tree.kind(id), Kind::Ephemeral(_)) {
                continue;
            }
            sum = sum.wrapping_add(content(&self.tree, id, path).finish());
        }
        sum
    }
}

fn tree(tree: &Tree) -> u64 {
    // Hashes of the paths from the root to the znode the walk is at.
    let mut above = Vec::new();
    let mut sum: u64 = 0;
    for (id, depth) in tree.walk(ROOT) {
        above.truncate(depth);
        let path = above.last().copied().unwrap_or(Mix(2)).bytes(tree.name(id));
        above.push(path);
        sum = sum.wrapping_add(node(tree, id, path).finish());
    }
    sum
}

fn node(tree: &Tree, id: NodeId, path: Mix) -> Mix {
    let fields = tree.fields(id);
    content(tree, id, path).word(fields.pzxid as u64).word(fields.cversion as u64)
}

/// All of a znode but what its children change.
fn content(tree: &Tree, id: NodeId, path: Mix) -> Mix {
    let fields = tree.fields(id);
    let (kind, owner) = match tree.kind(id) {
        Kind::Persistent => (0, 0),
        Kind::Ephemeral(session) => (1, session),
        Kind::Container => (2, 0),
        Kind::Ttl(ms) => (3, ms),
    };
    let data = tree.data(id);
    path.word(fields.czxid as u64)
        .word(fields.mzxid as u64)
        .word(fields.ctime_ms as u64)
        .word(fields.mtime_ms as u64)
        .word(fields.version as u64)
        .word(fields.aversion as u64)
        .word(kind)
        .word(owner as u64)
        .bytes(tree.acls.bytes(tree.acl(id)))
        .word(data.is_some().into())
        .bytes(data.unwrap_or_default())
}
