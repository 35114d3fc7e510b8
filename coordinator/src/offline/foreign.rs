//! Data of Apache ZooKeeper where ours should begin: never ignored, never an empty ensemble beside.

use super::found;
use crate::apache::directory;
use crate::config::Config;

/// Refuses a start that would found an ensemble beside what another server has written.
pub(crate) fn refuse_foreign_data(config: &Config) -> Result<(), String> {
    let ours = found::directories(config);
    if ours.iter().any(|directory| found::occupied(directory).is_some()) {
        return Ok(());
    }
    for configured in [&config.data_dir, &config.data_log_dir] {
        if let Some(file) = directory::evidence(configured) {
            let holds = file.parent().unwrap_or(configured);
            return Err(format!(
                "{} holds data of Apache ZooKeeper (`{}`) and {} holds none of a coordinator: to \
                 start here would found an empty ensemble beside it\n\nto go on with that data: \
                 `coordinator import {}`\nto begin without it: name another `dataDir` and \
                 `dataLogDir`, or move {} away",
                holds.display(),
                file.file_name().unwrap_or_default().to_string_lossy(),
                ours[0].display(),
                config.file.display(),
                holds.display(),
            ));
        }
    }
    Ok(())
}
