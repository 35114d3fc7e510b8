//! What zkprov keeps for an ensemble beside the inventory, where only its owner can read it and no
//! repository takes it along: the authority's key, passwords that were made, the operator's certificate.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::inventory::Inventory;

/// A key, or a handful of certificates.
const BYTES_MAX: u64 = 256 << 10;

/// The folder of one ensemble.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    pub fn of(inventory: &Inventory) -> Self {
        let beside = inventory.path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self { folder: beside.join(".zkprov").join(format!("{}.security", inventory.ensemble)) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file's text; `None` where it is not there.
    pub fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        read_own(&self.path(name))
    }

    /// A file that is not there yet; one that is there is never replaced.
    pub fn add(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        self.prepare()
            .and_then(|()| write_new(&path, text))
            .map_err(|error| failed(&path, &error))?;
        Ok(path)
    }

    /// A file, in the place of one that may be there; whole at every moment.
    pub fn put(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let (path, aside) = (self.path(name), self.path(&format!(".{name}.new")));
        let written = self.prepare().and_then(|()| {
            match fs::remove_file(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            write_new(&aside, text)?;
            fs::rename(&aside, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        });
        written.map_err(|error| failed(&path, &error))?;
        Ok(path)
    }

    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
            _ => Ok(()),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        own_folder(self.folder.parent().unwrap_or(Path::new(".")))?;
        make_own(&self.folder)
    }
}

/// `.zkprov`, where secrets are kept: its owner's alone, and no repository takes it along.
pub(super) fn own_folder(folder: &Path) -> io::Result<()> {
    make_own(folder)?;
    let ignored = folder.join(".gitignore");
    if !ignored.exists() {
        fs::write(ignored, "# Secrets do not belong into a repository.\n*\n")?;
    }
    Ok(())
}

fn make_own(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot keep {}: {error}", path.display()))
        .hint("whoever works on this ensemble needs it: make the inventory's folder writable")
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A file that nobody else may read; `None` where it is not there.
pub fn read_own(path: &Path) -> Result<Option<String>, Failure> {
    let cannot =
        |error: io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    if file.metadata().map_err(cannot)?.permissions().mode() & 0o077 != 0 {
        let cause = format!("others may read {}", path.display());
        return Err(Failure::usage(cause).hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if read as u64 > BYTES_MAX {
        let cause = format!("{} has more than {BYTES_MAX} bytes", path.display());
        return Err(Failure::usage(cause).hint("is it the right file?"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_its_owners_alone_and_not_lost_by_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept { folder: folder.path().join(".zkprov").join("t.security") };
        assert_eq!(kept.read("ca.key").expect("nothing"), None);
        let path = kept.add("ca.key", "one").expect("kept");
        assert!(kept.add("ca.key", "two").is_err(), "never replaced");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
        kept.put("ca.key", "three").expect("replaced");
        assert_eq!(kept.read("ca.key").expect("read").as_deref(), Some("three"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(kept.read("ca.key").expect_err("others may read it").cause.contains("others"));
        kept.remove("ca.key").expect("removed");
        kept.remove("ca.key").expect("twice is once");
        assert!(folder.path().join(".zkprov/.gitignore").exists());
    }
}
