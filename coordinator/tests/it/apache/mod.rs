//! Data directories of Apache ZooKeeper: refused where they would be passed over, read, written.

mod arbitrary;
mod beside;
mod ensembles;
mod files;
mod gaps;
mod history;
mod living;
mod walk;
