//! What Apache ZooKeeper keeps on disk: found, read and written as it does.

pub mod directory;
