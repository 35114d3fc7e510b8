//! A directory in memory that fails as disks do: for tests and the simulator.
//!
//! What is synced survives [`FaultyDisk::crash`]; of the rest each write may survive whole, in
//! part (any set of its sectors, or a prefix down to the byte) or not at all, in any order among
//! writes. Directory changes survive as a prefix of their order, as on a journaling filesystem.
//! All choices come from a seeded source, so that a run can be repeated.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::disk::{Disk, DiskFile};
use crate::random::Seeded;

/// Disks write this much or nothing.
const SECTOR: usize = 512;

/// What a crash does to writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashModel {
    /// None of them survives.
    LoseAll,
    /// All of them survive: the process died, the host did not.
    KeepAll,
    /// The first `n` bytes of what was written survive, in order.
    Prefix(u64),
    /// Each write whole, lost, some of its sectors, or a prefix.
    Random,
}

#[derive(Default)]
struct Inner {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes since the last `sync_dir`, in order.
    directory_changes: Vec<Change>,
    capacity: Option<u64>,
    fail_syncs: u32,
    fail_reads: u32,
    /// A crash makes handles of before useless, as the end of a process does.
    epoch: u64,
    pub writes: u64,
    pub syncs: u64,
    pub bytes_written: u64,
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Clone, Default)]
struct FileState {
    /// As processes see it.
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Size(u64),
}

