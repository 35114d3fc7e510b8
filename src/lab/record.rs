//! What a lab is: its hosts, its options, and what is written down about it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::base::Flavour;
use super::network::Network;

pub use crate::cli::{DEFAULT_LAB as DEFAULT_NAME, LabRelease as Release};
/// The network of the lab that is meant when none is named.
pub(super) const DEFAULT_NETWORK: &str = "10.77.0";

/// What a lab shall be like. Kept in its folder while the lab is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The first three octets of the lab's network; a free one when left out.
    pub network: Option<String>,
    pub flavour: Flavour,
    /// A real, active swap file on the first host. It is the whole machine's.
    pub swap: bool,
    /// Hosts without Python, to show that none is needed.
    pub no_python: bool,
    /// What the hosts run, in turn; this machine's own system where there is none.
    #[serde(default)]
    pub releases: Vec<Release>,
}

/// What is written down about a lab that is up.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) hosts: u8,
    pub(super) network: String,
    /// The roots that the hosts stand on, in turn.
    pub(super) bases: Vec<PathBuf>,
    pub(super) options: Options,
}

/// A lab that is up, or has been and can be looked at.
#[derive(Debug)]
pub struct Lab {
    /// Holds all labs and the bases they share.
    pub(super) home: PathBuf,
    pub(super) network: Network,
    pub(super) hosts: Vec<Host>,
    pub(super) bases: Vec<PathBuf>,
    pub(super) options: Options,
}

/// Where labs keep their disks: `$ZKPROV_LAB_DIR`, or `/var/lib/zkprov/lab`.
pub fn home() -> PathBuf {
    std::env::var_os("ZKPROV_LAB_DIR")
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("/var/lib/zkprov/lab"), PathBuf::from)
}

/// A host of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    /// Counted from 1.
    pub number: u8,
    pub address: String,
}

/// What a host is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Running,
    Frozen,
    Stopped,
}
