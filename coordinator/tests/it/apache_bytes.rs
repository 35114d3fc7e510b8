//! Arbitrary bytes as files of Apache ZooKeeper's. Shared by the tests and the fuzzer; `whole` at the
//! root of both is the coordinator's library. No panic, and no more memory than bytes; what was
//! read is a tree.

use std::io::Read;
use std::path::Path;

use crate::whole::apache::log::Log;
use crate::whole::apache::replica::Replica;
use crate::whole::apache::{SnappyStream, snapshot, txn};
use crate::whole::random::Seeded;
use crate::whole::tree::node::ROOT;
use crate::whole::wire::acl::{Acl, put_acls};
use crate::whole::wire::jute::{put_bool, put_buffer, put_int, put_long, put_string};

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

const PATHS: [&str; 8] = ["/a", "/a/b", "/a/b/c", "/", "", "//", "/a/", "/zookeeper/config"];
const KINDS: [i32; 16] = [1, 2, 5, 7, 13, 14, 15, 16, 19, 20, 21, -10, -11, -1, 0, 99];

/// The first bytes of each kind of file, behind the byte that says which.
pub(crate) const HEADS: [(u8, &[u8]); 3] = [
    (0, b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0"),
    (1, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"),
    (2, b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0"),
];

/// An input of txns, mostly well formed.
pub(crate) fn txns(random: &mut Seeded) -> Vec<u8> {
    let mut input = vec![3];
    for zxid in 0..random.below(40) {
        let txn = txn(random, zxid as i64);
        input.extend_from_slice(&(txn.len() as u16).to_le_bytes());
        input.extend_from_slice(&txn);
    }
    input
}

/// One txn, mostly well formed.
fn txn(random: &mut Seeded, zxid: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_long(&mut out, 1 + random.below(3) as i64);
    put_int(&mut out, 1);
    put_long(&mut out, zxid);
    put_long(&mut out, 1000);
    let kind = KINDS[random.below(KINDS.len() as u64) as usize];
    put_int(&mut out, kind);
    record(random, kind, &mut out);
    if random.below(4) == 0 && !out.is_empty() {
        let at = random.below(out.len() as u64) as usize;
        out[at] = random.next_u64() as u8;
    }
    if random.below(10) == 0 {
        out.truncate(random.below(out.len() as u64) as usize);
    }
    out
}

fn record(random: &mut Seeded, kind: i32, out: &mut Vec<u8>) {
    let path = PATHS[random.below(PATHS.len() as u64) as usize];
    match kind {
        1 | 15 | 19 | 21 => {
            put_string(out, path);
            put_buffer(out, (random.below(2) == 0).then_some(b"data"));
            put_acls(out, [Acl::OPEN].into_iter());
            if kind < 19 {
                put_bool(out, random.below(2) == 0);
            }
            put_int(out, random.below(5) as i32 - 1);
            if kind == 21 {
                put_long(out, random.next_u64() as i64);
            }
        }
        2 | 20 => put_string(out, path),
        5 | 16 => {
            put_string(out, path);
            put_buffer(out, Some(b"changed"));
            put_int(out, 3);
        }
        7 => {
            put_string(out, path);
            put_acls(out, std::iter::empty());
            put_int(out, 2);
        }
        14 => {
            let parts = random.below(4);
            put_int(out, parts as i32);
            for _ in 0..parts {
                let kind = KINDS[random.below(KINDS.len() as u64) as usize];
                let mut part = Vec::new();
                if kind != 14 {
                    record(random, kind, &mut part);
                }
                put_int(out, kind);
                put_buffer(out, Some(&part));
            }
        }
        -11 => {
            put_int(out, 1);
            put_string(out, path);
        }
        _ => put_int(out, 4000),
    }
}
