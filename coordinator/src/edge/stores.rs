//! Key stores on disk: read at the start, and again when they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::logging::Logger;
use crate::config::{StoreFile, TlsStores};
use crate::tls::{Context, Dialler, Names, Session, client_config};

/// How often the files are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What handshakes are made with, from the files as they were.
#[derive(Clone)]
pub(super) struct Handshaker {
    accepting: Context,
    /// Where this server makes connections as well.
    dialling: Option<Arc<Dialler>>,
}

impl Handshaker {
    pub(super) fn accept(&self) -> Result<Session, String> {
        self.accepting.accept()
    }

    /// The host's name is not compared here: the caller knows what else the other side may be called.
    pub(super) fn dial(&self, host: &str) -> Result<Session, String> {
        self.dialling.as_ref().ok_or("this server makes no connections here")?.dial(host)
    }
}

/// Stores of one purpose, shared by the threads that make handshakes. Connections stay as they are
/// when a store changes; one that cannot be read leaves the old one in use.
#[derive(Clone)]
pub(super) struct Stores(Arc<Mutex<Live>>);

struct Live {
    /// For the log: whose they are.
    what: &'static str,
    files: TlsStores,
    dials: bool,
    handshaker: Handshaker,
    seen: Fingerprint,
    /// The files have changed since, and are read when they hold still.
    changed: Option<Fingerprint>,
    next_look: Instant,
    logger: Logger,
}

impl Stores {
    /// `dials`: connections are made with them, too.
    pub(super) fn open(
        what: &'static str,
        files: TlsStores,
        dials: bool,
        logger: Logger,
    ) -> Result<Stores, String> {
        let seen = Fingerprint::of(&files);
        let handshaker = read(&files, dials)?;
        let next_look = Instant::now() + LOOK_EVERY;
        let changed = None;
        let live = Live { what, files, dials, handshaker, seen, changed, next_look, logger };
        Ok(Stores(Arc::new(Mutex::new(live))))
    }

    /// As the files are now, give or take two looks at them.
    pub(super) fn now(&self) -> Handshaker {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() >= live.next_look {
            live.review(false);
        }
        live.handshaker.clone()
    }

    /// Reads the stores again when they have changed and hold still, or when told to.
    pub(super) fn review(&self, told: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).review(told);
    }
}

impl Live {
    fn review(&mut self, told: bool) {
        self.next_look = Instant::now() + LOOK_EVERY;
        let now = Fingerprint::of(&self.files);
        if !told {
            if now == self.seen {
                self.changed = None;
                return;
            }
            if self.changed.as_ref() != Some(&now) {
                self.changed = Some(now);
                return;
            }
        }
        self.seen = now;
        self.changed = None;
        let what = self.what;
        match read(&self.files, self.dials) {
            Ok(handshaker) => {
                self.handshaker = handshaker;
                self.logger.info(&format!(
                    "the TLS stores of {what} are read again; new connections use them"
                ));
            }
            Err(why) => self.logger.error(&format!(
                "the TLS stores of {what} cannot be read again, the old ones stay: {why}"
            )),
        }
    }
}

fn read(files: &TlsStores, dials: bool) -> Result<Handshaker, String> {
    let trust = || files.trust_store.as_ref().map(StoreFile::read).transpose();
    let cannot = |why| format!("cannot use {}: {why}", files.key_store.path.display());
    let accepting =
        Context::new(&files.settings, files.key_store.read()?, trust()?).map_err(cannot)?;
    let dialling = match trust()? {
        Some(trust) if dials => {
            let key = Some(files.key_store.read()?);
            let protocols = &files.settings.protocols;
            let dialler = client_config(protocols, key, trust, Names::Ignored).map_err(cannot)?;
            Some(Arc::new(dialler))
        }
        _ => None,
    };
    Ok(Handshaker { accepting, dialling })
}

/// What tells one content of the files from another: inode, size and time of each.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint(Vec<Option<(u64, u64, i64, i64)>>);

impl Fingerprint {
    fn of(files: &TlsStores) -> Fingerprint {
        let stores = std::iter::once(&files.key_store).chain(&files.trust_store);
        let look =
            |path| fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        Fingerprint(stores.flat_map(StoreFile::files).map(look).collect())
    }
}
