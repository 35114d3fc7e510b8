//! Work on data directories and backups while no server runs on them.

mod backup;
mod foreign;
mod found;
mod import;
mod rescue;
mod restore;

pub use backup::{BackupCheck, check_backup};
pub(crate) use foreign::refuse_foreign_data;
pub use import::{ImportOptions, ImportReport, import};
pub use rescue::{RescueReport, rescue};
pub use restore::{RestoreOptions, RestoreReport, restore};
