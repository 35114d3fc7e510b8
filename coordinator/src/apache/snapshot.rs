//! A snapshot file: sessions, ACL lists, znodes, and what newer releases put behind them.
//!
//! The layout is that of `FileSnap` and `DataTree.serialize`, releases 3.4 to 3.9. Everything up to
//! a seal is covered by its checksum, so what is read before it counts only once it was read.

use std::io::Read;

use super::error::ReadError;
use super::input::Input;

const MAGIC: i32 = 0x5a4b_534e; // ZKSN
const VERSION: i32 = 2;
/// czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, pzxid.
const STAT_BYTES: usize = 60;

/// Who takes what a snapshot holds, in its order.
pub trait Visitor {
    fn session(&mut self, id: i64, timeout_ms: i32) -> Result<(), String>;
    /// `list` is a `vector<ACL>` whose lengths are right.
    fn acl(&mut self, key: i64, list: &[u8]) -> Result<(), String>;
    fn node(&mut self, node: &Node<'_>) -> Result<(), String>;
}

/// A znode as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Empty for the root.
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    /// −1 is the open list, which is in no table.
    pub acl: i64,
    pub stat: StoredStat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredStat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    /// Creations counted.
    pub cversion: i32,
    pub aversion: i32,
    /// A session, or one of the marks of [`super::owner`].
    pub owner: i64,
    pub pzxid: i64,
}

/// What stands behind the first seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Digest of the tree after this zxid: where the snapshot's fuzziness ends. Since 3.6.
    pub digest: Option<TreeDigest>,
    /// Since 3.9.
    pub last_zxid: Option<i64>,
    /// Of the file as it is unpacked.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeDigest {
    pub zxid: i64,
    pub version: i32,
    pub digest: u64,
}

/// Reads all of it; the end is checked too.
pub fn read<R: Read>(
    inner: R,
    path: &std::path::Path,
    to: &mut impl Visitor,
) -> Result<Tail, ReadError> {
    let mut input = Input::summing(inner, path);
    input.need(16)?;
    if input.int_at(0) != MAGIC {
        return Err(input.damage("this is no snapshot of ZooKeeper's"));
    }
    if input.int_at(4) != VERSION {
        return Err(input.damage(format!("version {} of the format", input.int_at(4))));
    }
    input.take(16);
    for _ in 0..count(&mut input)? {
        input.need(12)?;
        to.session(input.long_at(0), input.int_at(8)).map_err(|what| input.damage(what))?;
        input.take(12);
    }
    for _ in 0..count(&mut input)? {
        input.need(12)?;
        let key = input.long_at(0);
        input.take(8);
        let length = acl_list_length(&mut input)?;
        to.acl(key, &input.ahead()[..length]).map_err(|what| input.damage(what))?;
        input.take(length);
    }
    while node(&mut input, to)? {}
    seal(&mut input)?;
    let mut tail = Tail::default();
    if input.holds(1)? {
        let (zxid, version, digest) = (input.long()?, input.int()?, input.long()? as u64);
        tail.digest = (zxid != 0).then_some(TreeDigest { zxid, version, digest });
        seal(&mut input)?;
    }
    if input.holds(1)? {
        tail.last_zxid = Some(input.long()?);
        seal(&mut input)?;
    }
    if input.holds(1)? {
        return Err(input.damage("there is more than this format has"));
    }
    tail.bytes = input.offset();
    Ok(tail)
}

/// Of sessions or lists.
fn count<R: Read>(input: &mut Input<R>) -> Result<i32, ReadError> {
    input.need(4)?;
    let count = input.int_at(0);
    if count < 0 {
        return Err(input.damage(format!("a count of {count}")));
    }
    input.take(4);
    Ok(count)
}

/// Bytes of the `vector<ACL>` ahead, which has then arrived.
fn acl_list_length<R: Read>(input: &mut Input<R>) -> Result<usize, ReadError> {
    input.need(4)?;
    let entries = input.int_at(0);
    if entries < -1 {
        return Err(input.damage(format!("a count of {entries}")));
    }
    let mut length = 4;
    for _ in 0..entries {
        length += 4;
        for _ in 0..2 {
            input.need(length + 4)?;
            length += 4 + input.length_at(length)?.unwrap_or(0);
        }
    }
    input.need(length)?;
    Ok(length)
}

/// The next znode; false at the mark behind the last one.
fn node<R: Read>(input: &mut Input<R>, to: &mut impl Visitor) -> Result<bool, ReadError> {
    input.need(5)?;
    let path_bytes = input.length_at(0)?.ok_or_else(|| input.damage("a path that is null"))?;
    if path_bytes == 1 && input.ahead()[4] == b'/' {
        input.take(5);
        return Ok(false);
    }
    let data_at = 4 + path_bytes;
    input.need(data_at + 4)?;
    let data_bytes = input.length_at(data_at)?;
    let acl_at = data_at + 4 + data_bytes.unwrap_or(0);
    let length = acl_at + 8 + STAT_BYTES;
    input.need(length)?;
    let stat_at = acl_at + 8;
    let stat = StoredStat {
        czxid: input.long_at(stat_at),
        mzxid: input.long_at(stat_at + 8),
        ctime_ms: input.long_at(stat_at + 16),
        mtime_ms: input.long_at(stat_at + 24),
        version: input.int_at(stat_at + 32),
        cversion: input.int_at(stat_at + 36),
        aversion: input.int_at(stat_at + 40),
        owner: input.long_at(stat_at + 44),
        pzxid: input.long_at(stat_at + 52),
    };
    let bytes = input.ahead();
    let path = std::str::from_utf8(&bytes[4..data_at])
        .map_err(|_| input.damage("a path that is not UTF-8"))?;
    let data = data_bytes.map(|count| &bytes[data_at + 4..data_at + 4 + count]);
    let node = Node { path, data, acl: input.long_at(acl_at), stat };
    to.node(&node).map_err(|what| input.damage(what))?;
    input.take(length);
    Ok(true)
}

/// The checksum of everything before it, and a mark.
fn seal<R: Read>(input: &mut Input<R>) -> Result<(), ReadError> {
    let sum = i64::from(input.checksum());
    input.need(13)?;
    if input.long_at(0) != sum {
        return Err(input.damage("the checksum is not that of what stands before it"));
    }
    if &input.ahead()[8..13] != b"\0\0\0\x01/" {
        return Err(input.damage("no `/` behind the checksum"));
    }
    input.take(13);
    Ok(())
}
