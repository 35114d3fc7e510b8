//! A release from the first source that has it: streamed, hashed on the way, resumed where it was
//! cut, and only ever kept under the digest it was verified against.

pub mod cache;
pub mod http;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::artifacts::fetch::cache::{Cache, Slot};
use crate::failure::Failure;
use crate::inventory::release::{self, CHECKSUM_FILE_BYTES_MAX};
use crate::inventory::{Kafka, Sha512 as Written, Source};

/// No release is as long as this; a source that sends more is not one.
const RELEASE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How much of a file is in memory at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// How often a source may cut a transfer that was making progress.
const ATTEMPTS: usize = 3;

/// What a release must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// 128 lower-case hex digits.
    pub sha512: String,
    /// In bytes, for releases whose size is known.
    pub bytes: Option<u64>,
}

/// A release on this machine, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    pub sha512: String,
    pub bytes: u64,
    /// `None`: it was in the cache already.
    pub source: Option<String>,
}

/// What happens meanwhile, for whoever shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A source is asked.
    Trying { source: String },
    /// It answers; `at` bytes are here from an earlier attempt.
    Begins { at: u64, total: Option<u64> },
    /// So many bytes are here.
    Progress { at: u64 },
    /// The source was of no use.
    Useless { source: String, why: String },
}

/// The digest a release must have: the inventory's word, a checksum file's, or the known one.
pub async fn expected(kafka: &Kafka) -> Result<Expected, Failure> {
    let known = release::known(&kafka.version, &kafka.scala);
    let sha512 = match (&kafka.sha512, known) {
        (Some(Written::Digest(digest)), _) => digest.clone(),
        (Some(Written::File(source)), _) => checksum_file(kafka, source).await?,
        (None, Some(known)) => known.sha512.to_owned(),
        (None, None) => {
            return Err(Failure::usage(format!(
                "the digest of {} is not known",
                kafka.distribution()
            ))
            .hint("add `sha512:` under `kafka:`"));
        }
    };
    let bytes = known.filter(|known| known.sha512 == sha512).and_then(|known| known.size);
    Ok(Expected { sha512, bytes })
}

async fn checksum_file(kafka: &Kafka, source: &Source) -> Result<String, Failure> {
    let text = match source {
        Source::Url(url) => http::text(url, CHECKSUM_FILE_BYTES_MAX).await,
        Source::File(path) => read_start(path),
    };
    text.and_then(|text| release::digest_in(&text, &file_name(kafka))).map_err(|why| {
        Failure::failed(why)
            .step(format!("checksum file {}", shown(source)))
            .hint("or write the digest itself: `sha512: …`")
    })
}

