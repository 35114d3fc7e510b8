//! What shall be on a host. Every resource has the same parts, in the same order: what it reads
//! (`read`, shell beside the file), how the host differs from it (`differ`, pure), and the change
//! that makes it so (a call of a shell function). A new resource is one file and one arm here.

pub mod account;
pub mod archive;
pub mod binary;
pub mod certificate;
pub mod directory;
pub mod file;
pub mod fstab;
pub mod service;
pub mod swap;
pub mod symlink;
pub mod sysctl;

use crate::plan::change::{Difference, Lane, Phase};
use crate::plan::subject::Subject;
use crate::probe::{Observed, Reading};

/// One thing that shall be on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Group(account::Group),
    User(account::User),
    Swap(swap::Swap),
    SwapUnits(swap::SwapUnits),
    Zram(swap::Zram),
    Fstab(fstab::Fstab),
    Sysctl(sysctl::Sysctl),
    Directory(directory::Directory),
    Archive(archive::Archive),
    Symlink(symlink::Symlink),
    File(file::File),
    Binary(binary::Binary),
    OldBinaries(binary::OldBinaries),
    Certificate(certificate::Certificate),
    Service(service::Service),
}

impl Resource {
    /// What plans, progress and failures call it.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Group(group) => Subject::Group(group.name.clone()),
            Self::User(user) => Subject::User(user.name.clone()),
            Self::Swap(_) => Subject::Swap,
            Self::SwapUnits(_) => Subject::SwapUnits,
            Self::Zram(_) => Subject::Zram,
            Self::Fstab(_) => Subject::Fstab,
            Self::Sysctl(_) => Subject::Sysctl,
            Self::Directory(directory) => Subject::Directory(directory.path.clone()),
            Self::Archive(archive) => Subject::Archive(archive.path()),
            Self::Symlink(symlink) => Subject::Symlink(symlink.path.clone()),
            Self::File(file) => Subject::File(file.path.clone()),
            Self::Binary(binary) => Subject::Binary(binary.path.clone()),
            Self::OldBinaries(_) => Subject::OldBinaries,
            Self::Certificate(certificate) => Subject::Certificate(certificate.store.clone()),
            Self::Service(service) => Subject::Unit(service.unit.clone()),
        }
    }

    /// What the probe must read for it.
    pub fn read(&self, reading: &mut Reading) {
        match self {
            Self::Group(group) => group.read(reading),
            Self::User(user) => user.read(reading),
            Self::Swap(swap) => swap.read(reading),
            // Read by others: units by the service, zram by swap, the binary through its link.
            Self::SwapUnits(_) | Self::Zram(_) | Self::Binary(_) | Self::OldBinaries(_) => {}
            Self::Fstab(fstab) => fstab.read(reading),
            Self::Sysctl(sysctl) => sysctl.read(reading),
            Self::Directory(directory) => directory.read(reading),
            Self::Archive(archive) => archive.read(reading),
            Self::Symlink(symlink) => symlink.read(reading),
            Self::File(file) => file.read(reading),
            Self::Certificate(certificate) => certificate.read(reading),
            Self::Service(service) => service.read(reading),
        }
    }

    /// How the host differs from it, once the resources named in `changed` have been made so: what
    /// an earlier step does counts as done.
    pub fn differ(&self, observed: &Observed, changed: &[Subject]) -> Difference {
        match self {
            Self::Group(group) => group.differ(observed),
            Self::User(user) => user.differ(observed),
            Self::Swap(swap) => swap.differ(observed),
            Self::SwapUnits(units) => units.differ(observed),
            Self::Zram(zram) => zram.differ(observed),
            Self::Fstab(fstab) => fstab.differ(observed),
            Self::Sysctl(sysctl) => sysctl.differ(observed),
            Self::Directory(directory) => directory.differ(observed),
            Self::Archive(archive) => archive.differ(observed),
            Self::Symlink(symlink) => symlink.differ(observed, changed),
            Self::File(file) => file.differ(observed),
            Self::Binary(binary) => binary.differ(observed),
            Self::OldBinaries(old) => old.differ(observed),
            Self::Certificate(certificate) => certificate.differ(observed),
            Self::Service(service) => service.differ(observed, changed),
        }
    }

    /// Whether its changes stand in line with the archive's bytes.
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Archive(_) | Self::Symlink(symlink::Symlink { with_archive: true, .. }) => {
                Lane::Archive
            }
            _ => Lane::Main,
        }
    }

    /// When its changes may run.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Service(service) => service.phase,
            Self::File(file::File { phase, .. })
            | Self::Symlink(symlink::Symlink { phase, .. }) => *phase,
            _ => Phase::Prepare,
        }
    }
}

/// What is to be read on a host for all of `resources`.
pub fn reading(resources: &[Resource]) -> Reading {
    let mut reading = Reading::default();
    for resource in resources {
        resource.read(&mut reading);
    }
    reading
}
