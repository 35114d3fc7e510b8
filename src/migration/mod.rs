//! In and out of an Apache ZooKeeper that somebody else has set up: what of it runs on the hosts, as an
//! inventory.

pub mod adoption;
pub mod found_server;

pub(crate) const ADOPT: &str = include_str!("adopt.sh");