fn read_start(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let limit = CHECKSUM_FILE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() > CHECKSUM_FILE_BYTES_MAX {
        return Err(format!("it is longer than {CHECKSUM_FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())
}

/// The tarball's name: `kafka_2.13-3.3.1.tgz`.
pub fn file_name(kafka: &Kafka) -> String {
    format!("{}.tgz", kafka.distribution())
}

/// A source as people read it.
pub fn shown(source: &Source) -> String {
    match source {
        Source::Url(url) => url.clone(),
        Source::File(path) => path.display().to_string(),
    }
}

/// The release, from the cache or the first source that has it. Memory does not depend on its size.
pub async fn fetch(
    kafka: &Kafka,
    expected: &Expected,
    cache: &Cache,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Fetched, Failure> {
    let slot = cache.slot(&expected.sha512, &file_name(kafka)).await?;
    if let Some(bytes) = slot.verified().await? {
        let (path, sha512) = (slot.path().to_path_buf(), expected.sha512.clone());
        return Ok(Fetched { path, sha512, bytes, source: None });
    }
    let mut useless = Vec::new();
    for source in &kafka.sources {
        tell(Event::Trying { source: shown(source) });
        match from(source, expected, &slot, tell).await {
            Ok(bytes) => {
                return Ok(Fetched {
                    path: slot.path().to_path_buf(),
                    sha512: expected.sha512.clone(),
                    bytes,
                    source: Some(shown(source)),
                });
            }
            Err(Trouble::Here(failure)) => return Err(failure),
            Err(Trouble::Source(why)) => {
                tell(Event::Useless { source: shown(source), why: why.clone() });
                useless.push(format!("  {}: {why}", shown(source)));
            }
        }
    }
    Err(Failure::failed(format!(
        "no source has {} as it must be\n{}",
        file_name(kafka),
        useless.join("\n")
    ))
    .step("fetch")
    .hint("name a mirror or a local file under `kafka: { sources: [ … ] }`"))
}

/// Why a source gave nothing.
#[derive(Debug)]
pub enum Trouble {
    /// The next one may be better.
    Source(String),
    /// It is not the source's fault: the disk here, for one.
    Here(Failure),
}

async fn from(
    source: &Source,
    expected: &Expected,
    slot: &Slot,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<u64, Trouble> {
    match source {
        Source::File(path) => {
            let mut partial = Partial::fresh(slot).await?;
            copy(path, &mut partial, expected, tell).await?;
            settle(partial, expected, slot).await
        }
        Source::Url(url) => download(url, expected, slot, tell).await,
    }
}

async fn copy(
    path: &Path,
    partial: &mut Partial,
    expected: &Expected,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Trouble> {
    let wrong = |error: std::io::Error| Trouble::Source(error.to_string());
    let mut file = tokio::fs::File::open(path).await.map_err(wrong)?;
    let metadata = file.metadata().await.map_err(wrong)?;
    if !metadata.is_file() {
        return Err(Trouble::Source("it is not a file".to_owned()));
    }
    plausible(Some(metadata.len()), expected)?;
    tell(Event::Begins { at: 0, total: Some(metadata.len()) });
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).await.map_err(wrong)?;
        if length == 0 {
            return Ok(());
        }
        partial.append(&chunk[..length]).await?;
        tell(Event::Progress { at: partial.bytes });
    }
}

async fn download(
    url: &str,
    expected: &Expected,
    slot: &Slot,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<u64, Trouble> {
    // Bytes of an earlier run are worth keeping only if they lead to the right digest.
    let mut may_resume = true;
    let mut attempt = 1;
    loop {
        let mut partial =
            if may_resume { Partial::resume(slot).await? } else { Partial::fresh(slot).await? };
        let before = partial.bytes;
        let resumed = before > 0;
        if resumed && partial.digest() == expected.sha512 {
            return settle(partial, expected, slot).await;
        }
        match http::download(url, expected, &mut partial, tell).await {
            Ok(()) => match settle(partial, expected, slot).await {
                Err(Trouble::Source(_)) if resumed => may_resume = false,
                settled => return settled,
            },
            Err(http::Cut::Useless(why)) => return Err(Trouble::Source(why)),
            Err(http::Cut::Here(failure)) => return Err(Trouble::Here(failure)),
            Err(http::Cut::Restart) if may_resume => may_resume = false,
            Err(http::Cut::Restart) => {
                return Err(Trouble::Source("it refuses to begin".to_owned()));
            }
            Err(http::Cut::Broken(why)) => {
                let progress = partial.bytes > before;
                partial.flush().await?;
                if attempt >= ATTEMPTS || !progress {
                    return Err(Trouble::Source(format!(
                        "cut after {} bytes: {why}",
                        partial.bytes
                    )));
                }
                attempt += 1;
                may_resume = true;
            }
        }
    }
}

/// A length that no release of this digest can have; headers tell it before anything is loaded.
fn plausible(length: Option<u64>, expected: &Expected) -> Result<(), Trouble> {
    match (length, expected.bytes) {
        (Some(length), Some(bytes)) if length != bytes => {
            Err(Trouble::Source(format!("it has {length} bytes, the release has {bytes}")))
        }
        (Some(length), _) if length > RELEASE_BYTES_MAX => {
            Err(Trouble::Source(format!("it has {length} bytes; no release has")))
        }
        _ => Ok(()),
    }
}

/// The whole file is here: under its digest it is kept, under another it is deleted.
async fn settle(mut partial: Partial, expected: &Expected, slot: &Slot) -> Result<u64, Trouble> {
    partial.flush().await?;
    let digest = partial.digest();
    if digest == expected.sha512 {
        slot.keep(partial.bytes).await.map_err(Trouble::Here)?;
        return Ok(partial.bytes);
    }
    slot.discard().await.map_err(Trouble::Here)?;
    Err(Trouble::Source(format!(
        "wrong SHA-512, deleted\n    expected {}\n    got      {digest} ({} bytes)",
        expected.sha512, partial.bytes
    )))
}

/// The bytes that are here, and their hash.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: tokio::fs::File,
    hash: Sha512,
    pub bytes: u64,
}

impl Partial {
    /// Begins anew.
    async fn fresh(slot: &Slot) -> Result<Self, Trouble> {
        let path = slot.partial();
        let file = tokio::fs::File::create(&path).await.map_err(|error| here(&path, &error))?;
        Ok(Self { path, file, hash: Sha512::new(), bytes: 0 })
    }

    /// Goes on after what an earlier attempt has left.
    async fn resume(slot: &Slot) -> Result<Self, Trouble> {
        let path = slot.partial();
        let opened = tokio::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .await;
        let mut file = opened.map_err(|error| here(&path, &error))?;
        let (mut hash, mut bytes, mut chunk) = (Sha512::new(), 0, vec![0; CHUNK_BYTES]);
        loop {
            let length = file.read(&mut chunk).await.map_err(|error| here(&path, &error))?;
            if length == 0 {
                return Ok(Self { path, file, hash, bytes });
            }
            hash.update(&chunk[..length]);
            bytes += length as u64;
        }
    }

    /// Appends; refuses to grow without end.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.bytes += bytes.len() as u64;
        if self.bytes > RELEASE_BYTES_MAX {
            return Err(Trouble::Source(format!("it sends more than {RELEASE_BYTES_MAX} bytes")));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(|error| here(&self.path, &error))
    }

    fn digest(&self) -> String {
        crate::digest::hex(&self.hash.clone().finalize())
    }

    /// Forgets what is here.
    pub async fn restart(&mut self) -> Result<(), Trouble> {
        self.file.set_len(0).await.map_err(|error| here(&self.path, &error))?;
        self.file.rewind().await.map_err(|error| here(&self.path, &error))?;
        (self.hash, self.bytes) = (Sha512::new(), 0);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Trouble> {
        self.file.flush().await.map_err(|error| here(&self.path, &error))?;
        self.file.sync_data().await.map_err(|error| here(&self.path, &error))
    }
}

fn here(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Here(
        Failure::failed(format!("cannot write {}: {error}", path.display()))
            .step("fetch")
            .hint("the cache is under $XDG_CACHE_HOME, or ~/.cache; is there room?"),
    )
}
