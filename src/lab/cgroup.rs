//! The control group of each host: the switch by which it is cut off from power, or frozen.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::tool::run;
use crate::failure::Failure;

/// systemd's own hierarchy on machines that still have the first version of control groups.
const LEGACY: &str = "/sys/fs/cgroup/systemd";

/// Where the second version of control groups is mounted; mounts it where nothing has.
pub(super) fn root(directory: &Path) -> Result<PathBuf, Failure> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = table.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let target = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(target))
    });
    if let Some(root) = mounted {
        return Ok(root);
    }
    let root = directory.join("cgroup2");
    fs::create_dir_all(&root)
        .map_err(|error| Failure::failed(format!("cannot create `{}`: {error}", root.display())))?;
    run("mount", [Path::new("-t"), Path::new("cgroup2"), Path::new("none"), &root])?;
    Ok(root)
}

/// The groups of one host, or of a whole lab.
pub(super) struct Cgroup {
    unified: PathBuf,
    legacy: Option<PathBuf>,
}

impl Cgroup {
    /// The group `path` (`LAB` or `LAB/HOST`); nothing is created yet.
    pub(super) fn new(directory: &Path, path: &str) -> Result<Self, Failure> {
        let legacy = Path::new(LEGACY);
        Ok(Self {
            unified: root(directory)?.join(path),
            legacy: legacy.is_dir().then(|| legacy.join(path)),
        })
    }

    /// Creates the groups; a process enters by writing its id to `cgroup.procs` of each.
    pub(super) fn create(&self) -> Result<Vec<PathBuf>, Failure> {
        let groups: Vec<PathBuf> =
            std::iter::once(&self.unified).chain(&self.legacy).cloned().collect();
        for group in &groups {
            fs::create_dir_all(group).map_err(|error| {
                Failure::failed(format!("cannot create `{}`: {error}", group.display()))
            })?;
        }
        Ok(groups)
    }

    /// Stops, or lets go on, every process of the host's own.
    pub(super) fn freeze(&self, frozen: bool) -> Result<(), Failure> {
        let switch = self.unified.join("payload/cgroup.freeze");
        fs::write(&switch, if frozen { "1" } else { "0" }).map_err(|error| {
            Failure::failed(format!("cannot write `{}`: {error}", switch.display()))
        })?;
        // The kernel stops a group's processes one by one, each where it next may, and says so
        // when the last of them stands (cgroup-v2.rst, cgroup.freeze).
        for _ in 0..500 {
            if self.is_frozen() == frozen {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let state = if frozen { "frozen" } else { "thawed" };
        Err(Failure::failed(format!("`{}` is not {state} after 10 s", switch.display())))
    }

    pub(super) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.unified.join("payload/cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
    }

    /// Ends every process of the group at once, frozen ones too, and waits until they are gone.
    pub(super) fn kill(&self) {
        for group in [self.unified.join("payload"), self.unified.clone()] {
            let _ = fs::write(group.join("cgroup.freeze"), "0");
        }
        let _ = fs::write(self.unified.join("cgroup.kill"), "1");
        for _ in 0..250 {
            let events = fs::read_to_string(self.unified.join("cgroup.events")).unwrap_or_default();
            if !events.contains("populated 1") {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the groups with all below them; the kernel may need a moment after a kill.
    pub(super) fn remove(&self) {
        for group in std::iter::once(&self.unified).chain(&self.legacy) {
            for _ in 0..100 {
                remove_tree(group);
                if !group.exists() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Control groups hold no files that could be deleted: only their folders go, innermost first.
fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
