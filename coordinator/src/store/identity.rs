//! Whose data directory this is: one small text file, created once, replaced atomically.

use super::FORMAT_VERSION;
use super::disk::{Disk, DiskFile, read_all};
use super::error::StoreError;

const NAME: &str = "identity";
const MAKING: &str = "identity.tmp";
const TITLE: &str = "coordinator data";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub myid: u8,
    /// 0 until the member has joined or founded an ensemble.
    pub cluster_id: u128,
    /// Random, drawn when the directory was first used: a wiped directory gets another one.
    pub incarnation: u128,
}

impl Identity {
    /// The identity on disk; a new one with `incarnation` when there is none. Another member's
    /// directory is refused.
    pub fn open_or_create<D: Disk>(
        disk: &D,
        myid: u8,
        incarnation: u128,
    ) -> Result<Identity, StoreError> {
        let Some(found) = Identity::read(disk)? else {
            let identity = Identity { myid, cluster_id: 0, incarnation };
            identity.write(disk)?;
            return Ok(identity);
        };
        if found.myid != myid {
            let what = format!(
                "the data directory belongs to member {}, but `myid` says {myid}: point `dataDir` \
                 at this member's own directory, or an empty one",
                found.myid
            );
            return Err(StoreError::Identity { path: disk.path(NAME), what });
        }
        Ok(found)
    }

    /// Records the ensemble, once known.
    pub fn join<D: Disk>(&mut self, disk: &D, cluster_id: u128) -> Result<(), StoreError> {
        if self.cluster_id == cluster_id {
            return Ok(());
        }
        if self.cluster_id != 0 {
            let what = format!(
                "the data directory belongs to ensemble {:032x}, not to {cluster_id:032x}",
                self.cluster_id
            );
            return Err(StoreError::Identity { path: disk.path(NAME), what });
        }
        let joined = Identity { cluster_id, ..*self };
        joined.write(disk)?;
        *self = joined;
        Ok(())
    }

    /// `None` in a directory that has none.
    pub fn read<D: Disk>(disk: &D) -> Result<Option<Identity>, StoreError> {
        let bytes = match disk.open(NAME).and_then(|file| read_all(&file)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("reading", disk, NAME, e)),
        };
        if let Some(found) = version_of(&bytes)
            && found != FORMAT_VERSION
        {
            return Err(StoreError::Version { path: disk.path(NAME), found });
        }
        match Identity::decode(&bytes) {
            Some(identity) => Ok(Some(identity)),
            None => Err(StoreError::damage(disk, NAME, 0, "it does not read as an identity")),
        }
    }

    /// Puts it in place of whatever was there.
    pub fn write<D: Disk>(&self, disk: &D) -> Result<(), StoreError> {
        let written = disk.create(MAKING).and_then(|mut file| {
            file.write_at(self.encode().as_bytes(), 0)?;
            file.sync_data()?;
            disk.rename(MAKING, NAME)?;
            disk.sync_dir()
        });
        written.map_err(|e| StoreError::io("writing", disk, NAME, e))
    }

    fn encode(&self) -> String {
        let body = format!(
            "{TITLE}\nversion {FORMAT_VERSION}\nmyid {}\ncluster {:032x}\nincarnation {:032x}\n",
            self.myid, self.cluster_id, self.incarnation
        );
        let checksum = crc32fast::hash(body.as_bytes());
        format!("{body}checksum {checksum:08x}\n")
    }

    fn decode(bytes: &[u8]) -> Option<Identity> {
        let text = str::from_utf8(bytes).ok()?;
        let body_bytes = text.rfind("checksum ")?;
        let (body, end) = text.split_at(body_bytes);
        let checksum = u32::from_str_radix(end.strip_prefix("checksum ")?.trim_end(), 16).ok()?;
        if checksum != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let field = |key: &str| body.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        Some(Identity {
            myid: field("myid")?.parse().ok()?,
            cluster_id: u128::from_str_radix(field("cluster")?, 16).ok()?,
            incarnation: u128::from_str_radix(field("incarnation")?, 16).ok()?,
        })
    }
}

fn version_of(bytes: &[u8]) -> Option<u32> {
    let text = str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    (lines.next() == Some(TITLE)).then_some(())?;
    lines.next()?.strip_prefix("version ")?.parse().ok()
}
