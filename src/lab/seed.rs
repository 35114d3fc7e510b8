//! What the hosts of one lab have in common, as one layer over the base: users, the lab's key,
//! sshd's and journald's settings, and nothing that would slow the boot.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::tool::{output, run, tool};
use super::{base, mount};
use crate::failure::Failure;

/// The users a controller may come as: root, one with free sudo, one whose sudo asks (the password
/// is the user's name).
pub const USERS: [&str; 3] = ["root", "vagrant", "ops"];

/// Units that do nothing useful in a lab, wait for what is not there, or start work at odd times.
const MASKED: [&str; 12] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-remount-fs.service",
    "console-getty.service",
    "getty@tty1.service",
    "systemd-resolved.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
];

/// Kernel settings of which each host gets a private copy: without it they would be the machine's.
const PRIVATE_SETTINGS: &str = "vm/swappiness vm/max_map_count vm/overcommit_memory fs/file-max";

/// Runs before systemd-sysctl, so that settings of `/etc/sysctl.d` come back after a reboot as on
/// any host. Only the host that has a swap file sees the machine's swap.
const KERNEL_UNIT: &str = "[Unit]
Description=Kernel settings and swap of a lab host
DefaultDependencies=no
Before=systemd-sysctl.service sysinit.target
After=systemd-tmpfiles-setup-dev.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/lab-kernel

[Install]
WantedBy=sysinit.target
";

const KERNEL_SCRIPT: &str = r#"#!/bin/sh
# Gives this host kernel settings of its own, as files mounted over those of the machine.
for setting in @SETTINGS@; do
  copy=/run/lab-kernel/$setting
  [ -e "/proc/sys/$setting" ] && [ ! -e "$copy" ] || continue
  mkdir -p "${copy%/*}"
  cat "/proc/sys/$setting" >"$copy"
  mount --bind "$copy" "/proc/sys/$setting"
done
if [ -s /swapfile ]; then
  swapon /swapfile
else
  head -n 1 /proc/swaps >/run/lab-kernel/swaps
  mount --bind /run/lab-kernel/swaps /proc/swaps
fi
"#;

/// Makes the layer at `layer` over `base`, once; later calls find it done.
pub(super) fn make(base: &Path, layer: &Path, public_key: &str) -> Result<(), Failure> {
    let done = layer.join("done");
    if done.exists() {
        return Ok(());
    }
    let root = layer.join("root");
    mount::unmount(&root);
    base::clear(layer)?;
    mount::overlay(&[base], layer, &root)?;
    let filled = fill(&root, public_key);
    mount::unmount(&root);
    filled?;
    write(&done, "", 0o644)
}

/// Everything that makes a base a host of a lab, but what is the host's own.
pub(super) fn fill(root: &Path, public_key: &str) -> Result<(), Failure> {
    accounts(root, public_key)?;
    write(
        &root.join("etc/ssh/sshd_config.d/lab.conf"),
        "HostKey /etc/ssh/ssh_host_ed25519_key\nLogLevel VERBOSE\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication yes\n",
        0o644,
    )?;
    write(
        &root.join("etc/systemd/journald.conf.d/lab.conf"),
        "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n",
        0o644,
    )?;
    folder(&root.join("var/log/journal"))?;
    folder(&root.join("data"))?;
    write(&root.join("etc/default/locale"), "", 0o644)?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        link("/dev/null", &units.join(unit))?;
    }
    let script = KERNEL_SCRIPT.replace("@SETTINGS@", PRIVATE_SETTINGS);
    write(&root.join("usr/local/lib/lab-kernel"), &script, 0o755)?;
    write(&units.join("lab-kernel.service"), KERNEL_UNIT, 0o644)?;
    folder(&units.join("sysinit.target.wants"))?;
    link(
        "/etc/systemd/system/lab-kernel.service",
        &units.join("sysinit.target.wants/lab-kernel.service"),
    )
}

fn accounts(root: &Path, public_key: &str) -> Result<(), Failure> {
    for user in &USERS[1..] {
        inside(root, &["useradd", "-m", "-s", "/bin/bash", user])?;
    }
    inside(root, &["sh", "-c", "printf 'root:root\\nvagrant:vagrant\\nops:ops\\n' | chpasswd"])?;
    write(&root.join("etc/sudoers.d/vagrant"), "vagrant ALL=(ALL) NOPASSWD: ALL\n", 0o440)?;
    write(&root.join("etc/sudoers.d/ops"), "ops ALL=(ALL) ALL\n", 0o440)?;
    for user in USERS {
        let home = if user == "root" { "root".to_owned() } else { format!("home/{user}") };
        let folder = root.join(&home).join(".ssh");
        write(&folder.join("authorized_keys"), public_key, 0o600)?;
        mode(&folder, 0o700)?;
        inside(root, &["chown", "-R", &format!("{user}:"), &format!("/{home}/.ssh")])?;
    }
    // Host keys are each host's own, see `host`.
    for entry in fs::read_dir(root.join("etc/ssh")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Runs a command with the layer as its root.
fn inside(root: &Path, words: &[&str]) -> Result<(), Failure> {
    output(tool("chroot").arg(root).args(words)).map(drop)
}

/// Writes a file with its folders; whatever stood there is replaced, links too.
pub(super) fn write(path: &Path, text: &str, file_mode: u32) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let _ = fs::remove_file(path);
    fs::write(path, text)
        .map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", path.display())))?;
    mode(path, file_mode)
}

pub(super) fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path)
        .map_err(|error| Failure::failed(format!("cannot create `{}`: {error}", path.display())))
}

fn mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|error| {
        Failure::failed(format!("cannot set the mode of `{}`: {error}", path.display()))
    })
}

pub(super) fn link(target: &str, path: &Path) -> Result<(), Failure> {
    let _ = fs::remove_file(path);
    symlink(target, path)
        .map_err(|error| Failure::failed(format!("cannot link `{}`: {error}", path.display())))
}

/// An ed25519 key pair at `path`, made once.
pub(super) fn key_pair(path: &Path, comment: &str) -> Result<String, Failure> {
    if !path.exists() {
        let path = path.display().to_string();
        run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path])?;
    }
    let public = path.with_extension("pub");
    fs::read_to_string(&public)
        .map_err(|error| Failure::failed(format!("cannot read `{}`: {error}", public.display())))
}
