//! The cache of verified releases: each under its own digest, so that what is there is right.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512};

use crate::digest::hex;
use crate::failure::Failure;

/// Where releases are kept.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// The place of one release, held by this process alone until it is dropped.
#[derive(Debug)]
pub struct Slot {
    folder: PathBuf,
    file: PathBuf,
    sha512: String,
    _lock: File,
}

impl Cache {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The user's: `$XDG_CACHE_HOME/zkprov`, else `~/.cache/zkprov`.
    pub fn of_user() -> Result<Self, Failure> {
        let xdg =
            std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || {
            std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache"))
        };
        let root = xdg.or_else(home).ok_or_else(|| {
            Failure::failed("there is no place for the cache")
                .hint("set XDG_CACHE_HOME to an absolute path, or HOME")
        })?;
        Ok(Self::new(root.join("zkprov")))
    }

    /// The place for what has this digest; waits for another zkprov that fills it.
    pub async fn slot(&self, sha512: &str, file_name: &str) -> Result<Slot, Failure> {
        let folder = self.root.join("releases").join(sha512);
        let file = folder.join(file_name);
        let sha512 = sha512.to_owned();
        blocking(move || {
            let wrong = |error| failure(&folder, &error);
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(wrong)?;
            let lock = File::create(folder.join("lock")).map_err(wrong)?;
            lock.lock().map_err(wrong)?;
            Ok(Slot { folder, file, sha512, _lock: lock })
        })
        .await
    }
}

impl Slot {
    /// Where the release is once it has been kept.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Where it grows.
    pub fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// The release's length if it is here and whole. What has not been touched since it was
    /// verified is not hashed again.
    pub async fn verified(&self) -> Result<Option<u64>, Failure> {
        let (file, seal, sha512) = (self.file.clone(), self.seal(), self.sha512.clone());
        blocking(move || {
            let Ok(metadata) = std::fs::metadata(&file) else { return Ok(None) };
            if std::fs::read_to_string(&seal).is_ok_and(|text| text == sealed(&metadata)) {
                return Ok(Some(metadata.len()));
            }
            let wrong = |error| failure(&file, &error);
            let mut hash = Sha512::new();
            std::io::copy(&mut File::open(&file).map_err(wrong)?, &mut Hashing(&mut hash))
                .map_err(wrong)?;
            if hex(&hash.finalize()) == sha512 {
                std::fs::write(&seal, sealed(&metadata)).map_err(wrong)?;
                return Ok(Some(metadata.len()));
            }
            std::fs::remove_file(&file).map_err(wrong)?;
            Ok(None)
        })
        .await
    }

    /// Gives what grew in `partial` its name: it has the digest.
    pub async fn keep(&self, bytes: u64) -> Result<(), Failure> {
        let (from, to, seal) = (self.partial(), self.file.clone(), self.seal());
        blocking(move || {
            let wrong = |error| failure(&to, &error);
            std::fs::rename(&from, &to).map_err(wrong)?;
            let metadata = std::fs::metadata(&to).map_err(wrong)?;
            if metadata.len() != bytes {
                return Err(Failure::failed(format!(
                    "{} changed while it was written",
                    to.display()
                )));
            }
            std::fs::write(&seal, sealed(&metadata)).map_err(wrong)
        })
        .await
    }

    /// Deletes what grew: it has another digest.
    pub async fn discard(&self) -> Result<(), Failure> {
        let partial = self.partial();
        blocking(move || std::fs::remove_file(&partial).map_err(|error| failure(&partial, &error)))
            .await
    }

    fn seal(&self) -> PathBuf {
        self.folder.join("verified")
    }
}

/// What tells that a file is still the one that was verified.
fn sealed(metadata: &std::fs::Metadata) -> String {
    format!(
        "{} {} {}.{:09}\n",
        metadata.len(),
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec()
    )
}

struct Hashing<'h>(&'h mut Sha512);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot use the cache {}: {error}", path.display())).step("fetch")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::failed(format!("the cache cannot be used: {error}"))),
    }
}
