//! Where changes are told to auditors, and how much of it is kept.

use std::path::PathBuf;

use super::entries::{Entries, Result};

/// Bytes of one file, as in the `log4j.properties` that Apache `ZooKeeper` ships.
const FILE_BYTES: u64 = 10 << 20;
const FILE_BYTES_MIN: u64 = 64 << 10;
/// Full files kept beside the one that is written.
const FILES_KEPT: u32 = 10;
/// Slf4j's is the form of the lines; Log4j's was its name at first.
const LOGGERS: [&str; 2] =
    ["org.apache.zookeeper.audit.Slf4jAuditLogger", "org.apache.zookeeper.audit.Log4jAuditLogger"];

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// `None` is stderr.
    pub file: Option<PathBuf>,
    pub file_bytes_max: u64,
    pub files_kept: u32,
}

impl Entries {
    pub(super) fn audit(&mut self) -> Result<Option<AuditConfig>> {
        let enabled = self.switch("audit.enable", false)?;
        let class = "audit.impl.class";
        if enabled && self.text(class).is_some_and(|name| !LOGGERS.contains(&&*name)) {
            return Err(self.error_value(
                class,
                "is a Java class that cannot be loaded here",
                "remove the key: lines have the form of Slf4jAuditLogger",
            ));
        }
        let audit = AuditConfig {
            file: self.path("coordinator.auditFile"),
            file_bytes_max: self.number(
                "coordinator.auditFileBytes",
                FILE_BYTES,
                FILE_BYTES_MIN..=u64::MAX >> 1,
            )?,
            files_kept: self.number("coordinator.auditFilesKept", FILES_KEPT, 1..=1000)?,
        };
        if !enabled && audit.file.is_some() {
            let message = "has no effect without audit.enable=true".to_owned();
            self.warn("coordinator.auditFile", message);
        }
        Ok(enabled.then_some(audit))
    }
}
