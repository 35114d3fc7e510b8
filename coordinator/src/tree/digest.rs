//! Hashes of znodes, alike on every server and architecture, and their sum over the tree.
//!
//! Znodes are hashed one by one and summed, so neither slots nor the order of siblings matter.

use super::Tree;
use super::moment::Moment;
use super::node::{Kind, NodeId, ROOT, flag};

/// A step ends after this many bytes of data, besides the slots that it may look at.
const STEP_BYTES: usize = 256 << 10;

/// An unkeyed 64-bit hash that is ours, so that no library's update changes digests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix(pub u64);

impl Mix {
    pub(crate) fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((mixed ^ (mixed >> 29)).rotate_left(17))
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let mix = chunks.iter().fold(self, |mix, chunk| mix.word(u64::from_le_bytes(*chunk)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix.word(u64::from_le_bytes(last)).word(bytes.len() as u64)
    }

    pub(crate) fn finish(self) -> u64 {
        let h = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 32)
    }
}

/// What a path begins with.
const PATH: Mix = Mix(2);

/// The sum of all znodes of a moment, in the making.
#[derive(Debug)]
pub(super) struct DigestSweep {
    moment: Moment,
    sum: u64,
}

impl DigestSweep {
    /// Born after the moment, whatever slot it has.
    pub(super) fn born(&mut self, id: NodeId) {
        self.moment.first_visit(id);
    }
}

impl Tree {
    /// The sum over all znodes as they are now.
    pub(crate) fn digest(&self) -> u64 {
        let mut sum: u64 = 0;
        self.with_path_hashes(PATH, |id, path| sum = sum.wrapping_add(self.hash(id, path)));
        sum
    }

    /// Calls `each` with every znode and the hash of its path, parents first.
    pub(crate) fn with_path_hashes(&self, seed: Mix, mut each: impl FnMut(NodeId, Mix)) {
        // Hashes of the paths from the root to the znode the walk is at.
        let mut above = Vec::new();
        for (id, depth) in self.walk(ROOT) {
            above.truncate(depth);
            let path = above.last().copied().unwrap_or(seed).bytes(self.name(id));
            above.push(path);
            each(id, path);
        }
    }

    /// Begins the sum over all znodes as they are now, for [`Tree::digest_step`] to go on with while
    /// they change. One that is in the making is given up.
    pub fn digest_begin(&mut self) {
        let moment = Moment::new(self.nodes.used());
        self.digest_sweep = Some(Box::new(DigestSweep { moment, sum: 0 }));
    }

    pub fn digest_abort(&mut self) {
        self.digest_sweep = None;
    }

    /// Looks at up to so many slots, fewer where they hold much. The sum when it is complete.
    pub fn digest_step(&mut self, mut slots: usize) -> Option<u64> {
        let mut sweep = self.digest_sweep.take()?;
        let mut bytes = 0;
        while bytes < STEP_BYTES
            && let Some(id) = sweep.moment.next(&mut slots)
        {
            if self.nodes[id].has(flag::LIVE) {
                bytes += self.data_len(id);
                sweep.sum = sweep.sum.wrapping_add(self.hash_alone(id));
            }
        }
        if sweep.moment.is_over() {
            return Some(sweep.sum);
        }
        self.digest_sweep = Some(sweep);
        None
    }

    /// To be called before a znode changes that a sum in the making covers.
    pub(super) fn digest_touch(&mut self, id: NodeId) {
        let Some(mut sweep) = self.digest_sweep.take() else { return };
        if sweep.moment.first_visit(id) {
            sweep.sum = sweep.sum.wrapping_add(self.hash_alone(id));
        }
        self.digest_sweep = Some(sweep);
    }

    fn hash_alone(&self, id: NodeId) -> u64 {
        self.hash(id, self.path_hash(id))
    }

    fn path_hash(&self, id: NodeId) -> Mix {
        let above = if id == ROOT { PATH } else { self.path_hash_above(id) };
        above.bytes(self.name(id))
    }

    /// Of the parent. A path may have as many names as a request has room for: no recursion.
    fn path_hash_above(&self, id: NodeId) -> Mix {
        const FEW: usize = 16;
        let mut few = [ROOT; FEW];
        let mut many = Vec::new();
        let mut count = 0;
        let mut at = id;
        while at != ROOT {
            at = self.parent(at);
            match few.get_mut(count) {
                Some(place) => *place = at,
                None => many.push(at),
            }
            count += 1;
        }
        let above = many.iter().rev().chain(few[..count.min(FEW)].iter().rev());
        above.fold(PATH, |mix, id| mix.bytes(self.name(*id)))
    }

    fn hash(&self, id: NodeId, path: Mix) -> u64 {
        let fields = self.fields(id);
        self.content_hash(id, path).word(fields.pzxid as u64).word(fields.cversion as u64).finish()
    }

    /// All of a znode but what its children change.
    pub(crate) fn content_hash(&self, id: NodeId, path: Mix) -> Mix {
        let fields = self.fields(id);
        let (kind, owner) = match self.kind(id) {
            Kind::Persistent => (0, 0),
            Kind::Ephemeral(session) => (1, session),
            Kind::Container => (2, 0),
            Kind::Ttl(ms) => (3, ms),
        };
        let data = self.data(id);
        path.word(fields.czxid as u64)
            .word(fields.mzxid as u64)
            .word(fields.ctime_ms as u64)
            .word(fields.mtime_ms as u64)
            .word(fields.version as u64)
            .word(fields.aversion as u64)
            .word(kind)
            .word(owner as u64)
            .bytes(self.acls.bytes(self.acl(id)))
            .word(data.is_some().into())
            .bytes(data.unwrap_or_default())
    }
}
