//! The inputs of `apache_bytes` from fixed seeds: what the fuzzer does, bounded.

use coordinator::random::Seeded;
use coordinator::wire::acl::{Acl, put_acls};
use coordinator::wire::jute::{put_bool, put_buffer, put_int, put_long, put_string};

use crate::apache_bytes;

const PATHS: [&str; 8] = ["/a", "/a/b", "/a/b/c", "/", "", "//", "/a/", "/zookeeper/config"];
const KINDS: [i32; 16] = [1, 2, 5, 7, 13, 14, 15, 16, 19, 20, 21, -10, -11, -1, 0, 99];

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

#[test]
fn random_txns_and_random_bytes() {
    let mut random = Seeded::new(3);
    for _ in 0..1500 {
        let mut input = vec![3];
        for zxid in 0..random.below(40) {
            let txn = txn(&mut random, zxid as i64);
            input.extend_from_slice(&(txn.len() as u16).to_le_bytes());
            input.extend_from_slice(&txn);
        }
        apache_bytes::run(&input);
        let length = random.below(200) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8 & 0x0f).collect();
        for (kind, head) in [
            (0, &b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0"[..]),
            (1, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"),
            (2, b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0"),
        ] {
            apache_bytes::run(&[&[kind], head, &bytes].concat());
            apache_bytes::run(&[&[kind], &bytes[..]].concat());
        }
    }
}
