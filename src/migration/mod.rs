//! In and out of an Apache ZooKeeper that somebody else has set up: what of it runs on the hosts as an
//! inventory, and how far a move between it and the coordinator has come.

pub mod adoption;
pub mod edit;
pub mod found_server;
pub mod move_state;

pub(crate) const ADOPT: &str = include_str!("adopt.sh");
