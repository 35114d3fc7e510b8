//! Logs one behind the other: what may be missing at their ends, and what may not.

use std::fs;
use std::path::Path;

use adler2::adler32_slice;
use coordinator::apache::{Digests, Source, load, write};
use coordinator::state::State;
use coordinator::wire::jute::{put_int, put_long};

/// A txn that takes a zxid and changes nothing.
fn record(zxid: i64) -> Vec<u8> {
    let mut txn = Vec::new();
    put_long(&mut txn, 7);
    put_int(&mut txn, 1);
    put_long(&mut txn, zxid);
    put_long(&mut txn, 1000);
    put_int(&mut txn, -1);
    put_int(&mut txn, -101);
    let mut out = i64::from(adler32_slice(&txn)).to_be_bytes().to_vec();
    put_int(&mut out, txn.len() as i32);
    out.extend_from_slice(&txn);
    out.push(b'B');
    out
}

/// Writes `log.NAME` with these zxids; `torn` bytes of one more behind them.
fn log(inside: &Path, name: i64, zxids: &[i64], torn: usize) {
    let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    for zxid in zxids {
        bytes.extend_from_slice(&record(*zxid));
    }
    bytes.extend_from_slice(&record(99)[..torn]);
    bytes.resize(bytes.len() + 500, 0);
    fs::write(inside.join(format!("log.{name:x}")), bytes).unwrap();
}

/// Name, zxids, bytes of a torn one.
type LogFile<'a> = (i64, &'a [i64], usize);

/// The last zxid of an empty tree and these logs.
fn read(logs: &[LogFile<'_>]) -> Result<i64, String> {
    let directory = tempfile::tempdir().unwrap();
    write::write(&State::new(), directory.path(), 1).unwrap();
    for (name, zxids, torn) in logs {
        log(&directory.path().join("version-2"), *name, zxids, *torn);
    }
    let source = Source { data: directory.path().to_owned(), log: directory.path().to_owned() };
    load(&source, Digests::Binding).map(|loaded| loaded.last_zxid).map_err(|e| e.to_string())
}

#[test]
fn logs_follow_each_other() {
    const LATER: i64 = 0x2_0000_0001;
    assert_eq!(read(&[]), Ok(0));
    assert_eq!(read(&[(1, &[1, 2, 3], 0), (4, &[4, 5], 0)]), Ok(5));
    assert_eq!(read(&[(1, &[1, 2, 3], 20)]), Ok(3), "killed as it wrote");
    assert_eq!(read(&[(1, &[1, 2], 20), (3, &[3], 0)]), Ok(3), "and started again");
    assert_eq!(read(&[(1, &[1, 2], 0), (LATER, &[LATER], 0)]), Ok(LATER));
    assert_eq!(read(&[(1, &[1, 2, 2, 4], 0)]), Ok(4), "numbers that stand nowhere or twice");
}

#[test]
fn a_log_that_is_missing_or_in_disorder_is_refused() {
    for (logs, why) in [
        (&[(1, &[1, 2][..], 0), (4, &[4][..], 0)][..], "is missing"),
        (&[(1, &[1, 2], 20), (4, &[4], 0)], "is missing"),
        (&[(5, &[5], 0)], "is missing"),
        (&[(1, &[1, 3, 2], 0)], "stands behind"),
        (&[(1, &[2], 0)], "is not its name"),
    ] {
        let refused = read(logs).unwrap_err();
        assert!(refused.contains(why) && refused.contains("at offset"), "{refused}");
    }
}
