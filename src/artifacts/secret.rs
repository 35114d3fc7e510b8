//! The ensemble's secret where the inventory names none: made once, kept beside the inventory, where only its
//! owner can read it and no repository takes it along. While it is replaced, the file holds the old one too.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::artifacts::kept::own_folder;
use crate::digest::hex;
use crate::failure::Failure;
use crate::inventory::{Inventory, Secret};

/// As many random bytes as a digest of SHA-256 has.
const BYTES: usize = 32;
/// Several secrets of the coordinator's longest; more is another file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where it is kept.
pub fn place(inventory: &Inventory) -> PathBuf {
    let folder = inventory.path.parent().map(Path::to_path_buf).unwrap_or_default();
    folder.join(".zkprov").join(format!("{}.secret", inventory.ensemble))
}

/// What an earlier run has kept, if there is something.
pub fn kept(inventory: &Inventory) -> Result<Option<Secret>, Failure> {
    let path = place(inventory);
    let cannot = |error: io::Error| {
        Failure::usage(format!("cannot read the ensemble's secret in {}: {error}", path.display()))
            .hint("it belongs to whoever works on this ensemble: is it another user's?")
    };
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(cannot)?,
    };
    if file.metadata().map_err(cannot)?.permissions().mode() & 0o077 != 0 {
        let cause = format!("others may read the ensemble's secret, {}", path.display());
        return Err(Failure::usage(cause).hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(cannot)?;
    if text.trim_ascii().is_empty() {
        let cause = format!("cannot use the ensemble's secret: {} is empty", path.display());
        return Err(Failure::usage(cause).hint("remove it: the hosts' secret is taken over"));
    }
    Ok(Some(Secret::new(text.trim_ascii().to_vec())))
}

/// A new one.
pub fn make() -> Result<Secret, Failure> {
    let mut bytes = [0; BYTES];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| Failure::failed(format!("cannot read /dev/urandom: {error}")))?;
    Ok(Secret::new(hex(&bytes).into_bytes()))
}

/// Keeps it, before any host gets it.
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

/// In the place of what is there, at one moment and on disk.
fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    own_folder(folder)?;
    let new = path.with_extension(format!("secret.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file
        .write_all(&[secret.reveal(), b"\n"].concat())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let yaml = "ensemble: t\nhosts:\n  a: { address: 10.0.0.1, myid: 1 }\n";
        let path = folder.path().join("inventory.yaml");
        let reading = crate::inventory::read(&path, yaml.as_bytes(), None);
        let inventory = reading.inventory.expect("valid");
        let (one, other) = (make().expect("random"), make().expect("random"));
        assert!(one != other && one.reveal().len() == 2 * BYTES);
        assert_eq!(kept(&inventory).expect("nothing"), None);
        let path = keep(&inventory, &one).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
        assert_eq!(kept(&inventory).expect("kept"), Some(one));
        keep(&inventory, &other).expect("replaced");
        assert_eq!(kept(&inventory).expect("kept"), Some(other));
        assert_eq!(mode(&path), 0o600);
        let names = fs::read_dir(path.parent().expect("a folder")).expect("a folder").count();
        assert_eq!(names, 2, "the secret and .gitignore");
        fs::write(&path, "\n").expect("written");
        assert!(kept(&inventory).is_err(), "empty");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(kept(&inventory).is_err(), "others may read it");
    }
}
