//! What the controller must have at hand before hosts can be planned: the release's digest, the
//! coordinator for each architecture, the ensemble's secret, the sudo password.

use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::artifacts::build;
use crate::artifacts::build::Builds;
use crate::artifacts::fetch;
use crate::artifacts::fetch::cache::Cache;
use crate::artifacts::progress::Download;
use crate::failure::Failure;
use crate::inventory::{Inventory, Secret, SecretSource, Source};
use crate::plan::desired::{Artifact, Artifacts, Release};
use crate::report;

/// Everything but the binary, which depends on the host, and the release itself, which is only
/// fetched when a host needs it.
pub async fn gather(inventory: &Inventory) -> Result<Artifacts, Failure> {
    let secret = inventory.coordinator.secret.as_ref().map(read_secret).transpose()?;
    let kafka = &inventory.kafka;
    let mut release = None;
    if kafka.install {
        let fetch::Expected { sha512, bytes } = fetch::expected(kafka).await?;
        let urls = kafka.sources.iter().filter_map(|source| match source {
            Source::Url(url) => Some(url.clone()),
            Source::File(_) => None,
        });
        // What a local file says of its size is good for the plan; what counts is what was verified.
        let local = kafka.sources.first().and_then(|source| match source {
            Source::File(path) => std::fs::metadata(path).ok().map(|file| file.len()),
            Source::Url(_) => None,
        });
        let bytes = bytes.or(local);
        release = Some(Release { sha512, bytes, path: None, urls: urls.collect() });
    }
    Ok(Artifacts { release, secret, ..Artifacts::default() })
}

/// The coordinator for hosts of one architecture, with its digest.
pub fn binary(
    inventory: &Inventory,
    architecture: &str,
    builds: Builds,
) -> Result<Artifact, Failure> {
    let explicit = inventory.coordinator.binary.as_deref();
    let path = build::coordinator_for(architecture, explicit, builds)?;
    artifact(&path)
}

/// Hashes the binary that hosts like this machine will most likely get, so that its digest is known
/// by the time they have answered. Nothing comes of it where there is none.
pub fn foresee(explicit: Option<&Path>) {
    let path = build::coordinator_for(std::env::consts::ARCH, explicit, Builds::Never);
    let _ = path.and_then(|path| artifact(&path));
}

/// Digests of this process's binaries, by what tells that a file is still the one that was hashed.
static HASHED: Mutex<Vec<(SystemTime, Artifact)>> = Mutex::new(Vec::new());

fn artifact(path: &Path) -> Result<Artifact, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::failed(format!("cannot read `{}`: {error}", path.display()))
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let changed = metadata.modified().map_err(unreadable)?;
    // Held while hashing: who comes second wants the same digest.
    let mut hashed = HASHED.lock().expect("no panic while held");
    let known = hashed.iter().find(|(at, artifact)| {
        (*at, artifact.path.as_path(), artifact.bytes) == (changed, path, metadata.len())
    });
    if let Some((_, artifact)) = known {
        return Ok(artifact.clone());
    }
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut piece).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        hash.update(&piece[..count]);
        bytes += count as u64;
    }
    let sha256 = crate::digest::hex(&hash.finalize());
    let artifact = Artifact { path: path.to_path_buf(), sha256, bytes };
    hashed.push((changed, artifact.clone()));
    Ok(artifact)
}

/// Reads a secret from where the inventory says it is.
pub fn read_secret(source: &SecretSource) -> Result<Secret, Failure> {
    let (text, place) = match source {
        SecretSource::Env(name) => (
            std::env::var(name).map_err(|_| {
                Failure::usage(format!("the environment variable `{name}` is not set"))
                    .hint("the inventory takes a secret from it")
            })?,
            format!("environment variable `{name}`"),
        ),
        SecretSource::File(path) => (
            std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("cannot read the secret in `{}`: {error}", path.display()))
            })?,
            format!("`{}`", path.display()),
        ),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::usage(format!("the secret in {place} is empty")));
    }
    Ok(Secret::new(text.as_bytes().to_vec()))
}

/// The sudo password: typed, or from where the inventory says; `None` where none is needed.
pub fn become_password(inventory: &Inventory, ask: bool) -> Result<Option<Secret>, Failure> {
    if !ask {
        return inventory.become_password.as_ref().map(read_secret).transpose();
    }
    asked_password(ask)
}

/// The sudo password, where it is to be typed.
pub fn asked_password(ask: bool) -> Result<Option<Secret>, Failure> {
    let typed = ask.then(|| typed_password("sudo password:")).transpose()?;
    Ok(typed.map(|typed| Secret::new(typed.into_bytes())))
}

/// Asks without echo on a terminal; without one, the first line of stdin is taken.
fn typed_password(question: &str) -> Result<String, Failure> {
    let line = if report::interactive() {
        let typed = coordinator::password::ask(question);
        Some(
            typed
                .map_err(|error| Failure::failed(format!("cannot ask for a password: {error}")))?,
        )
    } else {
        report::ask(question)
    };
    line.filter(|line| !line.is_empty())
        .ok_or_else(|| Failure::usage("no password was given").hint("type it, or give it on stdin"))
}

/// The release's verified copy on this machine, fetched if need be.
pub async fn fetched(inventory: &Inventory, release: &Release) -> Result<Release, Failure> {
    let kafka = &inventory.kafka;
    let expected = fetch::Expected { sha512: release.sha512.clone(), bytes: release.bytes };
    let mut download = Download::new(fetch::file_name(kafka));
    let cache = Cache::of_user()?;
    let fetched = fetch::fetch(kafka, &expected, &cache, &mut |event| download.tell(&event)).await;
    download.end();
    let fetched = fetched?;
    Ok(Release { bytes: Some(fetched.bytes), path: Some(fetched.path), ..release.clone() })
}
