//! The trees of all servers are equal at equal log index.

use std::collections::BTreeMap;

use super::Verdict;

#[derive(Default)]
pub struct Digests {
    /// By applied index, damaged states apart: the first digest seen there, and on which server.
    seen: BTreeMap<(u64, bool), (u64, u8)>,
    pub compared: u64,
}

impl Digests {
    pub fn observe(&mut self, server: u8, index: u64, digest: u64, damaged: bool) -> Verdict {
        let &mut (first, by) = self.seen.entry((index, damaged)).or_insert((digest, server));
        if by != server {
            self.compared += 1;
        }
        if first == digest {
            return Ok(());
        }
        Err(format!(
            "at index {index} the state of server {server} has digest {digest:016x}, that of server {by} \
             had {first:016x}"
        ))
    }
}
