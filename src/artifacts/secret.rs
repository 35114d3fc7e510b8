//! The ensemble's secret where the inventory names none: made once, kept beside the inventory, where only its
//! owner can read it and no repository takes it along.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::digest::hex;
use crate::failure::Failure;
use crate::inventory::{Engine, Inventory, Secret, SecretSource};

/// As many random bytes as a digest of SHA-256 has.
const BYTES: usize = 32;

/// Where it is kept.
pub fn place(inventory: &Inventory) -> PathBuf {
    let folder = inventory.path.parent().map(Path::to_path_buf).unwrap_or_default();
    folder.join(".zkprov").join(format!("{}.secret", inventory.ensemble))
}

/// Whether zkprov has to see to it.
pub fn is_ours(inventory: &Inventory) -> bool {
    inventory.coordinator.engine == Engine::Coordinator && inventory.coordinator.secret.is_none()
}

/// The inventory with the secret that an earlier run has kept, if there is one.
pub fn with_kept(mut inventory: Inventory) -> Result<Inventory, Failure> {
    let path = place(&inventory);
    if !is_ours(&inventory) {
        return Ok(inventory);
    }
    let Ok(data) = fs::metadata(&path) else { return Ok(inventory) };
    if data.permissions().mode() & 0o077 != 0 {
        let cause = format!("others may read the ensemble's secret, {}", path.display());
        return Err(Failure::usage(cause).hint(format!("chmod 600 {}", path.display())));
    }
    inventory.coordinator.secret = Some(SecretSource::File(path));
    Ok(inventory)
}

/// A new one.
pub fn make() -> Result<Secret, Failure> {
    let mut bytes = [0; BYTES];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| Failure::failed(format!("cannot read /dev/urandom: {error}")))?;
    Ok(Secret::new(hex(&bytes).into_bytes()))
}

/// Keeps it, before any host gets it; one that is there already is never replaced.
pub fn keep(inventory: &Inventory, secret: &Secret) -> Result<PathBuf, Failure> {
    let path = place(inventory);
    write(&path, secret).map_err(|error| {
        Failure::failed(format!("cannot keep the ensemble's secret in {}: {error}", path.display())).hint(
            "whoever works on this ensemble needs it: make the inventory's folder writable, or name a file of \
             your own as `coordinator: { secret: { file: … } }`",
        )
    })?;
    Ok(path)
}

fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let ignored = folder.join(".gitignore");
    if !ignored.exists() {
        fs::write(ignored, "# Secrets do not belong into a repository.\n*\n")?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.reveal())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(folder: &Path, more: &str) -> Inventory {
        let yaml = format!("ensemble: t\nhosts:\n  a: {{ address: 10.0.0.1, myid: 1 }}\n{more}");
        let reading = crate::inventory::read(&folder.join("inventory.yaml"), yaml.as_bytes(), None);
        reading.inventory.expect("valid")
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let bare = inventory(folder.path(), "");
        let (one, other) = (make().expect("random"), make().expect("random"));
        assert!(one != other && one.reveal().len() == 2 * BYTES);
        assert!(with_kept(bare.clone()).expect("none").coordinator.secret.is_none());
        let path = keep(&bare, &one).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
        assert!(keep(&bare, &other).is_err(), "never replaced");
        let kept = with_kept(bare.clone()).expect("kept").coordinator.secret;
        assert_eq!(kept, Some(SecretSource::File(path.clone())));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(with_kept(bare).is_err(), "others may read it");
        let named = inventory(folder.path(), "coordinator: { secret: { env: S } }\n");
        assert_eq!(
            with_kept(named).expect("named").coordinator.secret,
            Some(SecretSource::Env("S".into()))
        );
    }
}
