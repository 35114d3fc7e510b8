//! The inventory: which hosts, and what they shall be. A value of [`Inventory`] has passed every
//! check that needs no network.

pub mod address;
pub mod base;
pub mod broker;
pub mod check;
pub mod draft;
pub mod finding;
pub mod import;
pub mod keys;
pub mod listener;
pub mod model;
pub mod range;
pub mod read;
pub mod release;
pub mod scalar;
pub mod schema;
pub mod security;
pub mod shape;
pub mod source;
pub mod ssh_config;
pub mod yaml;

use std::path::Path;

use crate::failure::Failure;
use crate::inventory::base::Base;
use crate::inventory::draft::{BrokerDraft, Draft, HostDraft};
use crate::inventory::finding::{Finding, Severity};
pub use crate::inventory::model::*;
pub use crate::inventory::source::{Sha512, Source};

/// What reading an inventory came to: all findings, and the inventory if none of them is an error.
#[derive(Debug)]
pub struct Reading {
    pub inventory: Option<Inventory>,
    pub findings: Vec<Finding>,
    /// The findings as people read them, with the lines they point at.
    pub shown: String,
    /// Hosts of which only the `address` is wrong because it is every host's own: they can be asked
    /// which one they have.
    pub adrift: Vec<Host>,
}

impl Reading {
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The inventory, or all errors as one failure.
    pub fn into_inventory(self, path: &Path) -> Result<Inventory, Failure> {
        let problems = if self.count(Severity::Error) == 1 { "a problem" } else { "problems" };
        let Self { inventory, shown, .. } = self;
        inventory.ok_or_else(|| {
            let name = path.display();
            Failure::usage(format!("{name} has {problems}\n{}", shown.trim_end()))
        })
    }
}

/// Bytes to an inventory, without looking at anything else: `path` is only for messages and for
/// what relative paths are joined to.
pub fn read(path: &Path, bytes: &[u8], home: Option<&Path>) -> Reading {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let base = Base { folder, home: home.map(Path::to_path_buf) };
    let mut findings = Vec::new();
    let text = match yaml::decode(bytes) {
        Ok(text) => text,
        Err(finding) => {
            findings.push(finding);
            ""
        }
    };
    let mut draft = None;
    if findings.is_empty() {
        draft = yaml::parse(text, &mut findings)
            .and_then(|root| read::draft(&root, &base, &mut findings));
    }
    if let Some(draft) = &draft {
        check::check(draft, &mut findings);
    }
    let shown = finding::render(&path.display().to_string(), text, &findings);
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    let adrift = draft.iter().flat_map(|draft| &draft.hosts).filter_map(adrift).collect();
    let inventory = draft.filter(|_| !wrong).and_then(|draft| Inventory::of(path, draft));
    Reading { inventory, findings, shown, adrift }
}

/// A host that has a way in, and an address that says nothing about where it is.
fn adrift(host: &HostDraft) -> Option<Host> {
    let lost = host.meaning.as_ref().is_some_and(|m| m.is_loopback() || m.is_wildcard());
    // Without a way in of its own, ssh would knock at this machine's own door.
    let elsewhere = host.address.as_ref().is_some_and(|address| address.value != host.ssh.host);
    (lost && (elsewhere || host.ssh.port.is_some())).then(|| Host::of(host.clone())).flatten()
}

/// [`read()`] from a file.
pub fn read_file(path: &Path) -> Result<Reading, Failure> {
    // One byte more than is allowed tells a file that is too long without reading all of it.
    let limit = yaml::BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| {
        let long = file.metadata()?.len();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes)?;
        Ok(long)
    });
    if let Err(error) = opened {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "`zkprov init` writes a starter inventory".to_owned(),
            _ => format!("is {} a file you may read?", path.display()),
        };
        return Err(Failure::usage(format!("cannot read {}: {error}", path.display())).hint(hint));
    }
    Ok(read(path, &bytes, std::env::home_dir().as_deref()))
}

impl Inventory {
    /// Reads and checks an inventory. Warnings are left to `zkprov validate`; errors are all in the
    /// failure's cause.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        read_file(path)?.into_inventory(path)
    }

    /// A draft without errors has everything; `None` would be a rule that is missing in `check`.
    fn of(path: &Path, draft: Draft) -> Option<Self> {
        Some(Self {
            path: path.to_path_buf(),
            ensemble: draft.ensemble,
            hosts: draft.hosts.into_iter().map(Host::of).collect::<Option<_>>()?,
            kafka: draft.kafka,
            coordinator: draft.coordinator,
            properties: draft.properties,
            templates: draft.templates.map(|templates| templates.value),
            become_password: draft.become_password,
            brokers: draft.brokers.into_iter().map(BrokerDraft::finish).collect::<Option<_>>()?,
            security: draft.security.value,
        })
    }
}

impl Host {
    fn of(draft: HostDraft) -> Option<Self> {
        let myid = match draft.role {
            Role::Broker => 0,
            _ => draft.myid?.value,
        };
        Some(Self {
            name: draft.name.value,
            address: draft.address?.value,
            myid,
            role: draft.role,
            ssh: draft.ssh,
            r#become: draft.r#become,
            data_dir: draft.data_dir.value,
            data_log_dir: draft.data_log_dir.map(|folder| folder.value),
            ports: draft.ports,
            properties: draft.properties,
        })
    }
}
