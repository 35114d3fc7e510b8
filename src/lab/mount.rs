//! Overlay mounts: each host is a thin writable layer over a base that all of them share.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::tool::{run, succeeds};
use crate::failure::Failure;

/// Mounts `lower` layers (topmost first) at `target`; what is written goes to `layer/up`.
pub(super) fn overlay(lower: &[&Path], layer: &Path, target: &Path) -> Result<(), Failure> {
    for folder in [layer.join("up"), layer.join("work"), target.to_path_buf()] {
        fs::create_dir_all(&folder).map_err(|error| {
            Failure::failed(format!("cannot create `{}`: {error}", folder.display()))
        })?;
    }
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        layer.join("up").display(),
        layer.join("work").display()
    );
    let target = target.display().to_string();
    run("mount", ["-t", "overlay", "zkprov-lab", "-o", &options, &target]).map(drop)
}

pub(super) fn is_mounted(target: &Path) -> bool {
    below(target).iter().any(|mounted| mounted == target)
}

/// Unmounts `target`. Right after a power cut the kernel still holds it for a moment.
pub(super) fn unmount(target: &Path) {
    for _ in 0..100 {
        if !is_mounted(target) || succeeds("umount", [target]) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = run("umount", [Path::new("-l"), target]);
}

/// All mount points at or below a folder, innermost first.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|target| target.starts_with(folder))
        .collect();
    found.reverse();
    found
}
