//! The digest by which servers of Apache ZooKeeper since 3.6 know that their trees are equal
//! (`DigestCalculator`, version 2): a sum over znodes, so that it moves with each change.

use super::snapshot::StoredStat;

/// The only version that any release has written.
pub const VERSION: i32 = 2;

/// One znode's share. What servers change on their own, below `/zookeeper`, has none.
pub fn of_node(path: &str, data: Option<&[u8]>, stat: &StoredStat) -> u64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut fields = [0; 60];
    fields[0..8].copy_from_slice(&stat.czxid.to_be_bytes());
    fields[8..16].copy_from_slice(&stat.mzxid.to_be_bytes());
    fields[16..24].copy_from_slice(&stat.pzxid.to_be_bytes());
    fields[24..32].copy_from_slice(&stat.ctime_ms.to_be_bytes());
    fields[32..40].copy_from_slice(&stat.mtime_ms.to_be_bytes());
    fields[40..44].copy_from_slice(&stat.version.to_be_bytes());
    fields[44..48].copy_from_slice(&stat.cversion.to_be_bytes());
    fields[48..52].copy_from_slice(&stat.aversion.to_be_bytes());
    fields[52..60].copy_from_slice(&stat.owner.to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data.unwrap_or_default());
    crc.update(&fields);
    u64::from(crc.finalize())
}
