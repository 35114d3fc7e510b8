//! What the controller must have at hand before hosts can be planned: the release's digest, the
//! coordinator for each architecture, the ensemble's secret, the sudo password.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::desired::{Release, Supplies, Supply};
use crate::failure::Failure;
use crate::inventory::{Inventory, Secret, SecretSource, Sha512, Source};
use crate::{crossbuild, release, report};

/// Everything but the binary, which depends on the host.
#[expect(clippy::unused_async, reason = "checksum files will be fetched here")]
pub async fn gather(inventory: &Inventory) -> Result<Supplies, Failure> {
    let secret = inventory.coordinator.secret.as_ref().map(read_secret).transpose()?;
    let release = if inventory.kafka.install { Some(release_of(inventory)?) } else { None };
    Ok(Supplies { binary: None, release, secret })
}

fn release_of(inventory: &Inventory) -> Result<Release, Failure> {
    let kafka = &inventory.kafka;
    let known = release::known(&kafka.version, &kafka.scala);
    let sha512 = match &kafka.sha512 {
        Some(Sha512::Digest(digest)) => digest.clone(),
        Some(Sha512::File(_)) => return Err(Failure::failed("checksum files: not built yet")),
        None => {
            known.map(|known| known.sha512.to_owned()).ok_or_else(|| Failure::usage("no digest"))?
        }
    };
    let urls = kafka.sources.iter().filter_map(|source| match source {
        Source::Url(url) => Some(url.clone()),
        Source::File(_) => None,
    });
    let path = kafka.sources.iter().find_map(|source| match source {
        Source::File(path) if path.is_file() => Some(path.clone()),
        _ => None,
    });
    let bytes = path.as_ref().and_then(|path| path.metadata().ok()).map(|m| m.len());
    Ok(Release { sha512, bytes, path, urls: urls.collect() })
}

/// The coordinator for hosts of one architecture, with its digest.
pub fn binary(inventory: &Inventory, architecture: &str) -> Result<Supply, Failure> {
    let explicit = inventory.coordinator.binary.as_deref();
    let path = crossbuild::coordinator_for(architecture, explicit)?;
    supply(&path)
}

fn supply(path: &Path) -> Result<Supply, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::failed(format!("cannot read `{}`: {error}", path.display()))
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
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
    let sha256 = crate::probe::hex(&hash.finalize());
    Ok(Supply { path: path.to_path_buf(), sha256, bytes })
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
    let typed = typed_password("sudo password:")?;
    Ok(Some(Secret::new(typed.into_bytes())))
}

/// Asks without echo on a terminal; without one, the first line of stdin is taken.
fn typed_password(question: &str) -> Result<String, Failure> {
    let terminal = report::interactive();
    let echo = |on: &str| {
        let _ = std::process::Command::new("stty").arg(on).status();
    };
    if terminal {
        echo("-echo");
    }
    let line = report::ask(question);
    if terminal {
        echo("echo");
        report::talk("");
    }
    line.filter(|line| !line.is_empty())
        .ok_or_else(|| Failure::usage("no password was given").hint("type it, or give it on stdin"))
}

/// The release's verified copy on this machine, fetched if need be.
#[expect(clippy::unused_async, reason = "the download is not joined yet")]
pub async fn fetched(inventory: &Inventory, release: &Release) -> Result<Release, Failure> {
    let _ = inventory;
    release.path.as_ref().ok_or_else(|| Failure::failed("fetch is not built yet"))?;
    Ok(release.clone())
}
