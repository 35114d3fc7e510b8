//! Data directories of Apache ZooKeeper: refused where they would be passed over, read, written.

mod beside;
mod files;
mod history;
mod living;
mod walk;
