//! Work on data directories and backups while no server runs on them.

mod backup;
mod export;
mod foreign;
mod found;
mod import;
mod owner;
mod replay;
mod rescue;
mod restore;

pub use backup::check_backup;
pub use export::{ExportReport, export};
pub(crate) use foreign::refuse_foreign_data;
pub use import::{ImportOptions, ImportReport, StandingReport, import, standing};
pub use owner::become_owner;
pub use rescue::{RescueReport, rescue};
pub use restore::{RestoreOptions, restore};
