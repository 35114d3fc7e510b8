//! Where relative paths of an inventory start, and what is found by them.

use std::path::{Path, PathBuf};

use crate::inventory::draft::text;
use crate::inventory::model::SecretSource;
use crate::inventory::scalar;
use crate::inventory::source::Source;
use crate::inventory::yaml::Node;

/// Where relative paths start.
#[derive(Clone, Debug)]
pub struct Base {
    pub folder: PathBuf,
    pub home: Option<PathBuf>,
}

impl Base {
    pub(super) fn join(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.folder.join(Path::new(text)),
        }
    }

    pub(super) fn source(&self, text: &str, file_name: Option<&str>) -> Source {
        let whole = match file_name {
            Some(name) if text.ends_with('/') => format!("{text}{name}"),
            _ => text.to_owned(),
        };
        match scalar::located(&whole) {
            Source::File(path) => Source::File(self.join(&path.to_string_lossy())),
            url @ Source::Url(_) => url,
        }
    }

    pub(super) fn secret(&self, node: &Node) -> Option<SecretSource> {
        let path = || text(node, "file").map(|file| SecretSource::File(self.join(&file.value)));
        text(node, "env").map(|name| SecretSource::Env(name.value)).or_else(path)
    }
}
