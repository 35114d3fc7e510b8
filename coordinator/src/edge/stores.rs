//! Key stores on disk: read at the start, and again when they have changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::config::{ClientTls, Password, StoreFile};
use crate::tls::{Context, Store};

/// A store of more bytes than this is a wrong file.
const BYTES_MAX: u64 = 16 << 20;

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
    if fs::metadata(path).map_err(cannot)?.len() > BYTES_MAX {
        return Err(format!("{} has more than 16 MiB", path.display()));
    }
    fs::read(path).map_err(cannot)
}

fn read_store(file: &StoreFile) -> Result<Store, String> {
    let password = match &file.password {
        Password::Given(password) => password.clone(),
        Password::File(path) => {
            let text = String::from_utf8(read_file(path)?)
                .map_err(|_| format!("{} is not UTF-8", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
    };
    Store::read(&read_file(&file.path)?, &password)
        .map_err(|error| format!("cannot use {}: {error}", file.path.display()))
}

/// What handshakes are made with, from the files as they are now.
pub(super) fn context(tls: &ClientTls) -> Result<Context, String> {
    let key = read_store(&tls.key_store)?;
    let trust = tls.trust_store.as_ref().map(read_store).transpose()?;
    Context::new(&tls.settings, key, trust)
        .map_err(|why| format!("cannot use {}: {why}", tls.key_store.path.display()))
}

/// What tells one content of the files from another: inode, size and time of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<(u64, u64, i64, i64)>>);

impl Fingerprint {
    pub(super) fn of(tls: &ClientTls) -> Fingerprint {
        let stores = std::iter::once(&tls.key_store).chain(&tls.trust_store);
        let files = stores.flat_map(|store| {
            let password = match &store.password {
                Password::Given(_) => None,
                Password::File(path) => Some(path),
            };
            std::iter::once(&store.path).chain(password)
        });
        let look =
            |path| fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        Fingerprint(files.map(look).collect())
    }
}
