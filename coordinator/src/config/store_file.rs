//! Key stores as files: where one lies, what opens it, and how it is read.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use super::entries::{Entries, Result};
use crate::tls::Store;

/// A store of more bytes than this is a wrong file.
const BYTES_MAX: u64 = 16 << 20;

/// Where a store lies and what opens it; both are read again when one of them changes.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFile {
    pub path: PathBuf,
    pub password: Password,
}

/// What opens a store.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    Given(String),
    /// The whole file, without the line's end.
    File(PathBuf),
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl StoreFile {
    /// What it holds now.
    pub fn read(&self) -> std::result::Result<Store, String> {
        let password = match &self.password {
            Password::Given(password) => password.clone(),
            Password::File(path) => read_line(path)?,
        };
        Store::read(&read_file(&self.path)?, &password)
            .map_err(|error| format!("cannot use {}: {error}", self.path.display()))
    }

    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let password = match &self.password {
            Password::Given(_) => None,
            Password::File(path) => Some(path.as_path()),
        };
        std::iter::once(self.path.as_path()).chain(password)
    }
}

/// A password from its file.
pub fn read_line(path: &Path) -> std::result::Result<String, String> {
    let text = String::from_utf8(read_file(path)?)
        .map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn read_file(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
    if fs::metadata(path).map_err(cannot)?.len() > BYTES_MAX {
        return Err(format!("{} has more than 16 MiB", path.display()));
    }
    fs::read(path).map_err(cannot)
}

impl Entries {
    /// The store of the keys that begin with `prefix.which`; `None` where no key names one.
    pub(super) fn store(&self, prefix: &str, which: &str) -> Result<Option<StoreFile>> {
        let Some(path) = self.path(&format!("{prefix}.{which}.location")) else { return Ok(None) };
        let key = format!("{prefix}.{which}.type");
        let kind = self.text(&key).unwrap_or_default().to_ascii_uppercase();
        if !["", "JKS", "PKCS12", "PEM"].contains(&kind.as_str()) {
            return Err(self.error_value(
                &key,
                "cannot be read",
                "convert the store to PKCS12 by `keytool -importkeystore`",
            ));
        }
        let given = format!("{prefix}.{which}.password");
        let file = self.path(&format!("{given}Path"));
        let given = || Password::Given(self.text(&given).unwrap_or_default());
        let password = file.map_or_else(given, Password::File);
        Ok(Some(StoreFile { path, password }))
    }
}
