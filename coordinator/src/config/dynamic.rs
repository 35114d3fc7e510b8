//! `dynamicConfigFile`: members in a file of their own, as Apache `ZooKeeper` writes one whenever
//! they change. Here it is read like lines of the configuration; the ensemble's own list, once it
//! has one, stands in the data directory.

use super::builder::Read;
use super::entries::{Entries, Result};
use super::error::ConfigError;
use super::properties;

/// A list of members is a line for each of them.
const BYTES_MAX: usize = 1 << 20;
const KEY: &str = "dynamicConfigFile";

impl Entries {
    /// Lays the file's lines beside those of the configuration.
    pub(super) fn take_dynamic_file(&mut self, read: Read<'_>) -> Result<()> {
        let Some(path) = self.path(KEY) else { return Ok(()) };
        // As `QuorumPeerConfig.parseProperties`: members stand in one place.
        if let Some((key, _)) = self.iter().find(|(key, _)| key.starts_with("server.")) {
            return Err(self.error_value(
                KEY,
                format!("stands beside `{key}`"),
                "keep the members in one place: remove the server.N lines here, or this key",
            ));
        }
        let hint = "name the newest file that ZooKeeper has written beside this one, such as \
                    zoo.cfg.dynamic.100000000, or put its server.N lines here and remove the key";
        let text = read(&path)
            .map_err(|error| self.error_value(KEY, format!("cannot be read: {error}"), hint))?;
        if text.len() > BYTES_MAX {
            return Err(self.error_value(
                KEY,
                "has more than 1 MiB: it is no list of members",
                hint,
            ));
        }
        let fault = |line: usize, key: Option<String>, message: &str, hint: &str| {
            let (message, hint) = (message.to_owned(), hint.to_owned());
            Box::new(ConfigError { file: path.clone(), line: Some(line), key, message, hint })
        };
        let lines = properties::parse(&text).map_err(|malformed| {
            let message = "`\\u` without four hexadecimal digits";
            fault(malformed.line, None, message, "write `\\\\` for a backslash")
        })?;
        for line in lines {
            let key = Some(line.key.clone());
            if line.key.starts_with("server.") {
                self.put(line, &path);
            } else if line.key.starts_with("group") || line.key.starts_with("weight") {
                return Err(fault(
                    line.line,
                    key,
                    "hierarchical quorums are not supported",
                    "remove all group.N and weight.N, every participant has one vote",
                ));
            } else if line.key != "version" {
                return Err(fault(
                    line.line,
                    key,
                    "is no line of a list of members",
                    "such a file has server.N lines alone; move others to the file that names it",
                ));
            }
        }
        Ok(())
    }
}