fn apply(change: &Change, names: &mut BTreeMap<String, usize>) {
    match change {
        Change::Link(name, file) => {
            names.insert(name.clone(), *file);
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

fn write_into(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = offset as usize;
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[derive(Clone)]
pub struct FaultyDisk {
    label: Rc<str>,
    inner: Rc<RefCell<Inner>>,
}

pub struct FaultyFile {
    inner: Rc<RefCell<Inner>>,
    file: usize,
    epoch: u64,
}

impl FaultyDisk {
    pub fn new(label: &str) -> FaultyDisk {
        FaultyDisk { label: label.into(), inner: Rc::default() }
    }

    /// Bytes all files may hold together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner.borrow_mut().capacity = bytes;
    }

    /// The next `n` syncs fail, and what they should have kept is lost at the next crash even if
    /// a later sync succeeds: as Linux drops dirty pages after an I/O error.
    pub fn fail_syncs(&self, n: u32) {
        self.inner.borrow_mut().fail_syncs = n;
    }

    pub fn fail_reads(&self, n: u32) {
        self.inner.borrow_mut().fail_reads = n;
    }

    pub fn writes(&self) -> u64 {
        self.inner.borrow().writes
    }

    pub fn syncs(&self) -> u64 {
        self.inner.borrow().syncs
    }

    pub fn bytes_written(&self) -> u64 {
        self.inner.borrow().bytes_written
    }

    pub fn used(&self) -> u64 {
        self.inner.borrow().used()
    }

    /// Turns one bit over, in the durable content as well.
    pub fn rot(&self, name: &str, offset: u64, bit: u8) {
        let mut inner = self.inner.borrow_mut();
        let file = inner.names[name];
        let file = &mut inner.files[file];
        for content in [&mut file.content, &mut file.durable] {
            if let Some(byte) = content.get_mut(offset as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// The content as a process sees it.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let inner = self.inner.borrow();
        inner.files[inner.names[name]].content.clone()
    }

    /// A copy that shares nothing, to crash in many ways from one state.
    #[must_use]
    pub fn fork(&self) -> FaultyDisk {
        let inner = self.inner.borrow();
        let copy = Inner {
            files: inner.files.clone(),
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            directory_changes: inner.directory_changes.clone(),
            ..Inner::default()
        };
        FaultyDisk { label: self.label.clone(), inner: Rc::new(RefCell::new(copy)) }
    }

    /// Bytes written and not synced: the bound for [`CrashModel::Prefix`].
    pub fn unsynced_bytes(&self) -> u64 {
        let inner = self.inner.borrow();
        let pending = inner.files.iter().flat_map(|f| &f.pending);
        pending.map(|p| if let Pending::Write(_, b) = p { b.len() as u64 } else { 0 }).sum()
    }

    /// The process dies, the host lives: handles are dead, the page cache keeps what was written.
    pub fn process_died(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.epoch += 1;
        inner.fail_syncs = 0;
        inner.fail_reads = 0;
    }

    /// The host dies and comes back. Open handles are dead from here on; faults are lifted.
    pub fn crash(&self, model: CrashModel, random: &mut Seeded) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.epoch += 1;
        inner.fail_syncs = 0;
        inner.fail_reads = 0;
        let changes = std::mem::take(&mut inner.directory_changes);
        let kept = match model {
            CrashModel::LoseAll => 0,
            CrashModel::KeepAll | CrashModel::Prefix(_) => changes.len(),
            CrashModel::Random => random.below(changes.len() as u64 + 1) as usize,
        };
        for change in &changes[..kept] {
            apply(change, &mut inner.durable_names);
        }
        inner.names = inner.durable_names.clone();
        let mut budget = match model {
            CrashModel::Prefix(n) => n,
            _ => u64::MAX,
        };
        for file in &mut inner.files {
            for pending in std::mem::take(&mut file.pending) {
                survive(&pending, model, &mut budget, &mut file.durable, random);
            }
            file.content = file.durable.clone();
        }
        // Files without a name are gone; slots stay so that numbers keep their meaning.
        let named: Vec<usize> = inner.names.values().copied().collect();
        for (number, file) in inner.files.iter_mut().enumerate() {
            if !named.contains(&number) {
                *file = FileState::default();
            }
        }
    }
}

/// Lets of one unsynced write survive what `model` and chance say.
fn survive(
    pending: &Pending,
    model: CrashModel,
    budget: &mut u64,
    durable: &mut Vec<u8>,
    random: &mut Seeded,
) {
    match (pending, model) {
        (_, CrashModel::LoseAll) => {}
        (Pending::Size(size), CrashModel::Random) => {
            if random.chance(1, 2) {
                durable.resize(*size as usize, 0);
            }
        }
        (Pending::Size(size), _) => durable.resize(*size as usize, 0),
        (Pending::Write(offset, bytes), CrashModel::KeepAll) => write_into(durable, *offset, bytes),
        (Pending::Write(offset, bytes), CrashModel::Prefix(_)) => {
            let n = (bytes.len() as u64).min(*budget);
            *budget -= n;
            if n > 0 {
                write_into(durable, *offset, &bytes[..n as usize]);
            }
        }
        (Pending::Write(offset, bytes), CrashModel::Random) => match random.below(4) {
            0 => {}
            1 => write_into(durable, *offset, bytes),
            2 => {
                let n = random.below(bytes.len() as u64 + 1) as usize;
                write_into(durable, *offset, &bytes[..n]);
            }
            _ => {
                let mut at = *offset as usize;
                let end = at + bytes.len();
                while at < end {
                    let next = ((at / SECTOR + 1) * SECTOR).min(end);
                    if random.chance(1, 2) {
                        let from = at - *offset as usize;
                        write_into(durable, at as u64, &bytes[from..from + next - at]);
                    }
                    at = next;
                }
            }
        },
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.names.values().map(|&f| self.files[f].content.len() as u64).sum()
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file `{name}`"))
}

impl Disk for FaultyDisk {
    type File = FaultyFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner.borrow().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<FaultyFile> {
        let mut inner = self.inner.borrow_mut();
        inner.files.push(FileState::default());
        let file = inner.files.len() - 1;
        inner.names.insert(name.to_owned(), file);
        inner.directory_changes.push(Change::Link(name.to_owned(), file));
        Ok(FaultyFile { inner: self.inner.clone(), file, epoch: inner.epoch })
    }

    fn open(&self, name: &str) -> io::Result<FaultyFile> {
        let inner = self.inner.borrow();
        let file = *inner.names.get(name).ok_or_else(|| not_found(name))?;
        Ok(FaultyFile { inner: self.inner.clone(), file, epoch: inner.epoch })
    }

    fn open_to_append(&self, name: &str, _end: u64) -> io::Result<FaultyFile> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        let file = inner.names.remove(from).ok_or_else(|| not_found(from))?;
        inner.names.insert(to.to_owned(), file);
        inner.directory_changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.names.remove(name).ok_or_else(|| not_found(name))?;
        inner.directory_changes.push(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.syncs += 1;
        inner.directory_changes.clear();
        inner.durable_names = inner.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.label)
    }
}

impl FaultyFile {
    fn alive(&self, inner: &Inner) -> io::Result<()> {
        if inner.epoch == self.epoch {
            Ok(())
        } else {
            Err(io::Error::other("handle from before the crash"))
        }
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.inner.borrow_mut();
        self.alive(&inner)?;
        if inner.fail_reads > 0 {
            inner.fail_reads -= 1;
            return Err(io::Error::other("read error (injected)"));
        }
        let content = &inner.files[self.file].content;
        let from = (offset as usize).min(content.len());
        let n = into.len().min(content.len() - from);
        into[..n].copy_from_slice(&content[from..from + n]);
        Ok(n)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        self.alive(&inner)?;
        let size = inner.files[self.file].content.len() as u64;
        let grows = (offset + bytes.len() as u64).saturating_sub(size);
        let room = inner.capacity.map_or(u64::MAX, |c| c.saturating_sub(inner.used()));
        // A full disk takes what fits before it says so.
        let fits = bytes.len() - grows.saturating_sub(room) as usize;
        inner.writes += 1;
        inner.bytes_written += fits as u64;
        let file = &mut inner.files[self.file];
        write_into(&mut file.content, offset, &bytes[..fits]);
        file.pending.push(Pending::Write(offset, bytes[..fits].to_vec()));
        if fits < bytes.len() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        self.alive(&inner)?;
        inner.syncs += 1;
        let failing = inner.fail_syncs > 0;
        let file = &mut inner.files[self.file];
        let pending = std::mem::take(&mut file.pending);
        if failing {
            inner.fail_syncs -= 1;
            return Err(io::Error::other("fsync failed (injected)"));
        }
        for pending in pending {
            match pending {
                Pending::Write(offset, bytes) => write_into(&mut file.durable, offset, &bytes),
                Pending::Size(size) => file.durable.resize(size as usize, 0),
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let inner = self.inner.borrow();
        self.alive(&inner)?;
        Ok(inner.files[self.file].content.len() as u64)
    }

    fn set_size(&mut self, bytes: u64) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        self.alive(&inner)?;
        let file = &mut inner.files[self.file];
        file.content.resize(bytes as usize, 0);
        file.pending.push(Pending::Size(bytes));
        Ok(())
    }
}
