//! What a machine must offer before hosts can be booted on it, and what to do where it does not.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::tool::{run, succeeds};
use super::{cgroup, mount};
use crate::failure::Failure;

/// Programs the lab runs, each with Debian's name of its package.
const PROGRAMS: [(&str, &str); 12] = [
    ("systemd-nspawn", "systemd-container"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("chroot", "coreutils"),
];

/// Whether this process is root. A lab is made of mounts and network namespaces: nobody else may.
pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Checks all of it with `directory` as the place of the lab's state; the first unmet need.
pub(super) fn check(directory: &Path) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err(unmet("Linux", "run zkprov in a Linux virtual machine"));
    }
    if !is_root() {
        return Err(unmet("root", "run it again with sudo"));
    }
    programs()?;
    if !succeeds("unshare", ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"]) {
        return Err(unmet(
            "new namespaces",
            "an ordinary container may not make them: use the machine itself, or a privileged container",
        ));
    }
    overlay(directory)?;
    cgroup::root(directory).map(drop)
}

fn programs() -> Result<(), Failure> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    Err(unmet(
        &packages.join(", "),
        &format!("on Debian and Ubuntu: apt-get install {}", packages.join(" ")),
    ))
}

/// Whether a program is on the path or in the system's own folders.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| folder.join(program).is_file())
}

/// The hosts' disks are overlays; their upper half may not itself lie on an overlay.
fn overlay(directory: &Path) -> Result<(), Failure> {
    let scratch = directory.join(format!("overlay-check-{}", std::process::id()));
    let tried = fs::create_dir_all(scratch.join("lower"))
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", scratch.display())))
        .and_then(|()| {
            mount::overlay(&[&scratch.join("lower")], &scratch, &scratch.join("root"))?;
            run("umount", [scratch.join("root")]).map(drop)
        });
    let _ = fs::remove_dir_all(&scratch);
    tried.map_err(|failure| {
        unmet(
            &format!("an overlay mount under `{}` ({})", directory.display(), failure.cause),
            "set ZKPROV_LAB_DIR to a directory of an ordinary file system (ext4, xfs, btrfs); \
             a container must be privileged",
        )
    })
}

fn unmet(need: &str, advice: &str) -> Failure {
    Failure::failed(format!("this machine cannot boot hosts: it lacks {need}")).hint(advice)
}
