//! What stands on disk: write-ahead log, snapshots, the identity of a data directory.
