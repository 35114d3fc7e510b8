//! A snapshot as Apache ZooKeeper writes it, with the seals of 3.6 to 3.8, which every release from
//! 3.4 to 3.9 reads: older ones stop behind the first seal, newer ones miss nothing.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use adler2::Adler32;
use hashbrown::HashMap;

use super::digest;
use super::directory::version_2;
use super::replica::stored_stat;
use crate::state::State;
use crate::tree::acl::{AclId, OPEN};
use crate::tree::node::ROOT;
use crate::wire::jute::{put_buffer, put_int, put_long, put_string};

const BUFFER_BYTES: usize = 256 << 10;

/// What was written.
#[derive(Debug)]
pub struct Written {
    pub snapshot: PathBuf,
    pub bytes: u64,
    /// See [`digest`].
    pub digest: u64,
}

/// Bytes on their way into a file, with the sum over all of them.
struct Summed<W> {
    inner: W,
    sum: Adler32,
    bytes: u64,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.write_slice(bytes);
        self.bytes += bytes.len() as u64;
        self.inner.write_all(bytes)
    }

    fn seal(&mut self) -> io::Result<()> {
        let mut seal = i64::from(self.sum.checksum()).to_be_bytes().to_vec();
        put_string(&mut seal, "/");
        self.put(&seal)
    }
}

/// Makes `version-2` below `directory`, which must not be there yet: the state as a snapshot, and
/// `epoch` as the one that was led in. The snapshot gets its name last.
pub fn write(state: &State, directory: &Path, epoch: u32) -> io::Result<Written> {
    let inside = version_2(directory);
    fs::create_dir_all(directory)?;
    fs::create_dir(&inside)?;
    for name in ["currentEpoch", "acceptedEpoch"] {
        let mut file = File::create_new(inside.join(name))?;
        file.write_all(format!("{epoch}\n").as_bytes())?;
        file.sync_all()?;
    }
    let snapshot = inside.join(format!("snapshot.{:x}", state.last_zxid()));
    // As the name of no snapshot, and of nothing that Apache ZooKeeper would read.
    let partial = inside.join("snapshot.tmp");
    let file = File::create_new(&partial)?;
    let buffered = BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut out = Summed { inner: buffered, sum: Adler32::new(), bytes: 0 };
    let digest = contents(state, &mut out)?;
    out.inner.flush()?;
    out.inner.get_ref().sync_all()?;
    fs::rename(&partial, &snapshot)?;
    for directory in [inside.as_path(), directory] {
        File::open(directory)?.sync_all()?;
    }
    Ok(Written { snapshot, bytes: out.bytes, digest })
}

/// All of the file; the digest in it.
fn contents<W: Write>(state: &State, out: &mut Summed<W>) -> io::Result<u64> {
    let tree = state.tree();
    let mut record = b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    put_int(&mut record, count(state.session_count())?);
    out.put(&record)?;
    for (id, session) in state.sessions() {
        record.clear();
        put_long(&mut record, id);
        put_int(&mut record, session.timeout_ms);
        out.put(&record)?;
    }
    // Numbers of lists begin with 1 there, and the open list has none.
    let mut keys: HashMap<AclId, i64, foldhash::quality::FixedState> =
        HashMap::from_iter([(OPEN, -1)]);
    out.put(&count(tree.acls.used().count())?.to_be_bytes())?;
    for (key, (id, list)) in (1i64..).zip(tree.acls.used()) {
        keys.insert(id, key);
        out.put(&key.to_be_bytes())?;
        out.put(list)?;
    }
    let mut sum = 0u64;
    // The path of the znode the walk is at, and the lengths of those above.
    let mut path = String::new();
    let mut ends = Vec::new();
    for (id, depth) in tree.walk(ROOT) {
        ends.truncate(depth);
        path.truncate(ends.last().copied().unwrap_or(0));
        if id != ROOT {
            path.push('/');
            path.push_str(&String::from_utf8_lossy(tree.name(id)));
        }
        ends.push(path.len());
        let (stat, data) = (stored_stat(tree, id), tree.data(id));
        sum = sum.wrapping_add(digest::of_node(&path, data, &stat));
        record.clear();
        put_string(&mut record, &path);
        put_buffer(&mut record, data);
        put_long(&mut record, keys[&tree.acl(id)]);
        put_long(&mut record, stat.czxid);
        put_long(&mut record, stat.mzxid);
        put_long(&mut record, stat.ctime_ms);
        put_long(&mut record, stat.mtime_ms);
        put_int(&mut record, stat.version);
        put_int(&mut record, stat.cversion);
        put_int(&mut record, stat.aversion);
        put_long(&mut record, stat.owner);
        put_long(&mut record, stat.pzxid);
        out.put(&record)?;
    }
    record.clear();
    put_string(&mut record, "/");
    out.put(&record)?;
    out.seal()?;
    record.clear();
    put_long(&mut record, state.last_zxid());
    put_int(&mut record, digest::VERSION);
    put_long(&mut record, sum as i64);
    out.put(&record)?;
    out.seal()?;
    Ok(sum)
}

fn count(count: usize) -> io::Result<i32> {
    i32::try_from(count).map_err(|_| io::Error::other(format!("{count} are too many")))
}
