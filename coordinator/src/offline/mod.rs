//! Work on data directories and backups while no server runs on them.

mod backup;
mod found;
mod restore;

pub use backup::{BackupCheck, check_backup};
pub use restore::{RestoreOptions, RestoreReport, restore};
