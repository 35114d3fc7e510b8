//! One directory on disk, as narrow as log and snapshots need it.
//!
//! The only file of the crate that touches data files. A name is a plain file name in the
//! directory. Two implementations: [`RealDisk`], and [`super::FaultyDisk`] for tests and the
//! simulator.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::direct::Direct;
use super::error::StoreError;

/// A directory. Names become durable with [`Disk::sync_dir`], contents with
/// [`DiskFile::sync_data`]: neither implies the other.
pub trait Disk: Clone {
    type File: DiskFile;

    /// Names of the files, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new empty file; an old one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// An existing file, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// The same for a file of zeroes from `end` on, which is only appended to from there: where the
    /// system can, what is appended stays here until it is synced, and then goes past the cache.
    fn open_to_append(&self, name: &str, end: u64) -> io::Result<Self::File>;
    /// Atomic; replaces `to`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
    /// How a person would name the file.
    fn path(&self, name: &str) -> String;
}

pub trait DiskFile {
    /// Reads up to `into.len()` bytes; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` in one call where the system lets it.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// fdatasync: contents, and the length where it changed.
    fn sync_data(&mut self) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
    fn set_size(&mut self, bytes: u64) -> io::Result<()>;
}

/// Reads the whole file.
pub(super) fn read_all<F: DiskFile>(file: &F) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_all_into(file, &mut bytes)?;
    Ok(bytes)
}

/// Reads the whole file into a buffer that is used again: fresh pages cost more than reading.
pub(super) fn read_all_into<F: DiskFile>(file: &F, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(usize::try_from(file.size()?).map_err(io::Error::other)?, 0);
    let got = read_full(file, bytes, 0)?;
    bytes.truncate(got);
    Ok(())
}

/// Fills `into` as far as the file reaches.
pub(super) fn read_full<F: DiskFile>(file: &F, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(&mut into[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

/// Writes zeroes over `from..to`, so that later writes there change no metadata: an fdatasync is
/// then one flush, and no write can meet a full disk.
pub(super) fn fill_zero<F: DiskFile>(file: &mut F, from: u64, to: u64) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let zeroes = vec![0; STEP.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let n = (to - at).min(STEP as u64);
        file.write_at(&zeroes[..n as usize], at)?;
        at += n;
    }
    Ok(())
}

/// A directory of the host, locked against a second server for as long as a clone of this lives.
#[derive(Clone, Debug)]
pub struct RealDisk {
    directory: PathBuf,
    /// Held for its lock, which ends with the process at the latest.
    _lock: Option<Arc<File>>,
}

impl RealDisk {
    /// Creates the directory when it is missing and takes its lock.
    pub fn open(directory: &Path) -> Result<RealDisk, StoreError> {
        let shown = |p: &Path| p.display().to_string();
        let io = |doing, path: &Path| {
            let path = shown(path);
            move |source| StoreError::Io { doing, path, source }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(io("creating", directory))?;
        if let Some(parent) = directory.parent().filter(|p| !p.as_os_str().is_empty()) {
            let sync = File::open(parent).and_then(|p| p.sync_all());
            sync.map_err(io("syncing", parent))?;
        }
        let path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o640)
            .open(&path)
            .map_err(io("opening", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(RealDisk { directory: directory.into(), _lock: Some(Arc::new(lock)) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: shown(&path) }),
            Err(TryLockError::Error(e)) => Err(io("locking", &path)(e)),
        }
    }

    /// For looking only: creates nothing, but refuses while a server holds the lock.
    pub fn open_to_read(directory: &Path) -> Result<RealDisk, StoreError> {
        let path = directory.join("lock");
        let lock = match File::open(&path) {
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => Some(Arc::new(lock)),
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { path: path.display().to_string() });
                }
                Err(TryLockError::Error(source)) => {
                    let path = path.display().to_string();
                    return Err(StoreError::Io { doing: "locking", path, source });
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                let path = path.display().to_string();
                return Err(StoreError::Io { doing: "opening", path, source });
            }
        };
        Ok(RealDisk { directory: directory.into(), _lock: lock })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A file, and its end where that is written past the cache.
pub struct RealFile {
    file: File,
    direct: Option<Direct>,
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o640);
        Ok(RealFile { file: options.open(self.directory.join(name))?, direct: None })
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let path = self.directory.join(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Looking at a data directory needs no right to write in it.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(&path)
            }
            other => other,
        };
        Ok(RealFile { file: file?, direct: None })
    }

    fn open_to_append(&self, name: &str, end: u64) -> io::Result<RealFile> {
        let RealFile { file, .. } = self.open(name)?;
        let direct = Direct::open(&self.directory.join(name), &file, end);
        Ok(RealFile { file, direct })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.directory.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, into, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &mut self.direct {
            Some(direct) if direct.end() == offset => direct.append(bytes),
            Some(_) => Err(io::Error::other("not at the end of what is only appended to")),
            None => self.file.write_all_at(bytes, offset),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        match &mut self.direct {
            Some(direct) => direct.sync(),
            None => self.file.sync_data(),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_size(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}
