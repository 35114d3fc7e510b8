//! Arbitrary bytes as files of Apache ZooKeeper's. Shared by the tests and the fuzzer; `whole` at the
//! root of both is the coordinator's library. No panic, and no more memory than bytes; what was
//! read is a tree.

use std::io::Read;
use std::path::Path;

use crate::whole::apache::log::Log;
use crate::whole::apache::replica::Replica;
use crate::whole::apache::{SnappyStream, snapshot, txn};
use crate::whole::tree::node::ROOT;

/// What one input may unpack to.
const UNPACKED_BYTES_MAX: u64 = 16 << 20;

/// The first byte says what the others are.
pub(crate) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let path = Path::new("arbitrary");
    let mut replica = Replica::default();
    match kind % 4 {
        0 => drop(snapshot::read(bytes, path, &mut replica)),
        1 => {
            let packed = SnappyStream::new(bytes).take(UNPACKED_BYTES_MAX);
            drop(snapshot::read(packed, path, &mut replica));
        }
        2 => {
            replica = Replica::founded().expect("it is made of nothing");
            let Ok(mut log) = Log::new(bytes, path) else { return };
            while let Ok(Some((_, bytes))) = log.next() {
                apply(&mut replica, bytes);
            }
        }
        _ => {
            // Txns without checksums: lengths in two bytes, so that a mutation reaches them.
            replica = Replica::founded().expect("it is made of nothing");
            let mut rest = bytes;
            while let Some((length, behind)) = rest.split_first_chunk::<2>() {
                let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
                let (txn, behind) = behind.split_at(length);
                apply(&mut replica, txn);
                rest = behind;
            }
        }
    }
    replica.delete_orphans(i64::MAX);
    let _ = replica.complete();
    let reached = replica.tree.walk(ROOT).count();
    assert_eq!(reached, replica.tree.len(), "every znode hangs below the root");
}

fn apply(replica: &mut Replica, bytes: &[u8]) {
    if let Ok((header, change, _)) = txn::decode(bytes) {
        let _ = replica.apply(&header, change);
    }
}
